//! Lines that follow from what the secret store shows to its auditor.

use serde_json::{Value, json};
use tessera_store_objects::Wanted;

use super::*;
use crate::checklist::facts::{CollectorFact, StoreAnswer, StoreFacts};
use crate::checklist::store_facts::{
    AuditDevice, AuditorAnswer, AuditorFacts, AuthMethod, KvFacts, LoginOutcome, MfaEnforcement, RoleFacts,
};
use crate::fixtures::{network, network_json};

fn network_of(cidrs: &[&str]) -> tessera_crds::TesseraNetwork {
    let mut json = network_json();
    json["spec"]["secretStore"]["vault"]["sourceCIDRs"] = json!(cidrs);
    network(json)
}

fn role(document: &Value) -> Option<RoleFacts> {
    serde_json::from_value(document.clone()).ok()
}

fn method(kind: &str) -> AuthMethod {
    AuthMethod { mount: format!("{kind}/"), kind: kind.into(), accessor: format!("auth_{kind}_1") }
}

fn device(kind: &str, remote: bool) -> AuditDevice {
    AuditDevice { path: format!("{kind}/"), kind: kind.into(), remote, raw: false }
}

/// A store as it should be.
fn good() -> AuditorFacts {
    let network = network_of(&["10.244.0.0/16"]);
    let wanted = Wanted::new(network.spec.secret_store.vault.as_ref().unwrap(), "org-a", None);
    AuditorFacts {
        login_policies: vec![wanted.auditor_policy_name()],
        role: role(&wanted.role_document()),
        inside_role: role(&wanted.inside_role_document()),
        outside_role: role(&wanted.outside_role_document()),
        inside: LoginOutcome::Served,
        outside: LoginOutcome::Refused,
        policy: Some(wanted.policy("auth_kubernetes_1")),
        auditor_policy: Some(wanted.auditor_policy()),
        methods: Some(vec![method("kubernetes"), method("token")]),
        enforcements: Some(Vec::new()),
        devices: Some(vec![device("file", false), device("socket", true)]),
        kv: Some(KvFacts { is_version_2: true, cas_required: true, deletes_after: None }),
        wanted,
    }
}

fn judged(id: Line, auditor: AuditorAnswer, nodes: &[Arc<TesseraNode>]) -> Finding {
    let network = network_of(&["10.244.0.0/16"]);
    let line = NETWORK_LINES.iter().find(|line| line.id == id).unwrap();
    let facts = NetworkFacts {
        vault: network.spec.secret_store.vault.as_ref(),
        store: StoreAnswer::Shows(StoreFacts { seal_type: "shamir".into(), auditor }),
        collector: CollectorFact::Named,
        operator_log: Some(&central_logging::accepted_log()),
        nodes,
        ..network_facts()
    };
    (line.judge)(&facts, now())
}

fn shown(id: Line, facts: AuditorFacts, nodes: &[Arc<TesseraNode>]) -> Finding {
    judged(id, AuditorAnswer::Shows(Arc::new(facts)), nodes)
}

/// What `SecretStoreAccess` says of the good store after `change`.
fn access(change: impl FnOnce(&mut AuditorFacts)) -> Finding {
    let mut facts = good();
    change(&mut facts);
    shown(Line::SecretStoreAccess, facts, &[])
}

fn changed(document: Value, member: &str, value: Value) -> Option<RoleFacts> {
    let mut document = document;
    document[member] = value;
    role(&document)
}

#[test]
fn access_is_verified_when_role_policies_addresses_and_second_factors_are_right() {
    let holds = access(|_| ());
    assert_eq!(said(&holds), "Verified Observed");
    assert!(holds.observed.contains("10.244.0.0/16"), "{}", holds.observed);
    assert!(holds.observed.contains("no auth method for people is enabled"), "{}", holds.observed);
    let line = Line::SecretStoreAccess;
    assert_eq!(said(&judged(line, AuditorAnswer::NotProvisioned, &[])), "Unknown RoleNotRead");
    assert_eq!(said(&judged(line, AuditorAnswer::Failed("no".into()), &[])), "Unknown AuditorRefused");
    assert_eq!(said(&judged(line, AuditorAnswer::StoreSilent, &[])), "Unknown StoreSilent");
    assert!(judged(line, AuditorAnswer::NotAskedYet, &[]).keeps_known);
}

