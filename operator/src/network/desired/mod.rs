//! [pure, infallible] Every object that a network owns.

mod config_map;
mod network_policy;
mod pod;
mod secret;

use std::collections::BTreeSet;

use super::resolve::Resolved;
use crate::issue::authorities;
use crate::kube::object_id::ObjectId;
use crate::kube::planned::Planned;
use crate::settings::ClusterSettings;

/// All objects of one network.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The Secret with new authorities, in the operator's namespace: created before all else.
    pub authorities: Option<Planned>,
    /// The same Secret with the next step of a rollover.
    pub authorities_next: Option<Planned>,
    /// The rest.
    pub objects: Vec<Planned>,
    /// The pods that try images: made or removed, never changed, since the name of each follows from what it is.
    pub image_checks: Vec<Planned>,
}

impl Desired {
    /// Every object by its identity, with the Secrets that are known to be as they should.
    pub fn names(&self, network: &Resolved) -> BTreeSet<ObjectId> {
        let planned = self.objects.iter().map(|planned| planned.id.clone());
        planned.chain(network.client_leaves.iter().map(|leaf| leaf.secret.clone())).collect()
    }
}

/// Every object of `network`.
pub fn desired(network: &Resolved, settings: &ClusterSettings) -> Desired {
    let planned = |state| authorities::planned(&settings.operator_namespace, &network.owner, state);
    let mut objects = network_policy::build(network, &settings.dns);
    objects.extend(config_map::build(network));
    objects.extend(secret::build(network));
    Desired {
        authorities: network.authorities_are_new.then(|| planned(&network.authorities)),
        authorities_next: network.authorities_next.as_deref().map(planned),
        objects,
        image_checks: network.untried.iter().map(|it| pod::build(network, it)).collect(),
    }
}

#[cfg(test)]
mod tests;
