//! Against a real Vault, started here on loopback: `store-setup` sets it up, the operator's probe reads it as its auditor, and the
//! checklist says what a person broke.
#![allow(clippy::unwrap_used, clippy::panic, reason = "helpers of tests may panic as tests do")]

mod vault;

use std::collections::BTreeSet;
use std::net::TcpListener;

use tessera_crds::checklist::Line;
use tessera_operator::checklist::NETWORK_LINES;
use tessera_operator::checklist::clear_text::ClearTextFacts;
use tessera_operator::checklist::facts::{CollectorFact, NetworkFacts, StoreAnswer, StoreFacts};
use tessera_operator::checklist::finding::Finding;
use tessera_operator::checklist::statements::Statements;
use tessera_operator::checklist::store_facts::{AuditorAnswer, AuditorFacts, LoginOutcome};
use tessera_operator::probe::vault::Vault as Probe;
use tessera_store_objects::Wanted;

use vault::Vault;

const ROLE: &str = "auth/kubernetes/role/tessera-org-a";
const ACCESS: Line = Line::SecretStoreAccess;

fn wanted(vault: &Vault) -> Wanted {
    Wanted::new(vault.network.spec.secret_store.vault.as_ref().unwrap(), "org-a", None)
}

/// What the operator's probe finds now.
async fn audit(vault: &Vault) -> AuditorAnswer {
    let spec = vault.network.spec.secret_store.vault.as_ref().unwrap();
    let probe = Probe::new(spec, &std::fs::read(vault.ca()).unwrap(), None).unwrap();
    probe.audit(&vault.token(), &wanted(vault)).await.unwrap()
}

async fn shown(vault: &Vault) -> AuditorFacts {
    match audit(vault).await {
        AuditorAnswer::Shows(facts) => AuditorFacts::clone(&facts),
        other => panic!("{other:?}"),
    }
}

/// What the checklist says now of a network without nodes.
async fn judged(vault: &Vault, id: Line) -> Finding {
    let store = StoreAnswer::Shows(StoreFacts { seal_type: "shamir".into(), auditor: audit(vault).await });
    let clear_text = ClearTextFacts {
        rules: None,
        searched: Vec::new(),
        not_searched: Vec::new(),
        pending: Vec::new(),
        objects: 0,
        found: BTreeSet::new(),
        operator_log: tessera_node_api::admin::LogSearchStatus::default(),
    };
    let facts = NetworkFacts {
        vault: vault.network.spec.secret_store.vault.as_ref(),
        store,
        operator_log: None,
        collector: CollectorFact::Named,
        statements: Statements::default(),
        nodes: &[],
        clear_text: &clear_text,
        cluster: &tessera_operator::checklist::cluster::ClusterFacts::default(),
        hardware_minimum: tessera_crds::checklist::HardwareLevel::default(),
        leak_is_known: false,
        custodians: None,
    };
    let line = NETWORK_LINES.iter().find(|line| line.id == id).unwrap();
    (line.judge)(&facts, jiff::Timestamp::now())
}

/// Waits for nothing: the store shows a change at once.
async fn expect(vault: &Vault, id: Line, result: &str, names: &str) {
    let finding = judged(vault, id).await;
    assert_eq!(format!("{} {}", finding.result, finding.reason), result, "{}", finding.observed);
    assert!(finding.observed.contains(names), "{names:?} is not in {:?}", finding.observed);
}

async fn holds(vault: &Vault) {
    expect(vault, ACCESS, "Verified Observed", "127.0.0.0/8").await;
}

