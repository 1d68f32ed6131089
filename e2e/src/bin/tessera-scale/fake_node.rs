//! A node's admin port: answers the operator with the status of a node that serves, or never.

use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context as _, Result};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject as _;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};
use tessera_e2e::cluster::{Cluster, Kind};
use tessera_e2e::wait;
use tokio::net::TcpListener;
use tokio_rustls::TlsAcceptor;

use crate::checklist;

const ADMIN_PORT: u16 = 9443;
const SECRETS_WITHIN: Duration = Duration::from_mins(2);

/// Listens and never accepts: the kernel completes connections, and nobody answers.
pub(crate) async fn be_silent(address: Ipv4Addr) -> Result<()> {
    let listener = listen(address).await?;
    tokio::spawn(async move {
        let _open = listener;
        std::future::pending::<()>().await;
    });
    Ok(())
}

/// Answers as `node`, with the certificate that the operator made for its admin port; with `for_checklist` says of itself what the
/// checklist asks, too.
pub(crate) async fn serve(
    cluster: &Cluster,
    namespace: &str,
    node: &str,
    address: Ipv4Addr,
    for_checklist: bool,
) -> Result<()> {
    let admin = secret(cluster, namespace, &format!("{node}-admin-tls")).await?;
    let leaf = secret(cluster, namespace, &format!("{node}-tls")).await?;
    let acceptor = acceptor(&admin)?;
    let status = Arc::new(status(&leaf)?);
    let listener = listen(address).await?;
    tokio::spawn(async move {
        loop {
            let Ok((stream, _)) = listener.accept().await else { continue };
            let (acceptor, status) = (acceptor.clone(), Arc::clone(&status));
            tokio::spawn(async move {
                let Ok(stream) = acceptor.accept(stream).await else { return };
                let answer = service_fn(move |_: Request<Incoming>| {
                    let mut status = Value::clone(&status);
                    if for_checklist {
                        checklist::add_to(&mut status);
                    }
                    let body = Bytes::from(status.to_string());
                    async move { Ok::<_, Infallible>(Response::new(Full::new(body))) }
                });
                // A connection that breaks is made again by the operator.
                drop(
                    hyper::server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), answer)
                        .await,
                );
            });
        }
    });
    Ok(())
}

async fn listen(address: Ipv4Addr) -> Result<TcpListener> {
    let address = SocketAddr::from((address, ADMIN_PORT));
    TcpListener::bind(address).await.with_context(|| format!("listening on {address}"))
}

async fn secret(cluster: &Cluster, namespace: &str, name: &str) -> Result<Value> {
    wait::until(&format!("Secret {name}"), SECRETS_WITHIN, || cluster.get(Kind::Secret, namespace, name))
        .await
}

fn member(secret: &Value, key: &str) -> Result<Vec<u8>> {
    let text = secret["data"][key].as_str().with_context(|| format!("the Secret has no {key}"))?;
    Ok(STANDARD.decode(text)?)
}

fn acceptor(secret: &Value) -> Result<TlsAcceptor> {
    let pem = member(secret, "tls.crt")?;
    let chain = CertificateDer::pem_slice_iter(&pem).collect::<Result<Vec<_>, _>>()?;
    let key = PrivateKeyDer::from_pem_slice(&member(secret, "tls.key")?)?;
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = rustls::ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .with_no_client_auth()
        .with_single_cert(chain, key)?;
    Ok(TlsAcceptor::from(Arc::new(config)))
}

/// `GET /v1/status` of a node that serves the newest certificate and has its key.
fn status(leaf: &Value) -> Result<Value> {
    let der = CertificateDer::from_pem_slice(&member(leaf, "tls.crt")?)?;
    let roots = member(leaf, "ca.crt").unwrap_or_default();
    let trusted: Vec<_> = CertificateDer::pem_slice_iter(&roots)
        .filter_map(Result::ok)
        .map(|root| hex::encode(Sha256::digest(&root)))
        .collect();
    let now = jiff::Timestamp::now();
    Ok(json!({
        "protocol": 1, "nodeVersion": "0.1.0", "identity": "", "startedAt": now.to_string(), "ready": true, "awaiting": [],
        "keys": [{"name": "main", "version": 1, "publicKey": STANDARD.encode([7_u8; 32]), "state": "Default"}],
        "secretStore": {"available": true, "message": "", "since": now.to_string()},
        "database": {"available": true, "message": "", "since": now.to_string()},
        "certificate": {
            "serial": "01", "notAfter": (now + jiff::SignedDuration::from_hours(20)).to_string(),
            "fingerprint": hex::encode(Sha256::digest(&der)),
        },
        "trustFingerprints": trusted, "reloadErrors": [], "peersReached": [],
        "egressClosedSince": now.to_string(),
    }))
}
