//! An attacker: raw requests to the API server under one identity, with the rights of that identity.

use anyhow::{Context as _, Result, ensure};
use k8s_openapi::api::authentication::v1::{TokenRequest, TokenRequestSpec};
use k8s_openapi::api::core::v1::ServiceAccount;
use kube::api::{Api, PostParams};
use kube::client::Body;
use kube::config::AuthInfo;
use kube::{Client, Config};
use serde_json::Value;

use crate::cluster::Cluster;

/// An identity of the cluster.
pub struct Attacker {
    client: Client,
}

/// What the API server answered: code and text.
pub struct Answer {
    /// The HTTP status.
    pub code: u16,
    /// The body of a success, the message of a refusal.
    pub text: String,
}

impl Attacker {
    /// With the credentials of a ServiceAccount, as a pod of it has them.
    pub async fn service_account(cluster: &Cluster, namespace: &str, name: &str) -> Result<Self> {
        let accounts: Api<ServiceAccount> = Api::namespaced(cluster.client().clone(), namespace);
        let request = TokenRequest { spec: TokenRequestSpec::default(), ..TokenRequest::default() };
        let answer = accounts.create_token_request(name, &PostParams::default(), &request).await?;
        let token = answer.status.context("a token was issued")?.token;
        let mut config = Config::infer().await.context("no kubeconfig")?;
        config.auth_info = AuthInfo { token: Some(token.into()), ..AuthInfo::default() };
        Ok(Self { client: Client::try_from(config)? })
    }

    /// As the ServiceAccount whose credentials nobody is given, with its rights and no others.
    pub async fn in_the_name_of(namespace: &str, account: &str) -> Result<Self> {
        let mut config = Config::infer().await.context("no kubeconfig")?;
        config.auth_info.impersonate = Some(format!("system:serviceaccount:{namespace}:{account}"));
        config.auth_info.impersonate_groups = Some(vec![
            "system:serviceaccounts".to_owned(),
            format!("system:serviceaccounts:{namespace}"),
            "system:authenticated".to_owned(),
        ]);
        Ok(Self { client: Client::try_from(config)? })
    }

    /// One request. A `PATCH` is a JSON patch if its body is a list, else a merge patch.
    pub async fn ask(&self, method: &str, path: &str, body: Option<&Value>) -> Result<Answer> {
        self.ask_as(None, method, path, body).await
    }

    /// The same in the name of another user.
    pub async fn ask_as(
        &self,
        user: Option<&str>,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<Answer> {
        let kind = match body {
            Some(Value::Array(_)) => "application/json-patch+json",
            _ if method == "PATCH" => "application/merge-patch+json",
            _ => "application/json",
        };
        let mut request = http::Request::builder().method(method).uri(path).header("Content-Type", kind);
        if let Some(user) = user {
            request = request.header("Impersonate-User", user);
        }
        let body = body.map(serde_json::to_vec).transpose()?.unwrap_or_default();
        let response = self.client.send(request.body(Body::from(body))?).await?;
        let code = response.status().as_u16();
        let text = response.into_body().collect_bytes().await?;
        Ok(Answer { code, text: String::from_utf8_lossy(&text).into_owned() })
    }

    /// That the request is refused as forbidden, by RBAC or by a policy.
    pub async fn is_forbidden(
        &self,
        what: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<()> {
        let Answer { code, text } = self.ask(method, path, body).await.with_context(|| what.to_owned())?;
        ensure!(code == 403, "{what}: {code} {text}");
        Ok(())
    }
}
