//! [pure] Why a pod does not come up, as the scheduler and the kubelet report it in its status.

use k8s_openapi::api::core::v1::{
    ContainerStateTerminated, ContainerStateWaiting, ContainerStatus, PodStatus,
};
use tessera_crds::condition::Reason;

use crate::report::error::one_line;

/// A reason of `Ready`, and the sentence.
pub type Problem = (Reason, String);

/// The API server's, kubelet's or scheduler's own words are passed on, up to this many characters.
const WORDS_LIMIT: usize = 700;
/// What the kubelet says while it waits before it pulls again.
const BACK_OFF: &str = "Back-off pulling image ";

/// Why a pod of this status is not running; `None`: the status does not say.
pub fn problem(status: Option<&PodStatus>) -> Option<Problem> {
    let status = status?;
    if status.phase.as_deref() == Some("Failed") {
        let why = status.message.as_deref().or(status.reason.as_deref()).unwrap_or("no reason given");
        return Some((Reason::ContainerFailed, format!("the pod failed: {}", stable(why))));
    }
    let containers = [&status.init_container_statuses, &status.container_statuses];
    let mut containers = containers.into_iter().flatten().flatten();
    containers.find_map(of_container).or_else(|| unscheduled(status))
}

/// The kubelet tells the cause of a failed pull and that it waits in turn: the message without the cause is of no news.
pub fn is_back_off_alone(message: &str) -> bool {
    message.ends_with('"') && message.contains(BACK_OFF)
}

fn of_container(container: &ContainerStatus) -> Option<Problem> {
    const IMAGE: [&str; 5] =
        ["ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull", "RegistryUnavailable"];
    const CONTAINER: [&str; 4] =
        ["CreateContainerConfigError", "CreateContainerError", "RunContainerError", "PreCreateHookError"];
    let waiting = container.state.as_ref().and_then(|state| state.waiting.as_ref());
    let reason = waiting.and_then(|waiting| waiting.reason.as_deref()).unwrap_or_default();
    if let Some(waiting) = waiting.filter(|_| IMAGE.contains(&reason)) {
        return Some((
            Reason::ImagePullFailed,
            format!("the image cannot be pulled: {}", pull_cause(waiting)),
        ));
    }
    if let Some(waiting) = waiting.filter(|_| CONTAINER.contains(&reason)) {
        let why = stable(waiting.message.as_deref().unwrap_or_default());
        return Some((Reason::ContainerFailed, format!("container {}: {reason}: {why}", container.name)));
    }
    let ended = ended(container).filter(|ended| ended.exit_code != 0 || reason == "CrashLoopBackOff")?;
    (!container.ready).then(|| (Reason::ContainerFailed, how_it_ended(&container.name, ended)))
}

fn pull_cause(waiting: &ContainerStateWaiting) -> String {
    let message = waiting.message.as_deref().or(waiting.reason.as_deref()).unwrap_or_default();
    let cause = message.starts_with(BACK_OFF).then(|| message.split_once(": ErrImagePull: ")).flatten();
    stable(cause.map_or(message, |(_, cause)| cause))
}

/// The end of its last run. Between two runs the kubelet reports it as the state or as the last state, and says the same of
/// it: no counter and no wait, which change with each run.
fn ended(container: &ContainerStatus) -> Option<&ContainerStateTerminated> {
    let now = container.state.as_ref().and_then(|state| state.terminated.as_ref());
    now.or_else(|| container.last_state.as_ref()?.terminated.as_ref())
}

fn how_it_ended(container: &str, ended: &ContainerStateTerminated) -> String {
    let reason = ended.reason.as_deref().unwrap_or("Error");
    let code = ended.exit_code;
    let text = format!("container {container} ended with exit code {code} ({reason}) and is started again");
    match ended.message.as_deref().and_then(last_words) {
        Some(message) => format!("{text}: {message}"),
        None => text,
    }
}

/// The last line: the kubelet passes on the end of the log, and the process ends it with why it ends.
fn last_words(log: &str) -> Option<String> {
    log.lines().rev().map(stable).find(|line| !line.is_empty())
}

fn unscheduled(status: &PodStatus) -> Option<Problem> {
    let scheduled = status.conditions.as_ref()?.iter().find(|condition| condition.type_ == "PodScheduled")?;
    let why = scheduled.message.as_deref().or(scheduled.reason.as_deref()).unwrap_or("no reason given");
    (scheduled.status == "False")
        .then(|| (Reason::Unschedulable, format!("the pod is not scheduled: {}", stable(why))))
}

