//! One HTTPS request with the certificate of a mounted client Secret.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use reqwest::header::{ACCEPT, CONTENT_TYPE, HeaderMap, HeaderName, HeaderValue};
use reqwest::{Client, Method, Url, redirect};
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};

/// The command line of a request.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// GET, POST, DELETE …
    method: Method,
    /// https://host:port/path
    url: Url,
    /// A JSON body; also sets Content-Type
    #[arg(long, conflicts_with = "data_stdin")]
    json: Option<String>,
    /// Read the body from standard input
    #[arg(long)]
    data_stdin: bool,
    /// A header, name:value; may be repeated
    #[arg(long = "header", value_parser = header)]
    headers: Vec<(HeaderName, HeaderValue)>,
    /// The Accept header; none is sent without it
    #[arg(long)]
    accept: Option<HeaderValue>,
    /// Directory with tls.crt, tls.key and ca.crt
    #[arg(long, default_value = "/etc/tessera/client")]
    tls_dir: PathBuf,
    /// Show no certificate
    #[arg(long)]
    no_client_cert: bool,
    /// Seconds to wait for the response
    #[arg(long, default_value_t = 30)]
    timeout: u64,
}

impl Request {
    /// Sends the request and prints the response, whatever its status.
    pub(crate) async fn print(self) -> Result<()> {
        let client = Client::builder()
            .tls_backend_preconfigured(tls_config(&self.tls_dir, !self.no_client_cert)?)
            .redirect(redirect::Policy::none())
            .no_proxy()
            .timeout(Duration::from_secs(self.timeout))
            .build()?;
        let mut request = client.request(self.method.clone(), self.url.clone()).headers(self.all_headers());
        if let Some(body) = self.body()? {
            request = request.body(body);
        }
        let response = request.send().await?;
        let mut out = format!("{:?} {}\n", response.version(), response.status()).into_bytes();
        out.extend_from_slice(&response.bytes().await?);
        // In one write, and only once all is there: half a response must not look like a whole one.
        std::io::stdout().write_all(&out)?;
        Ok(())
    }

    fn all_headers(&self) -> HeaderMap {
        let mut headers = HeaderMap::new();
        if self.json.is_some() {
            headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/json"));
        }
        if let Some(accept) = &self.accept {
            headers.insert(ACCEPT, accept.clone());
        }
        for (name, value) in &self.headers {
            headers.append(name, value.clone());
        }
        headers
    }

    fn body(&self) -> Result<Option<Vec<u8>>> {
        if !self.data_stdin {
            return Ok(self.json.clone().map(String::into_bytes));
        }
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).context("reading the body from standard input")?;
        Ok(Some(body))
    }
}

fn header(text: &str) -> Result<(HeaderName, HeaderValue)> {
    let (name, value) = text.split_once(':').context("a header is name:value")?;
    Ok((name.trim().parse()?, value.trim().parse()?))
}

fn tls_config(directory: &Path, client_certificate: bool) -> Result<ClientConfig> {
    let file = |name: &str| directory.join(name);
    let mut roots = RootCertStore::empty();
    for certificate in certificates(&file("ca.crt"))? {
        roots.add(certificate)?;
    }
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots);
    if !client_certificate {
        return Ok(config.with_no_client_auth());
    }
    let key = PrivateKeyDer::from_pem_file(file("tls.key"))
        .with_context(|| format!("reading {}", file("tls.key").display()))?;
    Ok(config.with_client_auth_cert(certificates(&file("tls.crt"))?, key)?)
}

fn certificates(path: &Path) -> Result<Vec<CertificateDer<'static>>> {
    CertificateDer::pem_file_iter(path)
        .and_then(Iterator::collect)
        .with_context(|| format!("reading {}", path.display()))
}
