//! Why an object could not be brought about, one variant for each remedy.

use tessera_crds::condition::Reason;

use super::object_id::ObjectId;
use super::refusal::{Refusal, refusal_of};
use crate::report::error::chain;

/// Why an object could not be brought about.
#[derive(Debug, Clone, thiserror::Error)]
pub enum WriteError {
    /// Somebody else's object has the name.
    #[error("{object} exists and {}", whose(.controller.as_deref()))]
    NameConflict {
        /// Kind, namespace and name.
        object: ObjectId,
        /// Kind and name of what controls it, if anything does.
        controller: Option<String>,
    },
    /// It is of our owner's deleted namesake, and goes by itself.
    #[error("{object} is left from a deleted {owner}: waiting until the garbage collector has removed it")]
    LeftOver {
        /// Kind, namespace and name.
        object: ObjectId,
        /// Kind and name of what controlled it.
        owner: String,
    },
    /// The object is on its way out; it can be made again when it is gone.
    #[error("{object} is being deleted: waiting until it is gone")]
    Terminating {
        /// Kind, namespace and name.
        object: ObjectId,
    },
    /// Somebody, perhaps another leader, was faster; the next attempt sees it.
    #[error("{object} changed while it was being written")]
    Conflict {
        /// Kind, namespace and name.
        object: ObjectId,
    },
    /// Somebody undoes what we write.
    #[error(
        "{object} is changed by somebody else as often as it is put back, and is left alone for some minutes: its managedFields name who it is"
    )]
    Contested {
        /// Kind, namespace and name.
        object: ObjectId,
    },
    /// The operator's identity lacks the right.
    #[error(
        "not allowed to {verb} {object}: the operator's Role in this namespace lacks the right: {message}"
    )]
    PermissionDenied {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What the API server says.
        message: String,
    },
    /// The operator's settings give the namespace to nobody, or to others.
    #[error(
        "{object} is left as it is: the chart's value clientNamespaces does not give namespace {} to nodes of namespace {to}: add it there, or correct secretNamespace", .object.namespace
    )]
    NamespaceNotGiven {
        /// Kind, namespace and name.
        object: ObjectId,
        /// Where the node is.
        to: String,
    },
    /// A ResourceQuota leaves no room.
    #[error("failed to {verb} {object}: raise the ResourceQuota, or ask for less: {message}")]
    OverQuota {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What the API server says.
        message: String,
    },
    /// A policy, a webhook or a limit of this cluster refuses the object.
    #[error(
        "failed to {verb} {object}: the cluster's admission refuses it; ask the owner of what the message names: {message}"
    )]
    NotAdmitted {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What the API server says.
        message: String,
    },
    /// The API server refuses the object itself.
    #[error("{object} was refused: {message}")]
    Invalid {
        /// Kind, namespace and name.
        object: ObjectId,
        /// What the API server says.
        message: String,
    },
    /// The API server failed or could not be reached.
    #[error("failed to {verb} {object}: {message}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What happened.
        message: String,
    },
}

/// Whose it is, and what helps: what another object controls comes back when it is deleted.
fn whose(controller: Option<&str>) -> String {
    match controller {
        Some(controller) => format!("belongs to {controller}: give one of the two another name"),
        None => "is not ours: delete or rename it".to_owned(),
    }
}

impl WriteError {
    /// Which object.
    pub fn object(&self) -> &ObjectId {
        match self {
            Self::NameConflict { object, .. }
            | Self::LeftOver { object, .. }
            | Self::Terminating { object }
            | Self::Conflict { object }
            | Self::Contested { object }
            | Self::PermissionDenied { object, .. }
            | Self::NamespaceNotGiven { object, .. }
            | Self::OverQuota { object, .. }
            | Self::NotAdmitted { object, .. }
            | Self::Invalid { object, .. }
            | Self::Api { object, .. } => object,
        }
    }

    /// Whether the next attempt may succeed without a person's help: the API server was away, another writer was faster,
    /// something is on its way out.
    pub fn is_transient(&self) -> bool {
        matches!(
            self,
            Self::LeftOver { .. } | Self::Terminating { .. } | Self::Conflict { .. } | Self::Api { .. }
        )
    }

    /// The reason of a condition that reports it.
    pub fn reason(&self) -> Reason {
        match self {
            Self::NameConflict { .. } => Reason::NameConflict,
            Self::Contested { .. } => Reason::Contested,
            Self::PermissionDenied { .. } | Self::NamespaceNotGiven { .. } => Reason::PermissionDenied,
            Self::OverQuota { .. } => Reason::QuotaExceeded,
            Self::NotAdmitted { .. } => Reason::AdmissionDenied,
            Self::Invalid { .. } => Reason::InvalidConfiguration,
            Self::LeftOver { .. } | Self::Terminating { .. } | Self::Conflict { .. } | Self::Api { .. } => {
                Reason::Progressing
            }
        }
    }

