//! What the owner of the secret store changes shows in the checklist of each network: a role's addresses, a way in for people without
//! a second factor, check-and-set, the audit devices.

use anyhow::{Result, ensure};
use serde_json::{Value, json};
use tessera_e2e::checklist_record;
use tessera_e2e::cluster::Kind;
use tessera_e2e::fleet::{Fleet, NETWORK};

use super::line;

/// The pods of the local cluster, as Vault sees them.
const PODS: &str = "10.244.0.0/16";
/// An auth method for people, beside any that the cluster's Vault may have.
const PEOPLE: &str = "e2e-people";
const ENFORCEMENT: &str = "identity/mfa/login-enforcement/e2e-people";

/// Changes the one Vault of the cluster: `hack/e2e` runs tests of this prefix alone and last.
#[tokio::test]
async fn serial_the_store_s_owner_breaks_lines_and_puts_them_right() -> Result<()> {
    let fleet = Fleet::prepare("e2e-store-owner").await?;
    put_right(&fleet).await?;
    let outcome = breaks(&fleet).await;
    put_right(&fleet).await?;
    outcome?;
    for id in ["SecretStoreAccess", "KeyRotation"] {
        checklist_record::healed(id)?;
    }
    fleet.done().await
}

/// As `hack/cluster` leaves the Vault.
async fn put_right(fleet: &Fleet) -> Result<()> {
    fleet.vault.delete(ENFORCEMENT).await?;
    fleet.vault.delete(&format!("sys/auth/{PEOPLE}")).await?;
    enable_audit(fleet).await?;
    fleet.vault.write("secret/config", &json!({"cas_required": true})).await.map(drop)
}

/// Those that are missing: a file, and another pod's socket.
async fn enable_audit(fleet: &Fleet) -> Result<()> {
    let socket =
        json!({"address": "vault-audit.vault.svc:9090", "socket_type": "tcp", "write_timeout": "500ms"});
    let file = json!({"type": "file", "options": {"file_path": "stdout"}});
    let remote = json!({"type": "socket", "options": socket});
    let devices = fleet.vault.read("sys/audit").await?;
    for (name, device) in [("stdout", file), ("remote", remote)] {
        if devices["data"].get(format!("{name}/")).is_none() {
            fleet.vault.write(&format!("sys/audit/{name}"), &device).await?;
        }
    }
    Ok(())
}

async fn breaks(fleet: &Fleet) -> Result<()> {
    fleet.cluster.apply(Kind::TesseraNetwork, &fleet.namespace, &manifest(fleet)).await?;
    fleet.set_up_store().await?;
    let holds = of_network(fleet, "SecretStoreAccess", "Verified", "Observed").await?;
    ensure!(holds["observer"] == "Store" && holds["observed"].to_string().contains(PODS), "{holds}");
    no_audit_device(fleet).await?;
    people_log_in_without_a_second_factor(fleet).await?;
    the_role_lets_in_any_address(fleet).await?;
    no_check_and_set(fleet).await
}

fn manifest(fleet: &Fleet) -> Value {
    let mut network = fleet.network_manifest();
    network["spec"]["secretStore"]["vault"]["sourceCIDRs"] = json!([PODS]);
    network["spec"]["checklist"] = json!({"probeEvery": "10s"});
    // Nobody is there: the line speaks of the store as long as the network has no node.
    network["spec"]["logging"] = json!({"otlp": {
        "endpoint": format!("https://collector.{}.svc:4318", fleet.namespace),
        "caBundleRef": {"name": "vault-ca"},
        "egress": [{"podSelector": {"matchLabels": {"app": "collector"}}, "port": 4318}],
    }});
    network
}

async fn of_network(fleet: &Fleet, id: &str, result: &str, reason: &str) -> Result<Value> {
    line(fleet, Kind::TesseraNetwork, NETWORK, id, result, reason).await
}

/// Of the audit devices that Vault shows its auditor.
async fn no_audit_device(fleet: &Fleet) -> Result<()> {
    of_network(fleet, "CentralLogging", "Unknown", "NoNode").await?;
    for name in ["remote", "stdout"] {
        fleet.vault.delete(&format!("sys/audit/{name}")).await?;
    }
    let none = of_network(fleet, "CentralLogging", "Violated", "NoAuditDevice").await?;
    ensure!(none["observer"] == "Store" && none["remedy"].is_string(), "{none}");
    enable_audit(fleet).await?;
    of_network(fleet, "CentralLogging", "Unknown", "NoNode").await.map(drop)
}

/// Of the auth methods, and of what asks for a second factor.
async fn people_log_in_without_a_second_factor(fleet: &Fleet) -> Result<()> {
    fleet.vault.write(&format!("sys/auth/{PEOPLE}"), &json!({"type": "userpass"})).await?;
    let open = of_network(fleet, "SecretStoreAccess", "Violated", "NoMfa").await?;
    ensure!(open["observed"].to_string().contains(&format!("auth/{PEOPLE}/ (userpass)")), "{open}");
    let methods = fleet.vault.read("sys/auth").await?;
    let accessor = &methods["data"][format!("{PEOPLE}/")]["accessor"];
    let factor = fleet.vault.write("identity/mfa/method/totp", &json!({"issuer": "e2e"})).await?;
    let factor = &factor["data"]["method_id"];
    let enforcement = json!({"mfa_method_ids": [factor], "auth_method_accessors": [accessor]});
    fleet.vault.write(ENFORCEMENT, &enforcement).await?;
    let covered = of_network(fleet, "SecretStoreAccess", "Verified", "Observed").await?;
    ensure!(
        covered["observed"].to_string().contains(&format!("auth/{PEOPLE}/ need a second factor")),
        "{covered}"
    );
    fleet.vault.delete(ENFORCEMENT).await?;
    of_network(fleet, "SecretStoreAccess", "Violated", "NoMfa").await?;
    fleet.vault.delete(&format!("sys/auth/{PEOPLE}")).await?;
    of_network(fleet, "SecretStoreAccess", "Verified", "Observed").await?;
    let factor = factor.as_str().unwrap_or_default();
    fleet.vault.delete(&format!("identity/mfa/method/totp/{factor}")).await
}

/// Of the role, which Vault shows its auditor.
async fn the_role_lets_in_any_address(fleet: &Fleet) -> Result<()> {
    let role = format!("auth/kubernetes/role/{}", fleet.role);
    fleet.vault.write(&role, &json!({"token_bound_cidrs": []})).await?;
    let differs = of_network(fleet, "SecretStoreAccess", "Violated", "RoleDiffers").await?;
    ensure!(differs["observed"].to_string().contains("token_bound_cidrs"), "{differs}");
    fleet.set_up_store().await?;
    of_network(fleet, "SecretStoreAccess", "Verified", "Observed").await.map(drop)
}

/// Of the engine's settings. A node gets its key from it with check-and-set required, and from the pods' addresses alone.
async fn no_check_and_set(fleet: &Fleet) -> Result<()> {
    fleet.create_node("a").await?;
    fleet.node_ready("a").await?;
    of_network(fleet, "KeyRotation", "Enforced", "NoSchedule").await?;
    fleet.vault.write("secret/config", &json!({"cas_required": false})).await?;
    of_network(fleet, "KeyRotation", "Violated", "NoCheckAndSet").await?;
    fleet.vault.write("secret/config", &json!({"cas_required": true})).await?;
    of_network(fleet, "KeyRotation", "Enforced", "NoSchedule").await.map(drop)
}
