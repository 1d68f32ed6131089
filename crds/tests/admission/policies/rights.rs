//! What the chart grants the operator for the security checklist, and that a value takes it away.

use serde_json::{Value, json};

use super::chart::{MANAGED, RELEASE, rendered, rendered_with};

const READS: &str = "tessera-operator-checklist";

fn named<'o>(objects: &'o [Value], kind: &str, name: &str) -> Vec<&'o Value> {
    let is_it = |object: &&Value| object["kind"] == kind && object["metadata"]["name"] == name;
    objects.iter().filter(is_it).collect()
}

#[test]
fn what_is_read_of_the_cluster_is_got_and_listed_and_holds_no_secrets() {
    let role = rendered("ClusterRole", READS);
    let rules = role["rules"].as_array().unwrap();
    for rule in rules {
        for verb in rule["verbs"].as_array().unwrap() {
            assert!(["get", "list"].contains(&verb.as_str().unwrap()), "{rule}");
        }
        for resource in rule["resources"].as_array().unwrap() {
            let resource = resource.as_str().unwrap();
            assert!(resource != "secrets" && !resource.contains(['*', '/']), "{rule}");
        }
        assert!(!rule["apiGroups"].as_array().unwrap().contains(&json!("*")), "{rule}");
    }
    assert!(!rules.is_empty());
}

#[test]
fn a_value_takes_the_cluster_away_and_leaves_the_exec_probe() {
    let off = rendered_with("checklist.readCluster=false");
    for kind in ["ClusterRole", "ClusterRoleBinding"] {
        assert!(named(&off, kind, READS).is_empty(), "{kind}");
        assert_eq!(named(&rendered_with("checklist.readCluster=true"), kind, READS).len(), 1, "{kind}");
    }
    assert_eq!(named(&off, "Role", "tessera-operator-exec-probe").len(), 2);
}

/// Nowhere else does the chart grant exec.
#[test]
fn exec_is_granted_for_the_one_name_that_no_pod_may_have() {
    let objects = rendered_with("checklist.readCluster=true");
    let roles = objects.iter().filter(|object| {
        matches!(object["kind"].as_str(), Some("Role" | "ClusterRole"))
            && object["rules"].to_string().contains("exec")
    });
    let expected = json!([{
        "apiGroups": [""], "resources": ["pods/exec"], "resourceNames": ["tessera-exec-probe"], "verbs": ["get"],
    }]);
    let mut namespaces: Vec<_> = roles
        .map(|role| {
            assert_eq!(role["rules"], expected, "{role}");
            role["metadata"]["namespace"].as_str().unwrap_or_default().to_owned()
        })
        .collect();
    namespaces.sort();
    assert_eq!(namespaces, [MANAGED, RELEASE]);
}

#[test]
fn the_store_s_policy_goes_with_its_value() {
    let policy = "tessera-operator-secret-store";
    for (value, count) in [("admission.secretStore=false", 0), ("admission.secretStore=true", 1)] {
        let objects = rendered_with(value);
        for kind in ["ValidatingAdmissionPolicy", "ValidatingAdmissionPolicyBinding"] {
            assert_eq!(named(&objects, kind, policy).len(), count, "{value} {kind}");
        }
    }
}

#[test]
fn reports_are_written_with_their_value_only() {
    let with = |value: bool| {
        let objects = rendered_with(&format!("reports.openReports={value}"));
        let role = named(&objects, "Role", "tessera-operator");
        let role = role.iter().find(|role| role["metadata"]["namespace"] == MANAGED).unwrap();
        let rules = role["rules"].as_array().unwrap();
        let is_of_reports = |rule: &&Value| rule["apiGroups"] == json!(["openreports.io"]);
        let verbs: Vec<_> = rules.iter().filter(is_of_reports).map(|rule| rule["verbs"].clone()).collect();
        let deployment = named(&objects, "Deployment", "tessera-operator")[0].to_string();
        let setting = format!(r#"{{"name":"TESSERA_OPEN_REPORTS","value":"{value}"}}"#);
        assert!(deployment.contains(&setting), "{deployment}");
        verbs
    };
    assert_eq!(with(true), [json!(["get", "create", "update"])]);
    assert!(with(false).is_empty());
}

/// A backup outlives its node, and the right to send proofs comes with no other role.
#[test]
fn backups_are_never_deleted_and_custody_is_a_role_of_its_own() {
    let objects = rendered_with("checklist.readCluster=true");
    let role = named(&objects, "Role", "tessera-operator");
    let own = role.iter().find(|role| role["metadata"]["namespace"] == RELEASE).unwrap();
    let rules = own["rules"].as_array().unwrap();
    let of_maps: Vec<_> = rules.iter().filter(|rule| rule["resources"] == json!(["configmaps"])).collect();
    assert_eq!(of_maps.len(), 1);
    assert_eq!(of_maps[0]["verbs"], json!(["get", "list", "watch", "create", "update"]));
    let may_send = |object: &&Value| {
        let rules = object["rules"].as_array().into_iter().flatten();
        rules.into_iter().any(|rule| {
            rule["resources"].to_string().contains("\"tesserabackupproofs\"")
                && rule["verbs"].to_string().contains("create")
        })
    };
    let senders: Vec<_> = objects.iter().filter(may_send).collect();
    assert_eq!(senders.len(), 1);
    assert_eq!(senders[0]["metadata"]["name"], "tessera-operator-custodian");
    assert!(!senders[0]["metadata"]["labels"].to_string().contains("aggregate"), "{}", senders[0]);
}
