//! `MutualTls`: nodes, ledgers and the secret store prove to each other who they are, with certificates. Pure.
//!
//! - Enforced by: listeners that serve nobody without a certificate; no field can turn TLS off.
//! - Observed by: the node, which tries its own listeners over loopback with wrong clients; each refusal counts only for its
//!   own reason, beside a client that P2P serves. So does the node with its collector of logs, with the database of its payloads, and
//!   with its secret store, the last two if it shows them a certificate. The operator, of a store that it shows none: it is served.

use jiff::Timestamp;
use tessera_crds::checklist::{Line, LineResult, Observer};
use tessera_node_api::admin::{
    COLLECTOR, DATABASE, ListenerTrials, Outcome, SECRET_STORE, Shown, Status, Trial, TriedServer,
};

use super::facts::{DatabaseLogin, NetworkFacts, NodeFacts, PodFacts, StoreAnswer};
use super::finding::Finding;
use super::fresh::is_fresh;
use super::{EVIDENCE_LASTS, NetworkLine, NodeLine, nodes};

pub(super) const OF_NODE: NodeLine =
    NodeLine { id: Line::MutualTls, evidence_lasts: EVIDENCE_LASTS, judge: of_node };
pub(super) const OF_NETWORK: NetworkLine =
    NetworkLine { id: Line::MutualTls, evidence_lasts: EVIDENCE_LASTS, judge: of_network };

fn of_node(facts: &NodeFacts, now: Timestamp) -> Finding {
    facts.worst_pod(|pod| of_pod(facts, pod, now))
}

/// The listeners that each node of the operator's has.
const LISTENERS: [&str; 3] = ["admin", "P2P", "Q2T"];
/// What each listener must refuse.
const WRONG: [Shown; 4] = [Shown::Plain, Shown::NoCertificate, Shown::ForeignCA, Shown::Expired];

fn of_pod(facts: &NodeFacts, pod: &PodFacts, now: Timestamp) -> Finding {
    let Some(report) = &pod.report else { return pod.silent() };
    let listeners = of_listeners(facts, pod, report, now);
    let tried = |name: &str| report.server_trials.iter().find(move |tried| tried.name == name);
    let at = |name, address: &Option<String>| {
        let address = address.as_deref()?;
        let trials = tried(name).filter(|tried| tried.address == address);
        Some(of_server(&format!("the {name} at {address}"), trials, facts, pod, now))
    };
    let database = match facts.database {
        DatabaseLogin::None => None,
        DatabaseLogin::WithoutCertificate => Some(shows_none(pod)),
        // A Secret names its address, so only the node knows it.
        DatabaseLogin::WithCertificate => {
            let trials = tried(DATABASE);
            let place = trials.map(|tried| format!(" at {}", tried.address)).unwrap_or_default();
            Some(of_server(&format!("the {DATABASE}{place}"), trials, facts, pod, now))
        }
    };
    let store = at(SECRET_STORE, &facts.store_with_certificate);
    let servers = [store, at(COLLECTOR, &facts.collector), database];
    servers.into_iter().flatten().fold(listeners, with)
}

/// The finding of a node that shows its database no certificate.
fn shows_none(pod: &PodFacts) -> Finding {
    Finding::violated(
        "NoClientCertificate",
        Observer::Operator,
        format!("the node in pod {} logs in to its database without a client certificate", pod.name),
        "name a certificate in spec.storage.postgres.clientCertificate and let the database demand it (pg_hba.conf: cert, or clientcert=verify-full)",
    )
}

/// The worse of two, the first if they are equally bad; of two that hold, both.
fn with(first: Finding, second: Finding) -> Finding {
    if first.result == LineResult::Verified && second.result == LineResult::Verified {
        return Finding::verified(Observer::Node, format!("{}; {}", first.observed, second.observed));
    }
    if second.result < first.result { second } else { first }
}

