//! What the chart's values schema refuses, and beside each refusal the twin that it takes.

use super::chart::helm;

/// Renders the chart with one more value; helm's error if it refuses.
fn render(value: &str) -> Result<(), String> {
    let output = helm()
        .args(["template", "tessera", "charts/tessera-operator", "--kube-version=1.33"])
        .args(["--namespace=tessera-system", "--set-json", "clusterName=\"c\"", "--set-json", value])
        .output()
        .expect("helm runs");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8(output.stderr).unwrap()) }
}

/// Refused, allowed, and what helm's message names.
const CASES: [(&str, &str, &str); 25] = [
    ("checklist.readCluster=\"yes\"", "checklist.readCluster=false", "readCluster"),
    ("checklist.machineCIDRs=[\"10.0.0.1\"]", "checklist.machineCIDRs=[]", "machineCIDRs"),
    ("checklist.kubeletPort=0", "checklist.kubeletPort=10250", "kubeletPort"),
    ("admission.secretStore=\"Deny\"", "admission.secretStore=false", "secretStore"),
    ("admission.clearText=\"Maybe\"", "admission.clearText=\"Deny\"", "clearText"),
    ("unknown=1", "global={}", "unknown"),
    ("image.repository=\"a@b\"", "image.repository=\"a/b\"", "repository"),
    ("image.digest=\"sha256:0\"", "image.digest=\"\"", "digest"),
    ("image.pullPolicy=\"Sometimes\"", "image.pullPolicy=\"Always\"", "pullPolicy"),
    ("imagePullSecrets=[\"a\"]", "imagePullSecrets=[{\"name\":\"a\"}]", "imagePullSecrets"),
    ("clusterName=\"Prod/eu1\"", "clusterName=\"prod-eu1\"", "clusterName"),
    ("namespaces=[\"A\"]", "namespaces=[\"a\"]", "namespaces"),
    ("namespaces=[\"a\",\"a\"]", "namespaces=[\"a\",\"b\"]", "namespaces"),
    ("namespaces=\"a\"", "namespaces=[]", "namespaces"),
    ("replicas=4", "replicas=3", "replicas"),
    ("replicas=\"1\"", "replicas=0", "replicas"),
    ("log=\"\"", "log=\"debug\"", "log"),
    ("nodeFsGroup=\"0\"", "nodeFsGroup=\"platform\"", "nodeFsGroup"),
    ("podLabels={\"tessera.rs/node\":\"a\"}", "podLabels={\"team\":\"a\"}", "tessera.rs/node"),
    ("podAnnotations={\"a\":1}", "podAnnotations={\"a\":\"1\"}", "podAnnotations"),
    ("metrics.serviceMonitor.interval=\"soon\"", "metrics.serviceMonitor.interval=\"15s\"", "interval"),
    (
        "networkPolicy.apiServer.cidrs=[\"10.0.0.1\"]",
        "networkPolicy.apiServer.cidrs=[\"10.0.0.1/32\"]",
        "cidrs",
    ),
    ("networkPolicy.dnsPorts=[0]", "networkPolicy.dnsPorts=[53]", "dnsPorts"),
    (
        "admission.statefulSetController=\"alice\"",
        "admission.statefulSetController=\"system:x\"",
        "statefulSetController",
    ),
    ("admission.allowedImages=[\"a'b\"]", "admission.allowedImages=[\"a/b@sha256:\"]", "allowedImages"),
];

/// Two clusters that share a default name would share keys.
#[test]
fn a_cluster_that_manages_namespaces_has_a_name() {
    let message = render("clusterName=\"\",namespaces=[\"a\"]").expect_err("no name");
    assert!(message.contains("clusterName is required"), "{message}");
    assert_eq!(render("clusterName=\"c\",namespaces=[\"a\"]"), Ok(()));
    assert_eq!(render("clusterName=\"\",namespaces=[]"), Ok(()));
}

#[test]
fn the_schema_refuses_what_is_no_value_and_names_it() {
    for (refused, allowed, named) in CASES {
        let message = render(refused).expect_err(refused);
        assert!(
            message.contains("values don't meet the specifications of the schema"),
            "{refused}: {message}"
        );
        assert!(message.contains(named), "{refused}: {message}");
        assert_eq!(render(allowed), Ok(()), "{allowed}");
    }
}
