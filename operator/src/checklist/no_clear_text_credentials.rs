//! `NoClearTextCredentials`: no credential and no connection string lies in clear text in configuration. Pure.
//!
//! - Enforced by: the API, no field of which takes a credential; the chart's admission policy `tessera-operator-clear-text`,
//!   which warns.
//! - Observed by: the operator, which searches ConfigMaps, pods and what makes pods by the rules of the crate
//!   `tessera-clear-text`, as the watch shows them. A rule that finds no credential in a text with one makes it Unknown.
//! - Not observed: Helm's releases, which are Secrets (`kubectl tessera audit` reads them), and log streams.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, Observer};

use super::clear_text::{ClearTextFacts, FoundCredential};
use super::facts::NetworkFacts;
use super::finding::Finding;
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::NoClearTextCredentials, evidence_lasts: EVIDENCE_LASTS, judge };

/// How many of the findings the text names.
const NAMED: usize = 3;

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let facts = &facts.clear_text;
    if !facts.found.is_empty() {
        return Finding::violated(
            "ClearText",
            Observer::Operator,
            found(facts),
            "move it to a Secret or the secret store and refer to it there, then change the credential: everybody who reads the object knows it. kubectl tessera audit lists all",
        );
    }
    let Some(rules) = facts.rules else {
        return Finding::unknown(
            "ControlFailed",
            "the rules did not find the credential that is shown to them as a control",
            "report this as a bug of the operator",
        );
    };
    if !facts.not_searched.is_empty() {
        return Finding::enforced(
            "PartlyScanned",
            format!("nothing was found, but not searched: {}", facts.not_searched.join("; ")),
            "install the operator's chart of this version, which gives the rights, and read the operator's log; kubectl tessera audit searches with your own rights",
        );
    }
    if !facts.pending.is_empty() || facts.searched.is_empty() {
        return Finding {
            keeps_known: true,
            ..Finding::unknown(
                "NotScannedYet",
                "the namespace's objects are being listed",
                "wait: they are searched within a minute",
            )
        };
    }
    Finding::verified(
        Observer::Operator,
        format!(
            "{rules} rules found nothing in {}: {}. Not searched: Helm's releases (kubectl tessera audit does) and log streams",
            magnitude(facts.objects),
            facts.searched.join(", ")
        ),
    )
}

/// The first findings, and how many there are. Those in pods repeat what the makers of the pods say.
fn found(facts: &ClearTextFacts) -> String {
    let name = |it: &FoundCredential| format!("{}, {} (rule {})", it.object, it.path, it.rule);
    let named: Vec<_> = facts.found.iter().take(NAMED).map(name).collect();
    match facts.found.len().checked_sub(NAMED) {
        Some(more @ 1..) => format!("{}; and {more} more", named.join("; ")),
        _ => named.join("; "),
    }
}

/// How many objects, coarsely: an exact number would make a new text, and a write of the status, with each object.
fn magnitude(objects: usize) -> String {
    match objects.checked_ilog10() {
        None => "no object but pods".to_owned(),
        Some(0) => "fewer than 10 objects and their pods".to_owned(),
        Some(digits) => format!("at least {} objects and their pods", 10_usize.pow(digits)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_text_does_not_change_with_one_object() {
        assert_eq!(magnitude(0), "no object but pods");
        assert_eq!(magnitude(9), "fewer than 10 objects and their pods");
        assert_eq!((magnitude(10), magnitude(11)), (magnitude(12), magnitude(99)));
        assert_eq!(magnitude(123), "at least 100 objects and their pods");
    }
}
