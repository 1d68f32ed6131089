//! Tries to connect to nodes where the operator is a stranger: to P2P and Q2T of each pod, once in each
//! `checklist.probeEvery` of its network, beside all reconciles.
//!
//! ```text
//! pod ready, or due ──► P2P, Q2T (3 s) ──► admin (5 s) ──► control (5 s and 3 s a pod) ──► last round ──► the node, if it changed
//!                          must fail          must answer     must be reached
//! ```
//!
//! The order matters: an admin port that answers *after* the connects shows that the pod was there while they failed. Waits
//! are jittered, so that the rounds of a fleet that came up together drift apart.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, Instant};

use futures::future::join_all;
use jiff::Timestamp;
use tessera_crds::TesseraNode;

use super::canary::Canary;
use super::connect::{Connect, connect};
use super::{nodes, workers};
use crate::checklist::stranger::{AdminAnswer, CLOSED_PORTS, StrangerRound};
use crate::controller::context::Context;
use crate::kube::meta::name_of;
use crate::memory::backoff::jittered;
use crate::memory::per_object::{PerObject, Registry};
use crate::process::tasks::Tasks;
use crate::watch::cache::Cached;

/// Pods that are tried at once in one namespace.
const WORKERS: usize = 8;
/// After a round that proved nothing, or of a pod that cannot be placed yet.
const RETRY: Duration = Duration::from_secs(30);
/// A pod that is touched more often is not tried more often; waits are jittered down to this part of a period.
const EARLIEST: f64 = 0.8;

/// The last round of each pod, by the pod's UID. Shared by all namespaces.
pub struct StrangerReports {
    rounds: Arc<PerObject<Known>>,
    canary: Canary,
}

#[derive(Clone)]
struct Known {
    address: IpAddr,
    ended: Instant,
    round: StrangerRound,
}

impl StrangerReports {
    /// No rounds yet.
    pub fn new(registry: &Registry, canary: Canary) -> Self {
        Self { rounds: registry.per_object(), canary }
    }

    /// The last round of the pod with this UID at `address`.
    pub fn of(&self, pod_uid: &str, address: IpAddr) -> Option<StrangerRound> {
        self.known(pod_uid, address).map(|known| known.round)
    }

    fn known(&self, pod_uid: &str, address: IpAddr) -> Option<Known> {
        self.rounds.get(pod_uid).filter(|known| known.address == address)
    }

    /// How long the next round can wait, if rounds come each `period`.
    fn wait(&self, pod_uid: &str, address: IpAddr, period: Duration, now: Instant) -> Option<Duration> {
        let known = self.known(pod_uid, address)?;
        let due = until_next(&known.round, period).mul_f64(EARLIEST);
        due.checked_sub(now.duration_since(known.ended)).filter(|wait| !wait.is_zero())
    }

    /// Takes in one round; returns whether it says something else than the one before.
    fn take_in(&self, pod_uid: &str, address: IpAddr, round: StrangerRound, ended: Instant) -> bool {
        let timeless = |round: &StrangerRound| StrangerRound { at: Timestamp::UNIX_EPOCH, ..round.clone() };
        let before = self.of(pod_uid, address);
        let is_new = before.as_ref().map(timeless) != Some(timeless(&round));
        self.rounds.put(pod_uid, Known { address, ended, round });
        is_new
    }
}

fn until_next(round: &StrangerRound, period: Duration) -> Duration {
    if round.is_conclusive() { period } else { RETRY.min(period) }
}

/// Starts the workers of one namespace.
pub fn start(context: &Arc<Context>, tasks: &mut Tasks) {
    workers::start(WORKERS, &context.queues.strangers, context, tasks, |pod, ctx| async move {
        probe(&pod, &ctx).await
    });
}