async fn start() -> Vault {
    let _ = rustls::crypto::aws_lc_rs::default_provider().install_default();
    Vault::start().await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_store_that_was_set_up_shows_its_auditor_what_a_person_breaks() {
    let vault = start().await;
    assert_eq!(audit(&vault).await, AuditorAnswer::NotProvisioned);
    let text = vault.store_setup(&["--dry-run"]);
    for part in [
        "vault policy write tessera-prod-eu1-org-a-auditor",
        "vault write identity/mfa/login-enforcement",
        "127.0.0.0/8",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    assert_eq!(audit(&vault).await, AuditorAnswer::NotProvisioned, "a dry run changes nothing");
    let text = vault.store_setup(&[]);
    assert!(text.contains("kept        check-and-set is not required at secret/"), "{text}");
    let again = vault.store_setup(&[]);
    assert!(!again.contains("  done"), "{again}");
    holds(&vault).await;

    the_role_and_its_policies(&vault).await;
    addresses(&vault).await;
    a_second_factor(&vault).await;
    the_engine(&vault).await;
    audit_devices(&vault).await;
    an_auditor_reads_no_key_and_changes_nothing(&vault);
    a_store_that_an_earlier_store_setup_set_up(&vault).await;
}

/// Each is broken as its administrator would, and put right by `store-setup`.
async fn the_role_and_its_policies(vault: &Vault) {
    let breaks: [(&[&str], &str, &str); 5] = [
        (&["write", ROLE, "token_bound_cidrs="], "Violated RoleDiffers", "token_bound_cidrs is []"),
        (
            &["write", ROLE, "bound_service_account_names=*"],
            "Violated RoleDiffers",
            "bound_service_account_names",
        ),
        (&["write", ROLE, "token_max_ttl=768h"], "Violated RoleDiffers", "token_max_ttl"),
        (&["write", ROLE, "audience="], "Violated RoleDiffers", "audience"),
        (
            &["write", ROLE, "token_policies=tessera-prod-eu1-org-a,default"],
            "Violated RoleDiffers",
            "default",
        ),
    ];
    for (command, result, names) in breaks {
        vault.cli(command);
        expect(vault, ACCESS, result, names).await;
        vault.store_setup(&[]);
        holds(vault).await;
    }
    for policy in ["tessera-prod-eu1-org-a", "tessera-prod-eu1-org-a-auditor"] {
        let text = vault.cli(&["policy", "read", policy]);
        let more =
            format!("{}\npath \"sys/*\" {{\n  capabilities = [\"read\", \"sudo\"]\n}}\n", text.trim_end());
        vault.cli(&["policy", "write", policy, &vault.file("policy.hcl", &more)]);
        expect(vault, ACCESS, "Violated PolicyDiffers", "path \"sys/*\"").await;
        vault.store_setup(&[]);
        holds(vault).await;
    }
}

async fn addresses(vault: &Vault) {
    let facts = shown(vault).await;
    assert_eq!((facts.inside, facts.outside), (LoginOutcome::Served, LoginOutcome::Refused));
    // The operator's address is no longer among them, as when it moves.
    vault.cli(&["write", &format!("{ROLE}-probe-inside"), "token_bound_cidrs=198.51.100.0/24"]);
    expect(vault, ACCESS, "Unknown ProbeRoleDiffers", "tessera-org-a-probe-inside").await;
    assert_eq!(shown(vault).await.inside, LoginOutcome::Refused);
    vault.store_setup(&[]);
    vault.cli(&["write", &format!("{ROLE}-probe-outside"), "token_bound_cidrs="]);
    expect(vault, ACCESS, "Unknown ProbeRoleDiffers", "tessera-org-a-probe-outside").await;
    assert_eq!(shown(vault).await.outside, LoginOutcome::Served);
    vault.store_setup(&[]);
    holds(vault).await;
}

async fn a_second_factor(vault: &Vault) {
    vault.cli(&["auth", "enable", "userpass"]);
    expect(vault, ACCESS, "Violated NoMfa", "auth/userpass/ (userpass)").await;
    let method = vault.cli(&["write", "-field=method_id", "identity/mfa/method/totp", "issuer=vault"]);
    let enforcement = "identity/mfa/login-enforcement/people";
    let (method, kind) = (format!("mfa_method_ids={}", method.trim()), "auth_method_types=userpass");
    vault.cli(&["write", enforcement, &method, kind]);
    expect(vault, ACCESS, "Verified Observed", "auth/userpass/ need a second factor").await;
    let facts = shown(vault).await;
    let accessor =
        facts.methods.unwrap().into_iter().find(|method| method.mount == "userpass/").unwrap().accessor;
    vault.cli(&["delete", enforcement]);
    expect(vault, ACCESS, "Violated NoMfa", "auth/userpass/").await;
    vault.cli(&["write", enforcement, &method, &format!("auth_method_accessors={accessor}")]);
    expect(vault, ACCESS, "Verified Observed", "auth/userpass/").await;
    vault.cli(&["delete", enforcement]);
    vault.cli(&["auth", "disable", "userpass"]);
    holds(vault).await;
}

async fn the_engine(vault: &Vault) {
    expect(vault, Line::KeyRotation, "Violated NoCheckAndSet", "secret/").await;
    vault.cli(&["write", "secret/config", "cas_required=true"]);
    expect(vault, Line::KeyRotation, "Unknown NoNode", "requires check-and-set").await;
    vault.cli(&["write", "secret/config", "delete_version_after=720h"]);
    expect(vault, Line::KeyRotation, "Violated VersionsDeleted", "720h").await;
    vault.cli(&["write", "secret/config", "delete_version_after=0s"]);
    expect(vault, Line::KeyRotation, "Unknown NoNode", "requires check-and-set").await;
}

async fn audit_devices(vault: &Vault) {
    let line = Line::CentralLogging;
    expect(vault, line, "Violated NoAuditDevice", "no audit device").await;
    let file = format!("file_path={}", vault.directory().join("audit.log").display());
    vault.cli(&["audit", "enable", "file", &file]);
    expect(vault, line, "Unknown NoNode", "").await;
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = format!("address={}", listener.local_addr().unwrap());
    vault.cli(&["audit", "enable", "socket", &address, "socket_type=tcp"]);
    let devices = shown(vault).await.devices.unwrap();
    let kinds: Vec<_> =
        devices.iter().map(|device| (device.kind.as_str(), device.remote, device.raw)).collect();
    assert_eq!(
        kinds,
        [("file", false, false), ("socket", false, false)],
        "a socket of this machine is not remote"
    );
    vault.cli(&["audit", "disable", "socket"]);
    vault.cli(&["audit", "disable", "file"]);
    vault.cli(&["audit", "enable", "file", &file, "log_raw=true"]);
    expect(vault, line, "Violated AuditLogsSecrets", "file/").await;
    vault.cli(&["audit", "disable", "file"]);
    expect(vault, line, "Violated NoAuditDevice", "").await;
}

fn an_auditor_reads_no_key_and_changes_nothing(vault: &Vault) {
    vault.cli(&[
        "kv",
        "put",
        "-cas=0",
        "secret/prod-eu1/org-a/org-a/tessera-node-a/keys/main/1",
        "privateKey=x",
    ]);
    let policy = vault.file("none.hcl", "# none\n");
    for role in ["tessera-org-a-auditor", "tessera-org-a-probe-inside"] {
        let denied: [&[&str]; 5] = [
            &["kv", "get", "secret/prod-eu1/org-a/org-a/tessera-node-a/keys/main/1"],
            &["audit", "enable", "file", "file_path=/dev/null"],
            &["auth", "enable", "userpass"],
            &["policy", "write", "tessera-prod-eu1-org-a-auditor", &policy],
            &["write", ROLE, "token_bound_cidrs="],
        ];
        for arguments in denied {
            let (succeeded, text) = vault.as_role(role, arguments);
            assert!(!succeeded && text.contains("403"), "{role} {arguments:?}: {text}");
        }
    }
    assert!(vault.as_role("tessera-org-a-auditor", &["read", ROLE]).0);
    assert!(!vault.as_role("tessera-org-a-probe-inside", &["read", ROLE]).0);
}

async fn a_store_that_an_earlier_store_setup_set_up(vault: &Vault) {
    vault.cli(&["policy", "delete", "tessera-prod-eu1-org-a-auditor"]);
    expect(vault, ACCESS, "Unknown RoleNotRead", "did not show").await;
    for role in ["-auditor", "-probe-inside", "-probe-outside"] {
        vault.cli(&["delete", &format!("{ROLE}{role}")]);
    }
    expect(vault, ACCESS, "Unknown RoleNotRead", "no role for an auditor").await;
    vault.store_setup(&[]);
    holds(vault).await;
}
