//! A database of the node's payloads: where it is and how the node logs in.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::key::SecretKeyRef;
use super::peer::EgressRule;
use super::secret_store::{CaBundleRef, ObjectRef};

/// PostgreSQL, with Java Tessera's tables or none.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct PostgresStorage {
    /// Where the connection string is: host, role and database, and the password if the role has one.
    pub connection: PostgresConnection,
    /// The certificates that the server's own certificate must chain to. That certificate must hold the host of the connection string.
    pub ca_bundle_ref: CaBundleRef,
    /// The certificate that the node shows the server. The server must demand one (cert, or clientcert=verify-full, in pg_hba.conf),
    /// or line MutualTls of the checklist is violated. Absent: the node shows none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub client_certificate: Option<PostgresClientCertificate>,
    /// Where the server lies, as a NetworkPolicy can say it. The node may reach exactly that for its payloads.
    #[schemars(length(min = 1, max = 16))]
    #[x_kube(merge_strategy = ListMerge::Atomic)]
    pub egress: Vec<EgressRule>,
}

/// Where the connection string is.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) == (self.type == 'SecretRef')")
    .message("connection.secretRef must be set if and only if connection.type is SecretRef").field_path(".secretRef"))]
pub struct PostgresConnection {
    /// SecretRef: in a Secret of this namespace, which the node's pod mounts and the operator never reads.
    pub r#type: PostgresConnectionType,
    /// The part of a Secret with the connection string of libpq, for example postgresql://ROLE@HOST:5432/DATABASE, with at most 16 hosts.
    /// Special characters of a password are percent-encoded. The node uses a new string without a restart, within ten minutes after the
    /// kubelet has brought it to the pod.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<SecretKeyRef>,
}

/// Where a connection string is kept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PostgresConnectionType {
    /// In a Secret.
    SecretRef,
}

/// The certificate that the node shows the server.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
#[x_kube(validation = Rule::new("has(self.secretRef) == (self.type == 'SecretRef')")
    .message("clientCertificate.secretRef must be set if and only if clientCertificate.type is SecretRef").field_path(".secretRef"))]
pub struct PostgresClientCertificate {
    /// Issued: the node's own, whose common name is the node's name; the database's owner installs the network's CA (ConfigMap
    /// <network>-ca) as ssl_ca_file. SecretRef: one that the database's owner issues.
    #[serde(default)]
    pub r#type: PostgresClientCertificateType,
    /// The Secret of this namespace with tls.crt (a leaf, then its chain) and tls.key (PKCS#8), for example of type
    /// kubernetes.io/tls. A new certificate in it is used without a restart.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub secret_ref: Option<ObjectRef>,
}

/// Who issues the certificate that is shown the server.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum PostgresClientCertificateType {
    /// The network's CA.
    #[default]
    Issued,
    /// The database's owner; the certificate is in a Secret.
    SecretRef,
}