/// Tries the pod called `name`, if it is ready; returns when to try again. The watch tells when it becomes ready.
async fn probe(name: &str, ctx: &Context) -> Option<Duration> {
    let pod = ctx.caches.pods.get(name).filter(|pod| pod.is_ready())?;
    let address = nodes::address(&pod)?;
    let uid = pod.uid();
    // Another watch may not have shown its workload yet; or the pod is nobody's.
    let Some(node) = ctx.caches.node_of(&pod) else { return Some(jittered(RETRY)) };
    let Some(period) = period(&node, ctx) else { return Some(jittered(RETRY)) };
    if let Some(wait) = ctx.strangers.wait(uid, address, period, Instant::now()) {
        return Some(wait);
    }
    let round = round(&node, address, ctx).await;
    // The pod may have gone meanwhile, and its memory with it.
    ctx.caches.pods.get(name).filter(|now| now.uid() == uid)?;
    let next = jittered(until_next(&round, period));
    if ctx.strangers.take_in(uid, address, round, Instant::now()) {
        ctx.queues.nodes.touch(&name_of(&*node).to_owned());
    }
    Some(next)
}

fn period(node: &TesseraNode, ctx: &Context) -> Option<Duration> {
    let network = ctx.caches.networks.get(&node.spec.network_ref.name)?;
    Some(network.readable()?.spec.checklist.probe_every.as_std())
}

async fn round(node: &TesseraNode, address: IpAddr, ctx: &Context) -> StrangerRound {
    let outcomes = join_all(CLOSED_PORTS.map(|port| connect(SocketAddr::new(address, port.number)))).await;
    let admin = match nodes::ask(node, address, ctx).await {
        Ok(status) if status.ready => AdminAnswer::Serves,
        Ok(_) => AdminAnswer::Starting,
        Err(_) => AdminAnswer::None,
    };
    let control = ctx.strangers.canary.control(address).await;
    let tried = || CLOSED_PORTS.into_iter().zip(&outcomes);
    StrangerRound {
        at: Timestamp::now(),
        reached: tried().filter(|(_, outcome)| **outcome == Connect::Made).map(|(port, _)| port).collect(),
        not_sent: tried().find_map(|(_, outcome)| match outcome {
            Connect::NotSent(why) => Some(why.clone()),
            Connect::Made | Connect::Denied => None,
        }),
        admin,
        control,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::checklist::stranger::Control;
    use crate::fixtures::now;

    fn refused(control: Control) -> StrangerRound {
        StrangerRound { at: now(), reached: Vec::new(), not_sent: None, admin: AdminAnswer::Serves, control }
    }

    fn reports() -> StrangerReports {
        StrangerReports::new(&Registry::default(), Canary::new(None, Vec::new()))
    }

    #[test]
    fn only_a_round_that_says_something_else_is_passed_on() {
        let (reports, address) = (reports(), "10.0.0.7".parse().unwrap());
        let take_in = |round| reports.take_in("p", address, round, Instant::now());
        assert!(take_in(refused(Control::Reached)));
        let at = now() + jiff::SignedDuration::from_secs(20);
        let later = StrangerRound { at, ..refused(Control::Reached) };
        assert!(!take_in(later.clone()));
        assert_eq!(reports.of("p", address), Some(later), "the newest is kept");
        assert!(take_in(refused(Control::Absent)));
        assert!(reports.of("p", "10.0.0.8".parse().unwrap()).is_none(), "another address is another pod");
    }

    #[test]
    fn a_round_waits_for_its_period_and_one_that_proves_nothing_for_less() {
        let (reports, address, begin) = (reports(), "10.0.0.7".parse().unwrap(), Instant::now());
        let seconds = Duration::from_secs;
        let wait = |period, passed| reports.wait("p", address, seconds(period), begin + seconds(passed));
        assert_eq!(wait(900, 0), None, "a pod that nobody tried is due");
        reports.take_in("p", address, refused(Control::Reached), begin);
        assert_eq!(wait(900, 0), Some(seconds(720)));
        assert_eq!(wait(20, 0), Some(seconds(16)), "a shorter period counts at once");
        assert_eq!(wait(20, 16), None);
        reports.take_in("p", address, refused(Control::Failed("no answer".into())), begin);
        assert_eq!(wait(900, 0), Some(seconds(24)));
    }
}