/// What the node's own connects to a server that it depends on came to.
fn of_server(
    server: &str,
    trials: Option<&TriedServer>,
    facts: &NodeFacts,
    pod: &PodFacts,
    now: Timestamp,
) -> Finding {
    let Some(trials) = trials else {
        return Finding::unknown(
            "ServerNotTried",
            format!("the node in pod {} has not tried {server}", pod.name),
            "wait until the node runs with its newest settings; a node image older than the operator does not try its servers",
        );
    };
    let outcome = |shown| trials.trials.iter().find(|trial| trial.shown == shown);
    let is = |shown, wanted| outcome(shown).is_some_and(|trial| trial.outcome == wanted);
    let wrong = [Shown::NoCertificate, Shown::ForeignCA];
    // Serving somebody is proof however old it is, until a newer trial says otherwise.
    if let Some(served) = wrong.into_iter().find(|shown| is(*shown, Outcome::Served)) {
        return Finding::violated(
            "NoClientCertificate",
            Observer::Node,
            format!("pod {}: {server} served {}", pod.name, words(served)),
            "let its listener for machines require a client certificate of a CA of its own (Vault: tls_require_and_verify_client_cert, tls_client_ca_file; OpenTelemetry collector: client_ca_file; PostgreSQL: ssl_ca_file, and cert or clientcert=verify-full in pg_hba.conf)",
        );
    }
    if !is_fresh(&trials.tried_at, facts.probe_every, now) {
        return Finding::unknown(
            "TrialsTooOld",
            format!("the node in pod {} could not try {server} recently", pod.name),
            "kubectl describe the TesseraNode: its conditions say what it cannot reach; compare the clocks of the machines",
        );
    }
    let wrong = wrong.map(|shown| (shown, Outcome::Refused));
    let mut wanted = wrong.into_iter().chain([(Shown::Own, Outcome::Served)]);
    let Some((shown, _)) = wanted.find(|(shown, wanted)| !is(*shown, *wanted)) else {
        let observed =
            format!("{server} refused no certificate and one of a foreign CA, and served the node");
        return Finding::verified(Observer::Node, observed);
    };
    let why = outcome(shown).and_then(|trial| trial.why.as_deref());
    let why = why.unwrap_or(if shown == Shown::Own { "it was refused" } else { "nobody tried it" });
    Finding::unknown(
        "ServerTrialUnclear",
        format!("pod {}: whether {server} serves {} is unclear: {why}", pod.name, words(shown)),
        "kubectl describe the TesseraNetwork: SecretStoreReady and the line CentralLogging say how they answer; Ready of the TesseraNode says it of its database",
    )
}

fn of_listeners(facts: &NodeFacts, pod: &PodFacts, report: &Status, now: Timestamp) -> Finding {
    let Some(trials) = &report.listener_trials else {
        return Finding::unknown(
            "ListenersNotTried",
            format!("the node in pod {} has not tried its listeners", pod.name),
            "wait for the node to come up; a node image older than the operator does not try them",
        );
    };
    let tried = trials
        .listeners
        .iter()
        .flat_map(|listener| listener.trials.iter().map(|trial| (listener.name.as_str(), trial)));
    let tried: Vec<_> = tried.collect();
    // Serving somebody is proof however old it is, until a newer trial says otherwise.
    if let Some((listener, trial)) = tried.iter().find(|(listener, trial)| serves_wrongly(listener, trial)) {
        return Finding::violated(
            "WrongClientServed",
            Observer::Node,
            format!("pod {}: {listener} served {}", pod.name, words(trial.shown)),
            "take the node out of service: spec.replicas 0; report this as a security defect of the node",
        );
    }
    if !is_fresh(&trials.tried_at, facts.probe_every, now) {
        return Finding::unknown(
            "TrialsTooOld",
            format!("the node in pod {} has not tried its listeners recently", pod.name),
            "restart the pod: kubectl tessera restart; compare the clocks of the machines",
        );
    }
    if let Some((listener, trial)) = tried.iter().find(|(_, trial)| trial.outcome == Outcome::Unclear) {
        let why = trial.why.as_deref().unwrap_or("no reason given");
        return Finding::unknown(
            "TrialUnclear",
            format!("pod {}: whether {listener} serves {} is unclear: {why}", pod.name, words(trial.shown)),
            "read the node's log: why does its listener not answer?",
        );
    }
    match missing(&tried) {
        None => Finding::verified(Observer::Node, summary(trials)),
        Some((listener, Shown::Expired)) => Finding::enforced(
            "NoExpiredCertificate",
            format!(
                "pod {}: {listener} refused all wrong clients but an expired one: there is no expired certificate to try with",
                pod.name
            ),
            "wait for the next renewal of the node's certificate: it brings one",
        ),
        Some((listener, shown)) => Finding::unknown(
            "ListenerNotTried",
            format!("pod {}: nobody tried {listener} with {}", pod.name, words(shown)),
            "read the node's log: why was its listener not tried?",
        ),
    }
}

