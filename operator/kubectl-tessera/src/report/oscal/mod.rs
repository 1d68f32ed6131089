//! The report as assessment results of OSCAL 1.1.3, in JSON. Pure.
//!
//! OSCAL knows two states of an objective, and only `Verified` is `satisfied`. The result itself, its reason and all else that
//! OSCAL has no field for are properties in the namespace [`NS`].
//!
//! The document follows from the objects alone: every UUID from the network's UID, and every time from the evidence. So two
//! reports differ only if something has changed, or evidence has become too old.

mod document;
mod findings;
mod ids;
mod subjects;

use tessera_crds::Timestamp;
use tessera_crds::checklist::Line;

use self::document::{
    AssessmentResult, AssessmentResults, BackMatter, ControlId, ControlSelection, Document, ImportAp,
    Metadata, Objective, Objectives, Part, Property, Resource, ReviewedControls, Role,
};
use self::ids::Ids;
use super::model::Report;
use super::statements::EXPIRED;
use super::text::{markdown, one_line};
use super::titles::title;
use crate::evidence;

/// The namespace of our properties.
const NS: &str = "https://tessera.rs/ns/oscal";

/// The version of the model.
const VERSION: &str = "1.1.3";

/// The role of a person who states something.
const ATTESTER: &str = "attester";

/// The document.
pub(super) fn render(report: &Report) -> serde_json::Result<String> {
    serde_json::to_string_pretty(&document(report)).map(|text| text + "\n")
}

fn document(report: &Report) -> Document {
    let ids = Ids::new(&report.network.uid);
    let plan = ids.of(&["assessment-plan"]);
    Document {
        assessment_results: AssessmentResults {
            uuid: ids.of(&["assessment-results"]),
            metadata: metadata(report, ids),
            import_ap: ImportAp { href: format!("#{plan}") },
            local_definitions: Objectives {
                objectives_and_methods: Line::ALL.iter().copied().map(objective).collect(),
            },
            results: [assessment_result(report, ids)],
            back_matter: BackMatter {
                resources: [Resource {
                    uuid: plan,
                    title: "No assessment plan",
                    description: "There is no document with a plan: the Tessera operator judges the fourteen lines of its security checklist continuously.",
                }],
            },
        },
    }
}

fn metadata(report: &Report, ids: Ids) -> Metadata {
    let network = &report.network;
    let last = last_change(report);
    let mut props = vec![];
    props.extend(property("network", &format!("{}/{}", network.namespace, network.name)));
    props.extend(property("network-uid", &network.uid));
    props.extend(network.cluster_name.as_deref().and_then(|name| property("cluster", name)));
    props.extend(network.observed_generation.and_then(|number| property("generation", &number.to_string())));
    props.extend(property("made-by", report.made_by));
    let parties = subjects::parties(report, ids);
    let roles = if parties.is_empty() {
        Vec::new()
    } else {
        vec![Role { id: ATTESTER, title: "Person who states something about a line" }]
    };
    Metadata {
        title: format!("Security checklist of TesseraNetwork {}/{}", network.namespace, network.name),
        last_modified: last.clone(),
        version: last,
        oscal_version: VERSION,
        props,
        roles,
        parties,
    }
}

fn objective(line: Line) -> Objective {
    let part = Part {
        id: Some(objective_id(line)),
        name: "assessment-objective",
        props: Vec::new(),
        prose: title(line).to_owned(),
    };
    Objective { control_id: line.as_str(), parts: [part] }
}

fn objective_id(line: Line) -> String {
    format!("{line}_objective")
}

fn assessment_result(report: &Report, ids: Ids) -> AssessmentResult {
    let network = &report.network;
    let mut props = vec![];
    props.extend(property("summary", &report.summary));
    props.extend(report.notices.iter().filter_map(|notice| property("notice", notice)));
    AssessmentResult {
        uuid: ids.of(&["result"]),
        title: format!("The checklist of {}/{}", network.namespace, network.name),
        description: markdown(&description(report)),
        start: first_change(report),
        end: last_change(report),
        props,
        local_definitions: subjects::subjects(report, ids),
        reviewed_controls: reviewed_controls(),
        attestations: subjects::attestations(report, ids),
        observations: findings::observations(report, ids),
        findings: findings::findings(report, ids),
    }
}

fn description(report: &Report) -> String {
    let counts = report.counts;
    format!(
        "Of 14 lines: {} Verified, {} Enforced, {} Attested, {} Violated ({} of them accepted by an exception), {} Unknown. Only Verified is satisfied here. {}",
        counts.verified,
        counts.enforced,
        counts.attested,
        counts.violated,
        counts.violated_with_exception,
        counts.unknown,
        report.notices.join(" ")
    )
    .trim_end()
    .to_owned()
}

fn reviewed_controls() -> ReviewedControls {
    ReviewedControls {
        control_selections: [ControlSelection {
            description: "The lines of the Tessera operator's security checklist",
            include_controls: Line::ALL.iter().map(|line| ControlId { control_id: line.as_str() }).collect(),
        }],
    }
}

/// A property; none without text.
fn property(name: &'static str, value: &str) -> Option<Property> {
    one_line(value).map(|value| Property { name, ns: NS, value, class: None, remarks: None })
}

/// The first time of the evidence.
fn first_change(report: &Report) -> String {
    times(report).min().map_or_else(|| report.made_at.clone(), |time| time.to_string())
}

/// The last time of the evidence.
fn last_change(report: &Report) -> String {
    times(report).max().map_or_else(|| report.made_at.clone(), |time| time.to_string())
}

fn times(report: &Report) -> impl Iterator<Item = jiff::Timestamp> {
    let lines = report.lines.iter().chain(report.nodes.iter().flat_map(|node| &node.lines));
    let since = lines.clone().map(|line| line.status.last_transition_time.as_str());
    // Evidence that is too old changed the report when it became so.
    let expired = lines
        .filter(|line| line.status.reason == evidence::EXPIRED)
        .filter_map(|line| line.status.valid_until.as_ref().map(Timestamp::as_str));
    let stated = report.statements.iter().filter_map(|statement| statement.created.as_deref());
    let ended = report
        .statements
        .iter()
        .filter(|statement| statement.ignored_because == Some(EXPIRED))
        .map(|statement| statement.expires.as_str());
    since.chain(expired).chain(stated).chain(ended).filter_map(|time| time.parse().ok())
}
