//! The part of OSCAL's assessment results that a report needs, as OSCAL 1.1.3 names it. Pure.

use serde::Serialize;
use uuid::Uuid;

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Document {
    pub(super) assessment_results: AssessmentResults,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AssessmentResults {
    pub(super) uuid: Uuid,
    pub(super) metadata: Metadata,
    pub(super) import_ap: ImportAp,
    pub(super) local_definitions: Objectives,
    pub(super) results: [AssessmentResult; 1],
    pub(super) back_matter: BackMatter,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Metadata {
    pub(super) title: String,
    pub(super) last_modified: String,
    pub(super) version: String,
    pub(super) oscal_version: &'static str,
    pub(super) props: Vec<Property>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) roles: Vec<Role>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) parties: Vec<Party>,
}

#[derive(Debug, Serialize)]
pub(super) struct Role {
    pub(super) id: &'static str,
    pub(super) title: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Party {
    pub(super) uuid: Uuid,
    pub(super) r#type: &'static str,
    pub(super) name: String,
}

#[derive(Debug, Serialize)]
pub(super) struct ImportAp {
    pub(super) href: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Objectives {
    pub(super) objectives_and_methods: Vec<Objective>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Objective {
    pub(super) control_id: &'static str,
    pub(super) parts: [Part; 1],
}

#[derive(Debug, Serialize)]
pub(super) struct Part {
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) id: Option<String>,
    pub(super) name: &'static str,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Property>,
    pub(super) prose: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AssessmentResult {
    pub(super) uuid: Uuid,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) start: String,
    pub(super) end: String,
    pub(super) props: Vec<Property>,
    pub(super) local_definitions: Subjects,
    pub(super) reviewed_controls: ReviewedControls,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) attestations: Vec<Attestation>,
    pub(super) observations: Vec<Observation>,
    pub(super) findings: Vec<Finding>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Subjects {
    pub(super) components: Vec<Component>,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) inventory_items: Vec<InventoryItem>,
    pub(super) assessment_assets: AssessmentAssets,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct AssessmentAssets {
    pub(super) components: Vec<Component>,
    pub(super) assessment_platforms: [Platform; 1],
}

#[derive(Debug, Serialize)]
pub(super) struct Platform {
    pub(super) uuid: Uuid,
    pub(super) title: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Component {
    pub(super) uuid: Uuid,
    pub(super) r#type: &'static str,
    pub(super) title: String,
    pub(super) description: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) props: Vec<Property>,
    pub(super) status: ComponentState,
}

#[derive(Debug, Serialize)]
pub(super) struct ComponentState {
    pub(super) state: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct InventoryItem {
    pub(super) uuid: Uuid,
    pub(super) description: String,
    pub(super) props: Vec<Property>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ReviewedControls {
    pub(super) control_selections: [ControlSelection; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ControlSelection {
    pub(super) description: &'static str,
    pub(super) include_controls: Vec<ControlId>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ControlId {
    pub(super) control_id: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Attestation {
    pub(super) responsible_parties: [ResponsibleParty; 1],
    pub(super) parts: [Part; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct ResponsibleParty {
    pub(super) role_id: &'static str,
    pub(super) party_uuids: [Uuid; 1],
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Observation {
    pub(super) uuid: Uuid,
    pub(super) title: String,
    pub(super) description: String,
    pub(super) props: Vec<Property>,
    pub(super) methods: [&'static str; 1],
    pub(super) types: [&'static str; 1],
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub(super) origins: Vec<Origin>,
    pub(super) subjects: [Subject; 1],
    pub(super) collected: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) expires: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remarks: Option<String>,
}

#[derive(Debug, Serialize)]
pub(super) struct Origin {
    pub(super) actors: Vec<Actor>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Actor {
    pub(super) r#type: &'static str,
    pub(super) actor_uuid: Uuid,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Subject {
    #[serde(rename = "subject-uuid")]
    pub(super) uuid: Uuid,
    pub(super) r#type: &'static str,
    pub(super) title: String,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Finding {
    pub(super) uuid: Uuid,
    pub(super) title: &'static str,
    pub(super) description: String,
    pub(super) props: Vec<Property>,
    pub(super) target: Target,
    pub(super) related_observations: Vec<RelatedObservation>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remarks: Option<String>,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct Target {
    pub(super) r#type: &'static str,
    #[serde(rename = "target-id")]
    pub(super) id: String,
    pub(super) status: ObjectiveState,
}

#[derive(Debug, Serialize)]
pub(super) struct ObjectiveState {
    pub(super) state: &'static str,
    pub(super) reason: &'static str,
}

#[derive(Debug, Serialize)]
#[serde(rename_all = "kebab-case")]
pub(super) struct RelatedObservation {
    pub(super) observation_uuid: Uuid,
}

#[derive(Debug, Serialize)]
pub(super) struct BackMatter {
    pub(super) resources: [Resource; 1],
}

#[derive(Debug, Serialize)]
pub(super) struct Resource {
    pub(super) uuid: Uuid,
    pub(super) title: &'static str,
    pub(super) description: &'static str,
}

#[derive(Debug, Serialize)]
pub(super) struct Property {
    pub(super) name: &'static str,
    pub(super) ns: &'static str,
    pub(super) value: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) class: Option<String>,
    #[serde(skip_serializing_if = "Option::is_none")]
    pub(super) remarks: Option<String>,
}
