//! `SecretStoreAccess`: the secret store lets in allow-listed addresses only, and asks people for a second factor. Pure.
//!
//! - Enforced by: the login role, which `kubectl tessera store-setup` binds to `vault.sourceCIDRs`; the store's owner, who has the
//!   auth methods for people ask for a second factor.
//! - Observed by: the secret store, which shows its auditor the role, the policies, the auth methods and what they ask for. The
//!   operator, with one token: a role without any policy lets it in by its own address, and the same role but for its addresses
//!   refuses it. Without the first the refusal would prove nothing.
//! - Not observed: a root token, and what a proxy before the store does to addresses of others.

use jiff::Timestamp;
use serde::Deserialize as _;
use tessera_crds::checklist::{Line, Observer};
use tessera_store_objects::NOBODY;

use super::facts::NetworkFacts;
use super::finding::Finding;
use super::store_facts::{AuditorAnswer, AuditorFacts, LoginOutcome, RoleFacts, Users};
use super::{EVIDENCE_LASTS, NetworkLine};

pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::SecretStoreAccess, evidence_lasts: EVIDENCE_LASTS, judge };

const SET_UP: &str = "run kubectl tessera store-setup again";

fn judge(facts: &NetworkFacts<'_>, _: Timestamp) -> Finding {
    let Some(cidrs) = facts.vault.map(|vault| &vault.source_cidrs).filter(|cidrs| !cidrs.is_empty()) else {
        return any_address(
            "secretStore.vault.sourceCIDRs is empty: a login may be used from any address".into(),
        );
    };
    if let Some(all) = cidrs.iter().find(|cidr| cidr.ends_with("/0")) {
        let all: &str = all;
        return any_address(format!("secretStore.vault.sourceCIDRs holds {all}: that is every address"));
    }
    match facts.auditor() {
        AuditorAnswer::NotAskedYet => Finding::not_asked_yet("the secret store"),
        AuditorAnswer::StoreSilent => Finding::unknown(
            "StoreSilent",
            "the secret store did not show whom it lets in",
            "kubectl describe the TesseraNetwork: SecretStoreReady says why",
        ),
        AuditorAnswer::NotProvisioned => Finding::unknown(
            "RoleNotRead",
            "sourceCIDRs are set; whether the store's role has them, and whether people need a second factor, nobody reads: the store has no role for an auditor",
            "run kubectl tessera store-setup again: it makes the auditor's role",
        ),
        AuditorAnswer::Failed(why) => Finding::unknown(
            "AuditorRefused",
            format!("the secret store showed the auditor nothing: {why}"),
            "read the store's audit log; run kubectl tessera store-setup again: it puts the auditor's role right",
        ),
        AuditorAnswer::Shows(shown) => of_store(shown),
    }
}

fn any_address(observed: String) -> Finding {
    Finding::violated(
        "NoSourceCIDRs",
        Observer::ApiServer,
        observed,
        "set secretStore.vault.sourceCIDRs to the networks of nodes and operator, then run kubectl tessera store-setup again",
    )
}

/// What was seen not to hold counts, whatever else is missing.
fn of_store(shown: &AuditorFacts) -> Finding {
    violation(shown).or_else(|| missing(shown)).or_else(|| unclear_method(shown)).unwrap_or_else(|| {
        Finding::verified(
            Observer::Store,
            format!(
                "roles and policies are as store-setup writes them; the operator got in by an address of {}, and was refused with the same token where only {} may come in; {} (no look at root tokens)",
                shown.wanted.source_cidrs.join(", "),
                NOBODY,
                second_factors(shown)
            ),
        )
    })
}

fn violation(shown: &AuditorFacts) -> Option<Finding> {
    let wanted = &shown.wanted;
    let violated = |reason, observed, remedy| Finding::violated(reason, Observer::Store, observed, remedy);
    let role = shown.role.as_ref().and_then(|role| role.difference(&as_shown(&wanted.role_document())));
    if let Some(difference) = role {
        return Some(violated("RoleDiffers", format!("role {}: {difference}", wanted.role), SET_UP));
    }
    if let Some(observed) = policy_difference(shown) {
        return Some(violated("PolicyDiffers", observed, SET_UP));
    }
    if probe_roles_are_right(shown) && shown.outside == LoginOutcome::Served {
        let observed = format!("the secret store let the operator in by a role for {NOBODY} alone");
        return Some(violated(
            "CidrNotEnforced",
            observed,
            "see to it that the store sees its clients' own addresses: a proxy before it must pass them on, and be trusted to",
        ));
    }
    let mounts = uncovered(shown, Users::People)?;
    Some(violated(
        "NoMfa",
        format!("people log in without a second factor at {mounts}"),
        "make a login enforcement for it: vault write identity/mfa/login-enforcement/NAME mfa_method_ids=… auth_method_accessors=…, or disable the auth method",
    ))
}

/// The policies are compared as texts: whatever else stands there grants something that is not needed.
fn policy_difference(shown: &AuditorFacts) -> Option<String> {
    let wanted = &shown.wanted;
    let auditors = wanted.auditor_policy_name();
    if let Some(other) = shown.login_policies.iter().find(|policy| **policy != auditors) {
        return Some(format!("the auditor's login has policy {other} besides its own"));
    }
    let accessor =
        shown.methods.iter().flatten().find(|method| method.mount == format!("{}/", wanted.auth_mount));
    let nodes = accessor.zip(shown.policy.as_ref());
    let nodes = nodes.and_then(|(method, found)| first_difference(found, &wanted.policy(&method.accessor)));
    let nodes = nodes.map(|line| (wanted.policy_name(), line));
    let own =
        shown.auditor_policy.as_ref().and_then(|found| first_difference(found, &wanted.auditor_policy()));
    let (name, line) = nodes.or_else(|| own.map(|line| (auditors, line)))?;
    Some(format!("policy {name} is not what store-setup writes: {line}"))
}

