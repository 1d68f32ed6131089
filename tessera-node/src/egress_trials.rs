//! The node tries what its pod must not reach, at each period, and what it must: the egress guard's addresses and those that
//! its network names. What came of it stands in the status; nothing follows from it here.
//!
//! The allowed connect comes last: a network that carried it was there when the others failed.

use std::convert::Infallible;
use std::io::{Error, ErrorKind};
use std::time::Duration;

use futures::future::join_all;
use tessera_node_api::admin::{EgressTrial, EgressTrials, Reach};
use tessera_node_api::static_config::EgressGuard;
use tokio::net::{TcpStream, lookup_host};
use tokio::sync::watch;
use tokio::time::timeout;

use crate::clock;
use crate::config::watch::DynamicConfiguration;

/// A connect that takes longer is denied: a policy that drops packets answers nothing.
const CONNECT: Duration = Duration::from_secs(2);
const LOOKUP: Duration = Duration::from_secs(5);
/// More addresses of one name say no more.
const MAX_ADDRESSES: usize = 4;

/// Tries all targets, again and again.
pub(crate) struct Trials {
    pub(crate) guard: EgressGuard,
    pub(crate) configuration: DynamicConfiguration,
    pub(crate) result: watch::Sender<Option<EgressTrials>>,
}

impl Trials {
    /// Runs until the node drains.
    pub(crate) async fn run(self) -> Result<(), Infallible> {
        let mut configuration = self.configuration.subscribe();
        loop {
            configuration.mark_unchanged();
            let tried = self.all().await;
            self.result.send_replace(Some(tried));
            tokio::select! {
                () = tokio::time::sleep(self.configuration.probe_every()) => {}
                Ok(()) = configuration.changed() => {}
            }
        }
    }

    async fn all(&self) -> EgressTrials {
        let named = self.configuration.current().map(|dynamic| dynamic.must_not_reach.clone());
        let targets = [self.guard.forbidden.clone()].into_iter().chain(named.unwrap_or_default());
        let forbidden = join_all(targets.map(one)).await;
        let allowed = one(self.guard.allowed.clone()).await;
        EgressTrials { tried_at: clock::now_rfc3339(), forbidden, allowed }
    }
}

async fn one(target: String) -> EgressTrial {
    let reach = match timeout(LOOKUP, lookup_host(&target)).await {
        Ok(Ok(addresses)) => {
            let connects =
                addresses.take(MAX_ADDRESSES).map(|address| timeout(CONNECT, TcpStream::connect(address)));
            of_all(&join_all(connects).await.into_iter().map(outcome).collect::<Vec<_>>())
        }
        Ok(Err(_)) | Err(_) => Reach::Unclear,
    };
    EgressTrial { target, reach }
}

/// One address that is reached is enough; each must have failed for a target that is not.
fn of_all(outcomes: &[Reach]) -> Reach {
    if outcomes.contains(&Reach::Reached) {
        Reach::Reached
    } else if outcomes.is_empty() || outcomes.contains(&Reach::Unclear) {
        Reach::Unclear
    } else {
        Reach::Failed
    }
}

/// A policy drops, rejects with a reset or an unreachable address, or forbids this side to send. Another error, for example of
/// a lack of descriptors, says nothing of the network.
fn outcome(connected: Result<Result<TcpStream, Error>, tokio::time::error::Elapsed>) -> Reach {
    match connected {
        Ok(Ok(_)) => Reach::Reached,
        Err(_) => Reach::Failed,
        Ok(Err(error)) => match error.kind() {
            ErrorKind::ConnectionRefused
            | ErrorKind::ConnectionReset
            | ErrorKind::ConnectionAborted
            | ErrorKind::TimedOut
            | ErrorKind::HostUnreachable
            | ErrorKind::NetworkUnreachable
            | ErrorKind::PermissionDenied => Reach::Failed,
            _ => Reach::Unclear,
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_target_is_closed_when_each_of_its_addresses_is() {
        use Reach::{Failed, Reached, Unclear};
        assert_eq!(of_all(&[Failed, Failed]), Failed);
        assert_eq!(of_all(&[Failed, Reached, Unclear]), Reached);
        assert_eq!(of_all(&[Failed, Unclear]), Unclear);
        assert_eq!(of_all(&[]), Unclear, "a name without an address was not tried");
    }

    #[test]
    fn an_error_of_this_process_is_no_denial() {
        let failed = |kind: ErrorKind| outcome(Ok(Err(kind.into())));
        assert_eq!(failed(ErrorKind::ConnectionRefused), Reach::Failed);
        assert_eq!(outcome(Ok(Err(Error::from_raw_os_error(24)))), Reach::Unclear, "too many open files");
    }
}
