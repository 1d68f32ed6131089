//! Types and reasons of conditions. `Ready`, `Reconciling` and `Stalled` follow kstatus.

use strum::{Display, EnumString, IntoStaticStr};

/// What a condition speaks of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, IntoStaticStr)]
pub enum ConditionType {
    /// Network, node: it does what it is for. Operation only, never the checklist.
    Ready,
    /// Network, node: the operator is still changing things. Present only while true.
    Reconciling,
    /// Network, node: only a person can get it going. Present only while true.
    Stalled,
    /// Network: certificates are renewed in time.
    CertificatesCurrent,
    /// Network: the secret store answers and lets us in.
    SecretStoreReady,
    /// Network: its CA is younger than keys of its nodes, so all who trusted the one before must take this one. Present
    /// only while true.
    AuthorityReplaced,
    /// Network: the certificates of every partner are accepted, and none of its CAs ends soon. Absent without partners.
    PartnersAccepted,
    /// Node: every key is in the store and in the node's memory.
    KeysReady,
    /// Node: the pods serve the certificate that was issued.
    CertificatesServed,
    /// Node: the volume outlives its claim.
    DataProtected,
    /// Node: the operator keeps ciphertext of every key for the custodians, and enough of them have shown that theirs opens. Present while
    /// the network has a keyBackup.
    BackupCurrent,
    /// Network, node: no line of the security checklist is violated or unknown.
    ChecklistSatisfied,
}

