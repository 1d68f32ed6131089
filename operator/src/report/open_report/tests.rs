use proptest::prelude::*;
use serde_json::{Value, json};
use tessera_crds::checklist::{LinePart, Observer};
use tessera_crds::names;

use super::*;
use crate::fixtures::{assert_golden, network, network_json, node, node_json, now};
use crate::kube::meta::{network_labels, node_labels};
use crate::kube::planned::Planned;

const FRESH: &str = "2027-01-01T01:00:00Z";
const PAST: &str = "2026-12-31T23:59:59Z";

fn line(id: Line, result: LineResult) -> LineStatus {
    LineStatus {
        id,
        result,
        reason: "Observed".into(),
        observer: Some(Observer::Node),
        observed: "no limit allows a core file".into(),
        remedy: None,
        parts: Vec::new(),
        exception: None,
        last_transition_time: "2026-12-31T00:00:00Z".into(),
        valid_until: Some(FRESH.into()),
    }
}

fn exception(expires: &str) -> LineException {
    LineException { name: "software-seal".into(), by: "alice@bank".into(), expires: expires.into() }
}

fn owner() -> Owner {
    Owner::new(&node(node_json("node-a")), node_labels("org-a", "node-a"))
}

fn report_at(lines: &[LineStatus], now: Timestamp) -> Value {
    serde_json::to_value(Report::new(&owner(), names::node::report("node-a"), lines, now)).unwrap()
}

fn result_of(line: LineStatus) -> Value {
    report_at(&[line], now())["results"][0].clone()
}

fn parts() -> Vec<LinePart> {
    let part = |name, result, observed: &str| LinePart { name, result, observed: observed.into() };
    vec![
        part(PartName::Pod, LineResult::Verified, "no limit allows a core file"),
        part(PartName::Host, LineResult::Attested, "alice@bank: no memory dumps"),
    ]
}

/// One line of each result, and evidence that is too old.
fn lines_of_a_node() -> Vec<LineStatus> {
    let observer = |observer, line| LineStatus { observer, ..line };
    vec![
        LineStatus {
            remedy: Some("dedicate machines".into()),
            reason: "PolicyOnly".into(),
            ..observer(None, line(Line::NetworkSegment, LineResult::Enforced))
        },
        line(Line::MutualTls, LineResult::Verified),
        LineStatus { valid_until: Some(PAST.into()), ..line(Line::HostFirewall, LineResult::Verified) },
        LineStatus {
            remedy: Some("set spec.logging.otlp".into()),
            reason: "NoCollector".into(),
            ..line(Line::CentralLogging, LineResult::Violated)
        },
        LineStatus { parts: parts(), ..line(Line::NoCoreDumps, LineResult::Attested) },
        LineStatus {
            remedy: Some("see the node's conditions".into()),
            reason: "NodeSilent".into(),
            valid_until: None,
            ..observer(None, line(Line::ImmutableUpgrades, LineResult::Unknown))
        },
    ]
}

#[test]
fn goldens() {
    let of_node = Report::new(&owner(), names::node::report("node-a"), &lines_of_a_node(), now());
    assert_golden("node", &Planned::new(&of_node));
    let of_network = Owner::new(&network(network_json()), network_labels("org-a"));
    let lines = [LineStatus {
        exception: Some(exception(FRESH)),
        remedy: Some("seal the store by hardware".into()),
        reason: "SoftwareToken".into(),
        observer: Some(Observer::Store),
        observed: "sealed by shamir".into(),
        ..line(Line::HardwareKeys, LineResult::Violated)
    }];
    let report = Report::new(&of_network, names::network::report("org-a"), &lines, now());
    assert_golden("network", &Planned::new(&report));
}

#[test]
fn each_result_has_one_here() {
    let of = |result| result_of(line(Line::MutualTls, result))["result"].clone();
    assert_eq!(of(LineResult::Verified), "pass");
    assert_eq!(of(LineResult::Enforced), "warn");
    assert_eq!(of(LineResult::Attested), "warn");
    assert_eq!(of(LineResult::Violated), "fail");
    assert_eq!(of(LineResult::Unknown), "error");
    let summary = &report_at(&lines_of_a_node(), now())["summary"];
    assert_eq!(*summary, json!({"pass": 1, "warn": 2, "fail": 1, "error": 2, "skip": 0}));
}

#[test]
fn a_valid_exception_is_a_property_of_a_failure_and_an_expired_one_is_none() {
    let accepted = |expires| {
        let violated = line(Line::HardwareKeys, LineResult::Violated);
        result_of(LineStatus { exception: Some(exception(expires)), ..violated })
    };
    let valid = accepted(FRESH);
    assert_eq!((&valid["result"], &valid["severity"]), (&json!("fail"), &json!("low")));
    let properties = &valid["properties"];
    assert_eq!(properties["exception"], "software-seal");
    assert_eq!(properties["exceptionBy"], "alice@bank");
    assert_eq!(properties["exceptionExpires"], FRESH);
    for expires in [PAST, "2027-01-01T00:00:00Z", "soon"] {
        let expired = accepted(expires);
        assert_eq!((&expired["result"], &expired["severity"]), (&json!("fail"), &json!("high")));
        assert!(expired["properties"]["exception"].is_null(), "{expires}");
    }
}

