//! The control of the operator's connects to nodes: the same port numbers in another operator's pod.
//!
//! Each operator listens there (`process/canary.rs`), also one that stands by, and the chart's headless Service names all of
//! them. Its own pod is no control: what a pod sends to itself is never policed. So one operator alone has none.

use std::net::{IpAddr, SocketAddr};
use std::time::Duration;

use futures::future::join_all;
use tokio::net::lookup_host;
use tokio::time::timeout;

use super::connect::{Connect, connect};
use crate::checklist::stranger::{CLOSED_PORTS, Control};

const LOOKUP: Duration = Duration::from_secs(5);
/// More say no more.
const MAX_OTHERS: usize = 4;

/// Where other operators can be.
#[derive(Debug, Clone)]
pub struct Canary {
    /// A name whose addresses are those of all operators' pods.
    host: Option<String>,
    /// The addresses of this operator's own pod.
    own: Vec<IpAddr>,
}

impl Canary {
    /// Without a name, or without knowing which address is its own, an operator has no control.
    pub fn new(host: Option<String>, own: Vec<IpAddr>) -> Self {
        Self { host: host.filter(|_| !own.is_empty()), own }
    }

    /// Connects to all ports of another operator, in the address family of `like`.
    pub(super) async fn control(&self, like: IpAddr) -> Control {
        let Some(host) = &self.host else { return Control::Absent };
        // The port is of no interest to the lookup.
        let found = match timeout(LOOKUP, lookup_host((host.as_str(), 0))).await {
            Ok(Ok(found)) => found.map(|address| address.ip()).collect(),
            Ok(Err(_)) | Err(_) => return Control::Failed(format!("{host} cannot be resolved")),
        };
        control_of(self.others(found, like)).await
    }

    fn others(&self, mut found: Vec<IpAddr>, like: IpAddr) -> Vec<IpAddr> {
        found.retain(|address| !self.own.contains(address) && address.is_ipv4() == like.is_ipv4());
        found.sort();
        found.dedup();
        found.truncate(MAX_OTHERS);
        found
    }
}

async fn control_of(others: Vec<IpAddr>) -> Control {
    let mut failure = None;
    for address in others {
        match first_failure(address).await {
            None => return Control::Reached,
            Some(why) => failure = Some(why),
        }
    }
    failure.map_or(Control::Absent, Control::Failed)
}

async fn first_failure(address: IpAddr) -> Option<String> {
    let connects = CLOSED_PORTS.map(|port| connect(SocketAddr::new(address, port.number)));
    let outcomes = join_all(connects).await;
    CLOSED_PORTS.iter().zip(outcomes).find_map(|(port, outcome)| {
        let why = match outcome {
            Connect::Made => return None,
            Connect::Denied => "refused, or no answer".to_owned(),
            Connect::NotSent(why) => why,
        };
        Some(format!("another operator's pod {address} was not reached on port {}: {why}", port.number))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const OWN: [&str; 2] = ["10.0.0.1", "fd00::1"];

    fn addresses(texts: &[&str]) -> Vec<IpAddr> {
        texts.iter().map(|text| text.parse().unwrap()).collect()
    }

    #[test]
    fn the_own_pod_and_the_other_family_are_no_control() {
        let canary = Canary::new(Some("canary".into()), addresses(&OWN));
        let found = addresses(&["10.0.0.1", "10.0.0.2", "10.0.0.2", "fd00::1", "fd00::2"]);
        let others = |like: &str| canary.others(found.clone(), like.parse().unwrap());
        assert_eq!(others("10.0.9.9"), addresses(&["10.0.0.2"]));
        assert_eq!(others("fd00::9"), addresses(&["fd00::2"]));
    }

    #[tokio::test]
    async fn one_operator_alone_has_no_control() {
        let like = "10.0.9.9".parse().unwrap();
        assert_eq!(Canary::new(None, addresses(&OWN)).control(like).await, Control::Absent);
        assert_eq!(Canary::new(Some("canary".into()), Vec::new()).control(like).await, Control::Absent);
        assert_eq!(control_of(Vec::new()).await, Control::Absent);
        let alone = Canary::new(Some("127.0.0.1".into()), addresses(&["127.0.0.1"]));
        assert_eq!(alone.control(like).await, Control::Absent);
    }

    #[tokio::test]
    async fn a_name_that_nobody_knows_is_a_control_that_failed() {
        // A label of more than 63 bytes fits in no DNS query, so that no resolver can answer with a wildcard.
        let host = format!("{}.test", "x".repeat(64));
        let canary = Canary::new(Some(host), addresses(&OWN));
        assert!(matches!(canary.control("10.0.9.9".parse().unwrap()).await, Control::Failed(_)));
    }
}
