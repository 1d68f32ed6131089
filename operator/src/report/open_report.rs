//! The checklist as an OpenReports `Report`, as Kyverno's Policy Reporter and other dashboards read it. Pure.
//!
//! ```text
//! Verified ──► pass    Enforced, Attested ──► warn    Violated ──► fail    Unknown, or evidence that is too old ──► error
//! ```
//!
//! Such a report knows five results and no end of evidence. What it cannot say is a property of the result, and nothing but
//! Verified with fresh evidence is a pass.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use k8s_openapi::api::core::v1::ObjectReference;
use kube::Resource;
use kube::core::{NamespaceResourceScope, ObjectMeta};
use serde::Serialize;
use tessera_crds::checklist::{Line, LineException, LineResult, LineStatus, PartName};

use crate::kube::FIELD_MANAGER;
use crate::kube::meta::Owner;

/// The group and version of [`Report`].
pub const API_VERSION: &str = "openreports.io/v1alpha1";
/// The plural of [`Report`].
pub const PLURAL: &str = "reports";

/// The name of the checklist, under which dashboards show its lines.
const POLICY: &str = "tessera-checklist";
/// The reason of a line whose evidence is too old, as `kubectl tessera` has it.
const EXPIRED: &str = "EvidenceExpired";
/// The longest text: 14 lines with three parts each then stay far below what the API server stores.
const LONGEST: usize = 1024;

/// A `Report` of `openreports.io/v1alpha1`, as far as the operator fills it in.
#[derive(Debug, Clone, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Report {
    api_version: &'static str,
    kind: &'static str,
    metadata: ObjectMeta,
    source: &'static str,
    scope: ObjectReference,
    summary: Summary,
    results: Vec<ReportResult>,
}

/// How many results of each kind.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
struct Summary {
    pass: u32,
    fail: u32,
    warn: u32,
    error: u32,
    skip: u32,
}

/// One line.
#[derive(Debug, Clone, Serialize)]
struct ReportResult {
    // Readers from before v0.2 of the API look here only.
    source: &'static str,
    policy: &'static str,
    rule: &'static str,
    category: &'static str,
    #[serde(skip_serializing_if = "Option::is_none")]
    severity: Option<Severity>,
    #[serde(skip_serializing_if = "Option::is_none")]
    timestamp: Option<Time>,
    result: Outcome,
    scored: bool,
    message: String,
    properties: BTreeMap<&'static str, String>,
}

/// A time, as this API has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
struct Time {
    seconds: i64,
    nanos: i32,
}

/// The result of a line, as this API has it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Outcome {
    Pass,
    Warn,
    Fail,
    Error,
}

/// How bad a violation is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
enum Severity {
    High,
    /// A person accepts it.
    Low,
}

impl Report {
    /// The report called `name` of what `owner` is: its `lines`, for a reader at `now`.
    pub fn new(owner: &Owner, name: String, lines: &[LineStatus], now: Timestamp) -> Self {
        let results: Vec<_> = lines.iter().map(|line| result(line, now)).collect();
        let reference = &owner.reference;
        Self {
            api_version: API_VERSION,
            kind: "Report",
            metadata: owner.metadata(name),
            source: FIELD_MANAGER,
            scope: ObjectReference {
                api_version: Some(reference.api_version.clone()),
                kind: Some(reference.kind.clone()),
                namespace: Some(owner.namespace.clone()),
                name: Some(reference.name.clone()),
                uid: Some(reference.uid.clone()),
                ..ObjectReference::default()
            },
            summary: Summary::of(&results),
            results,
        }
    }
}

impl Summary {
    fn of(results: &[ReportResult]) -> Self {
        let mut summary = Self::default();
        for result in results {
            *match result.result {
                Outcome::Pass => &mut summary.pass,
                Outcome::Warn => &mut summary.warn,
                Outcome::Fail => &mut summary.fail,
                Outcome::Error => &mut summary.error,
            } += 1;
        }
        summary
    }
}

fn result(line: &LineStatus, now: Timestamp) -> ReportResult {
    let at_now = line.result_at(now);
    let exception = line.exception.as_ref().filter(|exception| is_valid(exception, now));
    let outcome = outcome(at_now);
    ReportResult {
        source: FIELD_MANAGER,
        policy: POLICY,
        rule: line.id.as_str(),
        category: category(line.id),
        severity: (outcome == Outcome::Fail).then_some(match exception {
            Some(_) => Severity::Low,
            None => Severity::High,
        }),
        timestamp: since(line, at_now).and_then(time),
        result: outcome,
        // A warning is what is not counted as a failure.
        scored: outcome != Outcome::Warn,
        message: message(line, at_now),
        properties: properties(line, at_now, exception),
    }
}

