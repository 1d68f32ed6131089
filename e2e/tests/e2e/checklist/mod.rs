//! The security checklist says what was observed: a line that somebody breaks shows it, and holds again when it is mended.

mod central_logging;
mod cluster_lines;
mod enforce;
mod host_firewall;
mod network_segment;
mod ssh;
mod store_listener;
mod store_owner;

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};
use tessera_e2e::wait;

/// The operator asks a node every 30 s.
const SEEN: Duration = Duration::from_mins(3);

#[tokio::test]
async fn a_line_that_is_broken_is_violated_until_it_is_mended() -> Result<()> {
    let fleet = Fleet::start("e2e-checklist", &["a", "b"]).await?;
    fleet.cluster.clear(Kind::TesseraAttestation, &fleet.namespace, "").await?;
    what_this_cluster_shows(&fleet).await?;
    an_image_is_older_than_the_network_allows(&fleet).await?;
    a_credential_lies_in_a_config_map(&fleet).await?;
    a_person_states_what_the_cluster_cannot_see(&fleet).await?;
    a_person_accepts_a_violation_for_a_time(&fleet).await?;
    the_plug_in_shows_all_lines(&fleet).await?;
    with_all_that_a_person_can_state(&fleet).await?;
    fleet.done().await
}

/// With nothing broken: what was observed, by whom, and no more.
async fn what_this_cluster_shows(fleet: &Fleet) -> Result<()> {
    let node = line(fleet, Kind::TesseraNode, "a", "ImmutableUpgrades", "Verified", "Observed").await?;
    let digest = fleet.settings.node_image.rsplit_once('@').context("no digest")?.1;
    ensure!(node["observed"].as_str().is_some_and(|text| text.contains(digest)), "{node}");
    ensure!(node["validUntil"].is_string() && node["observer"] == "ApiServer", "{node}");
    let tls = line(fleet, Kind::TesseraNode, "a", "MutualTls", "Verified", "Observed").await?;
    ensure!(tls["observer"] == "Node" && tls["validUntil"].is_string(), "{tls}");
    let dumps = line(fleet, Kind::TesseraNode, "a", "NoCoreDumps", "Unknown", "NotAttested").await?;
    ensure!(part(&dumps, "Pod") == "Verified" && part(&dumps, "Host") == "Unknown", "{dumps}");
    let firewall = line(fleet, Kind::TesseraNode, "a", "HostFirewall", "Unknown", "NotAttested").await?;
    ensure!(part(&firewall, "Pod") == "Verified" && part(&firewall, "Host") == "Unknown", "{firewall}");
    // The store of this cluster unseals itself with a key in software.
    let seal = line(fleet, Kind::TesseraNetwork, NETWORK, "HardwareKeys", "Violated", "SoftwareSeal").await?;
    ensure!(seal["observer"] == "Store" && seal["remedy"].is_string(), "{seal}");
    let tls = line(fleet, Kind::TesseraNetwork, NETWORK, "MutualTls", "Verified", "Observed").await?;
    ensure!(tls["observed"].to_string().contains("https://vault.vault.svc:8200 refused"), "{tls}");
    let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
    let lines = network["status"]["checklist"]["lines"].as_array().context("no lines")?;
    ensure!(lines.len() == 14, "{} lines", lines.len());
    for line in lines {
        ensure!(line["result"] == "Verified" || line["remedy"].is_string(), "no remedy: {line}");
    }
    // Its network names no collector of logs.
    line(fleet, Kind::TesseraNode, "a", "CentralLogging", "Violated", "NoCollector").await?;
    fleet.node_condition("a", "ChecklistSatisfied", "False", "Violated").await.map(drop)
}

