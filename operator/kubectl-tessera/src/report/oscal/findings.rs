//! Lines as observations, and what follows from them as findings. Pure.

use tessera_crds::checklist::{LineException, LineResult, LineStatus, Observer};
use uuid::Uuid;

use super::document::{
    Actor, Finding, ObjectiveState, Observation, Origin, Property, RelatedObservation, Subject, Target,
};
use super::ids::Ids;
use super::subjects::{party_id, tool_id};
use super::{NS, objective_id, property};
use crate::report::model::{NodeReport, Report, ReportLine};
use crate::report::text::{markdown, one_line};

/// `collected` is required, and a status does not keep the time of the last observation.
const COLLECTED: &str = "`collected` is the time since when the result is this one. It was observed again since then: `expires` is when the last observation becomes too old.";

/// One observation for each line of the network, and for each line of each node.
pub(super) fn observations(report: &Report, ids: Ids) -> Vec<Observation> {
    let of_network = report.lines.iter().map(|line| {
        let subject =
            Subject { uuid: ids.of(&["network"]), r#type: "component", title: report.network.name.clone() };
        observation(line, subject, observation_id(line, None, ids), report, ids)
    });
    let of_nodes = report.nodes.iter().flat_map(|node| {
        node.lines.iter().map(move |line| {
            let subject = Subject {
                uuid: ids.of(&["node", &node.name]),
                r#type: "inventory-item",
                title: node.name.clone(),
            };
            observation(line, subject, observation_id(line, Some(node), ids), report, ids)
        })
    });
    of_network.chain(of_nodes).collect()
}

fn observation_id(line: &ReportLine, node: Option<&NodeReport>, ids: Ids) -> Uuid {
    let line = line.status.id.as_str();
    match node {
        Some(node) => ids.of(&["observation", line, &node.name]),
        None => ids.of(&["observation", line]),
    }
}

fn observation(line: &ReportLine, subject: Subject, uuid: Uuid, report: &Report, ids: Ids) -> Observation {
    let status = &line.status;
    Observation {
        uuid,
        title: format!("{} of {}", status.id, subject.title),
        description: described(&status.observed),
        props: result_properties(status),
        methods: [method(status.observer)],
        types: ["control-objective"],
        origins: origins(status, report, ids),
        subjects: [subject],
        collected: time(status.last_transition_time.as_str(), report),
        expires: status.valid_until.as_ref().map(|end| time(end.as_str(), report)),
        remarks: status.observer.map(|_| COLLECTED.to_owned()),
    }
}

/// A time that cannot be read is not older than the report.
fn time(text: &str, report: &Report) -> String {
    text.parse::<jiff::Timestamp>().map_or_else(|_| report.made_at.clone(), |time| time.to_string())
}

fn described(text: &str) -> String {
    if text.trim().is_empty() { "nothing was observed".to_owned() } else { markdown(text) }
}

/// How OSCAL calls the way of observing.
fn method(observer: Option<Observer>) -> &'static str {
    match observer {
        Some(Observer::Operator) => "TEST",
        Some(Observer::Node | Observer::ApiServer | Observer::Store) => "EXAMINE",
        Some(Observer::Person) => "INTERVIEW",
        None => "UNKNOWN",
    }
}

fn origins(status: &LineStatus, report: &Report, ids: Ids) -> Vec<Origin> {
    let actors = match status.observer {
        None => Vec::new(),
        Some(Observer::Person) => {
            let mut people: Vec<_> = report
                .statements
                .iter()
                .filter(|statement| statement.counts && statement.line == status.id)
                .map(|statement| Actor { r#type: "party", actor_uuid: party_id(&statement.by, ids) })
                .collect();
            people.sort_by_key(|actor| actor.actor_uuid);
            people.dedup_by_key(|actor| actor.actor_uuid);
            people
        }
        Some(observer) => vec![Actor { r#type: "tool", actor_uuid: tool_id(observer, ids) }],
    };
    if actors.is_empty() { Vec::new() } else { vec![Origin { actors }] }
}

/// One finding for each line of the checklist.
pub(super) fn findings(report: &Report, ids: Ids) -> Vec<Finding> {
    report.lines.iter().map(|line| finding(line, report, ids)).collect()
}

fn finding(line: &ReportLine, report: &Report, ids: Ids) -> Finding {
    let status = &line.status;
    let of_nodes = report.nodes.iter().flat_map(|node| {
        node.lines
            .iter()
            .filter(|found| found.status.id == status.id)
            .map(move |found| observation_id(found, Some(node), ids))
    });
    let related = [observation_id(line, None, ids)].into_iter().chain(of_nodes);
    Finding {
        uuid: ids.of(&["finding", status.id.as_str()]),
        title: line.title,
        description: described(&status.observed),
        props: result_properties(status),
        target: Target {
            r#type: "objective-id",
            id: objective_id(status.id),
            status: objective_state(status.result),
        },
        related_observations: related
            .map(|observation_uuid| RelatedObservation { observation_uuid })
            .collect(),
        remarks: status.remedy.as_deref().map(|remedy| format!("What to do: {}", markdown(remedy))),
    }
}

/// Nothing but what was observed satisfies an objective.
fn objective_state(result: LineResult) -> ObjectiveState {
    match result {
        LineResult::Verified => ObjectiveState { state: "satisfied", reason: "pass" },
        LineResult::Violated => ObjectiveState { state: "not-satisfied", reason: "fail" },
        LineResult::Enforced | LineResult::Attested | LineResult::Unknown => {
            ObjectiveState { state: "not-satisfied", reason: "other" }
        }
    }
}

fn result_properties(status: &LineStatus) -> Vec<Property> {
    let mut props = Vec::new();
    props.extend(property("result", status.result.as_str()));
    props.extend(property("reason", &status.reason));
    props.extend(status.observer.and_then(|observer| property("observer", &observer.to_string())));
    for part in &status.parts {
        props.push(Property {
            name: "part",
            ns: NS,
            value: part.result.to_string(),
            class: Some(part.name.to_string()),
            remarks: one_line(&part.observed).map(|text| markdown(&text)),
        });
    }
    if let Some(exception) = &status.exception {
        props.extend(exception_properties(exception));
    }
    props
}

fn exception_properties(exception: &LineException) -> impl Iterator<Item = Property> {
    let props = [
        property("exception", &exception.name),
        property("exception-by", &exception.by),
        property("exception-expires", &exception.expires),
    ];
    props.into_iter().flatten()
}
