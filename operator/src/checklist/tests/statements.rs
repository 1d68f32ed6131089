//! What people state: until when it counts, and for what.

use std::sync::Arc;

use serde_json::json;
use tessera_crds::TesseraAttestation;

use super::*;
use crate::checklist::evidence::{Judged, Renew, lines};

pub(super) fn attestation(line: &str, kind: &str, created: &str, expires: &str) -> Arc<TesseraAttestation> {
    let json = json!({
        "apiVersion": "tessera.rs/v1alpha1", "kind": "TesseraAttestation",
        "metadata": {"name": "t", "namespace": "org-a", "creationTimestamp": created},
        "spec": {"networkRef": {"name": "org-a"}, "line": line, "type": kind,
            "statement": "no dumps are kept", "by": "alice@bank", "expires": expires},
    });
    Arc::new(serde_json::from_value(json).unwrap())
}

#[test]
fn a_statement_counts_until_it_expires_and_no_longer_than_a_year() {
    let result = |kind, created, expires| {
        let all = [attestation("NoCoreDumps", kind, created, expires)];
        after(Line::NoCoreDumps, |facts| facts.statements = Statements::that_count(&all, now()))
    };
    let created = "2026-12-01T00:00:00Z";
    assert_eq!(result("Attestation", created, "2027-06-01T00:00:00Z"), "Attested Stated");
    assert_eq!(result("Attestation", created, "2027-01-01T00:00:00Z"), "Unknown NotAttested", "it ends now");
    assert_eq!(result("Attestation", created, "2028-06-01T00:00:00Z"), "Unknown NotAttested", "over a year");
    assert_eq!(result("Attestation", created, "soon"), "Unknown NotAttested");
    assert_eq!(
        result("Exception", created, "2027-06-01T00:00:00Z"),
        "Unknown NotAttested",
        "it attests nothing"
    );
    let all = [attestation("NoCoreDumps", "Attestation", created, "2027-06-01T00:00:00Z")];
    let broken = |facts: &mut NodeFacts| {
        facts.statements = Statements::that_count(&all, now());
        report(facts).hardening.as_mut().unwrap().dumpable = true;
    };
    assert_eq!(after(Line::NoCoreDumps, broken), "Violated Dumpable", "what was observed counts more");
}

#[test]
fn an_exception_leaves_the_line_violated_and_settles_it() {
    let violated =
        || Finding::violated("NoCollector", tessera_crds::checklist::Observer::ApiServer, "o", "r");
    let at = |expires| {
        let all = [attestation("CentralLogging", "Exception", "2026-12-01T00:00:00Z", expires)];
        let statements = Statements::that_count(&all, now());
        let judged =
            Judged::new(Line::CentralLogging, violated(), SignedDuration::from_hours(1), &statements);
        summary::status(lines(&[], vec![judged], Renew::AtHalf, now()))
    };
    let accepted = at("2027-06-01T00:00:00Z");
    assert_eq!((accepted.summary.as_str(), accepted.lines[0].result), ("0/1", LineResult::Violated));
    assert_eq!(accepted.lines[0].exception.as_ref().unwrap().by, "alice@bank");
    assert_eq!(summary::condition(&accepted.lines).1, tessera_crds::condition::Reason::Satisfied);
    let expired = at("2026-12-31T00:00:00Z");
    assert_eq!(summary::condition(&expired.lines).1, tessera_crds::condition::Reason::Violated);
}

#[test]
fn no_statement_stands_for_what_a_cluster_sees() {
    let all = [attestation("HardwareKeys", "Attestation", "2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z")];
    let statements = Statements::that_count(&all, now());
    assert_eq!(said(&statements.attested(Line::HardwareKeys, "it is so")), "Unknown NotAttested");
}