fn outcome(result: LineResult) -> Outcome {
    match result {
        LineResult::Verified => Outcome::Pass,
        LineResult::Enforced | LineResult::Attested => Outcome::Warn,
        LineResult::Violated => Outcome::Fail,
        LineResult::Unknown => Outcome::Error,
    }
}

fn category(line: Line) -> &'static str {
    match line {
        Line::NetworkSegment | Line::MutualTls | Line::HostFirewall => "Network",
        Line::HardwareKeys | Line::KeyRotation | Line::OfflineKeyBackup => "Keys",
        Line::SecretStoreIsolation | Line::SecretStoreTenancy | Line::SecretStoreAccess => "Secret store",
        Line::NoClearTextCredentials => "Configuration",
        Line::NoRemoteRoot | Line::NoCoreDumps => "Hosts",
        Line::CentralLogging | Line::ImmutableUpgrades => "Operation",
    }
}

/// An end that cannot be read is over.
fn is_valid(exception: &LineException, now: Timestamp) -> bool {
    exception.expires.parse::<Timestamp>().is_ok_and(|end| end > now)
}

/// Since when the line is as it is now: evidence that is too old became so at its end.
fn since(line: &LineStatus, at_now: LineResult) -> Option<&str> {
    if at_now == line.result { Some(&line.last_transition_time) } else { line.valid_until.as_deref() }
}

fn time(text: &str) -> Option<Time> {
    let time = text.parse::<Timestamp>().ok()?;
    Some(Time { seconds: time.as_second(), nanos: 0 })
}

fn message(line: &LineStatus, at_now: LineResult) -> String {
    let observed = bounded(&line.observed);
    if at_now != line.result {
        let until = line.valid_until.as_deref().map_or("", bounded);
        return format!(
            "was {} until {until}, and nobody has observed it since: {observed}; to do: read the conditions of the object, which say why it is not judged",
            line.result
        );
    }
    match line.remedy.as_deref().filter(|remedy| !remedy.is_empty()) {
        Some(remedy) => format!("{observed}; to do: {}", bounded(remedy)),
        None => observed.to_owned(),
    }
}

fn properties(
    line: &LineStatus,
    at_now: LineResult,
    exception: Option<&LineException>,
) -> BTreeMap<&'static str, String> {
    let is_fresh = at_now == line.result;
    let reason = if is_fresh { bounded(&line.reason) } else { EXPIRED };
    let mut all: BTreeMap<_, _> = [("result", at_now.to_string()), ("reason", reason.to_owned())].into();
    let mut add = |key, text: &str| {
        all.insert(key, bounded(text).to_owned());
    };
    if let Some(observer) = line.observer {
        add("observer", &observer.to_string());
    }
    if let Some(since) = since(line, at_now) {
        add("since", since);
    }
    if let Some(until) = &line.valid_until {
        add("validUntil", until);
    }
    if let Some(exception) = exception {
        add("exception", &exception.name);
        add("exceptionBy", &exception.by);
        add("exceptionExpires", &exception.expires);
    }
    // The parts rest on the same evidence.
    for part in line.parts.iter().filter(|_| is_fresh) {
        add(part_key(part.name), &format!("{}: {}", part.result, part.observed));
    }
    all
}

fn part_key(name: PartName) -> &'static str {
    match name {
        PartName::Pod => "pod",
        PartName::Host => "host",
        PartName::StoreHost => "storeHost",
    }
}

fn bounded(text: &str) -> &str {
    text.char_indices().nth(LONGEST).map_or(text, |(end, _)| &text[..end])
}

impl Resource for Report {
    type DynamicType = ();
    type Scope = NamespaceResourceScope;

    fn kind((): &()) -> Cow<'_, str> {
        "Report".into()
    }

    fn group((): &()) -> Cow<'_, str> {
        API_VERSION.split_once('/').map_or(API_VERSION, |(group, _)| group).into()
    }

    fn version((): &()) -> Cow<'_, str> {
        API_VERSION.split_once('/').map_or("", |(_, version)| version).into()
    }

    fn plural((): &()) -> Cow<'_, str> {
        PLURAL.into()
    }

    fn meta(&self) -> &ObjectMeta {
        &self.metadata
    }

    fn meta_mut(&mut self) -> &mut ObjectMeta {
        &mut self.metadata
    }
}

#[cfg(test)]
mod tests;
