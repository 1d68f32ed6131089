//! A network whose authority rolls over.

use jiff::SignedDuration;
use serde_json::{Value, json};
use tessera_tls::{Credentials, Expectation, Usage};

use super::ca::{Ca, Issued};
use super::{Spec, eventually};

/// The authority that follows a network's, and its certificate that the present one signed.
pub struct Successor {
    pub ca: Ca,
    pub cross: String,
}

impl Successor {
    pub fn of(old: &Ca) -> Self {
        let ca = Ca::new("network 2");
        let cross = old.cross_sign(&ca, SignedDuration::from_mins(60));
        Self { ca, cross }
    }
}

pub async fn status(node: &Spec) -> Option<Value> {
    Some(node.operator_client().try_get("/v1/status").await?.json())
}

/// Gives the node its certificate, and waits until the node serves it.
pub async fn certify(node: &Spec, issued: &Issued) {
    let expected = Expectation { identity: node.identity(), usage: Usage::Both };
    let (certificate, key, roots) = (&issued.certificate, &issued.key, &issued.roots);
    let wanted =
        Credentials::from_pem(certificate.as_bytes(), key.as_bytes(), roots.as_bytes(), &expected).unwrap();
    issued.write(&node.dir.join("tls"));
    eventually("the node serves its certificate", async || {
        let status = status(node).await?;
        let is_served = status["certificate"]["fingerprint"] == *wanted.leaf().fingerprint()
            && status["trustFingerprints"] == json!(wanted.roots().fingerprints());
        is_served.then_some(())
    })
    .await;
}
