//! Who gets a transaction: the order and the de-duplication that Java Tessera uses.

use std::collections::HashSet;

use crate::key::PublicKey;

/// The recipients of a send: those asked for, the sender, those always sent to; the first occurrence of each counts.
pub fn of_send(requested: &[PublicKey], sender: &PublicKey, always: &[PublicKey]) -> Vec<PublicKey> {
    distinct(requested.iter().chain([sender]).chain(always))
}

/// The recipients of a raw transaction that is sent: as [`of_send`], the sender last.
pub fn of_send_signed(requested: &[PublicKey], sender: &PublicKey, always: &[PublicKey]) -> Vec<PublicKey> {
    distinct(requested.iter().chain(always).chain([sender]))
}

fn distinct<'a>(keys: impl Iterator<Item = &'a PublicKey>) -> Vec<PublicKey> {
    let mut seen = HashSet::new();
    keys.filter(|key| seen.insert(*key)).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_first_occurrence_counts() {
        let [a, b, s, f] = [1, 2, 3, 4].map(|n| PublicKey::from([n; 32]));
        let requested = [a, b, a];
        let always = [f, b];
        assert_eq!(of_send(&requested, &s, &always), [a, b, s, f]);
        assert_eq!(of_send_signed(&requested, &s, &always), [a, b, f, s]);
        assert_eq!(of_send(std::slice::from_ref(&s), &s, &[]), [s]);
    }
}
