//! `kubectl tessera certificates`: a network's CAs, a rollover under way, and what its nodes serve.
//!
//! ```text
//! TesseraNetwork, its TesseraNodes ──► Overview ──► tables | json
//! [read: cluster]                      [pure]       [pure]
//! ```

use serde::Serialize;
use tessera_crds::api::network::{CaStatus, CaUse, RolloverStatus};
use tessera_crds::condition::ConditionType;
use tessera_crds::{TesseraNetwork, TesseraNode};

use crate::args::{Certificates, Output};
use crate::cluster::Cluster;
use crate::text_table::aligned;

/// Prints what `args` name.
pub(crate) async fn run(args: &Certificates) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let (network, nodes) = (cluster.network(&args.network).await?, cluster.nodes_of(&args.network).await?);
    let overview = Overview::new(&network, &nodes);
    match args.output {
        Some(Output::Json) => println!("{}", serde_json::to_string_pretty(&overview)?),
        None => print!("{}", overview.text()),
    }
    Ok(())
}

/// What is shown.
#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Overview {
    cas: Vec<CaStatus>,
    rollover: Option<RolloverStatus>,
    /// The condition `CertificatesCurrent`.
    message: String,
    nodes: Vec<Node>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "camelCase")]
struct Node {
    name: String,
    not_after: Option<String>,
    /// The reason of its condition `CertificatesServed`.
    served: String,
}

impl Overview {
    fn new(network: &TesseraNetwork, nodes: &[TesseraNode]) -> Self {
        let status = network.status.clone().unwrap_or_default();
        let current =
            status.conditions.iter().find(|it| it.type_ == ConditionType::CertificatesCurrent.as_str());
        Self {
            message: current.map(|it| format!("{}: {}", it.reason, it.message)).unwrap_or_default(),
            cas: status.cas,
            rollover: status.rollover,
            nodes: nodes.iter().map(Node::new).collect(),
        }
    }

    fn text(&self) -> String {
        let cas = self.cas.iter().map(|ca| {
            vec![
                format!("{:?}", ca.role),
                format!("{:?}", ca.state),
                ca.not_after.to_string(),
                ca.fingerprint.clone(),
            ]
        });
        let nodes = self.nodes.iter().map(|node| {
            let not_after = node.not_after.clone().unwrap_or_else(|| "-".to_owned());
            vec![node.name.clone(), not_after, node.served.clone()]
        });
        let parts = [
            aligned(&["CA OF", "STATE", "UNTIL", "SHA-256"], cas.collect()),
            format!("{}\n", self.message),
            self.rollover.as_ref().map(|rollover| self.waiting(rollover)).unwrap_or_default(),
            aligned(&["NODE", "CERTIFICATE UNTIL", "SERVED"], nodes.collect()),
        ];
        parts.into_iter().filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join("\n")
    }

    /// Whom the rollover waits for, and what to add to the network where a person's word is awaited.
    fn waiting(&self, rollover: &RolloverStatus) -> String {
        let RolloverStatus { phase, since, waiting, .. } = rollover;
        let first = format!("rollover: {phase:?} since {since}, waits for {waiting}");
        let who = rollover.waiting_for.iter().map(|who| format!("  {who}"));
        let next = self.cas.iter().find(|ca| ca.state == CaUse::Current);
        let words = rollover.waiting_for.iter().filter_map(|who| {
            let (identity, ca) = (by_word(who)?, &next?.fingerprint);
            Some(format!("  - {{identity: \"{identity}\", caFingerprint: {ca}}}"))
        });
        let mut words = words.peekable();
        let head = "once each of them trusts the new CA, add to spec.pki of the network:\n  acknowledge:";
        let head = words.peek().map(|_| head.to_owned());
        let lines: Vec<_> = [first].into_iter().chain(who).chain(head).chain(words).collect();
        lines.join("\n") + "\n"
    }
}

impl Node {
    fn new(node: &TesseraNode) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let served =
            status.conditions.iter().find(|it| it.type_ == ConditionType::CertificatesServed.as_str());
        Self {
            name: node.metadata.name.clone().unwrap_or_default(),
            not_after: status.certificate.map(|certificate| certificate.not_after.to_string()),
            served: served.map_or_else(|| "Unknown".to_owned(), |it| it.reason.clone()),
        }
    }
}

/// The identity or address in a line of `waitingFor` that a person's word ends.
fn by_word(who: &str) -> Option<&str> {
    let (party, _) = who.split_once(" is not known to trust CA ")?;
    party.split(' ').find(|word| word.contains("://"))
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn network() -> TesseraNetwork {
        let mut network = crate::report::tests::objects().network;
        let waiting = [
            "client spiffe://org-a.example/client/a/quorum is not known to trust CA bb: install it there, then …",
            "secret store https://vault.bank:8200 is not known to trust CA bb: install it there, then …",
            "node c does not report yet that it trusts the new CA alone",
        ];
        let status = json!({
            "cas": [
                {"fingerprint": "bb", "role": "Network", "state": "Current", "notAfter": "2028-01-01T00:00:00Z"},
                {"fingerprint": "aa", "role": "Network", "state": "Retiring", "notAfter": "2027-04-01T00:00:00Z"},
            ],
            "rollover": {"phase": "Retiring", "since": "2027-01-01T00:00:00Z", "trigger": 1, "waiting": 3, "waitingFor": waiting},
        });
        network.status = Some(serde_json::from_value(status).unwrap());
        network
    }

    #[test]
    fn a_rollover_is_shown_with_the_words_that_end_it() {
        let text = Overview::new(&network(), &[]).text();
        assert!(
            text.starts_with("CA OF     STATE      UNTIL                  SHA-256\nNetwork   Current "),
            "{text}"
        );
        assert!(
            text.contains("rollover: Retiring since 2027-01-01T00:00:00Z, waits for 3\n  client spiffe://"),
            "{text}"
        );
        let words = "  acknowledge:\n  - {identity: \"spiffe://org-a.example/client/a/quorum\", caFingerprint: bb}\n  \
                     - {identity: \"https://vault.bank:8200\", caFingerprint: bb}\n";
        assert!(text.ends_with(words), "{text}");
    }

    #[test]
    fn the_document_for_machines_has_the_same() {
        let json = serde_json::to_value(Overview::new(&network(), &[])).unwrap();
        assert_eq!(
            (json["cas"][0]["fingerprint"].as_str(), json["rollover"]["waiting"].as_i64()),
            (Some("bb"), Some(3))
        );
    }
}