    /// What a person must look at first has the lowest number.
    fn urgency(&self) -> u8 {
        match self {
            Self::NameConflict { .. } => 0,
            Self::Contested { .. } => 1,
            Self::PermissionDenied { .. } | Self::NamespaceNotGiven { .. } => 2,
            Self::Invalid { .. } => 3,
            Self::OverQuota { .. } | Self::NotAdmitted { .. } => 4,
            Self::LeftOver { .. } | Self::Terminating { .. } | Self::Conflict { .. } | Self::Api { .. } => 5,
        }
    }
}

/// The failure that a person must repair first; `None`: all of them may pass by themselves. Name conflicts are repaired
/// together, so one message names every object in the way.
pub fn most_urgent(failures: &[WriteError]) -> Option<(Reason, String)> {
    if let Some(message) = name_conflicts(failures) {
        return Some((Reason::NameConflict, message));
    }
    let lasting = failures.iter().filter(|failure| !failure.is_transient());
    lasting.min_by_key(|failure| failure.urgency()).map(|failure| (failure.reason(), failure.to_string()))
}

/// Every object of others whose name is needed, and the command that lists them.
pub fn name_conflicts(failures: &[WriteError]) -> Option<String> {
    let is_conflict = |failure: &&WriteError| matches!(failure, WriteError::NameConflict { .. });
    let first = failures.iter().find(is_conflict)?;
    // One command for one namespace: that of the node before those of its clients.
    let namespace = &first.object().namespace;
    let is_there = |failure: &&WriteError| failure.object().namespace == *namespace;
    let conflicts: Vec<_> = failures.iter().filter(is_conflict).filter(is_there).collect();
    let sentences: Vec<_> = conflicts.iter().map(ToString::to_string).collect();
    let of_kubectl = |failure: &&WriteError| {
        let object = failure.object();
        format!("{}/{}", object.kind.to_lowercase(), object.name)
    };
    let objects: Vec<_> = conflicts.iter().map(of_kubectl).collect();
    Some(format!("{}; see them with: kubectl get -n {namespace} {}", sentences.join("; "), objects.join(" ")))
}

/// What a failed request means.
pub fn classify(verb: &'static str, object: ObjectId, error: &kube::Error) -> WriteError {
    let message = chain(error);
    let kube::Error::Api(status) = error else { return WriteError::Api { verb, object, message } };
    match refusal_of(status) {
        Some(Refusal::Authorization) => WriteError::PermissionDenied { verb, object, message },
        Some(Refusal::Quota) => WriteError::OverQuota { verb, object, message },
        Some(Refusal::Admission) => WriteError::NotAdmitted { verb, object, message },
        Some(Refusal::Terminating) => WriteError::Terminating { object },
        Some(Refusal::Invalid) => WriteError::Invalid { object, message },
        Some(Refusal::Conflict) => WriteError::Conflict { object },
        None => WriteError::Api { verb, object, message },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use k8s_openapi::api::core::v1::{ConfigMap, Service};
    use kube::core::Status;

    fn service() -> ObjectId {
        ObjectId::of::<Service>("a", "b")
    }

    fn refused(code: u16, message: &str) -> WriteError {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        classify("create", service(), &kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn each_refusal_has_its_own_reason_and_remedy() {
        let rbac = r#"services is forbidden: User "o" cannot create resource "services""#;
        let of = |code, message| {
            let failure = refused(code, message);
            (failure.reason(), failure.to_string())
        };
        let (reason, text) = of(403, rbac);
        assert_eq!(reason, Reason::PermissionDenied);
        assert!(text.contains("the operator's Role") && text.ends_with(rbac), "{text}");
        let (reason, text) = of(403, "services \"b\" is forbidden: exceeded quota: q, requested: services=1");
        assert_eq!(reason, Reason::QuotaExceeded);
        assert!(text.contains("raise the ResourceQuota") && text.contains("quota: q"), "{text}");
        let (reason, text) = of(403, "services \"b\" is forbidden: no such port allowed");
        assert_eq!(reason, Reason::AdmissionDenied);
        assert!(text.contains("admission") && !text.contains("Role"), "{text}");
        assert_eq!(of(422, "bad").0, Reason::InvalidConfiguration);
        for code in [409, 500] {
            assert!(refused(code, "x").is_transient() && most_urgent(&[refused(code, "x")]).is_none());
        }
    }

    #[test]
    fn one_message_names_every_object_in_the_way() {
        let conflict = |object, controller: Option<&str>| WriteError::NameConflict {
            object,
            controller: controller.map(Into::into),
        };
        let failures = [
            refused(422, "bad"),
            conflict(service(), None),
            conflict(ObjectId::of::<ConfigMap>("a", "c"), Some("TesseraNode d")),
        ];
        let (reason, message) = most_urgent(&failures).unwrap();
        assert_eq!(reason, Reason::NameConflict);
        assert!(message.contains("Service a/b exists and is not ours: delete or rename it"), "{message}");
        assert!(message.contains("ConfigMap a/c exists and belongs to TesseraNode d"), "{message}");
        assert!(message.ends_with("kubectl get -n a service/b configmap/c"), "{message}");
    }
}
