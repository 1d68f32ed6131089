//! What a person reads with `kubectl explain`, and what keeps rules affordable: every field, nested ones of Kubernetes'
//! own types too, is described, and everything in a spec that can be long has a bound.

// `.clippy.toml` allows these in `#[test]` functions only, not in what they share.
#![allow(clippy::unwrap_used, clippy::panic)]

use serde_json::Value;
use tessera_crds::generate;

#[test]
fn every_field_is_described() {
    let mut fields = 0;
    each_field(&mut |path, schema| {
        fields += 1;
        let description = schema["description"].as_str().unwrap_or_default();
        assert!(
            description.ends_with('.'),
            "{path} has no description that ends with a full stop: {description:?}"
        );
    });
    // A walk that loses its way would find nothing wrong.
    assert!(fields > 120, "only {fields} fields were found");
}

#[test]
fn everything_in_a_spec_is_bounded() {
    let mut bounded = 0;
    each_schema(&mut |path, schema| {
        let bound = match schema["type"].as_str() {
            _ if !path.contains(".spec") => return,
            Some("array") => "maxItems",
            Some("string") if schema["enum"].is_null() => "maxLength",
            Some("object") if !schema["additionalProperties"].is_null() => "maxProperties",
            _ => return,
        };
        bounded += 1;
        assert!(schema[bound].is_u64(), "{path} has no {bound}");
    });
    assert!(bounded > 40, "only {bounded} bounds were found");
}

#[test]
fn every_list_says_how_it_merges() {
    each_schema(&mut |path, schema| {
        if schema["type"] == "array" {
            assert!(schema["x-kubernetes-list-type"].is_string(), "{path} has no list type");
        }
    });
}

#[test]
fn every_rule_has_a_message() {
    let mut rules = 0;
    each_schema(&mut |path, schema| {
        for rule in schema["x-kubernetes-validations"].as_array().into_iter().flatten() {
            rules += 1;
            assert!(rule["message"].is_string(), "a rule of {path} has no message: {rule}");
        }
    });
    assert!(rules > 30, "only {rules} rules were found");
}

#[test]
fn no_union_member_has_a_default() {
    // One that has could never be switched by apply: the old member would come back.
    let members = [".spec.secretStore.vault", ".spec.storage.embedded", ".spec.storage.postgres"];
    let mut found = 0;
    each_field(&mut |path, schema| {
        if members.iter().any(|member| path.ends_with(member)) {
            found += 1;
            assert!(schema["default"].is_null(), "{path} has a default");
        }
    });
    assert_eq!(found, members.len());
}

/// Calls `visit` with every property of every kind.
fn each_field(visit: &mut impl FnMut(&str, &Value)) {
    each_schema(&mut |path, schema| {
        for (name, property) in schema["properties"].as_object().into_iter().flatten() {
            visit(&format!("{path}.{name}"), property);
        }
    });
}

/// Calls `visit` with every schema of every kind: the kind's own, properties, items and values of maps.
fn each_schema(visit: &mut impl FnMut(&str, &Value)) {
    for definition in generate::definitions() {
        let definition = serde_json::to_value(definition).unwrap();
        let kind = definition["spec"]["names"]["kind"].as_str().unwrap();
        walk(kind, &definition["spec"]["versions"][0]["schema"]["openAPIV3Schema"], visit);
    }
}

fn walk(path: &str, schema: &Value, visit: &mut impl FnMut(&str, &Value)) {
    visit(path, schema);
    for (name, property) in schema["properties"].as_object().into_iter().flatten() {
        walk(&format!("{path}.{name}"), property, visit);
    }
    for (key, suffix) in [("items", "[]"), ("additionalProperties", "{}")] {
        if schema[key].is_object() {
            walk(&format!("{path}{suffix}"), &schema[key], visit);
        }
    }
}
