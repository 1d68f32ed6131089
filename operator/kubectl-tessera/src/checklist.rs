//! `kubectl tessera checklist`: the lines of the security checklist of a network or a node, as a reader of now sees them.

use jiff::Timestamp;
use tessera_crds::checklist::{LineResult, LineStatus};

use crate::args::{Checklist, Output};
use crate::cluster::Cluster;
use crate::evidence::read_at;

/// Prints the checklist that `args` name.
pub(crate) async fn run(args: &Checklist) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
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
    use super::*;
    use crate::evidence::tests::checklist;

    #[test]
    fn what_is_verified_asks_nothing_of_a_person() {
        let text = table(&checklist().lines);
        assert!(text.contains("HardwareKeys            Verified  Observed"), "{text}");
        assert!(!text.contains("to do"), "{text}");
    }

    #[test]
    fn evidence_that_is_too_old_is_shown_with_what_to_do() {
        let shown = read_at(checklist(), "2027-01-01T01:00:01Z".parse().unwrap());
        let text = table(&shown.lines);
        assert!(text.contains("Unknown   EvidenceExpired"), "{text}");
        assert!(text.contains("was Verified until 2027-01-01T01:00:00Z: sealed by awskms"), "{text}");
        assert!(text.contains("to do:"), "{text}");
    }
}