impl ConditionType {
    /// The name, as it stands in a condition.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

/// Why a condition is what it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Display, EnumString, IntoStaticStr)]
#[cfg_attr(test, derive(strum::VariantArray))]
pub enum Reason {
    // AuthorityReplaced
    /// AuthorityReplaced: a node had its key before the CA was made.
    KeysPredateAuthority,
    // Ready
    /// Ready, KeysReady, SecretStoreReady: all is well.
    Ready,
    /// Ready of a network: the secret store does not answer. Of a node: the same, while it starts.
    StoreUnreachable,
    /// Ready: certificates cannot be issued.
    IssuerUnavailable,
    /// Ready: the operator lacks a right; the message says which.
    PermissionDenied,
    /// Ready: a ResourceQuota refuses an object or the pod; the message says which.
    QuotaExceeded,
    /// Ready: an admission policy, a webhook or a LimitRange refuses an object or the pod; the message says which.
    AdmissionDenied,
    /// Ready of a network: at least one node is not ready.
    NodesNotReady,
    /// Ready: paused by the spec.
    Paused,
    /// Ready of a node: no such network in the namespace.
    NetworkNotFound,
    /// Ready of a node: the network's CA or settings are not there yet.
    NetworkNotReady,
    /// Ready of a node: the image cannot be pulled.
    ImagePullFailed,
    /// Ready of a node: the scheduler finds no machine for its pod; the message is the scheduler's.
    Unschedulable,
    /// Ready of a node: its volume cannot be bound, attached or mounted; the message says why.
    VolumePending,
    /// Ready of a node: its container cannot be made, or ends again and again; the message says how.
    ContainerFailed,
    /// Ready of a node: the volume that held its payloads is gone.
    VolumeLost,
    /// Ready of a node: its keys were generated with another volume, whose payloads are lost until somebody accepts that.
    VolumeReplaced,
    /// Ready of a node: the store lacks a key that existed.
    KeyMissing,
    /// Ready of a node: the node's certificate is expired or cannot be used.
    CertificateInvalid,
    /// Ready of a node: its pod is being started.
    Starting,
    /// Ready of a node: its pod runs but is not ready; the message says what it awaits.
    NotReady,
    /// Ready of a node, Unknown: its pod is ready, and the node does not answer the operator.
    NodeUnreachable,
    /// Ready: checklist.mode Enforce holds a change back; the message names the change, the line and what to do.
    ChecklistHeld,
    /// Ready of a node: replicas is 0.
    ScaledToZero,
    // Reconciling
    /// Reconciling: the newest spec is being put in place.
    Progressing,
    /// Reconciling of a node: a change of its pod waits for its turn, for the secret store or for its image to be tried; the
    /// message says which.
    RolloutWaiting,
    /// Reconciling of a node: the cluster has given its load balancer no address yet.
    AwaitingLoadBalancer,
    // Stalled
    /// Stalled: an object of a name that we need exists and is not ours.
    NameConflict,
    /// Stalled of a node: it did not become ready with the image that the spec names, and has the one before it again.
    ImageRolledBack,
    /// Stalled of a node: the same, and the program before it may not be able to read what this one wrote.
    CannotRollBack,
    /// Stalled of a node: the same, and there is none to go back to, or rollout.autoRollback is false.
    ProgressDeadlineExceeded,
    /// Ready: somebody undoes what we write; the message says to which object.
    Contested,
    /// Stalled of a network, PartnersAccepted: a reference leads to nothing usable.
    InvalidReference,
    /// Stalled of a node: the spec cannot work as it stands; the message names the field.
    InvalidConfiguration,
    // KeysReady
    /// KeysReady: the node has not reported all its keys yet. Any, when Unknown: nobody looks at it now; Ready says why.
    Waiting,
    /// KeysReady: a key gets a new version; the ones before it go on.
    RotationInProgress,
    /// KeysReady: the key to import is not there yet; the message names the Secret.
    ImportAwaited,
    /// KeysReady: the key to import cannot be adopted; the message says why, and what to do.
    ImportFailed,
    /// KeysReady: a custodian must bring a version back; the message says which.
    RestoreAwaited,
    /// KeysReady: a version cannot be brought back; the message says why, and what to do.
    RestoreFailed,
    // BackupCurrent; `Current` and `Waiting` are also its reasons.
    /// BackupCurrent: fewer custodians than the threshold have shown of late that their copies open; the message says who has not.
    ChallengeDue,
    /// BackupCurrent: a version is not sealed to the custodians, or the operator does not have its ciphertext.
    NotSealed,
    /// BackupCurrent: the network names no custodian any more.
    NoRecipients,
    // CertificatesServed
    /// CertificatesServed: the pods serve the certificate that was issued.
    Served,
    /// CertificatesServed: a pod still serves another certificate.
    IssuedNotServed,
    /// CertificatesServed: what is served has expired.
    Expired,
    /// CertificatesServed: what lies in the Secret cannot be used; the node keeps the last good one.
    Garbage,
    // CertificatesCurrent
    /// CertificatesCurrent: nothing is due for renewal.
    Current,
    /// CertificatesCurrent: a CA is distrusted, and nodes may still trust it; the message names them.
    CADistrusted,
    /// CertificatesCurrent: a CA is being replaced.
    RollingOver,
    /// CertificatesCurrent: a CA is being replaced, it ends soon, and the rollover waits; the message names for whom.
    RolloverWaiting,
    /// CertificatesCurrent: a renewal is due and fails, or nothing can make it.
    RenewalFailing,
    // PartnersAccepted
    /// PartnersAccepted: all are.
    Accepted,
    /// PartnersAccepted: a CA of a partner ends soon; the message names both.
    AuthorityEnding,
    // SecretStoreReady
    /// SecretStoreReady: the store is sealed.
    Sealed,
    /// SecretStoreReady: the store does not answer.
    Unreachable,
    /// SecretStoreReady, Ready of a network: the store refuses the login.
    LoginDenied,
    /// SecretStoreReady, Ready of a network: the store answers, but role or auth method are not there.
    NotProvisioned,
    /// SecretStoreReady, Ready of a network: the store asks for a client certificate, and the spec names none.
    ClientCertificateRequired,
    /// SecretStoreReady, Ready of a network: the store refuses the client certificate.
    ClientCertificateRefused,
    /// SecretStoreReady, Ready of a network: the store does not trust the network's CA, which issues the client certificate.
    ClientCANotInstalled,
    // ChecklistSatisfied
    /// ChecklistSatisfied: every line is Verified, Enforced or Attested.
    Satisfied,
    /// ChecklistSatisfied: a line is Violated; the message says which.
    Violated,
    /// ChecklistSatisfied: a line is Unknown and none is Violated; the message says which.
    Unknown,
    // DataProtected
    /// DataProtected: the volume's reclaim policy is Retain.
    Protected,
    /// DataProtected: the volume goes with its claim.
    ReclaimPolicyDelete,
    /// DataProtected: payloads are in a database, which its owner protects and backs up.
    InDatabase,
}

impl Reason {
    /// The name, as it stands in a condition.
    pub fn as_str(self) -> &'static str {
        self.into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_reason_is_one_that_the_api_server_accepts() {
        for reason in <Reason as strum::VariantArray>::VARIANTS {
            let name = reason.as_str();
            assert!(name.starts_with(|c: char| c.is_ascii_uppercase()), "{name}");
            assert!(name.chars().all(|c| c.is_ascii_alphanumeric()), "{name}");
            assert_eq!(name.parse(), Ok(*reason));
        }
    }

    #[test]
    fn types_are_written_as_their_names() {
        assert_eq!(ConditionType::CertificatesServed.to_string(), "CertificatesServed");
        assert_eq!(ConditionType::CertificatesServed.as_str(), "CertificatesServed");
    }
}
