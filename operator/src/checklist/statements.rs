//! What people state about lines, as far as it counts now. Pure.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use tessera_crds::TesseraAttestation;
use tessera_crds::api::attestation::AttestationType;
use tessera_crds::checklist::{Line, LineException, Observer};

use super::finding::Finding;
use crate::kube::meta::name_of;

/// How long a statement may count, from its creation: a year, whatever year it is. The chart's policy refuses a longer one.
const MOST: SignedDuration = SignedDuration::from_hours(366 * 24);

/// The statements about one network that count at a time.
#[derive(Debug, Clone, Default)]
pub struct Statements(Vec<Statement>);

#[derive(Debug, Clone)]
struct Statement {
    name: String,
    line: Line,
    kind: AttestationType,
    by: String,
    text: String,
    expires: Timestamp,
}

impl Statements {
    /// Those of `all` that count at `now`.
    pub fn that_count(all: &[Arc<TesseraAttestation>], now: Timestamp) -> Self {
        Self(all.iter().filter_map(|attestation| statement(attestation, now)).collect())
    }

    /// That `line` holds for what a cluster cannot see; `what` would have to be stated if nobody did.
    pub fn attested(&self, line: Line, what: &str) -> Finding {
        let stated = self.0.iter().filter(|statement| statement.line == line);
        let stated = stated.filter(|statement| statement.kind == AttestationType::Attestation);
        // The one that counts longest, so that renewing it in time shows at once.
        match stated.max_by_key(|statement| (statement.expires, &statement.name)) {
            Some(statement) => attested(statement),
            None => not_attested(line, what),
        }
    }

    /// The acceptance of a violation of `line`.
    pub fn exception(&self, line: Line) -> Option<LineException> {
        let accepted = self.0.iter().filter(|statement| statement.line == line);
        let accepted = accepted.filter(|statement| statement.kind == AttestationType::Exception);
        accepted.max_by_key(|statement| (statement.expires, &statement.name)).map(|statement| LineException {
            name: statement.name.clone(),
            by: statement.by.clone(),
            expires: statement.expires.to_string().into(),
        })
    }
}

fn statement(attestation: &TesseraAttestation, now: Timestamp) -> Option<Statement> {
    let spec = &attestation.spec;
    let created = attestation.metadata.creation_timestamp.as_ref()?.0;
    let expires: Timestamp = spec.expires.parse().ok()?;
    let counts = now < expires
        && expires.duration_since(created) <= MOST
        && attestation.metadata.deletion_timestamp.is_none()
        && (spec.r#type == AttestationType::Exception || Line::ATTESTABLE.contains(&spec.line));
    counts.then(|| Statement {
        name: name_of(attestation).to_owned(),
        line: spec.line,
        kind: spec.r#type,
        by: spec.by.clone(),
        text: spec.statement.clone(),
        expires,
    })
}

fn attested(statement: &Statement) -> Finding {
    let Statement { name, by, text, expires, .. } = statement;
    Finding::attested(
        Observer::Person,
        format!("{by} states until {expires} (TesseraAttestation {name}): {text}"),
        *expires,
    )
}

fn not_attested(line: Line, what: &str) -> Finding {
    Finding::unknown(
        "NotAttested",
        format!("nobody has stated that {what}"),
        &format!(
            "let a person who administers the machines state it: a TesseraAttestation with line {line} and type Attestation"
        ),
    )
}
