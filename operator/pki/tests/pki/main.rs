//! What the authorities sign, as the TLS library that will meet it sees it; and what the policy says of it.

#![allow(clippy::unwrap_used, reason = "a failed helper is a failed test")]

mod authority;
mod chain;
mod policy;
mod renewal;
mod rollover;
mod state;

use jiff::{SignedDuration, Timestamp};
use tessera_node_api::identity::Identity;
use tessera_pki::{Ca, CaSpec, Certificate, Leaf, LeafSpec};

const YEAR: SignedDuration = SignedDuration::from_hours(8760);
const DAY: SignedDuration = SignedDuration::from_hours(24);
const DOMAIN: &str = "org-a.example";

fn now() -> Timestamp {
    "2026-11-22T12:00:00Z".parse().unwrap()
}

fn ca() -> Ca {
    Ca::generate(&CaSpec::network("org-a", 1, YEAR), now()).unwrap()
}

fn node_identity() -> Identity {
    Identity::node(DOMAIN, "node-a").unwrap()
}

fn node_spec() -> LeafSpec {
    let dns_names = vec!["node-a.org-a.svc".to_owned(), "*.node-a-p2p.org-a.svc".to_owned()];
    LeafSpec::node(node_identity(), dns_names, DAY)
}

fn client_spec() -> LeafSpec {
    LeafSpec::client(Identity::client(DOMAIN, "node-a", "quorum-a").unwrap(), DAY)
}

fn parsed(leaf: &Leaf) -> Certificate {
    Certificate::parse(leaf.certificate_pem.as_bytes()).unwrap()
}