async fn an_image_is_older_than_the_network_allows(fleet: &Fleet) -> Result<()> {
    let allow = async |age: &str| {
        let mut network = fleet.network_manifest();
        network["spec"]["checklist"] = json!({"maxImageAge": age});
        fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &network).await
    };
    allow("1s").await?;
    let old = line(fleet, Kind::TesseraNode, "a", "ImmutableUpgrades", "Violated", "ImageTooOld").await?;
    ensure!(old["observed"].as_str().is_some_and(|text| text.contains("tessera-a-0")), "{old}");
    // The network may have counted b's line before a's.
    wait::until("both nodes in the network's line", SEEN, || async {
        let whole =
            line(fleet, Kind::TesseraNetwork, NETWORK, "ImmutableUpgrades", "Violated", "ImageTooOld");
        let whole = whole.await?;
        ensure!(whole["observed"].as_str().is_some_and(|text| text.contains("0 of 2 nodes; a: ")), "{whole}");
        Ok(())
    })
    .await?;
    event(fleet, "a", "ChecklistViolated", "ImmutableUpgrades").await?;
    fleet.node_ready("a").await?;
    // Long enough for the source of any clone.
    allow("87600h").await?;
    line(fleet, Kind::TesseraNode, "a", "ImmutableUpgrades", "Verified", "Observed").await?;
    line(fleet, Kind::TesseraNetwork, NETWORK, "ImmutableUpgrades", "Verified", "Observed").await?;
    checklist_record::healed("ImmutableUpgrades")
}

/// By watch, within seconds; what the object holds is not repeated.
async fn a_credential_lies_in_a_config_map(fleet: &Fleet) -> Result<()> {
    let (id, name) = ("NoClearTextCredentials", "ledger-settings");
    line(fleet, Kind::TesseraNetwork, NETWORK, id, "Verified", "Observed").await?;
    let settings = json!({
        "apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name},
        "data": {"application.properties": "db.user=ledger\ndb.password=Sommer-2024-geheim\n"},
    });
    fleet.cluster.apply(Kind::ConfigMap, &fleet.namespace, &settings).await?;
    let found = line(fleet, Kind::TesseraNetwork, NETWORK, id, "Violated", "ClearText").await?;
    let observed = found["observed"].as_str().context("nothing observed")?;
    ensure!(observed.contains(name) && !observed.contains("geheim"), "{observed}");
    fleet.cluster.delete(Kind::ConfigMap, &fleet.namespace, name).await?;
    line(fleet, Kind::TesseraNetwork, NETWORK, id, "Verified", "Observed").await?;
    checklist_record::healed(id)
}

async fn a_person_states_what_the_cluster_cannot_see(fleet: &Fleet) -> Result<()> {
    state(fleet, "no-dumps", "NoCoreDumps", "Attestation", SignedDuration::from_hours(24)).await?;
    let stated = line(fleet, Kind::TesseraNode, "a", "NoCoreDumps", "Attested", "Stated").await?;
    ensure!(part(&stated, "Pod") == "Verified" && part(&stated, "Host") == "Attested", "{stated}");
    line(fleet, Kind::TesseraNetwork, NETWORK, "NoCoreDumps", "Attested", "Stated").await?;
    // It can be taken back, and nobody can state for another.
    fleet.cluster.delete(Kind::TesseraAttestation, &fleet.namespace, "no-dumps").await?;
    line(fleet, Kind::TesseraNode, "a", "NoCoreDumps", "Unknown", "NotAttested").await?;
    let forged =
        statement("forged", "alice@bank", "NoCoreDumps", "Attestation", SignedDuration::from_hours(1));
    let refused = fleet.cluster.apply(Kind::TesseraAttestation, &fleet.namespace, &forged).await;
    let refused = format!("{:#}", refused.err().context("a statement for another was admitted")?);
    ensure!(refused.contains("tessera-operator-attestations"), "{refused}");
    Ok(())
}

/// The line stays Violated; it is accepted until the statement ends, by itself.
async fn a_person_accepts_a_violation_for_a_time(fleet: &Fleet) -> Result<()> {
    state(fleet, "software-seal", "HardwareKeys", "Exception", SignedDuration::from_secs(90)).await?;
    let accepted = |line: &Value| line["exception"]["name"] == "software-seal";
    for expected in [true, false] {
        wait::until(&format!("exception {expected}"), SEEN, || async {
            let line = line(fleet, Kind::TesseraNetwork, NETWORK, "HardwareKeys", "Violated", "SoftwareSeal")
                .await?;
            ensure!(accepted(&line) == expected, "{line}");
            Ok(())
        })
        .await?;
    }
    Ok(())
}