/// On one line, bounded, and without what differs at each attempt: identifiers of containers and sandboxes.
pub fn stable(text: &str) -> String {
    let mut stable = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find(|c: char| c.is_ascii_alphanumeric()) {
        let (before, word) = rest.split_at(at);
        stable.push_str(before);
        let end = word.find(|c: char| !c.is_ascii_alphanumeric()).unwrap_or(word.len());
        let (word, after) = word.split_at(end);
        // A digest of an image stays the same.
        let is_digest = stable.ends_with("sha256:");
        stable.push_str(if is_random(word) && !is_digest { "…" } else { word });
        rest = after;
    }
    stable.push_str(rest);
    one_line(&stable, WORDS_LIMIT)
}

fn is_random(word: &str) -> bool {
    word.len() >= 32 && word.bytes().all(|byte| byte.is_ascii_hexdigit())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn of(status: &Value) -> Option<(Reason, String)> {
        problem(Some(&serde_json::from_value(status.clone()).unwrap()))
    }

    fn container(state: &Value, last: &Value) -> Value {
        json!({"phase": "Pending", "containerStatuses": [{"name": "tessera-node", "image": "i", "imageID": "",
            "ready": false, "restartCount": 7, "state": state, "lastState": last}]})
    }

    fn waiting(reason: &str, message: &str) -> Value {
        json!({"waiting": {"reason": reason, "message": message}})
    }

    #[test]
    fn a_pull_that_fails_reads_the_same_before_and_during_the_wait() {
        let cause = "rpc error: code = NotFound desc = failed to pull registry/x@sha256:0123456789012345678901234567890123456789012345678901234567890123: not found";
        let failed = of(&container(&waiting("ErrImagePull", cause), &json!({}))).unwrap();
        let back_off = format!("Back-off pulling image \"x\": ErrImagePull: {cause}");
        let waits = of(&container(&waiting("ImagePullBackOff", &back_off), &json!({}))).unwrap();
        assert_eq!(failed, waits);
        assert_eq!(failed, (Reason::ImagePullFailed, format!("the image cannot be pulled: {cause}")));
        let alone =
            of(&container(&waiting("ImagePullBackOff", "Back-off pulling image \"x\""), &json!({}))).unwrap();
        assert!(is_back_off_alone(&alone.1) && !is_back_off_alone(&failed.1));
    }

    #[test]
    fn a_container_that_ends_again_and_again_reads_the_same_in_each_phase() {
        let ended = |exit| {
            json!({"terminated": {"exitCode": exit, "reason": "Error", "message": "{\"time\":1}\nERROR: no such file: /etc/x\n\n",
                "startedAt": "2027-01-01T00:00:00Z", "finishedAt": "2027-01-01T00:00:01Z"}})
        };
        let back_off = "back-off 2m40s restarting failed container=tessera-node pod=a-0_ns(4c7f)";
        let waits = of(&container(&waiting("CrashLoopBackOff", back_off), &ended(1)));
        let ends = of(&container(&ended(1), &ended(1)));
        let runs = of(&container(&json!({"running": {"startedAt": "2027-01-01T00:00:00Z"}}), &ended(1)));
        let (reason, text) = waits.clone().unwrap();
        assert_eq!(reason, Reason::ContainerFailed);
        assert_eq!(
            text,
            "container tessera-node ended with exit code 1 (Error) and is started again: ERROR: no such file: /etc/x"
        );
        assert!(waits == ends && ends == runs);
        assert_eq!(
            of(&container(&json!({"running": {"startedAt": null}}), &ended(0))),
            None,
            "it was stopped"
        );
    }

    #[test]
    fn what_keeps_a_container_from_being_made_is_passed_on() {
        let why = "configmap \"a-config\" not found";
        let (reason, text) = of(&container(&waiting("CreateContainerConfigError", why), &json!({}))).unwrap();
        assert_eq!(reason, Reason::ContainerFailed);
        assert!(text.contains("CreateContainerConfigError") && text.contains(why), "{text}");
        assert_eq!(of(&container(&waiting("ContainerCreating", ""), &json!({}))), None);
    }

    #[test]
    fn the_scheduler_s_words_are_passed_on() {
        let why = "0/1 nodes are available: 1 Insufficient memory.";
        let condition =
            json!({"type": "PodScheduled", "status": "False", "reason": "Unschedulable", "message": why});
        let (reason, text) = of(&json!({"phase": "Pending", "conditions": [condition]})).unwrap();
        assert_eq!((reason, text), (Reason::Unschedulable, format!("the pod is not scheduled: {why}")));
    }

    #[test]
    fn identifiers_of_one_attempt_are_left_out() {
        let sandbox = "3f8a".repeat(16);
        let text =
            stable(&format!("failed to setup network for sandbox \"{sandbox}\":\n no plugin for pvc-1"));
        assert_eq!(text, "failed to setup network for sandbox \"…\": no plugin for pvc-1");
        assert_eq!(stable(&"é".repeat(5000)).chars().count(), WORDS_LIMIT);
    }
}
