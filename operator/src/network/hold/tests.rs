//! What is held back of a network, and that no hold takes away what is live.

use proptest::prelude::*;
use serde_json::{Value, json};
use tessera_crds::checklist::Line;

use super::*;
use crate::fixtures::{held_by, network, network_json, now};

/// A network with these partners, by name and names, and these scrapers.
fn with(partners: &[(&str, &[&str])], scrapers: &[&str]) -> TesseraNetwork {
    let mut json = network_json();
    let partner = |(name, names): &(&str, &[&str])| -> Value {
        let host = |name: &&str| {
            name.strip_prefix('*').map_or_else(|| (*name).to_owned(), |rest| format!("a{rest}"))
        };
        let urls: Vec<_> = names.iter().map(|name| format!("https://{}:9000", host(name))).collect();
        json!({
            "name": name, "trustDomain": format!("{name}.example"), "dnsNames": names, "urls": urls,
            "caBundleRef": {"name": "ca", "key": "ca.crt"},
            "egress": [{"cidr": "192.0.2.0/24", "port": 9000}],
        })
    };
    json["spec"]["partners"] = partners.iter().map(partner).collect();
    let scraper =
        |name: &&str| json!({"name": name, "from": {"podSelector": {"matchLabels": {"app": name}}}});
    json["spec"]["monitoring"] = scrapers.iter().map(scraper).collect();
    network(json)
}

/// That these partners and scrapers are live.
fn live(partners: &[(&str, &[&str])], scrapers: &[&str]) -> Live {
    let partner = |(name, names): &(&str, &[&str])| dynamic_config::Partner {
        name: (*name).to_owned(),
        trust_domain: format!("{name}.example"),
        dns_names: names.iter().map(|name| (*name).to_owned()).collect(),
        urls: Vec::new(),
        ca_bundle: String::new(),
    };
    Live {
        partners: Some(partners.iter().map(partner).collect()),
        scrapers: Some(scrapers.iter().map(|name| (*name).to_owned()).collect()),
    }
}

fn fields(network: &TesseraNetwork, live: &Live) -> Vec<String> {
    widenings(network, live).iter().map(Widening::field).collect()
}

#[test]
fn each_widening_names_its_field() {
    let network =
        with(&[("org-b", &["b.example", "*.b.example"]), ("org-c", &["c.example"])], &["prom", "second"]);
    let before = live(&[("org-b", &["b.example"])], &["prom"]);
    assert_eq!(
        fields(&network, &before),
        ["spec.partners[org-b].dnsNames", "spec.partners[org-c]", "spec.monitoring[second]"]
    );
}

#[test]
fn what_was_there_before_is_no_widening() {
    let network = with(&[("org-b", &["b.example"])], &["prom"]);
    assert_eq!(
        fields(&network, &live(&[("org-b", &["b.example", "more.example"]), ("org-c", &[])], &["prom", "x"])),
        [""; 0]
    );
    let unknown = Live { partners: None, ..live(&[], &["prom"]) };
    assert_eq!(fields(&network, &unknown), [""; 0]);
}

#[test]
fn another_organisation_under_a_known_name_is_new() {
    let network = with(&[("org-b", &["b.example"])], &[]);
    let mut before = live(&[("org-b", &["b.example"])], &[]);
    before.partners.as_mut().unwrap()[0].trust_domain = "other.example".into();
    assert_eq!(fields(&network, &before), ["spec.partners[org-b]"]);
    let renamed = live(&[("org-b", &["elsewhere.example"])], &[]);
    assert_eq!(fields(&network, &renamed), ["spec.partners[org-b].dnsNames"]);
}

#[test]
fn a_name_below_a_wildcard_that_is_there_is_none_and_a_partner_is_left_with_a_name() {
    let narrower = with(&[("org-b", &["n1.b.example"])], &[]);
    assert_eq!(fields(&narrower, &live(&[("org-b", &["*.b.example"])], &[])), [""; 0]);
    let renamed = with(&[("org-b", &["new.example"])], &[]);
    let before = live(&[("org-b", &["old.example"])], &[]);
    let holds = Holds::of(widenings(&renamed, &before), &Gates::one(held_by(Line::HardwareKeys)));
    let narrow = holds.narrow(&renamed);
    let names: Vec<_> = narrow.spec.partners[0].dns_names.iter().map(ToString::to_string).collect();
    assert_eq!(names, ["old.example"], "it goes on as it was");
    assert!(narrow.spec.partners[0].urls.is_empty());
}

#[test]
fn a_spec_that_was_let_through_has_no_new_scraper() {
    let network = with(&[], &["prom"]);
    assert_eq!(fields(&network, &Live { partners: None, scrapers: None }), [""; 0]);
}