/// P2P serves nodes, so its own node, too: that shows that a refusal is no silence. No other listener serves a node.
fn serves_wrongly(listener: &str, trial: &Trial) -> bool {
    trial.outcome == Outcome::Served && !(listener == "P2P" && trial.shown == Shown::Own)
}

/// What should have been tried and was not, an expired certificate last. A listener that is named was tried with everything.
fn missing<'a>(tried: &[(&'a str, &Trial)]) -> Option<(&'a str, Shown)> {
    let refused = |listener: &str, shown| {
        tried.iter().any(|(name, trial)| {
            *name == listener && trial.shown == shown && trial.outcome == Outcome::Refused
        })
    };
    let served = tried
        .iter()
        .any(|(name, trial)| *name == "P2P" && trial.shown == Shown::Own && trial.outcome == Outcome::Served);
    if !served {
        return Some(("P2P", Shown::Own));
    }
    let named = tried.iter().map(|(name, _)| *name);
    let listeners: Vec<&'a str> = LISTENERS.into_iter().chain(named).collect();
    WRONG.into_iter().find_map(|shown| {
        let mut listeners = listeners.iter().copied();
        listeners.find(|listener| !refused(listener, shown)).map(|listener| (listener, shown))
    })
}

fn summary(trials: &ListenerTrials) -> String {
    let names: Vec<_> = trials.listeners.iter().map(|listener| listener.name.as_str()).collect();
    format!(
        "{} refused HTTP without TLS, no certificate, one of a foreign CA and an expired one (the node's own connects over loopback); P2P served the node, admin the operator",
        names.join(", ")
    )
}

fn words(shown: Shown) -> &'static str {
    match shown {
        Shown::Plain => "HTTP without TLS",
        Shown::NoCertificate => "a client without a certificate",
        Shown::ForeignCA => "a certificate of a foreign CA",
        Shown::Expired => "an expired certificate",
        Shown::Own => "the node's own certificate",
        Shown::OwnAlone => "the node's own certificate without those of authorities",
        Shown::Other => "a client that this version does not know",
    }
}

fn of_network(facts: &NetworkFacts<'_>, now: Timestamp) -> Finding {
    let nodes = nodes::worst(facts, Line::MutualTls, now);
    // The nodes try a store that they show a certificate.
    if facts.vault.is_some_and(|vault| vault.client_certificate.is_some()) {
        return nodes;
    }
    let store = of_store(facts);
    if store.result <= nodes.result { store } else { nodes }
}

/// Of a store that nobody shows a client certificate.
fn of_store(facts: &NetworkFacts<'_>) -> Finding {
    match (&facts.store, facts.vault) {
        (StoreAnswer::NotAskedYet, _) => Finding::not_asked_yet("the secret store"),
        (StoreAnswer::Shows(_), Some(vault)) => Finding::violated(
            "NoClientCertificate",
            Observer::Operator,
            format!(
                "the secret store at {} answered the operator, which showed no client certificate",
                vault.address
            ),
            "let the store's listener for machines require a client certificate (Vault: tls_require_and_verify_client_cert), and name it in spec.secretStore.vault.clientCertificate",
        ),
        _ => Finding::unknown(
            "StoreSilent",
            "the secret store did not answer, so nobody knows whom it serves",
            "kubectl describe the TesseraNetwork: SecretStoreReady says why",
        ),
    }
}
