//! Each object whole, once.

use serde_json::{Value, json};

use super::desired;
use crate::fixtures::{inputs, node, node_json};
use crate::node::resolve::resolve;

#[test]
fn every_object_is_as_it_was_agreed() {
    let resolved = resolve(&node(node_json("node-a")), &inputs(), "tessera-system").unwrap();
    let desired = desired(&resolved);
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../tests/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for planned in desired.supports.iter().chain([&desired.workload]) {
            let name = format!("node-{}-{}", planned.resource.kind.to_lowercase(), planned.name);
            insta::assert_yaml_snapshot!(name, without_randomness(planned.body.clone()));
        }
    });
}

/// Certificates are other ones each time; that they are there is what matters.
fn without_randomness(mut body: Value) -> Value {
    if body["kind"] == "Secret" {
        let data = body["data"].as_object_mut().unwrap();
        data.values_mut().for_each(|value| *value = json!("<PEM>"));
    }
    body
}