#[test]
fn a_role_that_binds_less_is_named_with_its_member() {
    let wanted = good().wanted.role_document();
    for (member, value) in [
        ("bound_service_account_names", json!(["*"])),
        ("bound_service_account_namespaces", json!(["org-a", "org-b"])),
        ("bound_service_account_namespace_selector", json!("{}")),
        ("audience", json!("")),
        ("alias_name_source", json!("serviceaccount_uid")),
        ("token_policies", json!(["tessera-prod-eu1-org-a", "admin"])),
        ("token_bound_cidrs", json!(null)),
        ("token_bound_cidrs", json!(["10.0.0.0/8"])),
        ("token_no_default_policy", json!(false)),
        ("token_ttl", json!(0)),
        ("token_max_ttl", json!(172_800)),
        ("token_period", json!(60)),
    ] {
        let differs = access(|facts| facts.role = changed(wanted.clone(), member, value));
        assert_eq!(said(&differs), "Violated RoleDiffers", "{member}");
        assert!(differs.observed.contains(member), "{}", differs.observed);
    }
    let shorter = access(|facts| facts.role = changed(wanted.clone(), "token_ttl", json!(600)));
    assert_eq!(said(&shorter), "Verified Observed", "a shorter life is no weakness");
}

#[test]
fn a_policy_that_grants_more_is_quoted() {
    let more = access(|facts| {
        facts.policy.as_mut().unwrap().push_str("path \"secret/*\" {\n  capabilities = [\"read\"]\n}\n");
    });
    assert_eq!(said(&more), "Violated PolicyDiffers");
    assert!(more.observed.contains("path \"secret/*\""), "{}", more.observed);
    let sudo = access(|facts| {
        let policy = facts.auditor_policy.as_mut().unwrap();
        *policy = policy.replacen("[\"read\"]", "[\"read\", \"sudo\"]", 1);
    });
    assert_eq!(said(&sudo), "Violated PolicyDiffers");
    let gone = access(|facts| facts.policy = Some(String::new()));
    assert_eq!(said(&gone), "Violated PolicyDiffers");
    let besides = access(|facts| facts.login_policies.push("admin".into()));
    assert_eq!(said(&besides), "Violated PolicyDiffers");
    let comment = access(|facts| facts.policy.as_mut().unwrap().push_str("\n# by us\n"));
    assert_eq!(said(&comment), "Verified Observed");
}

#[test]
fn a_refusal_counts_only_beside_its_control() {
    assert_eq!(said(&access(|facts| facts.outside = LoginOutcome::Served)), "Violated CidrNotEnforced");
    assert_eq!(said(&access(|facts| facts.inside = LoginOutcome::Refused)), "Unknown ControlRefused");
    let unclear = || LoginOutcome::Unclear("HTTP 400: invalid role name".into());
    assert_eq!(said(&access(|facts| facts.inside = unclear())), "Unknown ControlRefused");
    assert_eq!(said(&access(|facts| facts.outside = unclear())), "Unknown ProbeUnclear");
    // Refused for another reason than its address, or served by addresses that hold the operator.
    for (member, value) in
        [("bound_service_account_names", json!(["nobody"])), ("token_bound_cidrs", json!(["10.244.0.0/16"]))]
    {
        for outcome in [LoginOutcome::Refused, LoginOutcome::Served] {
            let differs = access(|facts| {
                facts.outside_role = changed(facts.wanted.outside_role_document(), member, value.clone());
                facts.outside = outcome;
            });
            assert_eq!(said(&differs), "Unknown ProbeRoleDiffers");
        }
    }
}

