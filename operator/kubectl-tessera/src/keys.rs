//! `kubectl tessera keys`: the versions of a node's keys, and what each is used for.
//!
//! ```text
//! TesseraNode ──► Overview ──► table | json
//! [read: cluster] [pure]       [pure]
//! ```

use serde::Serialize;
use tessera_crds::TesseraNode;
use tessera_crds::api::node::{KeyState, KeyStatus};
use tessera_crds::condition::ConditionType;

use crate::args::{Keys, Output};
use crate::cluster::Cluster;
use crate::text_table::aligned;

/// Prints what `args` name.
pub(crate) async fn run(args: &Keys) -> anyhow::Result<()> {
    let cluster = Cluster::connect(&args.target).await?;
    let overview = Overview::new(&cluster.node(&args.node).await?);
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
    node: String,
    keys: Vec<KeyStatus>,
    /// The condition `KeysReady`.
    message: String,
}

impl Overview {
    fn new(node: &TesseraNode) -> Self {
        let status = node.status.clone().unwrap_or_default();
        let ready = status.conditions.iter().find(|it| it.type_ == ConditionType::KeysReady.as_str());
        Self {
            node: node.metadata.name.clone().unwrap_or_default(),
            message: ready.map(|it| format!("{}: {}", it.reason, it.message)).unwrap_or_default(),
            keys: status.keys,
        }
    }

    fn text(&self) -> String {
        let known = |text: Option<String>| text.unwrap_or_else(|| "-".to_owned());
        let rows = self.keys.iter().map(|key| {
            vec![
                key.name.clone(),
                key.version.to_string(),
                format!("{:?}", key.state),
                generated(key),
                known(key.last_push_at.as_ref().map(ToString::to_string)),
                key.public_key.clone(),
            ]
        });
        let table =
            aligned(&["KEY", "VERSION", "STATE", "GENERATED", "LAST PUSH", "PUBLIC KEY"], rows.collect());
        format!("{table}{}\n{}", self.message, self.advice())
    }

    /// What archiving an old version would mean, where there is one to archive.
    fn advice(&self) -> String {
        let old = self.keys.iter().filter(|key| key.state == KeyState::Receiving);
        let unused: Vec<_> = old.filter(|key| key.last_push_at.is_none()).collect();
        if unused.is_empty() {
            return String::new();
        }
        let names: Vec<_> = unused.iter().map(|key| format!("{} of {}", key.version, key.name)).collect();
        format!(
            "no push was seen for version {} while it was not the default. To let such a version take nothing new, add it to \
             spec.keys[].archive of {}; contracts that name it as participant can then no longer be updated.\n",
            names.join(" and version "),
            self.node
        )
    }
}

fn generated(key: &KeyStatus) -> String {
    let at = key.born_at.as_ref().map_or_else(|| "-".to_owned(), ToString::to_string);
    if key.imported == Some(true) { format!("{at} (imported)") } else { at }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn overview() -> Overview {
        let key = |version: u8, state: &str| {
            json!({"name": "main", "version": version, "publicKey": format!("key{version}="), "state": state,
                   "bornAt": "2027-01-01T00:00:00Z"})
        };
        let mut old = key(2, "Receiving");
        old["lastPushAt"] = json!("2027-02-01T00:00:00Z");
        let keys = json!([key(1, "Archived"), old, key(3, "Receiving"), key(4, "Default")]);
        let keys = serde_json::from_value(keys).unwrap();
        Overview { node: "a".into(), keys, message: "Ready: every key is there".into() }
    }

    #[test]
    fn a_version_that_was_not_generated_says_so() {
        let mut overview = overview();
        overview.keys[0].imported = Some(true);
        let text = overview.text();
        let row = text.lines().nth(1).unwrap();
        assert!(row.contains("2027-01-01T00:00:00Z (imported)"), "{text}");
    }

    #[test]
    fn each_version_is_a_row_and_what_nobody_uses_any_more_is_named() {
        let text = overview().text();
        let rows: Vec<_> =
            text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>().join(" ")).collect();
        assert_eq!(rows[1], "main 1 Archived 2027-01-01T00:00:00Z - key1=");
        assert_eq!(rows[2], "main 2 Receiving 2027-01-01T00:00:00Z 2027-02-01T00:00:00Z key2=");
        assert_eq!(rows[5], "Ready: every key is there");
        assert!(rows[6].starts_with("no push was seen for version 3 of main while"), "{text}");
    }

    #[test]
    fn the_document_for_machines_has_the_same() {
        let json = serde_json::to_value(overview()).unwrap();
        assert_eq!((json["keys"][0]["state"].as_str(), json["node"].as_str()), (Some("Archived"), Some("a")));
    }
}
