//! The record that shows that records are accepted, and what all records say of their node.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;
use tessera_node_api::identity::Identity;

use super::layer::{at_now, attribute, text};
use crate::http::common::VERSION;

const NAME: &str = "tessera-node";

/// What all records of a node have in common.
#[derive(Debug, Clone)]
pub(super) struct Origin {
    identity: String,
    resource: Resource,
}

impl Origin {
    pub(super) fn new(identity: &Identity) -> Self {
        let identity = identity.to_string();
        let attributes = vec![
            attribute("service.name", text(NAME)),
            attribute("service.version", text(VERSION)),
            attribute("service.instance.id", text(identity.as_str())),
        ];
        Self { identity, resource: Resource { attributes, ..Resource::default() } }
    }

    /// A record whose only content is whose it is.
    pub(super) fn canary(&self) -> LogRecord {
        LogRecord {
            severity_number: SeverityNumber::Info.into(),
            severity_text: "INFO".to_owned(),
            body: Some(text("log canary")),
            attributes: vec![attribute("identity", text(self.identity.as_str()))],
            ..at_now()
        }
    }

    pub(super) fn request(&self, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
        let scope = InstrumentationScope { name: NAME.to_owned(), ..InstrumentationScope::default() };
        let records = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
        let logs = ResourceLogs {
            resource: Some(self.resource.clone()),
            scope_logs: vec![records],
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest { resource_logs: vec![logs] }
    }
}
