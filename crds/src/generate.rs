//! From Rust types to the YAML that a cluster installs.

use k8s_openapi::apiextensions_apiserver::pkg::apis::apiextensions::v1::CustomResourceDefinition;
use kube::CustomResourceExt;

use crate::{TesseraNetwork, TesseraNode};

/// The definitions of all kinds.
pub fn definitions() -> Vec<CustomResourceDefinition> {
    vec![TesseraNetwork::crd(), TesseraNode::crd()]
}
