//! What a custodian sends, as an object: its name, and what becomes of it.

use std::time::Duration;

use anyhow::bail;
use tessera_crds::api::key_backup::{JudgedState, JudgedStatus};
use tokio::time::Instant;
use uuid::Uuid;

use crate::cluster::Cluster;
use crate::objects::Ours;

const TIMEOUT: Duration = Duration::from_mins(2);
const POLL: Duration = Duration::from_secs(1);

/// The name of an object that sends `what`: the same again is the same object, and another try is another one, since each is judged
/// once.
pub(super) fn name<'w>(of: &[&str], what: impl Iterator<Item = &'w str>) -> String {
    let all = what.collect::<Vec<_>>().join("\n");
    let id = Uuid::new_v5(&Uuid::NAMESPACE_OID, all.as_bytes()).simple().to_string();
    format!("{}-{}", of.join("-"), &id[..12])
}

/// The outcome in words; `Err`: refused, or there is none.
pub(super) async fn wait<K: Ours>(
    cluster: &Cluster,
    created: &K,
    status: impl Fn(&K) -> Option<&JudgedStatus>,
) -> anyhow::Result<String> {
    let (kind, name) = (K::kind(&()), kube::ResourceExt::name_any(created));
    let deadline = Instant::now() + TIMEOUT;
    loop {
        let now: K = cluster.get(&name).await?;
        let status = status(&now).cloned().unwrap_or_default();
        let message = status.message.unwrap_or_default();
        match status.state {
            Some(JudgedState::Accepted) => return Ok(format!("accepted: {message} ({kind} {name})")),
            Some(JudgedState::Refused) => bail!("refused: {message} ({kind} {name})"),
            None if Instant::now() > deadline => bail!(
                "{kind} {name} waits for operator and node, and is judged once both run: kubectl get {} {name}. {message}",
                K::plural(&())
            ),
            None => tokio::time::sleep(POLL).await,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn another_try_is_another_object() {
        let of = |what: &[&str]| name(&["a", "alice"], what.iter().copied());
        assert_eq!(of(&["m1", "m2"]), of(&["m1", "m2"]));
        assert_ne!(of(&["m1"]), of(&["m1", "m2"]), "a file that lacks a version was refused before");
        assert!(of(&["m1"]).starts_with("a-alice-") && of(&["m1"]).len() == "a-alice-".len() + 12);
    }
}
