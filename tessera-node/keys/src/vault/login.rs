//! Ways to get a token.

use std::fs;

use tessera_node_api::secret_store::require_audience;
use tessera_node_api::static_config::SecretStore;
use vaultrs::auth::kubernetes;
use zeroize::{Zeroize, Zeroizing};

use super::error::VaultError;
use super::http::{Bundle, Failure, quote, says};
use super::session::{Grant, Session};
use crate::secret::SecretText;

/// How to log in.
#[derive(Debug)]
pub enum Login {
    /// With the ServiceAccount token of the pod.
    Kubernetes {
        /// Mount of the auth method.
        mount: String,
        /// Role to ask for.
        role: String,
        /// File with the token; read anew for each login, since the kubelet renews it.
        token_file: String,
    },
    /// With a token of the store that somebody else obtained.
    Token(SecretText),
}

impl Login {
    pub(super) fn kubernetes(config: &SecretStore) -> Self {
        Self::Kubernetes {
            mount: config.auth_mount.clone(),
            role: config.role.clone(),
            token_file: config.token_file.clone(),
        }
    }

    /// Logs in at the store that `bundle` verifies.
    pub(super) async fn open(&self, config: &SecretStore, bundle: &Bundle) -> Result<Session, VaultError> {
        let mut session = Session::anonymous(config, bundle)?;
        let grant = self.run(&mut session).await?;
        Ok(session.granted(&grant))
    }

    async fn run(&self, session: &mut Session) -> Result<Grant, VaultError> {
        match self {
            Self::Kubernetes { mount, role, token_file } => {
                let token = fs::read_to_string(token_file);
                let token =
                    token.map_err(|source| VaultError::TokenFile { path: token_file.clone(), source })?;
                let token = Zeroizing::new(token);
                require_audience(token.trim(), session.audience())
                    .map_err(|problem| VaultError::Token { path: token_file.clone(), problem })?;
                kubernetes_login(session, mount, role, token.trim()).await
            }
            Self::Token(token) => session.look_up(token.expose()).await,
        }
    }
}

async fn kubernetes_login(
    session: &Session,
    mount: &str,
    role: &str,
    jwt: &str,
) -> Result<Grant, VaultError> {
    match kubernetes::login(session, mount, role, jwt).await {
        Ok(mut auth) => {
            let grant = Grant::new(&auth.client_token, auth.lease_duration, auth.renewable);
            auth.client_token.zeroize();
            Ok(grant)
        }
        Err(error) => {
            Err(Failure::from(error).explain(session.address(), |failure| denied(failure, mount, role)))
        }
    }
}

fn denied(failure: Failure, mount: &str, role: &str) -> VaultError {
    let (mount, role) = (mount.to_owned(), role.to_owned());
    match failure {
        Failure::Status { errors, .. } if says(errors.as_deref(), "invalid role name") => {
            VaultError::RoleMissing { mount, role }
        }
        Failure::Status { status, errors, .. } => {
            VaultError::LoginDenied { mount, role, status, reason: quote(errors.as_deref()) }
        }
        Failure::Transport(_) | Failure::Untrusted(_) | Failure::Refused(_) | Failure::Body => {
            VaultError::Answer { path: format!("auth/{mount}/login"), problem: "no token in it" }
        }
    }
}
