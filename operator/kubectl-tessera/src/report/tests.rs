//! Reports of the committed objects, and of the same objects when every text in them is hostile.

use jiff::Timestamp;
use kube::ResourceExt;
use serde::Deserialize;
use serde_json::Value;
use tessera_crds::checklist::{Line, LineResult};
use tessera_crds::{TesseraAttestation, TesseraNetwork, TesseraNode};

use super::model::Report;
use super::rendered;
use crate::args::ReportFormat;

pub(crate) struct Objects {
    pub(crate) network: TesseraNetwork,
    pub(crate) nodes: Vec<TesseraNode>,
    attestations: Vec<TesseraAttestation>,
}

pub(crate) fn objects() -> Objects {
    let documents = serde_yaml::Deserializer::from_str(include_str!("tests/objects.yaml"));
    let objects: Vec<Value> = documents.map(|document| Value::deserialize(document).unwrap()).collect();
    let of_kind = |kind: &str| -> Vec<Value> {
        objects.iter().filter(|object| object["kind"] == kind).cloned().collect()
    };
    Objects {
        network: serde_json::from_value(of_kind("TesseraNetwork").remove(0)).unwrap(),
        nodes: serde_json::from_value(of_kind("TesseraNode").into()).unwrap(),
        attestations: serde_json::from_value(of_kind("TesseraAttestation").into()).unwrap(),
    }
}

const NOW: &str = "2027-03-01T12:00:00Z";

impl Objects {
    fn report_at(&self, now: &str) -> Report {
        let now: Timestamp = now.parse().unwrap();
        Report::new(&self.network, &self.nodes, &self.attestations, now)
    }

    fn report(&self) -> Report {
        self.report_at(NOW)
    }

    /// Every text that a person, a node or a store can bring in, as long as the API takes it.
    fn hostile(mut self) -> Self {
        const TEXT: &str = "</style></td><script>alert(\"1\")</script> 'q' \\ ` *x* [l](javascript:0) {{ insert }} &amp;\r\n\n\u{202e}end \0";
        let long = || TEXT.chars().cycle().take(1024).collect::<String>();
        let checklist = self.network.status.as_mut().unwrap().checklist.as_mut().unwrap();
        let of_nodes = self.nodes.iter_mut().filter_map(|node| node.status.as_mut()?.checklist.as_mut());
        for line in of_nodes.chain([checklist]).flat_map(|checklist| &mut checklist.lines) {
            line.observed = long();
            line.remedy = Some(long());
            line.reason = TEXT.chars().take(64).collect();
            line.parts.iter_mut().for_each(|part| part.observed = long());
            line.exception.iter_mut().for_each(|exception| exception.by = TEXT.into());
        }
        for attestation in &mut self.attestations {
            attestation.spec.statement = TEXT.chars().cycle().take(512).collect();
            attestation.spec.by = TEXT.into();
        }
        self
    }
}

fn result(report: &Report, id: Line) -> LineResult {
    report.lines.iter().find(|line| line.status.id == id).unwrap().status.result
}

