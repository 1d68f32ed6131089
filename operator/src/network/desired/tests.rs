//! Each object whole, once.

use super::{Desired, desired};
use crate::fixtures::{assert_golden, network, network_inputs, network_json, settings};
use crate::network::resolve::resolve;

fn desired_with(isolation: &str) -> Desired {
    let mut json = network_json();
    json["spec"]["namespaceIsolation"] = isolation.into();
    desired(&resolve(&network(json), &network_inputs()).unwrap(), &settings())
}

#[test]
fn every_object_is_as_it_was_agreed() {
    let desired = desired_with("Dedicated");
    assert!(desired.authorities.is_none(), "those that exist are never written again");
    for planned in &desired.objects {
        assert_golden("network", planned);
    }
}

#[test]
fn a_shared_namespace_is_not_denied() {
    let kinds: Vec<_> =
        desired_with("Shared").objects.into_iter().map(|planned| planned.resource.kind).collect();
    assert_eq!(kinds, ["ConfigMap", "Secret"]);
}

#[test]
fn new_authorities_are_stored_before_anything_is_issued() {
    let mut inputs = network_inputs();
    inputs.authorities = Ok(None);
    let resolved = resolve(&network(network_json()), &inputs).unwrap();
    let desired = desired(&resolved, &settings());
    let authorities = desired.authorities.expect("they are to be created");
    assert_eq!(authorities.to_string(), "Secret tessera-system/tessera-ca-uid-of-org-a");
    assert_eq!(authorities.owner, None, "they outlive the network");
    assert!(desired.objects.iter().all(|planned| planned.resource.kind != "Secret"));
}
