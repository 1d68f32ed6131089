//! Errors as a person reads them: what failed and why, without the type names and debug texts of libraries.

use std::error::Error;
use std::io;

use kube::core::Status;
use rustls::{AlertDescription, CertificateError};

/// The API server's own words are passed on, up to this many characters.
const API_MESSAGE_LIMIT: usize = 700;

/// The error and its causes in one sentence. Printed at the edge only: in a condition, an Event or a log line.
pub fn chain(error: &(dyn Error + 'static)) -> String {
    if let Some(words) = library_words(error) {
        return words;
    }
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(source) = cause {
        let words = library_words(source);
        let is_whole = words.is_some();
        let message = words.unwrap_or_else(|| source.to_string());
        // Some libraries repeat their source in their own message.
        if !text.contains(&message) {
            text.push_str(": ");
            text.push_str(&message);
        }
        cause = source.source().filter(|_| !is_whole);
    }
    text
}

/// The innermost cause: the outer errors of an HTTP library only say that sending failed.
pub fn root_cause(error: &(dyn Error + 'static)) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    library_words(cause).unwrap_or_else(|| cause.to_string())
}

/// An API server's refusal in its own words, on one line and bounded.
pub fn api_message(status: &Status) -> String {
    if status.message.is_empty() {
        return format!("the API server answers HTTP {} {}", status.code, status.reason)
            .trim_end()
            .to_owned();
    }
    one_line(&status.message, API_MESSAGE_LIMIT)
}

/// `text` on one line of at most `limit` characters.
pub fn one_line(text: &str, limit: usize) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ").chars().take(limit).collect()
}

/// What an error of a library means, with all its causes; `None`: its own text is plain.
fn library_words(error: &(dyn Error + 'static)) -> Option<String> {
    let kube =
        error.downcast_ref().or_else(|| error.downcast_ref::<Box<kube::Error>>().map(|boxed| &**boxed));
    if let Some(kube) = kube {
        return Some(kube_words(kube));
    }
    if let Some(status) = error.downcast_ref() {
        return Some(api_message(status));
    }
    if let Some(tls) = error.downcast_ref() {
        return Some(tls_words(tls).to_owned());
    }
    let io = error.downcast_ref::<io::Error>()?;
    // The error inside is no source of the outer one.
    Some(match io.get_ref() {
        Some(inner) => library_words(inner).unwrap_or_else(|| inner.to_string()),
        None => without_number(&io.to_string()),
    })
}

/// `Connection refused (os error 111)` without the number.
fn without_number(text: &str) -> String {
    text.split(" (os error ").next().unwrap_or(text).to_owned()
}

fn kube_words(error: &kube::Error) -> String {
    match error {
        kube::Error::Api(status) => api_message(status),
        kube::Error::Service(source) => {
            format!("the API server cannot be reached: {}", root_cause(&**source))
        }
        kube::Error::HyperError(source) => {
            format!("the API server cannot be reached: {}", root_cause(source))
        }
        kube::Error::ReadEvents(source) => {
            format!("the connection to the API server broke off: {}", root_cause(source))
        }
        kube::Error::SerdeError(source) => format!("the API server's answer cannot be read: {source}"),
        kube::Error::FromUtf8(_) | kube::Error::LinesCodecMaxLineLengthExceeded => {
            "the API server's answer cannot be read".to_owned()
        }
        kube::Error::Auth(_) => "the operator's credentials for the API server cannot be read".to_owned(),
        _ => "the request to the API server cannot be made".to_owned(),
    }
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
        CertificateError::UnknownIssuer => "the certificate is of no CA that we trust here",
        CertificateError::Expired | CertificateError::ExpiredContext { .. } => "the certificate has expired",
        CertificateError::NotValidYet | CertificateError::NotValidYetContext { .. } => {
            "the certificate is not valid yet: compare the clocks"
        }
        CertificateError::NotValidForName | CertificateError::NotValidForNameContext { .. } => {
            "the certificate is for another name"
        }
        _ => "the certificate does not verify",
    }
}

fn is_about_our_certificate(alert: AlertDescription) -> bool {
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
mod tests;
