//! The record that shows that records are accepted, and what all records say of their process.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::common::v1::InstrumentationScope;
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs, SeverityNumber};
use opentelemetry_proto::tonic::resource::v1::Resource;

use super::layer::{at_now, attribute, text};

/// What all records of a process have in common.
#[derive(Debug, Clone)]
pub struct Origin {
    program: &'static str,
    version: &'static str,
    identity: String,
    resource: Resource,
}

impl Origin {
    /// Records of `program`, of the one process of it that `identity` names.
    pub fn new(program: &'static str, version: &'static str, identity: &str) -> Self {
        let attributes = vec![
            attribute("service.name", text(program)),
            attribute("service.version", text(version)),
            attribute("service.instance.id", text(identity)),
        ];
        let (identity, resource) = (identity.to_owned(), Resource { attributes, ..Resource::default() });
        Self { program, version, identity, resource }
    }

    /// What a request says of its client.
    pub(super) fn user_agent(&self) -> String {
        format!("{}/{}", self.program, self.version)
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
        let scope = InstrumentationScope { name: self.program.to_owned(), ..InstrumentationScope::default() };
        let records = ScopeLogs { scope: Some(scope), log_records, ..ScopeLogs::default() };
        let logs = ResourceLogs {
            resource: Some(self.resource.clone()),
            scope_logs: vec![records],
            ..ResourceLogs::default()
        };
        ExportLogsServiceRequest { resource_logs: vec![logs] }
    }
}