/// The best that this cluster can honestly show, which the closing line of `hack/e2e checklist` counts.
async fn with_all_that_a_person_can_state(fleet: &Fleet) -> Result<()> {
    // Of the store's tenancy this cluster sees that it does not hold: other pods share the store's machine.
    let lines = ["HostFirewall", "NoCoreDumps", "NoRemoteRoot"];
    for id in lines {
        state(fleet, &id.to_lowercase(), id, "Attestation", SignedDuration::from_hours(1)).await?;
    }
    wait::until("what a person states", SEEN, || async {
        let network = fleet.cluster.get(Kind::TesseraNetwork, &fleet.namespace, NETWORK).await?;
        let all = network["status"]["checklist"]["lines"].as_array().context("no lines")?;
        for id in lines {
            let line = all.iter().find(|line| line["id"] == id).context(id)?;
            ensure!(line["result"] == "Attested" || line["result"] == "Verified", "{line}");
        }
        checklist_record::best(all)
    })
    .await
}

async fn state(fleet: &Fleet, name: &str, line: &str, kind: &str, lasts: SignedDuration) -> Result<()> {
    let statement = statement(name, &fleet.cluster.user().await?, line, kind, lasts);
    fleet.cluster.apply(Kind::TesseraAttestation, &fleet.namespace, &statement).await.map(drop)
}

fn statement(name: &str, by: &str, line: &str, kind: &str, lasts: SignedDuration) -> Value {
    let expires = (Timestamp::now() + lasts).to_string();
    json!({
        "metadata": {"name": name},
        "spec": {
            "networkRef": {"name": NETWORK}, "line": line, "type": kind, "by": by,
            "statement": "Stated by a test of this cluster.", "expires": expires,
        },
    })
}

async fn the_plug_in_shows_all_lines(fleet: &Fleet) -> Result<()> {
    let text = fleet.plugin(&["checklist", NETWORK], &[]).await?;
    ensure!(text.contains("of the security checklist are satisfied"), "{text}");
    ensure!(text.matches("    observed:  ").count() == 14, "{text}");
    let json: Value =
        serde_json::from_str(&fleet.plugin(&["checklist", "--node", "a", "-o", "json"], &[]).await?)?;
    ensure!(json["lines"].as_array().is_some_and(|lines| lines.len() == 8), "{json}");
    Ok(())
}

/// Waits until the line has this result and reason; gives it back.
pub(super) async fn line(
    fleet: &Fleet,
    kind: Kind,
    name: &str,
    id: &str,
    result: &str,
    reason: &str,
) -> Result<Value> {
    wait::until(&format!("{name}: {id} {result} {reason}"), SEEN, || async {
        let object = fleet.cluster.get(kind, &fleet.namespace, name).await?;
        let lines = object["status"]["checklist"]["lines"].as_array();
        let found = lines.and_then(|lines| lines.iter().find(|line| line["id"] == id));
        let found = found.with_context(|| format!("no line yet: {}", object["status"]["checklist"]))?;
        ensure!(found["result"] == result && found["reason"] == reason, "{found}");
        Ok(found.clone())
    })
    .await
}

pub(super) fn part(line: &Value, name: &str) -> String {
    let parts = line["parts"].as_array();
    let part = parts.and_then(|parts| parts.iter().find(|part| part["name"] == name));
    part.and_then(|part| part["result"].as_str()).unwrap_or_default().to_owned()
}

async fn event(fleet: &Fleet, node: &str, reason: &str, mentions: &str) -> Result<()> {
    wait::until(&format!("event {reason} of {node}"), SEEN, || async {
        let events = fleet.cluster.list(Kind::Event, &fleet.namespace, "").await?;
        let is_it = |event: &Value| {
            event["reason"] == reason
                && event["involvedObject"]["name"] == node
                && event["message"].as_str().is_some_and(|message| message.contains(mentions))
        };
        ensure!(events.iter().any(is_it), "not among {} events", events.len());
        Ok(())
    })
    .await
}
