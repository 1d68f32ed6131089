//! What errors of TLS and of the operating system mean, for a message that a person reads: without the type names, the debug
//! texts and the numbers that libraries print. Operator and node both report such errors in conditions.

use std::error::Error;
use std::io;

use rustls::pki_types::pem;
use rustls::{AlertDescription, CertificateError};

/// The innermost cause: the outer errors of an HTTP library only say that sending failed.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    plain_words(cause).unwrap_or_else(|| cause.to_string())
}

/// What an error of TLS, PEM or the operating system means, with all its causes; `None`: it is another library's.
pub fn plain_words(error: &(dyn Error + 'static)) -> Option<String> {
    if let Some(tls) = error.downcast_ref() {
        return Some(tls_words(tls).to_owned());
    }
    if error.is::<pem::Error>() {
        return Some("it is not PEM".to_owned());
    }
    let io = error.downcast_ref::<io::Error>()?;
    // The error inside is no source of the outer one.
    Some(match io.get_ref() {
        Some(inner) => root_cause(inner),
        None => without_number(&io.to_string()),
    })
}

/// An error and its causes in one line, for a log field.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    let mut line = String::new();
    let mut cause = Some(error);
    while let Some(error) = cause {
        let words = plain_words(error);
        // Such words have the error's causes in them.
        cause = error.source().filter(|_| words.is_none());
        line.push_str(if line.is_empty() { "" } else { ": " });
        line.push_str(&words.unwrap_or_else(|| error.to_string()));
    }
    line
}

/// `Connection refused (os error 111)` without the number.
fn without_number(text: &str) -> String {
    text.split(" (os error ").next().unwrap_or(text).to_owned()
}

/// The other end is named by the sentence that this ends.
fn tls_words(error: &rustls::Error) -> &'static str {
    match error {
        rustls::Error::InvalidCertificate(problem) => certificate_words(problem),
        rustls::Error::AlertReceived(alert) if is_about_our_certificate(*alert) => {
            "the other end refuses our certificate"
        }
        rustls::Error::AlertReceived(_) => "the other end ended the TLS handshake",
        rustls::Error::PeerIncompatible(_) => "the other end has no TLS version or cipher in common with us",
        rustls::Error::NoCertificatesPresented => "the other end has no certificate",
        rustls::Error::InvalidMessage(_) | rustls::Error::PeerMisbehaved(_) => {
            "the other end does not speak TLS"
        }
        _ => "the TLS session failed",
    }
}

fn certificate_words(problem: &CertificateError) -> &'static str {
    match problem {
        // A CA of the same name with another key: to a person, another CA.
        CertificateError::UnknownIssuer | CertificateError::BadSignature => {
            "the certificate is of no CA that we trust here"
        }
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet: compare the clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        CertificateError::BadEncoding => "the certificate is no X.509 certificate",
        _ => "the certificate does not verify",
    }
}

/// Whether a server that sends this alert refuses our certificate, or that we have none.
pub(crate) fn is_about_our_certificate(alert: AlertDescription) -> bool {
    matches!(
        alert,
        AlertDescription::BadCertificate
            | AlertDescription::UnsupportedCertificate
            | AlertDescription::CertificateRevoked
            | AlertDescription::CertificateExpired
            | AlertDescription::CertificateUnknown
            | AlertDescription::CertificateRequired
            | AlertDescription::UnknownCA
            | AlertDescription::AccessDenied
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_inside_of_io_errors_are_found() {
        let refused = || io::Error::from_raw_os_error(111);
        assert_eq!(root_cause(&refused()), "Connection refused");
        assert_eq!(root_cause(&io::Error::other(io::Error::other(refused()))), "Connection refused");
        let issuer = rustls::Error::InvalidCertificate(CertificateError::UnknownIssuer);
        assert_eq!(root_cause(&io::Error::other(issuer)), "the certificate is of no CA that we trust here");
        assert_eq!(root_cause(&io::Error::other("in our words")), "in our words");
    }

    #[test]
    fn bytes_that_are_no_pem_are_not_shown() {
        let bytes = pem::Error::MissingSectionEnd { end_marker: b"-----END CERTIFICATE".to_vec() };
        assert_eq!(plain_words(&bytes).as_deref(), Some("it is not PEM"));
        assert!(plain_words(&std::fmt::Error).is_none(), "another library's");
    }
}
