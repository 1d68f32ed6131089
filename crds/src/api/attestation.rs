//! TesseraAttestation: what a person states about a line of the checklist, or which violation a person accepts for a time.

use kube::{CustomResource, KubeSchema};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::checklist::Line;
use super::name::Timestamp;
use super::node::NetworkRef;
use super::rules;

/// What a person states.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, CustomResource, KubeSchema)]
#[kube(
    group = "tessera.rs",
    version = "v1alpha1",
    kind = "TesseraAttestation",
    plural = "tesseraattestations",
    shortname = "tatt",
    category = "tessera",
    namespaced,
    derive = "PartialEq",
    doc = "TesseraAttestation is a person's dated statement about a line of the security checklist: that it holds where a cluster cannot see it, or that its violation is accepted. Immutable: state it anew.",
    validation = rules::immutable_spec_rule(),
    validation = rules::attestable_rule(),
    selectable = ".spec.networkRef.name",
    printcolumn(name = "Network", type_ = "string", json_path = ".spec.networkRef.name", description = "The network that it speaks of."),
    printcolumn(name = "Line", type_ = "string", json_path = ".spec.line", description = "The line that it speaks of."),
    printcolumn(name = "Type", type_ = "string", json_path = ".spec.type", description = "Attestation or Exception."),
    printcolumn(name = "By", type_ = "string", json_path = ".spec.by", description = "Who states it."),
    // A string, since the type `date` is shown as an age and a future time as <invalid>.
    printcolumn(name = "Expires", type_ = "string", json_path = ".spec.expires", description = "Until when it counts."),
    printcolumn(name = "Age", type_ = "date", json_path = ".metadata.creationTimestamp", description = "Time since it was stated.")
)]
#[serde(rename_all = "camelCase")]
pub struct TesseraAttestationSpec {
    /// The network, in this namespace, that the statement speaks of, with all of its nodes.
    pub network_ref: NetworkRef,

    /// The line of the checklist.
    pub line: Line,

    /// Attestation: the line holds for the machines, which a cluster cannot see. Exception: the line is violated, and that is
    /// accepted; the result stays Violated.
    pub r#type: AttestationType,

    /// What is stated, as an auditor should read it.
    #[schemars(length(min = 8, max = 512))]
    pub statement: String,

    /// Who states it: the name by which the API server knows the user who creates this object.
    #[schemars(length(min = 1, max = 256))]
    pub by: String,

    /// Until when it counts: at most 366 days after it was created.
    pub expires: Timestamp,
}

/// What kind of statement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub enum AttestationType {
    /// The line holds where a cluster cannot see it.
    Attestation,
    /// The line is violated, and that is accepted.
    Exception,
}
