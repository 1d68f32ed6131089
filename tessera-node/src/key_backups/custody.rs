//! Whether a custodian's proof is right. Pure.

use std::collections::BTreeMap;

use tessera_backup::custody::Challenge;
use tessera_backup::verify;
use tessera_enclave::KeyPair;
use tessera_node_api::key_backup::{CheckResult, CustodyProof};

/// The longest challenge, in bytes. An operator's has 64.
const MAX_CHALLENGE: usize = 128;
/// The longest name of a custodian, in bytes.
pub(super) const MAX_NAME: usize = 63;
/// Versions that a message names.
const MAX_NAMED: usize = 5;

/// Judges `proof` against all versions that the node has. One answer that is missing, wrong or too many refuses all of it.
pub(crate) fn judge<'k>(
    proof: &CustodyProof,
    versions: impl Iterator<Item = (&'k str, u32, &'k KeyPair)>,
) -> CheckResult {
    if proof.challenge.is_empty() || proof.challenge.len() > MAX_CHALLENGE {
        return check_result(&[format!("the challenge must have 1 to {MAX_CHALLENGE} bytes")]);
    }
    if proof.custodian.is_empty() || proof.custodian.len() > MAX_NAME {
        return check_result(&[format!("the custodian's name must have 1 to {MAX_NAME} bytes")]);
    }
    let mut problems = Vec::new();
    let mut answers = BTreeMap::new();
    for answer in &proof.answers {
        let version = (answer.key.as_str(), answer.version);
        if answers.insert(version, answer).is_some() {
            problems.push(format!("{} is answered twice", shown(version)));
        }
    }
    let challenge = Challenge { challenge: &proof.challenge, custodian: &proof.custodian };
    for (key, version, pair) in versions {
        match answers.remove(&(key, version)) {
            None => problems.push(format!("{} is not answered", shown((key, version)))),
            Some(answer) if !verify(challenge, answer, pair) => problems.push(format!(
                "the answer for {} is not that of the node's key {}",
                shown((key, version)),
                pair.public()
            )),
            Some(_) => {}
        }
    }
    problems.extend(answers.into_keys().map(|version| format!("the node has no {}", shown(version))));
    check_result(&problems)
}

/// Accepted if there is no problem.
pub(crate) fn check_result(problems: &[String]) -> CheckResult {
    let mut message = problems.iter().take(MAX_NAMED).cloned().collect::<Vec<_>>().join("; ");
    if problems.len() > MAX_NAMED {
        message = format!("{message}; and {} more", problems.len() - MAX_NAMED);
    }
    CheckResult { accepted: problems.is_empty(), message }
}

/// A version as a message names it, whatever a caller sent as its name.
pub(crate) fn shown((key, version): (&str, u32)) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | '.');
    let name: String = key.chars().filter(|c| plain(*c)).take(MAX_NAME).collect();
    format!("key {name} version {version}")
}

#[cfg(test)]
mod tests {
    use tessera_backup::answer;
    use tessera_node_api::key_backup::CustodyAnswer;

    use super::*;

    const ASKED: Challenge<'static> = Challenge { challenge: "c-1", custodian: "alice" };

    fn pairs() -> [KeyPair; 2] {
        [KeyPair::generate().unwrap(), KeyPair::generate().unwrap()]
    }

    fn right(pairs: &[KeyPair]) -> CustodyProof {
        CustodyProof {
            challenge: ASKED.challenge.to_owned(),
            custodian: ASKED.custodian.to_owned(),
            answers: pairs
                .iter()
                .zip(1..)
                .map(|(pair, version)| answer(ASKED, "main", version, pair))
                .collect(),
        }
    }

    fn judged(proof: &CustodyProof, pairs: &[KeyPair]) -> CheckResult {
        judge(proof, pairs.iter().zip(1..).map(|(pair, version)| ("main", version, pair)))
    }

    #[test]
    fn one_right_answer_for_each_version_proves_custody() {
        let pairs = pairs();
        assert_eq!(judged(&right(&pairs), &pairs), CheckResult { accepted: true, message: String::new() });
    }

    #[test]
    fn what_is_missing_wrong_or_too_many_is_named() {
        let pairs = pairs();
        let proof = right(&pairs);
        let with = |change: &dyn Fn(&mut CustodyProof)| {
            let mut other = proof.clone();
            change(&mut other);
            judged(&other, &pairs)
        };
        let unknown = |key: &str| CustodyAnswer { key: key.to_owned(), version: 9, mac: "00".to_owned() };
        let swap = |proof: &mut CustodyProof| {
            let mac = proof.answers[0].mac.clone();
            proof.answers[1].mac = mac;
        };
        for (result, says) in [
            (with(&|proof| drop(proof.answers.pop())), "key main version 2 is not answered"),
            (with(&|proof| proof.answers.clear()), "version 1 is not answered; key main version 2 is not"),
            (with(&swap), "the answer for key main version 2 is not that of the node's key"),
            (with(&|proof| "c-2".clone_into(&mut proof.challenge)), "the answer for key main version 1"),
            (with(&|proof| "bob".clone_into(&mut proof.custodian)), "the answer for key main version 1"),
            (with(&|proof| proof.answers.push(unknown("main"))), "the node has no key main version 9"),
            (with(&|proof| proof.answers.push(unknown("<b>\n"))), "the node has no key b version 9"),
            (with(&|proof| proof.answers.push(proof.answers[0].clone())), "version 1 is answered twice"),
            (with(&|proof| proof.challenge.clear()), "the challenge must have 1 to 128"),
            (with(&|proof| proof.challenge = "c".repeat(129)), "the challenge must have"),
            (with(&|proof| proof.custodian = "a".repeat(64)), "the custodian's name must have"),
        ] {
            assert!(!result.accepted && result.message.contains(says), "{says}: {}", result.message);
        }
    }

    #[test]
    fn a_message_names_few() {
        let pairs = pairs();
        let mut proof = right(&pairs);
        let unknown = |version| CustodyAnswer { key: "k".repeat(1000), version, mac: String::new() };
        proof.answers.extend((1..1000).map(unknown));
        let result = judged(&proof, &pairs);
        assert!(result.message.ends_with("and 994 more") && result.message.len() < 1000, "{result:?}");
    }
}
