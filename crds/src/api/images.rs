//! What the status of a TesseraNode says of images.

use kube::KubeSchema;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::name::Timestamp;

/// What became of the images that a node got.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize, KubeSchema)]
#[serde(rename_all = "camelCase")]
pub struct ImagesStatus {
    /// The image with which the node was ready last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub served: Option<String>,
    /// Images with which the node did not become ready in time. No node of the network gets one of them, until this node is
    /// restarted: kubectl tessera restart.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    #[schemars(length(max = 8))]
    #[x_kube(merge_strategy = ListMerge::Map(vec!["image".into()]))]
    pub rejected: Vec<RejectedImage>,
}

/// An image with which a node did not become ready in time.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "camelCase")]
pub struct RejectedImage {
    /// The image, by digest.
    #[schemars(length(max = 512))]
    pub image: String,
    /// When the node got the image before it back.
    pub at: Timestamp,
    /// How the node failed with it.
    #[schemars(length(max = 1024))]
    pub message: String,
    /// The node's spec.restartTrigger at that time: a higher one has the image tried again.
    pub restart_trigger: i64,
}
