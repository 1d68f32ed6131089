//! [pure, infallible] Every object that a network owns.

mod config_map;
mod network_policy;
mod secret;

use super::resolve::Resolved;
use crate::issue::authorities;
use crate::kube::planned::Planned;
use crate::settings::ClusterSettings;

/// All objects of one network.
#[derive(Debug, Clone)]
pub struct Desired {
    /// The Secret with new authorities, in the operator's namespace: created before all else, never replaced.
    pub authorities: Option<Planned>,
    /// The rest.
    pub objects: Vec<Planned>,
}

/// Every object of `network`.
pub fn desired(network: &Resolved, settings: &ClusterSettings) -> Desired {
    let authorities = network.authorities_are_new.then(|| {
        authorities::planned(&settings.operator_namespace, &network.owner, &network.uid, &network.authorities)
    });
    let mut objects = network_policy::build(network, &settings.dns);
    objects.push(config_map::build(network));
    objects.extend(secret::build(network));
    Desired { authorities, objects }
}

#[cfg(test)]
mod tests;
