//! `MutualTls` of a node: what its trials of its own listeners and of its secret store come to.

use proptest::prelude::*;
use tessera_crds::checklist::{Line, LineResult};
use tessera_node_api::admin::{
    DATABASE, ListenerTrials, Outcome, SECRET_STORE, Shown, Trial, TriedListener, TriedServer,
};

use super::{DatabaseLogin, NodeFacts, after, facts, of_node, report};

const LINE: Line = Line::MutualTls;

/// Each listener refused each wrong client, half a minute ago.
pub(super) fn good_trials() -> ListenerTrials {
    let listener = |name: &str| {
        let refused = [Shown::Plain, Shown::NoCertificate, Shown::ForeignCA, Shown::Expired];
        let own = if name == "P2P" { Outcome::Served } else { Outcome::Refused };
        let trials = refused.map(|shown| (shown, Outcome::Refused)).into_iter().chain([(Shown::Own, own)]);
        let trials = trials.map(|(shown, outcome)| Trial { shown, outcome, why: None });
        TriedListener { name: name.to_owned(), trials: trials.collect() }
    };
    ListenerTrials {
        tried_at: "2026-12-31T23:59:30Z".into(),
        listeners: ["admin", "metrics", "P2P", "Q2T"].map(listener).into(),
    }
}

fn trials(facts: &mut NodeFacts) -> &mut ListenerTrials {
    report(facts).listener_trials.as_mut().unwrap()
}

fn set(facts: &mut NodeFacts, listener: usize, shown: Shown, outcome: Outcome) {
    let tried = &mut trials(facts).listeners[listener].trials;
    tried.iter_mut().find(|trial| trial.shown == shown).unwrap().outcome = outcome;
}

#[test]
fn a_node_whose_listeners_refuse_all_wrong_clients_is_verified() {
    assert_eq!(after(LINE, |_| ()), "Verified Observed");
    // Q2T is the last.
    let served = |facts: &mut NodeFacts| set(facts, 3, Shown::NoCertificate, Outcome::Served);
    assert_eq!(after(LINE, served), "Violated WrongClientServed");
    assert_eq!(
        after(LINE, |facts| set(facts, 3, Shown::Own, Outcome::Served)),
        "Violated WrongClientServed",
        "a node is no client"
    );
    let unclear = |facts: &mut NodeFacts| set(facts, 0, Shown::Plain, Outcome::Unclear);
    assert_eq!(after(LINE, unclear), "Unknown TrialUnclear");
}

#[test]
fn a_refusal_counts_only_beside_a_client_that_is_served() {
    assert_eq!(after(LINE, |facts| set(facts, 2, Shown::Own, Outcome::Refused)), "Unknown ListenerNotTried");
}

#[test]
fn old_trials_show_nothing_but_that_somebody_was_served() {
    let old = |facts: &mut NodeFacts| trials(facts).tried_at = "2026-12-31T22:00:00Z".into();
    assert_eq!(after(LINE, old), "Unknown TrialsTooOld");
    assert_eq!(
        after(LINE, |facts| trials(facts).tried_at = "2027-01-02T00:00:00Z".into()),
        "Unknown TrialsTooOld"
    );
    assert_eq!(after(LINE, |facts| trials(facts).tried_at = "soon".into()), "Unknown TrialsTooOld");
    let both = |facts: &mut NodeFacts| {
        old(facts);
        set(facts, 0, Shown::Expired, Outcome::Served);
    };
    assert_eq!(after(LINE, both), "Violated WrongClientServed");
}

#[test]
fn what_was_not_tried_is_not_verified() {
    assert_eq!(after(LINE, |facts| report(facts).listener_trials = None), "Unknown ListenersNotTried");
    assert_eq!(after(LINE, |facts| drop(trials(facts).listeners.pop())), "Unknown ListenerNotTried");
    // The metrics port is the second; the text names it, so it counts, too.
    let partly = |facts: &mut NodeFacts| drop(trials(facts).listeners[1].trials.remove(1));
    assert_eq!(after(LINE, partly), "Unknown ListenerNotTried");
    let no_expired = |facts: &mut NodeFacts| {
        for listener in &mut trials(facts).listeners {
            listener.trials.retain(|trial| trial.shown != Shown::Expired);
        }
    };
    assert_eq!(after(LINE, no_expired), "Enforced NoExpiredCertificate");
}

const STORE: &str = "https://vault.vault.svc:8200";

/// A server that refused wrong clients and served the node, half a minute ago.
pub(super) fn good_server(name: &str, address: &str) -> TriedServer {
    let outcomes = [
        (Shown::NoCertificate, Outcome::Refused),
        (Shown::ForeignCA, Outcome::Refused),
        (Shown::Own, Outcome::Served),
    ];
    TriedServer {
        name: name.into(),
        address: address.into(),
        tried_at: "2026-12-31T23:59:30Z".into(),
        trials: outcomes.map(|(shown, outcome)| Trial { shown, outcome, why: None }).into(),
    }
}

/// The node shows its store a certificate, too.
fn with_store(facts: &mut NodeFacts) -> &mut TriedServer {
    facts.store_with_certificate = Some(STORE.into());
    let servers = &mut report(facts).server_trials;
    servers.retain(|server| server.name != SECRET_STORE);
    servers.insert(0, good_server(SECRET_STORE, STORE));
    &mut servers[0]
}

