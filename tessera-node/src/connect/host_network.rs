//! Whether this pod has a network of its own.
//!
//! On the network of the machine (`hostNetwork`) a loopback port is open to every process of the machine. Two observations tell:
//!
//! - the kubelet says the pod's addresses and those of its machine (downward API). On the network of the machine they are the
//!   same. Without both nothing is known, and the port is refused;
//! - some settings of Linux exist in the first network namespace of a machine only. They also catch a pod whose downward API
//!   was written by hand. On a machine that is itself a container (kind) they say nothing, and the addresses decide.
//!
//! Other ways to share a network (a pod-wide VPN, a container runtime that joins namespaces of pods) are not seen.

use std::net::IpAddr;

/// Why a loopback port might be one of the machine.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SharedNetwork {
    /// The settings of the first network namespace are there.
    #[error("this process is on the network of the machine (hostNetwork)")]
    OfMachine,
    /// An address of the pod is one of the machine.
    #[error("the pod has the machine's address {0} (hostNetwork)")]
    Address(IpAddr),
    /// Nobody says the addresses.
    #[error(
        "nothing shows that the pod has a network of its own: set TESSERA_POD_IPS and TESSERA_HOST_IPS from the downward API (status.podIPs, status.hostIPs)"
    )]
    Unknown,
}

/// Whether a network that is shared with the machine can be excluded.
pub(super) fn exclude(
    pod_ips: Option<&str>,
    host_ips: Option<&str>,
    of_machine: bool,
) -> Result<(), SharedNetwork> {
    if of_machine {
        return Err(SharedNetwork::OfMachine);
    }
    let (pod, host) = addresses(pod_ips).zip(addresses(host_ips)).ok_or(SharedNetwork::Unknown)?;
    match pod.into_iter().find(|address| host.contains(address)) {
        Some(shared) => Err(SharedNetwork::Address(shared)),
        None => Ok(()),
    }
}

/// At least one, and nothing that is none.
fn addresses(text: Option<&str>) -> Option<Vec<IpAddr>> {
    text?.split(',').map(|address| address.trim().parse().ok()).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_addresses_that_all_differ_exclude_it() {
        assert_eq!(exclude(Some("10.1.0.7"), Some("10.0.0.1"), false), Ok(()));
        assert_eq!(exclude(Some("10.1.0.7,fd00::7"), Some("10.0.0.1,fd00::1"), false), Ok(()));
        let shared = |pod, host| exclude(Some(pod), Some(host), false);
        let address = |text: &str| Err(SharedNetwork::Address(text.parse().unwrap()));
        assert_eq!(shared("10.0.0.1", "10.0.0.1"), address("10.0.0.1"));
        assert_eq!(shared("10.0.0.1,fd00::1", "fd00:0::1"), address("fd00::1"));
    }

    #[test]
    fn what_nobody_says_excludes_nothing() {
        for (pod, host) in [
            (None, None),
            (Some("10.1.0.7"), None),
            (None, Some("10.0.0.1")),
            (Some(""), Some("10.0.0.1")),
            (Some("10.1.0.7"), Some("$(HOST_IP)")),
        ] {
            assert_eq!(exclude(pod, host, false), Err(SharedNetwork::Unknown), "{pod:?} {host:?}");
        }
    }

    #[test]
    fn the_first_network_namespace_is_the_machines_whatever_the_addresses_say() {
        assert_eq!(exclude(Some("10.1.0.7"), Some("10.0.0.1"), true), Err(SharedNetwork::OfMachine));
    }
}
