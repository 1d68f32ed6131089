//! `kubectl tessera checklist`: the lines of the security checklist of a network or a node, as a reader of now sees them.

use jiff::Timestamp;
use tessera_crds::checklist::{ChecklistStatus, LineResult, LineStatus};

use crate::args::{Checklist, Output};
use crate::cluster::Cluster;

/// Prints the checklist that `args` name.
pub(crate) async fn run(args: &Checklist) -> anyhow::Result<()> {
    let cluster = Cluster::connect(args.context.as_deref(), args.namespace.as_deref()).await?;
    let (kind, name, checklist) = match (&args.network, &args.node) {
        (_, Some(node)) => {
            let found = cluster.node(node).await?;
            ("TesseraNode", node, found.status.and_then(|status| status.checklist))
        }
        (Some(network), None) => {
            let found = cluster.network(network).await?;
            ("TesseraNetwork", network, found.status.and_then(|status| status.checklist))
        }
        (None, None) => anyhow::bail!("name a TesseraNetwork, or a TesseraNode with --node"),
    };
    let checklist = checklist.ok_or_else(|| {
        anyhow::anyhow!(
            "{kind} {name} has no checklist yet: let the operator reconcile it, then run this again"
        )
    })?;
    let checklist = read_at(checklist, Timestamp::now());
    match args.output {
        Some(Output::Json) => println!("{}", serde_json::to_string_pretty(&checklist)?),
        None => {
            println!("{kind} {name}: {} lines of the security checklist are satisfied\n", checklist.summary);
            print!("{}", table(&checklist.lines));
        }
    }
    Ok(())
}

/// What the checklist says at `now`: evidence that is too old proves nothing.
fn read_at(mut checklist: ChecklistStatus, now: Timestamp) -> ChecklistStatus {
    for line in &mut checklist.lines {
        let result = line.result_at(now);
        if result != line.result {
            line.observed = format!("was {} until {}: {}", line.result, until(line), line.observed);
            line.result = result;
            "EvidenceExpired".clone_into(&mut line.reason);
            line.remedy = Some(
                "see whether the operator runs: its conditions and its log say why nobody observes this"
                    .into(),
            );
        }
    }
    let satisfied = checklist.lines.iter().filter(|line| line.result.is_satisfied()).count();
    checklist.summary = format!("{satisfied}/{}", checklist.lines.len());
    checklist
}

fn until(line: &LineStatus) -> &str {
    line.valid_until.as_ref().map_or("", |end| end.as_str())
}

/// One line each with what was observed and what to do below it.
fn table(lines: &[LineStatus]) -> String {
    use std::fmt::Write as _;
    let mut text = format!("{:<24}{:<10}{:<22}{:<11}VALID UNTIL\n", "LINE", "RESULT", "REASON", "OBSERVER");
    for line in lines {
        let observer = line.observer.map_or_else(|| "-".to_owned(), |observer| observer.to_string());
        let end = line.valid_until.as_ref().map_or("-", |end| end.as_str());
        // Writing to a String does not fail.
        let _ = writeln!(
            text,
            "{:<24}{:<10}{:<22}{observer:<11}{end}",
            line.id.as_str(),
            line.result.as_str(),
            line.reason
        );
        let _ = writeln!(text, "    observed:  {}", line.observed);
        for part in &line.parts {
            let _ = writeln!(
                text,
                "      {:<10} {:<9} {}",
                part.name.to_string(),
                part.result.as_str(),
                part.observed
            );
        }
        if let Some(exception) = &line.exception {
            let _ = writeln!(
                text,
                "    accepted:  by {} until {} (TesseraAttestation {})",
                exception.by, exception.expires, exception.name
            );
        }
        if let Some(remedy) = line.remedy.as_ref().filter(|_| line.result != LineResult::Verified) {
            let _ = writeln!(text, "    to do:     {remedy}");
        }
    }
    text
}

#[cfg(test)]
mod tests {
    use tessera_crds::checklist::{Line, Observer};

    use super::*;

    fn checklist() -> ChecklistStatus {
        let line = LineStatus {
            id: Line::HardwareKeys,
            result: LineResult::Verified,
            reason: "Observed".into(),
            observer: Some(Observer::Store),
            observed: "sealed by awskms".into(),
            remedy: None,
            parts: Vec::new(),
            exception: None,
            last_transition_time: "2027-01-01T00:00:00Z".into(),
            valid_until: Some("2027-01-01T01:00:00Z".into()),
        };
        ChecklistStatus { summary: "1/1".into(), lines: vec![line] }
    }

    #[test]
    fn fresh_evidence_is_shown_as_it_is() {
        let shown = read_at(checklist(), "2027-01-01T00:30:00Z".parse().unwrap());
        assert_eq!(shown, checklist());
        let text = table(&shown.lines);
        assert!(text.contains("HardwareKeys            Verified  Observed"), "{text}");
        assert!(!text.contains("to do"), "{text}");
    }

    #[test]
    fn evidence_that_is_too_old_is_unknown_and_does_not_count() {
        let shown = read_at(checklist(), "2027-01-01T01:00:01Z".parse().unwrap());
        assert_eq!(shown.summary, "0/1");
        let text = table(&shown.lines);
        assert!(text.contains("Unknown   EvidenceExpired"), "{text}");
        assert!(text.contains("was Verified until 2027-01-01T01:00:00Z: sealed by awskms"), "{text}");
        assert!(text.contains("to do:"), "{text}");
    }
}
