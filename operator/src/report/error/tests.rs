//! No error of a library shows its debug text.

use std::io;

use rustls::{AlertDescription, CertificateError};
use rustls_pki_types::{ServerName, UnixTime};
use tessera_node_api::tls_client::BundleError;

use super::*;
use crate::probe::admin::AdminError;
use crate::probe::vault::{Vault, VaultError};

#[derive(Debug, thiserror::Error)]
#[error("outer")]
struct Outer(#[source] Box<kube::Error>);

/// Traces of `Debug` and of the names of types.
const TRACES: [&str; 18] = [
    "Error {",
    "Status {",
    "Some(",
    "None",
    "Ok(",
    "::",
    "os error",
    "ApiError",
    "HyperError",
    "ServiceError",
    "UnknownIssuer",
    "NotValid",
    "Kind(",
    "code: ",
    "client error (",
    "error sending request",
    "struct ",
    "[45, 45",
];

fn assert_plain(text: &str) {
    for trace in TRACES {
        assert!(!text.contains(trace), "{trace} in {text}");
    }
    assert!(!text.is_empty());
}

fn api(code: u16, message: &str) -> kube::Error {
    let details =
        serde_json::from_value(serde_json::json!({"name": "a", "causes": [{"reason": "r", "field": "f"}]}));
    kube::Error::Api(Box::new(Status {
        code,
        message: message.to_owned(),
        reason: "Forbidden".to_owned(),
        details: details.unwrap(),
        ..Status::default()
    }))
}

fn tls_errors() -> Vec<rustls::Error> {
    let name = || ServerName::try_from("a.example").unwrap();
    let time = UnixTime::since_unix_epoch(std::time::Duration::from_secs(1));
    let problems = [
        CertificateError::UnknownIssuer,
        CertificateError::Expired,
        CertificateError::ExpiredContext { time, not_after: time },
        CertificateError::NotValidYet,
        CertificateError::NotValidForName,
        CertificateError::NotValidForNameContext { expected: name(), presented: vec!["b".to_owned()] },
        CertificateError::BadEncoding,
    ];
    let alerts = [AlertDescription::CertificateUnknown, AlertDescription::HandshakeFailure];
    let certificates = problems.into_iter().map(rustls::Error::InvalidCertificate);
    let alerts = alerts.into_iter().map(rustls::Error::AlertReceived);
    let others = [
        rustls::Error::NoCertificatesPresented,
        rustls::Error::InvalidMessage(rustls::InvalidMessage::InvalidContentType),
        rustls::Error::PeerIncompatible(rustls::PeerIncompatible::NoCipherSuitesInCommon),
        rustls::Error::General("x".to_owned()),
    ];
    certificates.chain(alerts).chain(others).collect()
}

#[test]
fn every_error_of_a_library_is_said_in_plain_words() {
    let refused = || io::Error::from_raw_os_error(111);
    let json = serde_json::from_str::<u8>("[").unwrap_err();
    let utf8 = String::from_utf8(vec![0xff]).unwrap_err();
    let mut errors = vec![
        api(403, "services is forbidden"),
        api(500, ""),
        kube::Error::Service(Box::new(refused())),
        kube::Error::ReadEvents(refused()),
        kube::Error::SerdeError(json),
        kube::Error::FromUtf8(utf8),
        kube::Error::LinesCodecMaxLineLengthExceeded,
        kube::Error::TlsRequired,
    ];
    errors.extend(
        tls_errors().into_iter().map(|error| kube::Error::Service(Box::new(io::Error::other(error)))),
    );
    for error in errors {
        assert_plain(&chain(&error));
        assert_plain(&chain(&Outer(Box::new(error))));
    }
    for error in tls_errors() {
        assert_plain(&chain(&io::Error::other(error)));
    }
}

#[test]
fn so_is_every_error_of_an_admin_port() {
    let mut errors = vec![
        AdminError::Tls("invalid dns name".to_owned()),
        AdminError::Timeout,
        AdminError::Connect(io::Error::from_raw_os_error(113)),
        AdminError::Handshake(io::Error::from_raw_os_error(104)),
        AdminError::Body("length limit exceeded".into()),
        AdminError::Body(Box::new(io::Error::from_raw_os_error(104))),
    ];
    errors.extend(tls_errors().into_iter().map(|error| AdminError::Handshake(io::Error::other(error))));
    for document in ["", "[", r#"{"ready": "yes"}"#, "7"] {
        let error = serde_json::from_str::<tessera_node_api::admin::Status>(document).unwrap_err();
        errors.push(AdminError::from(error));
    }
    for error in errors {
        assert_plain(&chain(&error));
    }
}

#[test]
fn so_is_every_error_of_a_store_s_ca_bundle() {
    let cut = b"-----BEGIN CERTIFICATE-----\nMIIB";
    let error = Vault::new(&vault_store(), cut, None).err().expect("it has no end");
    assert_plain(&chain(&error));
    let encoded = "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n";
    let error = Vault::new(&vault_store(), encoded.as_bytes(), None).err().expect("it is no certificate");
    assert_plain(&chain(&error));
    for error in tls_errors() {
        assert_plain(&chain(&VaultError::CaBundle(BundleError::Root(error))));
    }
}

fn vault_store() -> tessera_crds::api::secret_store::VaultStore {
    let json = serde_json::json!({
        "address": "https://127.0.0.1:1", "caBundleRef": {"name": "ca"}, "auth": {"role": "r"}, "kv": {"pathPrefix": "p"},
    });
    serde_json::from_value(json).unwrap()
}

#[test]
fn each_cause_is_said_once() {
    assert_eq!(chain(&Outer(Box::new(api(403, "no")))), "outer: no");
    assert_eq!(chain(&Outer(Box::new(api(500, "")))), "outer: the API server answers HTTP 500 Forbidden");
    let refused = kube::Error::Service(Box::new(io::Error::from_raw_os_error(111)));
    assert_eq!(chain(&refused), "the API server cannot be reached: Connection refused");
}

#[test]
fn the_api_server_s_words_are_one_bounded_line() {
    let long = format!("a\n\tb {}", "x".repeat(9000));
    let text = chain(&api(422, &long));
    assert!(text.starts_with("a b x") && text.len() == API_MESSAGE_LIMIT, "{text}");
}