#[test]
fn people_need_a_second_factor_at_each_mount() {
    let with = |kind: &str, enforcements: Vec<MfaEnforcement>| {
        access(|facts| {
            facts.methods.as_mut().unwrap().push(method(kind));
            facts.enforcements = Some(enforcements);
        })
    };
    let of = |factors, accessor: &str, kind: &str| {
        vec![MfaEnforcement { factors, accessors: vec![accessor.into()], kinds: vec![kind.into()] }]
    };
    for kind in ["userpass", "ldap", "oidc", "okta", "github", "radius", "saml"] {
        let open = with(kind, Vec::new());
        assert_eq!(said(&open), "Violated NoMfa");
        assert!(open.observed.contains(&format!("auth/{kind}/ ({kind})")), "{}", open.observed);
    }
    assert_eq!(said(&with("userpass", of(1, "auth_userpass_2", "ldap"))), "Violated NoMfa", "another's");
    assert_eq!(said(&with("userpass", of(0, "auth_userpass_1", ""))), "Violated NoMfa", "no factor");
    for enforcement in [of(1, "auth_userpass_1", ""), of(1, "", "userpass")] {
        let covered = with("userpass", enforcement);
        assert_eq!(said(&covered), "Verified Observed");
        assert!(covered.observed.contains("auth/userpass/ need a second factor"), "{}", covered.observed);
    }
    for kind in ["jwt", "cert", "vault-plugin-auth-own"] {
        assert_eq!(said(&with(kind, Vec::new())), "Enforced MethodNotSeen", "{kind}");
        assert_eq!(said(&with(kind, of(1, "", kind))), "Verified Observed", "{kind}");
    }
    for kind in ["approle", "aws", "vault-plugin-auth-kubernetes"] {
        assert_eq!(said(&with(kind, Vec::new())), "Verified Observed", "{kind}");
    }
}

#[test]
fn every_address_is_no_allow_list() {
    for cidrs in [&["0.0.0.0/0"][..], &["10.244.0.0/16", "::/0"]] {
        let network = network_of(cidrs);
        let facts = NetworkFacts { vault: network.spec.secret_store.vault.as_ref(), ..network_facts() };
        let line = NETWORK_LINES.iter().find(|line| line.id == Line::SecretStoreAccess).unwrap();
        assert_eq!(said(&(line.judge)(&facts, now())), "Violated NoSourceCIDRs");
    }
}

#[test]
fn rotation_rests_on_an_engine_that_keeps_versions_and_checks() {
    let nodes = [node_with(Line::KeyRotation, LineResult::Enforced, "r")];
    let with = |change: fn(&mut AuditorFacts)| {
        let mut facts = good();
        change(&mut facts);
        shown(Line::KeyRotation, facts, &nodes)
    };
    let holds = with(|_| ());
    assert_eq!(said(&holds), "Enforced r");
    assert!(holds.observed.ends_with("secret/ requires check-and-set and deletes no version by itself"));
    assert_eq!(
        said(&with(|facts| facts.kv.as_mut().unwrap().cas_required = false)),
        "Violated NoCheckAndSet"
    );
    assert_eq!(said(&with(|facts| facts.kv.as_mut().unwrap().is_version_2 = false)), "Violated NoVersions");
    let deletes = with(|facts| facts.kv.as_mut().unwrap().deletes_after = Some("720h".into()));
    assert_eq!(said(&deletes), "Violated VersionsDeleted");
    let unread = with(|facts| facts.kv = None);
    assert_eq!(said(&unread), "Enforced r");
    assert!(unread.observed.contains("nobody read"), "{}", unread.observed);
    let verified = [node_with(Line::KeyRotation, LineResult::Verified, "r")];
    assert_eq!(said(&shown(Line::KeyRotation, good(), &verified)), "Verified r");
    let unread = AuditorFacts { kv: None, ..good() };
    assert_eq!(said(&shown(Line::KeyRotation, unread, &verified)), "Enforced StoreNotRead");
    assert!(judged(Line::KeyRotation, AuditorAnswer::NotAskedYet, &nodes).keeps_known);
    let violated = [node_with(Line::KeyRotation, LineResult::Violated, "r")];
    assert_eq!(said(&judged(Line::KeyRotation, AuditorAnswer::NotAskedYet, &violated)), "Violated r");
}

