//! `NoRemoteRoot` of machines: what the operator's connects to port 22 say beside a statement.

use super::cluster::{IN_CLUSTER, good, judge_stated, read, spoil};
use super::statements::attestation;
use super::*;
use crate::checklist::cluster::{ClusterFacts, Reading, Unread};
use crate::checklist::ssh::SshTrial;

const LINE: Line = Line::NoRemoteRoot;
const PARTS: [(&str, &str); 2] = [("m-nodes", "Host"), ("m-store", "StoreHost")];

fn judge_as(cluster: &ClusterFacts, address: &str, stated: bool) -> Finding {
    let all = [attestation("NoRemoteRoot", "Attestation", "2026-12-01T00:00:00Z", "2027-06-01T00:00:00Z")];
    let statements = if stated { Statements::that_count(&all, now()) } else { Statements::default() };
    judge_stated(cluster, address, statements, LINE, now())
}

fn judge(cluster: &ClusterFacts) -> Finding {
    judge_as(cluster, IN_CLUSTER, true)
}

fn text<'f>(finding: &'f Finding, name: &str) -> &'f str {
    &finding.parts.iter().find(|part| part.name.to_string() == name).unwrap().observed
}

fn open(greets: bool) -> SshTrial {
    SshTrial::Open { address: "10.88.0.11".parse().unwrap(), greets }
}

fn inconclusive() -> SshTrial {
    SshTrial::Inconclusive("the kubelet at 10.88.0.11:10250 was not reached: refused, or no answer".into())
}

fn with(machine: &str, trial: SshTrial) -> ClusterFacts {
    let mut cluster = good();
    cluster.ssh.insert(machine.to_owned(), read(trial));
    cluster
}

#[test]
fn a_closed_port_raises_nothing_and_the_text_says_what_was_tried() {
    for (stated, expected) in [(true, "Attested Stated"), (false, "Unknown NotAttested")] {
        let closed = judge_as(&good(), IN_CLUSTER, stated);
        assert_eq!(said(&closed), expected);
        for (machine, part) in PARTS {
            let text = text(&closed, part);
            assert!(text.contains(machine) && text.contains("no other source was tried"), "{text}");
        }
    }
}

#[test]
fn an_open_port_violates_the_part_of_its_machine_whatever_a_person_states() {
    for (machine, open_part) in PARTS {
        let found = judge(&with(machine, open(true)));
        assert_eq!(said(&found), "Violated SshOpen");
        for (_, name) in PARTS {
            assert_eq!(part(&found, name) == LineResult::Violated, name == open_part, "{name}");
        }
        let expected = format!("machine {machine} (10.88.0.11, an SSH greeting)");
        assert!(text(&found, open_part).contains(&expected), "{found:?}");
    }
    let mute = judge(&with("m-nodes", open(false)));
    assert!(text(&mute, "Host").contains("no SSH greeting"), "{mute:?}");
    let mut many = good();
    for machine in ["m1", "m2", "m3", "m4", "m5"] {
        many.node_machines.insert(machine.to_owned());
        many.ssh.insert(machine.to_owned(), read(open(true)));
    }
    let many = judge(&many);
    assert!(text(&many, "Host").contains("and 2 more") && !text(&many, "Host").contains("m4"), "{many:?}");
}

#[test]
fn a_prober_that_is_not_free_knows_nothing_and_names_the_chart_s_values() {
    let found = judge(&with("m-nodes", inconclusive()));
    assert_eq!(said(&found), "Unknown ProberNotFree");
    assert!(found.observed.contains("10.88.0.11:10250"), "{found:?}");
    assert!(found.remedy.is_some_and(|remedy| remedy.contains("checklist.machineCIDRs")));
    assert_eq!(part(&judge(&with("m-store", inconclusive())), "StoreHost"), LineResult::Unknown);
}

#[test]
fn only_a_trial_that_proves_something_ends_a_violation() {
    assert_eq!(inconclusive().after(Some(&open(true))), open(true));
    assert_eq!(SshTrial::Closed.after(Some(&open(true))), SshTrial::Closed);
    assert_eq!(inconclusive().after(Some(&SshTrial::Closed)), inconclusive());
    assert_eq!(open(false).after(None), open(false));
}

#[test]
fn without_a_machine_that_is_known_a_person_s_word_stands_alone() {
    let mut none = good();
    none.node_machines.clear();
    let elsewhere = judge_as(&none, "https://vault.bank.example:8200", true);
    assert_eq!(said(&elsewhere), "Attested Stated");
    assert!(elsewhere.parts.iter().all(|part| !part.observed.contains("22")), "{elsewhere:?}");
    let mut no_permission = good();
    let refused = Unread::NotPermitted("get nodes (machines)".into());
    no_permission.machines.insert("m-nodes".into(), Reading { last: None, failure: Some(refused) });
    no_permission.ssh.clear();
    assert_eq!(said(&judge(&no_permission)), "Unknown NoPermission");
}

#[test]
fn a_trial_that_says_something_else_wakes_the_network() {
    assert!(!good().differs_from(&good()));
    assert!(good().differs_from(&with("m-nodes", open(true))));
    let mut moved = good();
    moved.node_machines.insert("m-store".into());
    assert!(good().differs_from(&moved));
}

fn trial(which: usize) -> SshTrial {
    match which {
        0 => open(true),
        1 => inconclusive(),
        _ => SshTrial::Closed,
    }
}

proptest! {
    /// A fact that is missing, refused, stale or without its control improves nothing. What was forgotten, as after a restart of
    /// the operator, is Unknown.
    #[test]
    fn what_is_not_known_of_a_machine_improves_nothing(
        nodes in 0_usize..3, store in 0_usize..3, which in 0_usize..4, how in 0_usize..4, stated in any::<bool>(),
    ) {
        let mut cluster = good();
        cluster.ssh.insert("m-nodes".into(), read(trial(nodes)));
        cluster.ssh.insert("m-store".into(), read(trial(store)));
        let before = judge_as(&cluster, IN_CLUSTER, stated);
        match which {
            0 => cluster.ssh.values_mut().for_each(|trial| spoil(trial, how)),
            1 => cluster.machines.values_mut().for_each(|machine| spoil(machine, how)),
            2 => spoil(&mut cluster.store_pods, how),
            _ => for trial in cluster.ssh.values_mut().filter_map(|trial| trial.last.as_mut()) {
                trial.0 = inconclusive().after(Some(&trial.0));
            },
        }
        let after = judge_as(&cluster, IN_CLUSTER, stated);
        let is_forgotten = matches!((which, how), (0 | 2, 0 | 2));
        prop_assert!(after.result <= before.result || is_forgotten, "{after:?}");
        prop_assert!(after.result <= LineResult::Unknown && after.remedy.is_some(), "{after:?}");
    }

    /// An open port stands, however old its trial is and whatever else is missing.
    #[test]
    fn an_open_port_stands_until_it_is_found_closed(which in 0_usize..4, how in 0_usize..4) {
        let mut cluster = with("m-nodes", open(true));
        match which {
            0 => cluster.machines.values_mut().for_each(|machine| spoil(machine, how)),
            1 => spoil(&mut cluster.store_pods, how),
            2 => cluster.ssh.values_mut().for_each(|trial| spoil(trial, 3)),
            _ => spoil(&mut cluster.exec, how),
        }
        prop_assert_eq!(said(&judge(&cluster)), "Violated SshOpen");
    }
}
