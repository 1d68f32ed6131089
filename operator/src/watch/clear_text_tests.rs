use super::*;

fn config_map(name: &str, data: &serde_json::Value) -> Searched {
    let object = json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": name}, "data": data});
    Searched::of("ConfigMap", serde_json::from_value(object).unwrap())
}

fn listed(scan: &ClearTextScan) {
    for resource in searched_kinds() {
        scan.take_in(&resource.kind, Event::Init);
        scan.take_in(&resource.kind, Event::InitDone);
    }
}

fn found(scan: &ClearTextScan) -> Vec<String> {
    let facts = scan.facts(Instant::now());
    facts.found.into_iter().map(|it| format!("{} {}", it.object, it.path)).collect()
}

#[test]
fn a_credential_counts_from_the_event_that_shows_it_to_the_one_that_does_not() {
    let scan = ClearTextScan::default();
    listed(&scan);
    let (clean, dirty) = (json!({"host": "db"}), json!({"DB_PASSWORD": "hunter2"}));
    assert!(!scan.take_in("ConfigMap", Event::Apply(config_map("app", &clean))));
    assert!(scan.take_in("ConfigMap", Event::Apply(config_map("app", &dirty))));
    assert!(!scan.take_in("ConfigMap", Event::Apply(config_map("app", &dirty))), "it says nothing new");
    assert_eq!(found(&scan), ["ConfigMap app data.DB_PASSWORD"]);
    assert!(scan.take_in("ConfigMap", Event::Apply(config_map("app", &clean))));
    assert!(found(&scan).is_empty());
    assert!(scan.take_in("ConfigMap", Event::Apply(config_map("app", &dirty))));
    assert!(scan.take_in("ConfigMap", Event::Delete(config_map("app", &dirty))));
    assert!(found(&scan).is_empty());
}

#[test]
fn a_list_forgets_what_it_does_not_show() {
    let scan = ClearTextScan::default();
    listed(&scan);
    scan.take_in("ConfigMap", Event::Apply(config_map("gone", &json!({"DB_PASSWORD": "hunter2"}))));
    scan.take_in("ConfigMap", Event::Init);
    scan.take_in("ConfigMap", Event::InitApply(config_map("app", &json!({"host": "db"}))));
    assert_eq!(found(&scan).len(), 1, "until the list is complete");
    assert!(scan.take_in("ConfigMap", Event::InitDone));
    let facts = scan.facts(Instant::now());
    assert!(facts.found.is_empty());
    assert_eq!(facts.objects, 1);
}

#[test]
fn a_kind_is_searched_when_its_list_is_complete_and_its_watch_does_not_fail() {
    let scan = ClearTextScan::default();
    let now = Instant::now();
    assert_eq!(scan.facts(now).pending.len(), 7);
    listed(&scan);
    let facts = scan.facts(now);
    assert_eq!((facts.searched.len(), facts.not_searched.len(), facts.pending.len()), (7, 0, 0));
    assert!(scan.failed("Pod", false, now));
    assert!(scan.facts(now).not_searched.is_empty(), "one failure is a reconnect");
    let later = now + Duration::from_secs(61);
    assert!(!scan.failed("Pod", false, later), "the same outage");
    assert_eq!(scan.facts(later).not_searched, ["Pods (the watch fails)"]);
    assert!(scan.facts(later + OUTAGE_GAP * 2).not_searched.is_empty(), "nothing failed since");
    assert!(scan.failed("Job", true, later));
    assert!(scan.facts(later).not_searched.contains(&"Jobs (no right to list them)".to_owned()));
}

#[test]
fn a_pod_that_another_object_makes_is_named_by_that() {
    let object = json!({"apiVersion": "v1", "kind": "Pod", "metadata": {"name": "app-x1", "ownerReferences": [
            {"apiVersion": "apps/v1", "kind": "ReplicaSet", "name": "app", "uid": "u", "controller": true}]},
        "spec": {"containers": [{"name": "c", "env": [{"name": "DB_PASSWORD", "value": "hunter2"}]}]}});
    let scan = ClearTextScan::default();
    scan.take_in("Pod", Event::Apply(Searched::of("Pod", serde_json::from_value(object).unwrap())));
    assert!(found(&scan)[0].starts_with("pods of ReplicaSet app "), "{:?}", found(&scan));
}

#[test]
fn an_object_whose_search_failed_was_not_searched() {
    let scan = ClearTextScan::default();
    listed(&scan);
    scan.take_in("ConfigMap", Event::Apply(Searched::failed("huge".into())));
    assert_eq!(scan.facts(Instant::now()).not_searched, ["a part of ConfigMap huge"]);
}

#[test]
fn changes_that_wait_too_long_for_their_search_are_not_searched() {
    let scan = ClearTextScan::default();
    listed(&scan);
    let now = Instant::now();
    assert!(scan.fell_behind("ConfigMap", now));
    assert!(!scan.fell_behind("ConfigMap", now), "it says nothing new");
    let facts = scan.facts(now);
    assert_eq!(facts.not_searched, ["changes of ConfigMaps (the search fell behind them)"]);
    assert_eq!(facts.searched.len(), 6);
    assert!(scan.facts(now + BEHIND_COUNTS).not_searched.is_empty(), "it caught up");
}