#[test]
fn names_that_are_held_take_their_urls_along_and_nothing_else() {
    let network = with(&[("org-b", &["b.example", "*.b.example"])], &[]);
    let before = live(&[("org-b", &["b.example"])], &[]);
    let holds = Holds::of(widenings(&network, &before), &Gates::one(held_by(Line::HardwareKeys)));
    let narrow = holds.narrow(&network);
    let partner = &narrow.spec.partners[0];
    let text = |items: &[String]| items.join(" ");
    assert_eq!(text(&partner.dns_names.iter().map(ToString::to_string).collect::<Vec<_>>()), "b.example");
    assert_eq!(
        text(&partner.urls.iter().map(ToString::to_string).collect::<Vec<_>>()),
        "https://b.example:9000"
    );
    let given = PartnerStatus {
        name: "org-b".into(),
        accepted: true,
        message: None,
        cas: Vec::new(),
        reached: Vec::new(),
        unreached: Vec::new(),
    };
    let shown = holds.partners(vec![given]);
    assert!(shown[0].accepted);
    assert_eq!(
        shown[0].message.as_deref(),
        Some("checklist.mode Enforce and line HardwareKeys hold its new names back")
    );
}

#[test]
fn what_is_held_is_said_and_what_nobody_judged_waits() {
    let network = with(&[("org-b", &["b.example"])], &[]);
    let new = || widenings(&network, &live(&[], &[]));
    let held = Holds::of(new(), &Gates::one(held_by(Line::HardwareKeys)));
    let (reason, message) = held.changes().unwrap();
    assert_eq!(reason, Reason::ChecklistHeld);
    assert!(message.contains("spec.partners[org-b]: HardwareKeys is Violated (Reason)"), "{message}");
    assert_eq!(held.status(&[], now())[0].field, "spec.partners[org-b]");
    assert_eq!((held.awaited(), held.partners(Vec::new()).len()), (None, 1));
    let waiting = Holds::of(new(), &Gates::one(Gate::NotJudged));
    assert!(waiting.changes().is_none() && waiting.status(&[], now()).is_empty());
    assert!(waiting.awaited().unwrap().contains("spec.partners[org-b]"));
    assert!(waiting.narrow(&network).spec.partners.is_empty());
    let free = Holds::of(new(), &Gates::one(Gate::Free));
    assert!(matches!(free.narrow(&network), Cow::Borrowed(_)));
}

#[test]
fn policies_of_nodes_follow_the_network_s_status() {
    let mut network = with(&[("org-b", &["b.example"]), ("org-c", &["c.example"])], &["prom", "second"]);
    let held = |field: &str| HeldChange {
        field: field.into(),
        line: Line::HardwareKeys,
        since: now().to_string().into(),
    };
    network.status.get_or_insert_default().held =
        vec![held("spec.partners[org-c]"), held("spec.monitoring[prom]")];
    let partners = partners_let_in(&network);
    assert_eq!(partners.iter().map(|partner| partner.name.as_str()).collect::<Vec<_>>(), ["org-b"]);
    let scrapers = scrapers_let_in(&network);
    assert_eq!(scrapers.iter().map(|scraper| scraper.name.as_str()).collect::<Vec<_>>(), ["second"]);
}

const NAMES: [&str; 3] = ["a.example", "b.example", "c.example"];

fn some_names() -> impl Strategy<Value = Vec<&'static str>> {
    proptest::sample::subsequence(NAMES.to_vec(), 1..=3)
}

proptest! {
    /// What is left after a hold is what both the spec and the nodes have: nothing new, and nothing lost.
    #[test]
    fn a_hold_leaves_what_is_live_and_wanted(
        wanted in some_names(),
        known in some_names(),
        is_known in any::<bool>(),
        has_scraper in any::<bool>(),
    ) {
        let network = with(&[("org-b", &wanted)], &["prom"]);
        let partners: &[(&str, &[&str])] = &[("org-b", &known)];
        let before = live(if is_known { partners } else { &[] }, if has_scraper { &["prom"] } else { &[] });
        let holds = Holds::of(widenings(&network, &before), &Gates::one(held_by(Line::HardwareKeys)));
        let narrow = holds.narrow(&network);
        let left: Vec<_> = narrow.spec.partners.iter().flat_map(|partner| &partner.dns_names).map(ToString::to_string).collect();
        let both: Vec<_> = wanted.iter().filter(|name| is_known && known.contains(name)).map(ToString::to_string).collect();
        // One without a common name goes on as it was.
        let was: Vec<_> = known.iter().filter(|_| is_known).map(ToString::to_string).collect();
        prop_assert_eq!(left, if both.is_empty() { was } else { both });
        prop_assert_eq!(narrow.spec.monitoring.is_empty(), !has_scraper);
        prop_assert!(widenings(&narrow, &before).is_empty());
    }
}