fn assert_golden(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("tests/golden");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn each_format_of_the_committed_objects() {
    let report = objects().report();
    assert_golden("json", &rendered(&report, ReportFormat::Json).unwrap());
    assert_golden("html", &rendered(&report, ReportFormat::Html).unwrap());
    assert_golden("oscal", &rendered(&report, ReportFormat::Oscal).unwrap());
}

#[test]
fn each_format_of_hostile_objects() {
    let report = objects().hostile().report();
    assert_golden("hostile-html", &rendered(&report, ReportFormat::Html).unwrap());
    assert_golden("hostile-oscal", &rendered(&report, ReportFormat::Oscal).unwrap());
    let json: Value = serde_json::from_str(&rendered(&report, ReportFormat::Json).unwrap()).unwrap();
    assert_eq!(json["lines"].as_array().unwrap().len(), 14);
}

#[test]
fn no_text_becomes_markup() {
    let page = rendered(&objects().hostile().report(), ReportFormat::Html).unwrap();
    assert!(page.contains("&lt;script&gt;"), "the text is there");
    assert!(!page.contains("<script"), "and is text");
    assert_eq!(page.matches("</style>").count(), 1);
    assert!(!page.contains('\0') && !page.contains('\u{202e}'));
}

#[test]
fn the_page_fetches_nothing() {
    let page = rendered(&objects().report(), ReportFormat::Html).unwrap();
    for fetches in ["src=", "<link", "<script", "@import", "url(", "href=\"http"] {
        assert!(!page.contains(fetches), "{fetches}");
    }
}

#[test]
fn a_network_that_nobody_has_judged_has_fourteen_unknown_lines() {
    let mut objects = objects();
    objects.network.status = None;
    let report = objects.report();
    assert_eq!(report.summary, "0/14");
    assert_eq!(report.counts.unknown, 14);
    assert!(report.notices[0].contains("has not judged this network"), "{:?}", report.notices);
}

#[test]
fn a_spec_that_has_changed_since_is_said() {
    let mut objects = objects();
    objects.network.metadata.generation = Some(8);
    assert!(objects.report().notices.iter().any(|notice| notice.contains("the spec before")));
}

#[test]
fn a_year_later_nothing_is_verified_accepted_or_satisfied() {
    let report = objects().report_at("2028-03-01T12:00:00Z");
    assert_eq!(report.counts.verified + report.counts.attested + report.counts.violated_with_exception, 0);
    assert!(report.statements.iter().all(|statement| !statement.counts));
    let lines = report.nodes.iter().flat_map(|node| &node.lines);
    assert!(lines.clone().count() > 0);
    assert!(lines.clone().all(|line| line.status.result != LineResult::Verified));
    assert!(!rendered(&report, ReportFormat::Oscal).unwrap().contains("\"satisfied\""));
}

#[test]
fn an_exception_whose_statement_is_gone_accepts_nothing() {
    let mut objects = objects();
    assert_eq!(objects.report().counts.violated_with_exception, 1);
    objects.attestations.retain(|attestation| attestation.name_any() != "software-seal");
    let report = objects.report();
    assert_eq!(result(&report, Line::HardwareKeys), LineResult::Violated);
    assert_eq!(report.counts.violated_with_exception, 0);
}

#[test]
fn only_what_is_verified_satisfies_an_objective() {
    let report = objects().report();
    let oscal: Value = serde_json::from_str(&rendered(&report, ReportFormat::Oscal).unwrap()).unwrap();
    let findings = oscal["assessment-results"]["results"][0]["findings"].as_array().unwrap();
    assert_eq!(findings.len(), report.lines.len());
    for (finding, line) in findings.iter().zip(&report.lines) {
        let is_satisfied = finding["target"]["status"]["state"] == "satisfied";
        assert_eq!(is_satisfied, line.status.result == LineResult::Verified, "{}", line.status.id);
        assert_eq!(finding["props"][0]["value"], line.status.result.as_str());
    }
    for result in LineResult::ALL {
        assert!(report.lines.iter().any(|line| line.status.result == *result), "{result} is tried");
    }
}

#[test]
fn the_same_evidence_gives_the_same_oscal_whenever_it_is_read() {
    let objects = objects();
    let at = |now| rendered(&objects.report_at(now), ReportFormat::Oscal).unwrap();
    assert_eq!(at(NOW), at("2027-03-01T12:00:59Z"));
    assert_ne!(at(NOW), at("2027-03-01T18:00:00Z"));
}

#[test]
fn another_network_has_other_uuids() {
    let uuid = |objects: &Objects| {
        let oscal: Value =
            serde_json::from_str(&rendered(&objects.report(), ReportFormat::Oscal).unwrap()).unwrap();
        oscal["assessment-results"]["uuid"].clone()
    };
    let one = objects();
    let mut other = objects();
    other.network.metadata.uid = Some("not a UUID".into());
    assert_ne!(uuid(&one), uuid(&other));
}