#[test]
fn evidence_that_is_too_old_is_an_error_since_its_end() {
    for (until, since) in [(PAST, 1_798_761_599), ("soon", 0)] {
        let old = LineStatus {
            valid_until: Some(until.into()),
            parts: parts(),
            ..line(Line::NoCoreDumps, LineResult::Verified)
        };
        let result = result_of(old);
        assert_eq!((&result["result"], &result["severity"]), (&json!("error"), &Value::Null));
        assert_eq!(result["properties"]["reason"], "EvidenceExpired");
        assert!(result["properties"]["pod"].is_null(), "the parts rest on the same evidence");
        assert_eq!(result["timestamp"]["seconds"].as_i64().unwrap_or(0), since);
        let message = result["message"].as_str().unwrap();
        assert!(message.starts_with(&format!("was Verified until {until}")), "{message}");
    }
}

#[test]
fn the_time_of_a_line_alone_is_a_time_of_its_result() {
    let before = "2026-12-31T12:00:00Z".parse().unwrap();
    let lines = [line(Line::MutualTls, LineResult::Verified), line(Line::NoCoreDumps, LineResult::Enforced)];
    assert_eq!(report_at(&lines, before), report_at(&lines, now()));
    let time = &report_at(&lines, now())["results"][0]["timestamp"];
    assert_eq!(*time, json!({"seconds": 1_798_675_200, "nanos": 0}));
}

/// A value in etcd has at most 1.5 MiB.
#[test]
fn the_longest_report_is_less_than_half_of_what_can_be_stored() {
    let text = "\u{1F512}".repeat(5000);
    let part = |name| LinePart { name, result: LineResult::Violated, observed: text.clone() };
    let longest = |id: &Line| LineStatus {
        reason: text.clone(),
        observed: text.clone(),
        remedy: Some(text.clone()),
        parts: [PartName::Pod, PartName::Host, PartName::StoreHost].map(part).into(),
        exception: Some(LineException { name: text.clone(), by: text.clone(), expires: FRESH.into() }),
        ..line(*id, LineResult::Violated)
    };
    let lines: Vec<_> = Line::ALL.iter().map(longest).collect();
    let report = report_at(&lines, now());
    assert_eq!(report["results"].as_array().unwrap().len(), 14);
    let size = report.to_string().len();
    assert!((100_000..640_000).contains(&size), "{size}");
}

#[test]
fn it_belongs_to_what_it_speaks_of() {
    let planned = Planned::new(&Report::new(&owner(), names::node::report("node-a"), &[], now()));
    assert_eq!(planned.to_string(), "Report org-a/tessera-node-node-a");
    assert_eq!(
        (planned.resource.api_version.as_str(), planned.resource.plural.as_str()),
        (API_VERSION, PLURAL)
    );
    assert_eq!(planned.owner.map(|owner| owner.uid).as_deref(), Some("uid-of-node-a"));
}

fn times() -> impl Strategy<Value = String> {
    prop_oneof![Just(FRESH), Just(PAST), Just("2027-01-01T00:00:00Z"), Just(""), Just("soon")]
        .prop_map(str::to_owned)
}

fn any_line() -> impl Strategy<Value = LineStatus> {
    let (ids, results) = (Line::ALL.to_vec(), LineResult::ALL.to_vec());
    let id = prop::sample::select(ids);
    let result = prop::sample::select(results.clone());
    let part = prop::sample::select(results);
    let accepted = prop::option::of(times());
    (id, result, part, accepted, prop::option::of(times()), times(), ".{0,40}").prop_map(
        |(id, result, of_part, accepted, until, since, text)| LineStatus {
            observed: text,
            parts: vec![LinePart { name: PartName::Host, result: of_part, observed: "x".into() }],
            exception: accepted.map(|expires| exception(&expires)),
            valid_until: until.map(Into::into),
            last_transition_time: since.into(),
            ..line(id, result)
        },
    )
}

proptest! {
    #[test]
    fn nothing_but_fresh_verified_is_a_pass(lines in prop::collection::vec(any_line(), 0..14)) {
        let report = report_at(&lines, now());
        let results = report["results"].as_array().unwrap();
        prop_assert_eq!(results.len(), lines.len());
        for (line, result) in lines.iter().zip(results) {
            let is_verified = line.result_at(now()) == LineResult::Verified;
            prop_assert_eq!(result["result"] == "pass", is_verified);
            prop_assert_eq!(result["result"] == "fail", line.result_at(now()) == LineResult::Violated);
            prop_assert_eq!(&result["rule"], line.id.as_str());
            prop_assert_eq!(&result["properties"]["result"], line.result_at(now()).as_str());
        }
        for (key, count) in report["summary"].as_object().unwrap() {
            let counted = results.iter().filter(|result| result["result"] == key.as_str()).count();
            prop_assert_eq!(count.as_u64(), u64::try_from(counted).ok());
        }
        prop_assert_eq!(report_at(&lines, now()), report, "the same lines give the same report");
    }
}
