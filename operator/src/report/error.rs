//! Errors as a person reads them: what failed and why, without the type names and debug texts of libraries.

use std::error::Error;

use kube::core::Status;
use tessera_node_api::plain_words::{plain_words, root_cause};

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
    // What these print of themselves are the names of their kinds, or the sentence of their cause once more.
    if error.is::<reqwest::Error>() || error.is::<hyper::Error>() {
        return Some(root_cause(error));
    }
    plain_words(error)
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

#[cfg(test)]
mod tests;