#[test]
fn logging_counts_the_store_s_audit_devices() {
    let nodes = [node_with(Line::CentralLogging, LineResult::Verified, "r")];
    let with = |devices: Option<Vec<AuditDevice>>| {
        shown(Line::CentralLogging, AuditorFacts { devices, ..good() }, &nodes)
    };
    let several = with(good().devices);
    assert_eq!(said(&several), "Enforced LedgerLogsNotSeen");
    assert!(
        several.observed.ends_with("nobody observed where these go: the ledger nodes' logs"),
        "{several:?}"
    );
    assert!(several.observed.contains("file/ (file), socket/ (socket, remote)"), "{}", several.observed);
    assert_eq!(said(&with(Some(vec![device("file", false)]))), "Enforced AuditNotRemote");
    assert_eq!(said(&with(Some(vec![device("socket", true)]))), "Enforced AuditNotRemote");
    assert_eq!(
        said(&with(Some(vec![device("file", false), device("syslog", false)]))),
        "Enforced AuditNotRemote"
    );
    assert_eq!(said(&with(Some(Vec::new()))), "Violated NoAuditDevice");
    assert_eq!(said(&with(None)), "Enforced DependenciesNotSeen");
    let raw = AuditDevice { raw: true, ..device("socket", true) };
    assert_eq!(said(&with(Some(vec![device("file", false), raw]))), "Violated AuditLogsSecrets");
    let silent = [node_with(Line::CentralLogging, LineResult::Unknown, "r")];
    let without = AuditorFacts { devices: Some(Vec::new()), ..good() };
    assert_eq!(said(&shown(Line::CentralLogging, without, &silent)), "Violated NoAuditDevice");
    assert!(judged(Line::CentralLogging, AuditorAnswer::NotAskedYet, &nodes).keeps_known);
}

proptest! {
    /// However many facts are missing or wrong, only the whole is Verified, and what else is there makes up for none.
    #[test]
    fn nothing_but_the_whole_is_verified(spoilt in prop::collection::btree_set(0_usize..17, 0..4)) {
        let finding = access(|facts| {
            for fact in &spoilt {
                match fact {
                    0 => facts.role = None,
                    1 => facts.role = Some(RoleFacts::default()),
                    2 => facts.inside_role = None,
                    3 => facts.outside_role = None,
                    4 => facts.inside_role = Some(RoleFacts::default()),
                    5 => facts.outside_role = facts.inside_role.clone(),
                    6 => facts.inside = LoginOutcome::Refused,
                    7 => facts.inside = LoginOutcome::Unclear(String::new()),
                    8 => facts.outside = LoginOutcome::Served,
                    9 => facts.outside = LoginOutcome::Unclear(String::new()),
                    10 => facts.policy = None,
                    11 => facts.policy = Some("path \"*\" {}".into()),
                    12 => facts.auditor_policy = None,
                    13 => facts.methods = None,
                    14 => facts.methods = Some(vec![method("token")]),
                    15 => facts.methods.get_or_insert_default().push(method("userpass")),
                    _ => facts.enforcements = None,
                }
            }
        });
        prop_assert_eq!(finding.result == LineResult::Verified, spoilt.is_empty(), "{:?}", finding);
        prop_assert_eq!(finding.remedy.is_none(), spoilt.is_empty());
        for line in NETWORK_LINES {
            let none = AuditorFacts {
                role: None, inside_role: None, outside_role: None, policy: None, auditor_policy: None,
                methods: None, enforcements: None, devices: None, kv: None, ..good()
            };
            let finding = shown(line.id, none, &[]);
            prop_assert!(
                !matches!(line.id, Line::SecretStoreAccess | Line::KeyRotation | Line::CentralLogging)
                    || finding.result != LineResult::Verified
            );
        }
    }
}
