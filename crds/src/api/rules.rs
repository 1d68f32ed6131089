//! Rules over a whole object, in CEL: its own name, and what of its spec may change once something came of it.

use kube::core::Rule;

use super::checklist::Line;
use crate::names::{RESERVED_ENDS, RESERVED_WORDS};

/// A statement stands as it was made.
pub(super) fn immutable_spec_rule() -> Rule {
    Rule::new("self.spec == oldSelf.spec")
        .message("spec is immutable: delete this TesseraAttestation, or state another beside it")
}

/// A proof answers one challenge.
pub(super) fn immutable_proof_rule() -> Rule {
    Rule::new("self.spec == oldSelf.spec")
        .message("spec is immutable: answer the next challenge with another TesseraBackupProof")
}

/// Keys that are brought back are sealed for one process of the node.
pub(super) fn immutable_restore_rule() -> Rule {
    Rule::new("self.spec == oldSelf.spec")
        .message("spec is immutable: bring the keys back with another TesseraKeyRestore")
}

/// What a cluster can see, a person cannot state.
pub(super) fn attestable_rule() -> Rule {
    let lines = Line::ATTESTABLE.map(|line| format!("'{line}'")).join(", ");
    let message = format!(
        "type Attestation is for what a cluster cannot see: {}. That the violation of another line is accepted is said by type Exception",
        Line::ATTESTABLE.map(Line::as_str).join(", ")
    );
    Rule::new(format!("self.spec.type != 'Attestation' || self.spec.line in [{lines}]"))
        .message(message.as_str())
}

/// The rule on a kind's own name: it becomes the name of Services and pods and the value of labels.
pub(super) fn object_name_rule() -> Rule {
    Rule::new("self.metadata.name.size() <= 40 && self.metadata.name.matches('^[a-z]([-a-z0-9]*[a-z0-9])?$')").message(
        "metadata.name must be a DNS label of at most 40 characters: lower-case letters, digits and '-', starting with a letter, ending with a letter or digit",
    )
}

/// No name that objects of ours are made of.
pub(super) fn reserved_name_rule() -> Rule {
    let ends = RESERVED_ENDS.map(|end| format!("self.metadata.name.endsWith('{end}')"));
    let words = RESERVED_WORDS.map(|word| format!("(self.metadata.name + '-').contains('-{word}-')"));
    let message = format!(
        "metadata.name must not end in {}, and have none of the words {} but as its first: such names belong to objects that the operator makes",
        RESERVED_ENDS.join(", "),
        RESERVED_WORDS.join(", "),
    );
    Rule::new(format!("!({} || {})", ends.join(" || "), words.join(" || "))).message(message.as_str())
}

// The rules below stand on the whole object, since they compare with what the status says: what was set by mistake can be
// taken back for as long as nothing came of it. A status without conditions was never written, and says nothing.

/// The operator has looked at a node, and it has no volume.
const NO_VOLUME: &str = "(has(oldSelf.status) && has(oldSelf.status.conditions) \
     && (!has(oldSelf.status.volumes) || oldSelf.status.volumes.size() == 0))";

/// The rule on several pods: those of an embedded store would each have a store of their own.
pub(super) fn replicas_rule() -> Rule {
    Rule::new("!has(self.spec.replicas) || self.spec.replicas <= 1 || self.spec.storage.type == 'Postgres'")
        .message(
            "spec.replicas may be more than 1 only with storage.type Postgres, whose database all pods share",
        )
        .field_path(".spec.replicas")
}

/// The rule on a volume's size.
pub(super) fn volume_size_rule() -> Rule {
    const SIZE: &str = "spec.storage.embedded.size";
    let at_least = |other: &str| format!("quantity(self.{SIZE}).compareTo(quantity({other})) >= 0");
    Rule::new(format!(
        "!has(self.spec.storage.embedded) || !has(oldSelf.spec.storage.embedded) || {grows} || {NO_VOLUME} || (has(oldSelf.status) \
         && has(oldSelf.status.volumes) && oldSelf.status.volumes.size() > 0 && oldSelf.status.volumes.all(volume, {holds}))",
        grows = at_least(&format!("oldSelf.{SIZE}")),
        holds = at_least("volume.capacity"),
    ))
    .message("embedded.size must not shrink below what status.volumes says that the volume has: a volume only grows")
    .field_path(".spec.storage.embedded.size")
}

