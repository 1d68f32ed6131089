use jiff::Timestamp;

use super::overview::Overview;
use super::table;
use crate::report::tests::objects;

fn overview(name: Option<&str>) -> Overview {
    let objects = objects();
    Overview::new(&[objects.network], &objects.nodes, name, now())
}

fn now() -> Timestamp {
    "2027-03-01T12:00:00Z".parse().unwrap()
}

#[test]
fn the_table_shows_networks_and_nodes_and_what_keeps_them_from_being_ready() {
    let expected = "\
NETWORK   READY   REASON          NODES   CHECKLIST   CA UNTIL
org-a     False   NodesNotReady   2/3     7/14        2029-01-04T10:00:00Z

NODE     NETWORK   READY     REASON          CHECKLIST   KEYS   CERTIFICATE UNTIL
node-a   org-a     True      Ready           5/6         1/1    2027-03-02T06:00:00Z
node-b   org-a     True      Ready           4/6         1/1    2027-03-02T06:00:00Z
node-c   org-a     Unknown   NotReconciled   -           0/1    -

TesseraNetwork org-a: 2 of 3 nodes are ready
TesseraNode node-c: the operator has not seen it yet: see whether it runs and manages this namespace
";
    assert_eq!(table::of(&overview(None)), expected);
}

#[test]
fn a_name_is_a_network_with_its_nodes_or_a_node() {
    let counts = |name| {
        let overview = overview(Some(name));
        (overview.networks.len(), overview.nodes.len())
    };
    assert_eq!(counts("org-a"), (1, 3));
    assert_eq!(counts("node-b"), (0, 1));
    assert!(overview(Some("nobody")).is_empty());
}

#[test]
fn a_status_of_an_older_spec_is_unknown() {
    let mut objects = objects();
    objects.nodes[0].metadata.generation = Some(9);
    let overview = Overview::new(&[], &objects.nodes, Some("node-a"), now());
    assert_eq!(overview.nodes[0].ready.status, "Unknown");
    assert_eq!(overview.nodes[0].ready.reason, "SpecChanged");
}

#[test]
fn a_certificate_that_has_ended_is_marked() {
    let objects = objects();
    let later = "2027-03-03T00:00:00Z".parse().unwrap();
    let overview = Overview::new(&[], &objects.nodes, Some("node-a"), later);
    assert!(table::of(&overview).contains("2027-03-02T06:00:00Z (passed)"));
}

#[test]
fn json_leaves_out_what_nobody_has_seen() {
    let json = serde_json::to_value(overview(Some("node-c"))).unwrap();
    assert_eq!(json["networks"].as_array().unwrap().len(), 0);
    assert_eq!(json["nodes"][0]["keys"], "0/1");
    assert!(json["nodes"][0].get("certificate").is_none());
}

#[test]
fn partners_have_a_table_of_their_own_and_those_that_are_cut_off_say_why() {
    let mut objects = objects();
    let partner = |name: &str, message: Option<&str>| tessera_crds::api::partner::PartnerStatus {
        name: name.to_owned(),
        accepted: message.is_none(),
        message: message.map(str::to_owned),
        cas: ["2027-03-02T00:00:00Z", "2028-01-01T00:00:00Z"]
            .map(|end| tessera_crds::api::partner::PartnerCa {
                fingerprint: "ab".repeat(32),
                not_after: end.into(),
            })
            .into(),
        reached: vec!["https://a.tm.org-b.example:9000".to_owned()],
        unreached: vec!["https://b.tm.org-b.example:9000".to_owned()],
    };
    let status = objects.network.status.as_mut().unwrap();
    status.partners =
        vec![partner("org-b", None), partner("org-c", Some("ConfigMap org-c-ca does not exist"))];
    let table = table::of(&Overview::new(&[objects.network], &[], None, now()));
    let expected = "
PARTNER   NETWORK   ACCEPTED   REACHED   CA UNTIL
org-b     org-a     True       1/2       2028-01-01T00:00:00Z
org-c     org-a     False      1/2       2028-01-01T00:00:00Z
";
    assert!(table.contains(expected), "{table}");
    assert!(table.ends_with("partner org-c: ConfigMap org-c-ca does not exist\n"), "{table}");
}
