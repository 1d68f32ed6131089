//! Leaves and authorities under rustls' own verifiers.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName, UnixTime, pem::PemObject};
use rustls::server::WebPkiClientVerifier;
use rustls::{CertificateError, Error, RootCertStore};
use tessera_node_api::identity::Identity;
use tessera_pki::{Ca, CaSpec, Leaf, LeafSpec};

use super::{DAY, DOMAIN, YEAR, ca, client_spec, node_identity, node_spec, now, parsed};

fn roots(ca: &Ca) -> Arc<RootCertStore> {
    let mut roots = RootCertStore::empty();
    roots.add(ca.certificate().der().clone()).unwrap();
    Arc::new(roots)
}

fn unix(at: Timestamp) -> UnixTime {
    UnixTime::since_unix_epoch(std::time::Duration::from_secs(at.as_second().unsigned_abs()))
}

fn accepted_as_server(ca: &Ca, leaf: &Leaf, name: &str, at: Timestamp) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(roots(ca), provider).build().unwrap();
    let name = ServerName::try_from(name.to_owned()).unwrap();
    verifier.verify_server_cert(parsed(leaf).der(), &[], &name, &[], unix(at)).map(drop)
}

fn accepted_as_client(ca: &Ca, leaf: &Leaf, at: Timestamp) -> Result<(), Error> {
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let verifier = WebPkiClientVerifier::builder_with_provider(roots(ca), provider).build().unwrap();
    verifier.verify_client_cert(parsed(leaf).der(), &[], unix(at)).map(drop)
}

fn wrong_purpose(result: &Result<(), Error>) -> bool {
    matches!(result, Err(Error::InvalidCertificate(CertificateError::InvalidPurposeContext { .. })))
}

#[test]
fn a_node_serves_under_its_names_and_connects() {
    let ca = ca();
    let leaf = ca.issue(&node_spec(), now()).unwrap();
    accepted_as_server(&ca, &leaf, "node-a.org-a.svc", now()).unwrap();
    accepted_as_server(&ca, &leaf, "node-a-0.node-a-p2p.org-a.svc", now()).unwrap();
    accepted_as_client(&ca, &leaf, now()).unwrap();
    assert!(accepted_as_server(&ca, &leaf, "node-b.org-a.svc", now()).is_err());
}

#[test]
fn a_client_connects_and_cannot_serve() {
    let ca = ca();
    let leaf = ca.issue(&client_spec(), now()).unwrap();
    accepted_as_client(&ca, &leaf, now()).unwrap();
    assert!(wrong_purpose(&accepted_as_server(&ca, &leaf, "node-a.org-a.svc", now())));
}

#[test]
fn the_operator_connects_and_cannot_serve() {
    let ca = ca();
    let leaf = ca.issue(&LeafSpec::operator(Identity::operator(DOMAIN).unwrap(), DAY), now()).unwrap();
    accepted_as_client(&ca, &leaf, now()).unwrap();
    assert!(wrong_purpose(&accepted_as_server(&ca, &leaf, "node-a.org-a.svc", now())));
}

#[test]
fn a_node_s_admin_leaf_serves_and_cannot_connect() {
    let ca = ca();
    let spec = LeafSpec::node_admin(node_identity(), vec!["node-a-p2p.org-a.svc".to_owned()], DAY);
    let leaf = ca.issue(&spec, now()).unwrap();
    accepted_as_server(&ca, &leaf, "node-a-p2p.org-a.svc", now()).unwrap();
    assert!(wrong_purpose(&accepted_as_client(&ca, &leaf, now())));
}

#[test]
fn the_admin_ca_and_the_network_ca_are_strangers() {
    let (network, admin) = (ca(), Ca::generate(&CaSpec::admin("org-a", 1, YEAR), now()).unwrap());
    let of_network = network.issue(&client_spec(), now()).unwrap();
    let of_admin = admin.issue(&client_spec(), now()).unwrap();
    accepted_as_client(&network, &of_network, now()).unwrap();
    accepted_as_client(&admin, &of_admin, now()).unwrap();
    assert!(accepted_as_client(&admin, &of_network, now()).is_err());
    assert!(accepted_as_client(&network, &of_admin, now()).is_err());
}

#[test]
fn a_ca_of_the_same_name_is_another_ca() {
    let (old, new) = (ca(), ca());
    let leaf = old.issue(&client_spec(), now()).unwrap();
    assert!(accepted_as_client(&new, &leaf, now()).is_err());
}

#[test]
fn validity_starts_a_little_early_and_ends_on_time() {
    let ca = ca();
    let leaf = ca.issue(&client_spec(), now()).unwrap();
    accepted_as_client(&ca, &leaf, now() - SignedDuration::from_mins(1)).unwrap();
    accepted_as_client(&ca, &leaf, now() + DAY - SignedDuration::from_secs(1)).unwrap();
    assert!(accepted_as_client(&ca, &leaf, now() - SignedDuration::from_mins(10)).is_err());
    assert!(accepted_as_client(&ca, &leaf, now() + DAY + SignedDuration::from_secs(1)).is_err());
}

/// Path length 0 and `CA:FALSE`: a stolen leaf signs nobody.
#[test]
fn a_leaf_signs_nobody() {
    let ca = ca();
    let leaf = ca.issue(&node_spec(), now()).unwrap();
    let refused = Ca::from_pem(&leaf.certificate_pem, &leaf.private_key_pem).unwrap_err();
    assert!(matches!(refused, tessera_pki::CaError::NotAnAuthority { .. }), "{refused}");
}

#[test]
fn rustls_takes_certificate_and_key_as_a_pair() {
    let leaf = ca().issue(&node_spec(), now()).unwrap();
    let certificate = CertificateDer::from_pem_slice(leaf.certificate_pem.as_bytes()).unwrap();
    let key = PrivateKeyDer::from_pem_slice(leaf.private_key_pem.expose().as_bytes()).unwrap();
    let provider = rustls::crypto::aws_lc_rs::default_provider();
    rustls::sign::CertifiedKey::from_der(vec![certificate], key, &provider).unwrap().keys_match().unwrap();
}
