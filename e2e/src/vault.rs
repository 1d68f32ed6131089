//! Vault, spoken to as its administrator.

use std::time::Duration;

use anyhow::{Context as _, Result, bail, ensure};
use serde_json::Value;

use crate::settings::Settings;

/// Vault with its administrator's token.
#[derive(Clone)]
pub struct Vault {
    http: reqwest::Client,
    address: String,
    token: String,
}

impl Vault {
    /// Connects with the settings of `hack/e2e`.
    pub fn connect(settings: &Settings) -> Result<Self> {
        let ca = reqwest::Certificate::from_pem(&std::fs::read(&settings.vault_ca_file)?)?;
        let http = reqwest::Client::builder()
            .tls_certs_only([ca])
            .no_proxy()
            .timeout(Duration::from_secs(20))
            .build()?;
        let token = std::fs::read_to_string(&settings.vault_token_file)
            .with_context(|| format!("reading Vault's token in {}", settings.vault_token_file))?
            .trim()
            .to_owned();
        Ok(Self { http, address: settings.vault_address.clone(), token })
    }

    /// The data of a KV version 2 secret and how many versions it has; an error when it is not there.
    pub async fn secret(&self, mount: &str, path: &str) -> Result<(Value, u64)> {
        let data = self.get(&format!("{mount}/data/{path}")).await?;
        let version = data["data"]["metadata"]["version"].as_u64().context("no version")?;
        Ok((data["data"]["data"].clone(), version))
    }

    /// Writes a new version of a KV version 2 secret, upon the one that is there.
    pub async fn put(&self, mount: &str, path: &str, data: &Value) -> Result<()> {
        let version = self.secret(mount, path).await.map_or(0, |(_, version)| version);
        let response = self
            .http
            .post(format!("{}/v1/{mount}/data/{path}", self.address))
            .header("X-Vault-Token", &self.token)
            .json(&serde_json::json!({"options": {"cas": version}, "data": data}))
            .send()
            .await?;
        if !response.status().is_success() {
            bail!("writing {path}: {}", response.status());
        }
        Ok(())
    }

    /// The names under a KV version 2 directory.
    pub async fn names(&self, mount: &str, path: &str) -> Result<Vec<String>> {
        let listed = self.get(&format!("{mount}/metadata/{path}?list=true")).await?;
        let keys = listed["data"]["keys"].as_array().context("no keys")?;
        Ok(keys.iter().filter_map(|k| k.as_str().map(str::to_owned)).collect())
    }

    /// Whether a token of a stranger's making is accepted by the login of a role.
    pub async fn login_accepts(&self, mount: &str, role: &str, jwt: &str) -> Result<bool> {
        let response = self
            .http
            .post(format!("{}/v1/auth/{mount}/login", self.address))
            .json(&serde_json::json!({"role": role, "jwt": jwt}))
            .send()
            .await?;
        Ok(response.status().is_success())
    }

    /// Logs in as the holder of `jwt` would; gives the store's token.
    pub async fn login(&self, mount: &str, role: &str, jwt: &str) -> Result<String> {
        let body = serde_json::json!({"role": role, "jwt": jwt});
        let answer = self.write(&format!("auth/{mount}/login"), &body).await?;
        answer["auth"]["client_token"].as_str().map(str::to_owned).context("no token")
    }

    /// The status of one request with a token of the store.
    pub async fn status_as(
        &self,
        token: &str,
        method: &str,
        path: &str,
        body: Option<&Value>,
    ) -> Result<u16> {
        let method = reqwest::Method::from_bytes(method.as_bytes())?;
        let request = self.http.request(method, format!("{}/v1/{path}", self.address));
        let request = request.header("X-Vault-Token", token);
        let request = if let Some(body) = body { request.json(body) } else { request };
        Ok(request.send().await?.status().as_u16())
    }

    /// Seals Vault: every request is refused until it is unsealed.
    pub async fn seal(&self) -> Result<()> {
        let response = self
            .http
            .put(format!("{}/v1/sys/seal", self.address))
            .header("X-Vault-Token", &self.token)
            .send()
            .await?;
        if !response.status().is_success() {
            bail!("sealing Vault: {}", response.status());
        }
        Ok(())
    }

    /// Writes at a path, as its administrator; gives what Vault answers.
    pub async fn write(&self, path: &str, body: &Value) -> Result<Value> {
        self.send(reqwest::Method::POST, path, Some(body)).await
    }

    /// Deletes what is at a path; nothing there is fine.
    pub async fn delete(&self, path: &str) -> Result<()> {
        self.send(reqwest::Method::DELETE, path, None).await.map(drop)
    }

    /// What lies at a path.
    pub async fn read(&self, path: &str) -> Result<Value> {
        self.get(path).await
    }

    async fn send(&self, method: reqwest::Method, path: &str, body: Option<&Value>) -> Result<Value> {
        let url = format!("{}/v1/{path}", self.address);
        let request = self.http.request(method.clone(), &url).header("X-Vault-Token", &self.token);
        let request = if let Some(body) = body { request.json(body) } else { request };
        let response = request.send().await?;
        let status = response.status();
        if !status.is_success() {
            bail!("{method} {url}: {status}: {}", response.text().await.unwrap_or_default());
        }
        Ok(response.json().await.unwrap_or_default())
    }

    async fn get(&self, path: &str) -> Result<Value> {
        let url = format!("{}/v1/{path}", self.address);
        let response = self.http.get(&url).header("X-Vault-Token", &self.token).send().await?;
        if !response.status().is_success() {
            bail!("GET {url}: {}", response.status());
        }
        Ok(response.json().await?)
    }
}

/// Opens the cluster's Vault, as after a restart of its pod.
pub async fn unseal() -> Result<()> {
    let root = concat!(env!("CARGO_MANIFEST_DIR"), "/..");
    let status = tokio::process::Command::new("hack/vault").arg("unseal").current_dir(root).status().await?;
    ensure!(status.success(), "hack/vault unseal: {status}");
    Ok(())
}