#[test]
fn a_store_that_refuses_wrong_clients_and_serves_the_node_is_a_part_of_what_was_observed() {
    let mut facts = facts();
    with_store(&mut facts);
    let finding = of_node(&facts, LINE);
    assert_eq!(finding.result, LineResult::Verified);
    for server in ["Q2T refused", STORE, "collector"] {
        assert!(finding.observed.contains(server), "{server}: {finding:?}");
    }
}

#[test]
fn a_collector_is_judged_as_a_store_is() {
    let served = |facts: &mut NodeFacts| report(facts).server_trials[0].trials[0].outcome = Outcome::Served;
    assert_eq!(after(LINE, served), "Violated NoClientCertificate");
    assert_eq!(after(LINE, |facts| report(facts).server_trials.clear()), "Unknown ServerNotTried");
    let none = |facts: &mut NodeFacts| {
        report(facts).server_trials.clear();
        facts.collector = None;
    };
    assert_eq!(after(LINE, none), "Verified Observed");
}

#[test]
fn a_store_that_serves_a_wrong_client_is_a_violation_however_old_the_trial() {
    for wrong in [0, 1] {
        let served = |facts: &mut NodeFacts| with_store(facts).trials[wrong].outcome = Outcome::Served;
        assert_eq!(after(LINE, served), "Violated NoClientCertificate");
        let old = |facts: &mut NodeFacts| {
            served(facts);
            report(facts).server_trials[0].tried_at = "2026-12-30T00:00:00Z".into();
        };
        assert_eq!(after(LINE, old), "Violated NoClientCertificate");
    }
}

#[test]
fn a_database_is_judged_wherever_the_node_says_that_it_is() {
    let with_database = |facts: &mut NodeFacts| {
        facts.database = DatabaseLogin::WithCertificate;
        report(facts).server_trials.insert(0, good_server(DATABASE, "db.bank:5432"));
    };
    let mut good = facts();
    with_database(&mut good);
    let finding = of_node(&good, LINE);
    assert_eq!(finding.result, LineResult::Verified);
    assert!(finding.observed.contains("the database at db.bank:5432 refused"), "{finding:?}");

    let served = |facts: &mut NodeFacts| {
        with_database(facts);
        report(facts).server_trials[0].trials[0].outcome = Outcome::Served;
    };
    assert_eq!(after(LINE, served), "Violated NoClientCertificate");
    let untried = |facts: &mut NodeFacts| facts.database = DatabaseLogin::WithCertificate;
    assert_eq!(after(LINE, untried), "Unknown ServerNotTried");
    let password = |facts: &mut NodeFacts| facts.database = DatabaseLogin::WithoutCertificate;
    assert_eq!(after(LINE, password), "Violated NoClientCertificate");
}

#[test]
fn a_store_that_was_not_tried_of_late_shows_nothing() {
    let untried = |facts: &mut NodeFacts| {
        with_store(facts);
        report(facts).server_trials.remove(0);
    };
    assert_eq!(after(LINE, untried), "Unknown ServerNotTried");
    let another = |facts: &mut NodeFacts| with_store(facts).address = "https://vault.bank:8200".into();
    assert_eq!(after(LINE, another), "Unknown ServerNotTried");
    let old = |facts: &mut NodeFacts| with_store(facts).tried_at = "2026-12-31T22:00:00Z".into();
    assert_eq!(after(LINE, old), "Unknown TrialsTooOld");
    let refused = |facts: &mut NodeFacts| with_store(facts).trials[2].outcome = Outcome::Refused;
    assert_eq!(after(LINE, refused), "Unknown ServerTrialUnclear");
    // A listener that serves a stranger is worse.
    let both = |facts: &mut NodeFacts| {
        refused(facts);
        set(facts, 3, Shown::NoCertificate, Outcome::Served);
    };
    assert_eq!(after(LINE, both), "Violated WrongClientServed");
}

proptest! {
    /// Whatever is changed or left out of the trials of the store, the line is not Verified.
    #[test]
    fn no_change_of_a_trial_of_the_store_is_verified(trial in 0_usize..3, outcome in 0_usize..3) {
        let mut facts = facts();
        let trials = &mut with_store(&mut facts).trials;
        let outcome = [Outcome::Served, Outcome::Refused, Outcome::Unclear][outcome];
        if trials[trial].outcome == outcome {
            trials.remove(trial);
        } else {
            trials[trial].outcome = outcome;
        }
        prop_assert_ne!(of_node(&facts, LINE).result, LineResult::Verified);
    }

    /// Whatever is changed or left out of the trials of a listener, the line is not Verified.
    #[test]
    fn no_change_of_a_trial_is_verified(at in 0_usize..4, trial in 0_usize..5, outcome in 0_usize..3) {
        let mut facts = facts();
        let listener = &mut trials(&mut facts).listeners[at];
        let wanted = listener.trials[trial].outcome;
        let own = listener.trials[trial].shown == Shown::Own;
        match [Some(Outcome::Served), Some(Outcome::Refused), None][outcome] {
            Some(outcome) => listener.trials[trial].outcome = outcome,
            None => drop(listener.trials.remove(trial)),
        }
        let unchanged = listener.trials.get(trial).is_some_and(|trial| trial.outcome == wanted) && outcome != 2;
        // Whether a listener was tried with the node's own certificate counts for P2P alone.
        let needed = !own || at == 2 || outcome == 0;
        prop_assume!(!unchanged && needed);
        prop_assert_ne!(of_node(&facts, LINE).result, LineResult::Verified);
    }
}
