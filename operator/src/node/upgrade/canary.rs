//! Which node of a network gets an image first. Pure.

use jiff::{SignedDuration, Timestamp};

/// A node of the network, as far as one image is concerned.
#[derive(Debug, Clone)]
pub struct Peer {
    /// Its name.
    pub name: String,
    /// Whether its spec names the image, and a change would reach it: it is neither paused nor stopped.
    pub wants: bool,
    /// Whether the kubelet finds it ready, with whatever image.
    pub serves: bool,
    /// Whether its workload has the image.
    pub holds: Holds,
    /// Since when it is ready with the image.
    pub ready_since: Option<Timestamp>,
}

/// Whether a workload has an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Holds {
    /// It has another.
    No,
    /// It has it, and did not serve when it got it.
    Yes,
    /// It got it while it served, or is about to.
    AsCanary,
}

/// Whether the node called `me`, which serves, may get the image now; else which node it waits for. `peers` are all nodes of
/// the network in the order of their names, `me` among them.
pub fn turn(me: &str, peers: &[Peer], observe: SignedDuration, now: Timestamp) -> Result<(), String> {
    let seconds = observe.as_secs();
    let others = || peers.iter().filter(|peer| peer.name != me && peer.holds != Holds::No);
    let ready = others().filter_map(|peer| Some((peer.ready_since?.checked_add(observe).ok()?, peer)));
    if let Some((until, first)) = ready.min_by_key(|(until, peer)| (*until, peer.name.clone())) {
        if until <= now {
            return Ok(());
        }
        return Err(format!(
            "node {} runs the new image first, and is observed until {until} (rollout.observe of the network)",
            first.name
        ));
    }
    // One that did not serve before may have failed by anything.
    if let Some(first) = others().find(|peer| peer.holds == Holds::AsCanary) {
        return Err(format!(
            "node {} got the new image first, and is not ready yet: it must be ready for {seconds} s (rollout.observe of the network)",
            first.name
        ));
    }
    let may_be_first =
        |peer: &&Peer| peer.wants && peer.serves && (peer.holds == Holds::No || peer.name == me);
    match peers.iter().find(may_be_first) {
        Some(first) if first.name != me => {
            Err(format!("node {} gets the new image first, and is observed for {seconds} s", first.name))
        }
        _ => Ok(()),
    }
}