/// The rule on a volume's class.
// Not on the field: a rule on an optional field is bypassed by removing the field and adding it again.
pub(super) fn volume_class_rule() -> Rule {
    const VOLUME: &str = "spec.storage.embedded";
    const CLASS: &str = "spec.storage.embedded.storageClassName";
    Rule::new(format!(
        "!has(self.{VOLUME}) || !has(oldSelf.{VOLUME}) || (has(self.{CLASS}) ? has(oldSelf.{CLASS}) && self.{CLASS} == oldSelf.{CLASS} : !has(oldSelf.{CLASS})) \
         || {NO_VOLUME} || (has(self.{CLASS}) && has(oldSelf.status) && has(oldSelf.status.volumes) && oldSelf.status.volumes.size() > 0 \
         && oldSelf.status.volumes.all(volume, has(volume.storageClassName) && volume.storageClassName == self.{CLASS}))"
    ))
    .message("embedded.storageClassName is immutable, also from absent to present and back, once status.volumes names a volume: it cannot change its class")
    .field_path(".spec.storage.embedded.storageClassName")
}

/// The rule on a node's network.
pub(super) fn network_ref_rule() -> Rule {
    Rule::new(format!(
        "self.spec.networkRef.name == oldSelf.spec.networkRef.name \
         || {NO_VOLUME} && (!has(oldSelf.status.keys) || oldSelf.status.keys.size() == 0)"
    ))
    .message("networkRef is immutable once the node has a key or a volume: identity and keys belong to the network")
    .field_path(".spec.networkRef")
}

/// The rule on keys and their versions.
pub(super) fn keys_rule() -> Rule {
    let trigger = |key: &str| format!("{key}.?rotation.?trigger.orValue(0)");
    Rule::new(format!(
        "oldSelf.spec.keys.all(old, self.spec.keys.exists(k, k.name == old.name && {new} >= {old})) \
         || (has(oldSelf.status) && has(oldSelf.status.conditions) && (!has(oldSelf.status.keys) \
         || oldSelf.status.keys.all(s, self.spec.keys.exists(k, k.name == s.name && {new} >= s.?trigger.orValue(s.version - 1)))))",
        new = trigger("k"),
        old = trigger("old"),
    ))
    .message("keys: a key must not be removed and its rotation.trigger not be lowered below the versions in status.keys: each is an address that stored payloads need")
    .field_path(".spec.keys")
}

/// The rule on versions that become archived: only those that the node is seen to have, and of the default key only those that have
/// a newer one. A new object is free, since it may be of a node that is rebuilt.
pub(super) fn archive_rule() -> Rule {
    Rule::new(
        "self.spec.keys.all(k, k.archive.all(v, \
         oldSelf.spec.keys.exists(old, old.name == k.name && v in old.archive) \
         || (has(oldSelf.status) && has(oldSelf.status.keys) && oldSelf.status.keys.exists(s, \
         s.name == k.name && (k.default ? s.version > v : s.version >= v)))))",
    )
    .message("keys[].archive: only versions that status.keys has can be archived, and of the default key only those that have a newer one")
    .field_path(".spec.keys")
}

/// The rule on versions that are archived: one is taken back only while nothing came of it.
pub(super) fn archived_rule() -> Rule {
    Rule::new(
        "!has(oldSelf.status) || !has(oldSelf.status.keys) || oldSelf.status.keys.all(s, s.state != 'Archived' \
         || self.spec.keys.exists(k, k.name == s.name && s.version in k.archive))",
    )
    .message("keys[].archive: what status.keys says is Archived cannot be taken back")
    .field_path(".spec.keys")
}

// `import` is a word of CEL's own, so a field of that name is written with underscores.

/// The rule on what is adopted: it is settled once the node has the key, and a key that is there gets nothing to adopt.
pub(super) fn import_rule() -> Rule {
    Rule::new(
        "self.spec.keys.all(k, !has(k.__import__) \
         || oldSelf.spec.keys.exists(old, old.name == k.name && has(old.__import__) && old.__import__ == k.__import__) \
         || !has(oldSelf.status) || !has(oldSelf.status.keys) || !oldSelf.status.keys.exists(s, s.name == k.name))",
    )
    .message("keys[].import: status.keys has the key already, so nothing is imported into it: take import out, or give the imported key a name of its own")
    .field_path(".spec.keys")
}