fn first_difference(found: &str, wanted: &str) -> Option<String> {
    let lines = |text: &'_ str| {
        let lines = text.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'));
        lines.map(str::to_owned).collect::<Vec<_>>()
    };
    let (found, wanted) = (lines(found), lines(wanted));
    if found == wanted {
        return None;
    }
    let at = found.iter().zip(&wanted).take_while(|(a, b)| a == b).count();
    Some(match (found.get(at), wanted.get(at)) {
        (Some(line), _) => format!("it has {}", line.chars().take(200).collect::<String>()),
        (None, line) => format!("it lacks {}", line.map(String::as_str).unwrap_or_default()),
    })
}

/// The first thing that is not known, and without which nothing is verified.
fn missing(shown: &AuditorFacts) -> Option<Finding> {
    let method = |mount: &str| shown.methods.iter().flatten().any(|method| method.mount == mount);
    let unread = [
        ("the nodes' role", shown.role.is_none()),
        ("the nodes' policy", shown.policy.is_none()),
        ("the auditor's policy", shown.auditor_policy.is_none()),
        ("the auth methods", shown.methods.is_none() || !method(&format!("{}/", shown.wanted.auth_mount))),
        ("what asks for a second factor", shown.enforcements.is_none()),
        ("the roles of the probes", shown.inside_role.is_none() || shown.outside_role.is_none()),
    ];
    if let Some((what, _)) = unread.into_iter().find(|(_, is_missing)| *is_missing) {
        return Some(Finding::unknown(
            "RoleNotRead",
            format!("the secret store did not show {what} to the auditor"),
            "run kubectl tessera store-setup again: it gives the auditor the right to read it",
        ));
    }
    if !probe_roles_are_right(shown) {
        return Some(Finding::unknown(
            "ProbeRoleDiffers",
            format!(
                "roles {} and {} are not as store-setup writes them, so that what they let in proves nothing",
                shown.wanted.inside_role(),
                shown.wanted.outside_role()
            ),
            SET_UP,
        ));
    }
    let said = |outcome: &LoginOutcome| match outcome {
        LoginOutcome::Served => "let it in".to_owned(),
        LoginOutcome::Refused => "refused it".to_owned(),
        LoginOutcome::Unclear(why) => format!("said: {why}"),
    };
    match (&shown.inside, &shown.outside) {
        (LoginOutcome::Served, LoginOutcome::Refused) => None,
        (LoginOutcome::Served, outside) => Some(Finding::unknown(
            "ProbeUnclear",
            format!("whether the store heeds addresses is unclear: it {}", said(outside)),
            "read the store's audit log",
        )),
        (inside, _) => Some(Finding::unknown(
            "ControlRefused",
            format!(
                "a role for sourceCIDRs did not let the operator in, so that a refusal proves nothing: the store {}",
                said(inside)
            ),
            "let secretStore.vault.sourceCIDRs hold the operator's address as the store sees it, then run kubectl tessera store-setup again",
        )),
    }
}

fn probe_roles_are_right(shown: &AuditorFacts) -> bool {
    let is = |found: &Option<RoleFacts>, wanted: &serde_json::Value| {
        found.as_ref().is_some_and(|found| found.difference(&as_shown(wanted)).is_none())
    };
    is(&shown.inside_role, &shown.wanted.inside_role_document())
        && is(&shown.outside_role, &shown.wanted.outside_role_document())
}

fn as_shown(document: &serde_json::Value) -> RoleFacts {
    RoleFacts::deserialize(document).unwrap_or_default()
}

/// Whether machines or people log in by it, the type of an auth method may not say.
fn unclear_method(shown: &AuditorFacts) -> Option<Finding> {
    let mounts = uncovered(shown, Users::Unclear)?;
    Some(Finding::enforced(
        "MethodNotSeen",
        format!(
            "roles, addresses and policies are as they should be; whether people log in without a second factor at {mounts}, its type does not say"
        ),
        "let people log in by another auth method with a login enforcement, or have an enforcement cover this one, too",
    ))
}

/// The mounts of `users` that ask for no second factor.
fn uncovered(shown: &AuditorFacts, users: Users) -> Option<String> {
    let (methods, enforcements) = (shown.methods.as_ref()?, shown.enforcements.as_ref()?);
    let open = methods.iter().filter(|method| method.users() == users && !method.is_covered(enforcements));
    let open: Vec<_> = open.map(|method| format!("auth/{} ({})", method.mount, method.kind)).collect();
    (!open.is_empty()).then(|| open.join(", "))
}

fn second_factors(shown: &AuditorFacts) -> String {
    let others = shown.methods.iter().flatten().filter(|method| method.users() != Users::Machines);
    let others: Vec<_> = others.map(|method| format!("auth/{}", method.mount)).collect();
    if others.is_empty() {
        return "no auth method for people is enabled".to_owned();
    }
    format!("logins at {} need a second factor", others.join(", "))
}
