//! Asks the API server to exec into the one pod that nobody may make: how it refuses shows whether a policy guards the name.

use http::Request;
use kube::Client;
use tessera_crds::names;

use super::refusal::{Refusal, refusal_of};
use crate::checklist::cluster::ExecAnswer;

/// The longest answer that is kept of something that denies: it ends in a status.
const WORDS: usize = 200;

/// Asks in `namespace`. A raw request, since `kubectl exec` looks for the pod first and ends there. By GET, as clients with a
/// WebSocket do: admission sees the same CONNECT as with a POST, and the request asks for no upgrade, so that it opens nothing
/// even into a pod that exists.
pub async fn ask(client: &Client, namespace: &str) -> Result<ExecAnswer, kube::Error> {
    let pod = names::EXEC_PROBE;
    let path = format!("/api/v1/namespaces/{namespace}/pods/{pod}/exec?command=true&stdout=true");
    let request = Request::get(path).body(Vec::new()).map_err(kube::Error::HttpError)?;
    match client.request_text(request).await {
        Ok(_) => Ok(ExecAnswer::Reached),
        Err(kube::Error::Api(status)) => {
            let answer = answer(&status);
            answer.ok_or(kube::Error::Api(status))
        }
        Err(error) => Err(error),
    }
}

/// `None`: the API server did not decide.
fn answer(status: &kube::core::Status) -> Option<ExecAnswer> {
    let message = status.message.as_str();
    match status.code {
        // A pod of that name exists, and an upgrade is missing.
        400 => Some(ExecAnswer::Reached),
        404 if message.contains(names::EXEC_PROBE) => Some(ExecAnswer::Reached),
        403 if is_refused_after_admission(message) => Some(ExecAnswer::Reached),
        403 if refusal_of(status) == Some(Refusal::Authorization) => Some(ExecAnswer::NotPermitted),
        403 => Some(policy(message).map_or_else(
            || ExecAnswer::DeniedByOther(message.chars().take(WORDS).collect()),
            |policy| ExecAnswer::DeniedByPolicy(policy.to_owned()),
        )),
        _ => None,
    }
}

/// From Kubernetes 1.35 on, who opens a WebSocket by GET needs the right to `create`, too, which the operator does not have. The API
/// server asks for it once the right to `get` and all admission have let the request through, and gives no reason.
fn is_refused_after_admission(message: &str) -> bool {
    message.trim_end() == format!("pods \"{}\" is forbidden:", names::EXEC_PROBE)
}

/// The policy that denies by its rule; one whose evaluation fails names itself, too, but denies nothing.
fn policy(message: &str) -> Option<&str> {
    let (_, rest) = message.split_once("ValidatingAdmissionPolicy '")?;
    let (policy, rest) = rest.split_once('\'')?;
    rest.contains("denied request").then_some(policy)
}

#[cfg(test)]
mod tests {
    use super::*;
    use kube::core::Status;

    fn of(code: u16, message: &str) -> Option<ExecAnswer> {
        answer(&Status { code, message: message.to_owned(), ..Status::default() })
    }

    #[test]
    fn who_denies_is_told_apart() {
        let policy = "pods \"tessera-exec-probe\" is forbidden: ValidatingAdmissionPolicy 'tessera-operator-connect' with binding 'tessera-operator-connect' denied request: nobody opens exec";
        assert_eq!(of(403, policy), Some(ExecAnswer::DeniedByPolicy("tessera-operator-connect".into())));
        let broken = "pods \"tessera-exec-probe\" is forbidden: ValidatingAdmissionPolicy 'tessera-operator-connect' with binding 'x': expression failed";
        assert!(matches!(of(403, broken), Some(ExecAnswer::DeniedByOther(_))));
        let rbac = "pods \"tessera-exec-probe\" is forbidden: User \"system:serviceaccount:t:o\" cannot get resource \"pods/exec\" in API group \"\" in the namespace \"a\"";
        assert_eq!(of(403, rbac), Some(ExecAnswer::NotPermitted));
        let long = format!("admission webhook \"w\" denied the request: {}", "x".repeat(1000));
        let Some(ExecAnswer::DeniedByOther(words)) = of(403, &long) else { panic!("not denied") };
        assert_eq!(words.chars().count(), WORDS);
    }

    #[test]
    fn what_comes_after_admission_shows_that_the_request_came_so_far() {
        assert_eq!(of(404, "pods \"tessera-exec-probe\" not found"), Some(ExecAnswer::Reached));
        assert_eq!(of(400, "Upgrade request required"), Some(ExecAnswer::Reached));
        assert_eq!(of(403, "pods \"tessera-exec-probe\" is forbidden: "), Some(ExecAnswer::Reached));
        assert_eq!(of(404, "the server could not find the requested resource"), None);
        assert_eq!(of(500, "etcd"), None);
        assert_eq!(of(429, "too many requests"), None);
    }
}