/// The rule on what is adopted: without it the node would generate another key.
pub(super) fn import_removed_rule() -> Rule {
    Rule::new(
        "oldSelf.spec.keys.all(old, !has(old.__import__) \
         || !self.spec.keys.exists(k, k.name == old.name && !has(k.__import__)) \
         || (has(oldSelf.status) && has(oldSelf.status.keys) && oldSelf.status.keys.exists(s, s.name == old.name)))",
    )
    .message("keys[].import: it may be removed only once status.keys has the key: until then the node would generate another one in its place")
    .field_path(".spec.keys")
}

/// The rule on versions that are brought back: none that is there becomes another key.
pub(super) fn restore_rule() -> Rule {
    Rule::new(
        "self.spec.keys.all(k, !has(k.restore) \
         || oldSelf.spec.keys.exists(old, old.name == k.name && has(old.restore) && old.restore == k.restore) \
         || !has(oldSelf.status) || !has(oldSelf.status.keys) || oldSelf.status.keys.all(s, \
         s.name != k.name || s.version > k.restore.publicKeys.size() || k.restore.publicKeys[s.version - 1] == s.publicKey))",
    )
    .message("keys[].restore: a version that status.keys has keeps its public key: list that one, or take restore out")
    .field_path(".spec.keys")
}

/// The rule on versions that are brought back: without their public keys the node would generate others.
pub(super) fn restore_removed_rule() -> Rule {
    Rule::new(
        "oldSelf.spec.keys.all(old, !has(old.restore) \
         || !self.spec.keys.exists(k, k.name == old.name && (!has(k.restore) || (k.restore.publicKeys.size() < old.restore.publicKeys.size() \
         && has(oldSelf.status) && has(oldSelf.status.keys) && oldSelf.status.keys.exists(s, s.name == old.name)))) \
         || (has(oldSelf.status) && has(oldSelf.status.keys) && oldSelf.status.keys.exists(s, s.name == old.name \
         && s.version >= old.restore.publicKeys.size())))",
    )
    .message("keys[].restore: it may be removed or become shorter only once status.keys has the last of its versions: until then the node would generate others in their place")
    .field_path(".spec.keys")
}

/// The network has no nodes.
const NO_NODES: &str =
    "(has(oldSelf.status) && has(oldSelf.status.nodes) && oldSelf.status.nodes.total == 0)";

/// The rule on a network's trust domain.
pub(super) fn trust_domain_rule() -> Rule {
    Rule::new(format!("self.spec.trustDomain == oldSelf.spec.trustDomain || {NO_NODES}"))
        .message("trustDomain is immutable while the network has nodes: identities are made of it")
        .field_path(".spec.trustDomain")
}

/// The rules on partners that compare them with the network. What else they must not have in common is too much for a rule: the
/// operator says it in the condition PartnersAccepted.
pub(super) fn partner_domain_rule() -> Rule {
    Rule::new(
        "!has(self.spec.partners) || self.spec.partners.all(p, p.trustDomain != self.spec.trustDomain && self.spec.partners.exists_one(q, q.trustDomain == p.trustDomain))",
    )
    .message("partners: each must have a trustDomain of its own, which is not the network's")
    .field_path(".spec.partners")
}

/// The rule on names of our own trust domain.
pub(super) fn partner_names_rule() -> Rule {
    Rule::new(
        "!has(self.spec.partners) || self.spec.partners.all(p, p.dnsNames.all(n, n != self.spec.trustDomain && !n.endsWith('.' + self.spec.trustDomain)))",
    )
    .message("partners: dnsNames must not lie in the trust domain of this network: no partner speaks for it")
    .field_path(".spec.partners")
}

/// The rule on where the keys of a network lie.
pub(super) fn key_location_rule() -> Rule {
    const VAULT: &str = "spec.secretStore.vault";
    let same = |field: &str| format!("self.{VAULT}.kv.{field} == oldSelf.{VAULT}.kv.{field}");
    Rule::new(format!(
        "!has(self.{VAULT}) || !has(oldSelf.{VAULT}) || ({} && {}) || {NO_NODES}",
        same("mount"),
        same("pathPrefix")
    ))
    .message("vault.kv is immutable while the network has nodes: their keys would be lost from sight")
    .field_path(".spec.secretStore.vault.kv")
}
