//! When a store is asked as its auditor, and for how long its answer counts.
//!
//! Each round writes to the store's audit log, so it comes every `checklist.probeEvery`. An auditor that was not let in tries again
//! as soon as the operator's other login works anew: then a person has just set the store up.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tessera_crds::TesseraNetwork;
use tessera_crds::api::secret_store::VaultStore;
use tessera_store_objects::Wanted;

use super::stores;
use super::vault::Vault;
use crate::checklist::store_facts::AuditorAnswer;
use crate::controller::context::Context;
use crate::kube::meta::namespace_of;
use crate::report::error::chain;

/// A probe of the store that comes this part of a period after the last round makes the next: waits between probes are shortened
/// down to it, and a round that is left out for a second would be a period late.
const EARLIEST: f64 = 0.8;
/// How long an answer counts beyond two rounds, which may be late.
const LATE: Duration = Duration::from_mins(2);

/// What the store showed to its auditor, and when.
#[derive(Clone)]
pub(super) struct Audited {
    at: Instant,
    pub(super) answer: AuditorAnswer,
}

impl Audited {
    fn now(answer: AuditorAnswer) -> Self {
        Self { at: Instant::now(), answer }
    }

    /// Whether it is too soon to ask again.
    fn is_fresh(&self, every: Duration, let_in_anew: bool) -> bool {
        let was_let_in = matches!(self.answer, AuditorAnswer::Shows(_));
        self.at.elapsed() < every.mul_f64(EARLIEST) && (was_let_in || !let_in_anew)
    }

    /// Whether the answer still says how the store is: one round may fail.
    fn counts(&self, every: Duration) -> bool {
        self.at.elapsed() < every * 2 + LATE
    }

    /// The answer, as long as it counts.
    pub(super) fn answer(&self, network: &TesseraNetwork) -> AuditorAnswer {
        if self.counts(every(network)) {
            return self.answer.clone();
        }
        AuditorAnswer::Failed("nobody could ask it of late".to_owned())
    }
}

/// How often the network's store is asked.
pub(super) fn every(network: &TesseraNetwork) -> Duration {
    network.spec.checklist.probe_every.as_std()
}

/// Asks the store that `before` speaks of, unless that is too soon. `let_in_anew`: the operator's other login has just worked.
pub(super) async fn audit(
    network: &TesseraNetwork,
    spec: &VaultStore,
    vault: &Vault,
    before: Option<Audited>,
    let_in_anew: bool,
    ctx: &Arc<Context>,
) -> Audited {
    let every = every(network);
    if let Some(before) = before.as_ref().filter(|before| before.is_fresh(every, let_in_anew)) {
        return before.clone();
    }
    let failed = match stores::token(network, spec, ctx).await {
        Ok(token) => {
            let wanted = Wanted::new(spec, namespace_of(network), None);
            match vault.audit(&token.secret, &wanted).await {
                Ok(answer) => return Audited::now(answer),
                Err(transient) => transient.0,
            }
        }
        Err(error) => format!("the operator has no token for it: {}", chain(&error)),
    };
    let shown =
        before.filter(|before| matches!(before.answer, AuditorAnswer::Shows(_)) && before.counts(every));
    shown.unwrap_or_else(|| Audited::now(AuditorAnswer::Failed(failed)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixtures::{network, network_json};

    fn audited(ago: Duration, answer: AuditorAnswer) -> Audited {
        Audited { at: Instant::now().checked_sub(ago).unwrap(), answer }
    }

    #[test]
    fn an_answer_counts_for_two_rounds_and_a_refusal_is_asked_again_after_a_setup() {
        let every = Duration::from_mins(15);
        let refused = |ago| audited(ago, AuditorAnswer::NotProvisioned);
        assert!(refused(Duration::from_mins(11)).is_fresh(every, false));
        assert!(!refused(Duration::from_secs(1)).is_fresh(every, true));
        assert!(
            !refused(Duration::from_mins(12)).is_fresh(every, false),
            "a probe that comes early by its jitter"
        );
        let network = network(network_json());
        assert_eq!(refused(Duration::from_mins(31)).answer(&network), AuditorAnswer::NotProvisioned);
        assert!(matches!(refused(Duration::from_mins(33)).answer(&network), AuditorAnswer::Failed(_)));
    }
}
