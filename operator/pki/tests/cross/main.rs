//! A CA rollover as four TLS stacks see it, each as server and as client: Go's crypto/tls, the JDK, OpenSSL and rustls.
//!
//! While a network changes its CA, each party that shows a leaf of the new CA shows the new CA's cross certificate beside
//! it, signed by the old CA. Parties read their roots at times of their own, so each must be served by each, whether it
//! trusts the old CA, the new one or both. The controls leave the cross certificate out.
//!
//! Run by name, since it needs programs of other languages:
//! `STACKS_DIR="$(hack/tools stacks)" cargo test -p tessera-pki --test cross_stacks`

#![allow(clippy::unwrap_used, clippy::panic)] // Helpers of tests fail as tests do.

mod files;
mod process;
mod rustls_stack;
mod stack;

use std::fmt::Write as _;

use files::{Files, Shown, Trust};
use stack::{Problem, Server, Stack};

/// What came out otherwise than it must; all of it, since one cell of a matrix says little.
#[derive(Default)]
struct Surprises(String);

impl Surprises {
    fn served(&mut self, case: &str, outcome: &Result<(), String>) {
        if let Err(reason) = outcome {
            writeln!(self.0, "{case}: refused: {reason}").unwrap();
        }
    }

    /// The client must not be served, and `why` must hold of what the party that refuses says.
    fn refused(&mut self, case: &str, outcome: &Result<(), String>, why: bool, said: &str) {
        match outcome {
            Ok(()) => writeln!(self.0, "{case}: served").unwrap(),
            Err(reason) if !why => {
                writeln!(self.0, "{case}: refused for another reason: {reason}; {said}").unwrap();
            }
            Err(_) => {}
        }
    }

    fn none(self) {
        assert!(self.0.is_empty(), "\n{}", self.0);
    }
}

fn each_client(mut check: impl FnMut(Stack)) {
    Stack::ALL.into_iter().for_each(&mut check);
}

#[test]
fn a_server_that_shows_the_cross_certificate_suits_each_client_whatever_it_trusts() {
    let (files, mut surprises) = (Files::new(), Surprises::default());
    for server_stack in Stack::ALL {
        let server = Server::start(server_stack, &files, Trust::OldFirst, Shown::NewWithCross);
        each_client(|client| {
            for trust in Trust::ALL {
                let case = format!("{server_stack:?} server, {client:?} client that trusts {trust:?}");
                surprises.served(&case, &client.connect(&server, &files, trust, Shown::NewWithCross));
            }
        });
    }
    surprises.none();
}

#[test]
fn a_client_that_shows_the_cross_certificate_is_served_whatever_the_server_trusts() {
    let (files, mut surprises) = (Files::new(), Surprises::default());
    for server_stack in Stack::ALL {
        for trust in Trust::ALL {
            let server = Server::start(server_stack, &files, trust, Shown::NewWithCross);
            each_client(|client| {
                let case = format!("{server_stack:?} server that trusts {trust:?}, {client:?} client");
                surprises
                    .served(&case, &client.connect(&server, &files, Trust::NewFirst, Shown::NewWithCross));
            });
        }
    }
    surprises.none();
}

/// The control: nothing but the cross certificate leads from the old root to a new leaf.
#[test]
fn without_the_cross_certificate_a_client_that_trusts_the_old_ca_alone_refuses_a_new_leaf() {
    let (files, mut surprises) = (Files::new(), Surprises::default());
    for server_stack in Stack::ALL {
        let server = Server::start(server_stack, &files, Trust::OldFirst, Shown::New);
        each_client(|client| {
            let case = format!("{server_stack:?} server, {client:?} client");
            let outcome = client.connect(&server, &files, Trust::New, Shown::NewWithCross);
            surprises.served(&case, &outcome);
            let outcome = client.connect(&server, &files, Trust::Old, Shown::NewWithCross);
            let why = client.says(Problem::UnknownAuthority, outcome.as_ref().err());
            surprises.refused(&case, &outcome, why, "");
        });
    }
    surprises.none();
}

/// The end of a rollover: an old leaf is worth nothing to a party that has dropped the old root.
#[test]
fn a_client_that_trusts_the_new_ca_alone_refuses_an_old_leaf() {
    let (files, mut surprises) = (Files::new(), Surprises::default());
    for server_stack in Stack::ALL {
        let server = Server::start(server_stack, &files, Trust::OldFirst, Shown::Old);
        each_client(|client| {
            let case = format!("{server_stack:?} server, {client:?} client");
            surprises.served(&case, &client.connect(&server, &files, Trust::Old, Shown::NewWithCross));
            let outcome = client.connect(&server, &files, Trust::New, Shown::NewWithCross);
            let why = client.says(Problem::UnknownAuthority, outcome.as_ref().err());
            surprises.refused(&case, &outcome, why, "");
        });
    }
    surprises.none();
}

/// The control at the server. Some clients show no certificate at all if the server names none of its issuers.
#[test]
fn without_the_cross_certificate_a_server_that_trusts_the_old_ca_alone_refuses_a_new_leaf() {
    refused_by_a_server(Trust::Old, Shown::New, Shown::Old);
}

/// A server that trusts the new root needs no cross certificate: so an observer learns that a dependency has the new root.
#[test]
fn a_server_that_trusts_the_new_ca_alone_serves_a_new_leaf_without_cross_certificate_and_refuses_an_old_one()
{
    refused_by_a_server(Trust::New, Shown::Old, Shown::New);
}

fn refused_by_a_server(trust: Trust, stranger: Shown, known: Shown) {
    let (files, mut surprises) = (Files::new(), Surprises::default());
    for server_stack in Stack::ALL {
        let server = Server::start(server_stack, &files, trust, Shown::NewWithCross);
        each_client(|client| {
            let case = format!("{server_stack:?} server, {client:?} client");
            surprises.served(&case, &client.connect(&server, &files, Trust::OldFirst, known));
            let before = server.log();
            let outcome = client.connect(&server, &files, Trust::OldFirst, stranger);
            let said = server.log_after(&before);
            let why = server_stack.says(Problem::UnknownAuthority, Some(&said))
                || client.omits_strangers() && server_stack.says(Problem::NoCertificate, Some(&said));
            surprises.refused(&case, &outcome, why, &said);
        });
    }
    surprises.none();
}
