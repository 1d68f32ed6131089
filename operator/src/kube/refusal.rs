//! Who refused a request, by the API server's own account. A 403 is not RBAC's alone: quotas, admission policies and
//! namespaces that are being deleted answer with it, too. Pure.

use kube::core::Status;

/// Who refused, and so who can help.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// Authorization: the operator's identity lacks a right.
    Authorization,
    /// A ResourceQuota.
    Quota,
    /// An admission policy, a webhook, a LimitRange or another admission plugin.
    Admission,
    /// The namespace is being deleted.
    Terminating,
    /// The API server finds the object itself invalid.
    Invalid,
    /// Another writer was faster.
    Conflict,
}

/// Who refused a request that failed with `status`; `None`: the API server failed, and the next attempt may succeed.
pub fn refusal_of(status: &Status) -> Option<Refusal> {
    let causes = status.details.iter().flat_map(|details| &details.causes);
    if causes.into_iter().any(|cause| cause.reason == "NamespaceTerminating") {
        return Some(Refusal::Terminating);
    }
    match status.code {
        403 => Some(refusal_in(&status.message).unwrap_or(Refusal::Admission)),
        409 => Some(Refusal::Conflict),
        // Policies and webhooks answer with a code of their own choice.
        400..500 if names_admission(&status.message) => Some(Refusal::Admission),
        422 => Some(Refusal::Invalid),
        _ => None,
    }
}

/// Who refused, by a message of the API server that another controller passes on in an Event.
pub fn refusal_in(message: &str) -> Option<Refusal> {
    // First: a policy's own message may contain any text.
    if names_admission(message) {
        return Some(Refusal::Admission);
    }
    if message.contains("exceeded quota: ") || message.contains("failed quota: ") {
        return Some(Refusal::Quota);
    }
    if is_of_authorization(message) {
        return Some(Refusal::Authorization);
    }
    if message.contains("because it is being terminated") {
        return Some(Refusal::Terminating);
    }
    message.contains(" is forbidden: ").then_some(Refusal::Admission)
}

/// Whether the operator's identity lacks the right to do what failed with `error`.
pub fn is_unauthorized(error: &kube::Error) -> bool {
    matches!(error, kube::Error::Api(status) if refusal_of(status) == Some(Refusal::Authorization))
}

fn names_admission(message: &str) -> bool {
    message.contains(" is forbidden: ValidatingAdmissionPolicy '")
        || message.contains("admission webhook \"") && message.contains(" denied the request")
}

/// What every authorizer's refusal reads like, and the one admission plugin that asks the authorizer.
fn is_of_authorization(message: &str) -> bool {
    message.contains(" is forbidden: User \"") && message.contains(" cannot ")
        || message.contains("cannot set blockOwnerDeletion")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn of(code: u16, message: &str) -> Option<Refusal> {
        refusal_of(&Status { code, message: message.to_owned(), ..Status::default() })
    }

    const RBAC: &str = r#"services is forbidden: User "system:serviceaccount:t:o" cannot create resource "services" in API group "" in the namespace "a""#;
    const QUOTA: &str =
        r#"pods "a-0" is forbidden: exceeded quota: q, requested: pods=1, used: pods=0, limited: pods=0"#;
    const LIMIT_RANGE: &str =
        r#"pods "a-0" is forbidden: maximum memory usage per Container is 1Mi, but limit is 512Mi"#;

    #[test]
    fn a_403_is_of_rbac_only_where_rbac_said_it() {
        assert_eq!(of(403, RBAC), Some(Refusal::Authorization));
        assert_eq!(of(403, QUOTA), Some(Refusal::Quota));
        let must_specify = r#"pods "a-0" is forbidden: failed quota: q: must specify limits.cpu"#;
        assert_eq!(of(403, must_specify), Some(Refusal::Quota));
        assert_eq!(of(403, LIMIT_RANGE), Some(Refusal::Admission));
        assert_eq!(of(403, "a proxy says no"), Some(Refusal::Admission));
        let owner = r#"services "a" is forbidden: cannot set blockOwnerDeletion if an ownerReference refers to a resource you can't set finalizers on: , <nil>"#;
        assert_eq!(of(403, owner), Some(Refusal::Authorization));
    }

    #[test]
    fn admission_is_known_by_its_words_whatever_the_code_and_the_policy_s_own_message() {
        let policy = format!(
            "services \"a\" is forbidden: ValidatingAdmissionPolicy 'p' with binding 'b' denied request: {RBAC}"
        );
        let webhook = format!("admission webhook \"w.example\" denied the request: {QUOTA}");
        for code in [400, 403, 413, 422] {
            assert_eq!(of(code, &policy), Some(Refusal::Admission), "{code}");
            assert_eq!(of(code, &webhook), Some(Refusal::Admission), "{code}");
        }
        assert_eq!(of(500, r#"Internal error occurred: failed calling webhook "w""#), None);
    }

    #[test]
    fn a_namespace_that_ends_is_known_by_its_cause() {
        let status: Status = serde_json::from_value(json!({
            "code": 403, "reason": "Forbidden",
            "message": "services \"a\" is forbidden: unable to create new content in namespace a because it is being terminated",
            "details": {"causes": [{"reason": "NamespaceTerminating", "message": "", "field": ""}]},
        }))
        .unwrap();
        assert_eq!(refusal_of(&status), Some(Refusal::Terminating));
        assert_eq!(of(409, "exists"), Some(Refusal::Conflict));
        assert_eq!(of(422, "spec.x: Invalid value"), Some(Refusal::Invalid));
        assert_eq!(of(404, ""), None);
        assert_eq!(of(500, "etcd"), None);
    }

    #[test]
    fn what_an_event_passes_on_is_told_apart_as_well() {
        let event = |message| format!("create Pod a-0 in StatefulSet a failed error: {message}");
        assert_eq!(refusal_in(&event(QUOTA)), Some(Refusal::Quota));
        assert_eq!(refusal_in(&event(LIMIT_RANGE)), Some(Refusal::Admission));
        assert_eq!(refusal_in("create Pod a-0 in StatefulSet a failed error: timeout"), None);
    }
}
