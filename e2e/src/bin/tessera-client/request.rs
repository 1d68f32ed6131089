//! One request: over HTTPS with the certificate of a mounted client Secret, or in plain HTTP to the sidecar of the pod.

use std::io::{Read as _, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use http_body_util::{BodyExt as _, Full};
use hyper::body::{Bytes, Incoming};
use hyper::client::conn::http1;
use hyper::header::{ACCEPT, CONTENT_TYPE, HOST, HeaderMap, HeaderName, HeaderValue};
use hyper::{Method, Response, Uri};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio::net::{TcpStream, UnixStream};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// The command line of a request.
#[derive(Debug, clap::Args)]
pub(crate) struct Request {
    /// GET, POST, DELETE …
    method: Method,
    /// https://host:port/path, or http:// for the sidecar
    url: Uri,
    /// Send plain HTTP over this Unix socket, whatever host the URL names
    #[arg(long)]
    unix_socket: Option<PathBuf>,
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

trait Stream: AsyncRead + AsyncWrite + Unpin + Send {}
impl<S: AsyncRead + AsyncWrite + Unpin + Send> Stream for S {}

impl Request {
    /// Sends the request and prints the response, whatever its status.
    pub(crate) async fn print(self) -> Result<()> {
        let patience = Duration::from_secs(self.timeout);
        let (head, body) = timeout(patience, self.send())
            .await
            .with_context(|| format!("no response within {} s", self.timeout))??;
        let mut out = format!("{:?} {}\n", head.version(), head.status()).into_bytes();
        out.extend_from_slice(&body);
        // In one write, and only once all is there: half a response must not look like a whole one.
        std::io::stdout().write_all(&out)?;
        Ok(())
    }

    /// On a connection of its own.
    async fn send(&self) -> Result<(Response<()>, Bytes)> {
        let request = self.request()?;
        let stream = self.connect().await?;
        let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
        let exchange = async move {
            let response: Response<Incoming> = sender.send_request(request).await?;
            let (head, body) = response.into_parts();
            anyhow::Ok((Response::from_parts(head, ()), body.collect().await?.to_bytes()))
        };
        // The connection's own error is the cause (an alert, for instance); the exchange only sees that it broke.
        match tokio::join!(exchange, connection) {
            (Ok(response), _) => Ok(response),
            (Err(_), Err(error)) => Err(error).context("no response"),
            (Err(error), Ok(())) => Err(error).context("no response"),
        }
    }

    async fn connect(&self) -> Result<Box<dyn Stream>> {
        if let Some(socket) = &self.unix_socket {
            let stream = UnixStream::connect(socket).await;
            return Ok(Box::new(stream.with_context(|| format!("connecting to {}", socket.display()))?));
        }
        let host = self.url.host().context("the URL has no host")?;
        let tcp = async |port: u16| {
            TcpStream::connect((host, port)).await.with_context(|| format!("connecting to {host}:{port}"))
        };
        if self.url.scheme_str() == Some("http") {
            return Ok(Box::new(tcp(self.url.port_u16().unwrap_or(80)).await?));
        }
        ensure!(self.url.scheme_str() == Some("https"), "{} is neither an https nor an http URL", self.url);
        let config = tls_config(&self.tls_dir, !self.no_client_cert)?;
        let stream = tcp(self.url.port_u16().unwrap_or(443)).await?;
        let name = ServerName::try_from(host.to_owned())?;
        let stream = TlsConnector::from(Arc::new(config)).connect(name, stream).await;
        Ok(Box::new(stream.context("TLS handshake")?))
    }

    /// With the headers asked for and no other but `Host`: what a node makes of a missing `Accept` is to be tested too.
    fn request(&self) -> Result<hyper::Request<Full<Bytes>>> {
        let authority = self.url.authority().context("the URL has no host")?;
        let path = self.url.path_and_query().map_or("/", |path| path.as_str());
        let mut request = hyper::Request::new(Full::new(Bytes::from(self.body()?)));
        *request.method_mut() = self.method.clone();
        *request.uri_mut() = path.parse()?;
        *request.headers_mut() = self.headers();
        request.headers_mut().insert(HOST, HeaderValue::from_str(authority.as_str())?);
        Ok(request)
    }

    fn headers(&self) -> HeaderMap {
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

    fn body(&self) -> Result<Vec<u8>> {
        if !self.data_stdin {
            return Ok(self.json.clone().unwrap_or_default().into_bytes());
        }
        let mut body = Vec::new();
        std::io::stdin().read_to_end(&mut body).context("reading the body from standard input")?;
        Ok(body)
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
