//! Why an object could not be brought about, one variant for each remedy.

use super::object_id::ObjectId;

/// Why an object could not be brought about.
#[derive(Debug, thiserror::Error)]
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
    /// Our own rights do not suffice.
    #[error("not allowed to {verb} {object}: check the operator's Role in this namespace")]
    PermissionDenied {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What the API server says.
        source: Box<kube::Error>,
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
    #[error("failed to {verb} {object}")]
    Api {
        /// What was tried.
        verb: &'static str,
        /// Kind, namespace and name.
        object: ObjectId,
        /// What happened.
        source: Box<kube::Error>,
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
}

/// Whether our own rights do not suffice: only a person can change that.
pub fn is_forbidden(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if status.code == 403)
}

/// What a failed request means.
pub(super) fn classify(verb: &'static str, object: ObjectId, error: kube::Error) -> WriteError {
    match &error {
        kube::Error::Api(status) if status.code == 403 => {
            // A namespace on its way out refuses new objects with 403.
            if status.message.contains("because it is being terminated") {
                return WriteError::Terminating { object };
            }
            WriteError::PermissionDenied { verb, object, source: Box::new(error) }
        }
        kube::Error::Api(status) if status.code == 409 => WriteError::Conflict { object },
        kube::Error::Api(status) if status.code == 422 => {
            WriteError::Invalid { object, message: status.message.clone() }
        }
        _ => WriteError::Api { verb, object, source: Box::new(error) },
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn service() -> ObjectId {
        ObjectId::of::<k8s_openapi::api::core::v1::Service>("a", "b")
    }

    fn refused(code: u16, message: &str) -> WriteError {
        let status = Status { code, message: message.to_owned(), ..Status::default() };
        classify("create", service(), kube::Error::Api(Box::new(status)))
    }

    #[test]
    fn refusals_are_told_apart() {
        assert!(matches!(refused(403, "cannot create resource"), WriteError::PermissionDenied { .. }));
        let ending = "unable to create new content in namespace a because it is being terminated";
        assert!(matches!(refused(403, ending), WriteError::Terminating { .. }));
        assert!(matches!(refused(409, "exists"), WriteError::Conflict { .. }));
        assert!(matches!(refused(422, "bad"), WriteError::Invalid { message, .. } if message == "bad"));
        let of = |controller: Option<&str>| {
            WriteError::NameConflict { object: service(), controller: controller.map(Into::into) }.to_string()
        };
        assert_eq!(of(None), "Service a/b exists and is not ours: delete or rename it");
        assert!(of(Some("TesseraNode c")).contains("belongs to TesseraNode c"));
        assert!(matches!(refused(500, "etcd"), WriteError::Api { .. }));
    }
}
