use serde_json::{Value, json};
use tessera_pki::{Ca, CaSpec};

use super::*;
use crate::fixtures::{network, network_json, now};

fn spec(name: &str) -> Value {
    json!({
        "name": name,
        "trustDomain": format!("{name}.example"),
        "caBundleRef": {"name": format!("{name}-ca")},
        "dnsNames": [format!("*.tm.{name}.example")],
        "urls": [format!("https://a.tm.{name}.example:9000")],
        "egress": [{"cidr": "203.0.113.0/28", "port": 9000}],
    })
}

fn ca(days: i64) -> String {
    let lifetime = SignedDuration::from_hours(24 * days);
    Ca::generate(&CaSpec::network("org-b", 1, lifetime), now()).unwrap().certificate().pem().to_owned()
}

fn settled(specs: &[Value], bundles: &[(&str, Result<String, String>)]) -> Vec<Partner> {
    let mut json = network_json();
    json["spec"]["partners"] = specs.into();
    let bundles = bundles.iter().map(|(name, bundle)| ((*name).to_owned(), bundle.clone()));
    settle(&network(json), &bundles.collect(), &BTreeSet::from(["node-a.world.example".to_owned()]))
}

fn messages(partners: &[Partner]) -> Vec<String> {
    status(partners, &[]).into_iter().map(|status| status.message.unwrap_or_default()).collect()
}

#[test]
fn accepted_partners_are_given_to_the_nodes_and_a_missing_bundle_cuts_off_one() {
    let specs = [spec("org-c"), spec("org-b")];
    let missing = Err("ConfigMap org-c-ca does not exist".to_owned());
    let partners = settled(&specs, &[("org-b", Ok(ca(365))), ("org-c", missing)]);
    let given = of_nodes(&partners).unwrap();
    let names: Vec<_> = given.partners.iter().map(|partner| partner.name.as_str()).collect();
    assert_eq!(names, ["org-b", "org-c"]);
    assert!(given.partners[1].ca_bundle.is_empty(), "it is cut off, and stays on record");
    assert_eq!(given.partners[0].urls, ["https://a.tm.org-b.example:9000"]);
    let (truth, reason, message) = condition(&partners, now()).unwrap();
    assert_eq!((truth, reason), (ConditionStatus::False, Reason::InvalidReference));
    assert_eq!(
        message,
        "partner org-c is cut off: ConfigMap org-c-ca does not exist: see to ConfigMap org-c-ca, key ca.crt, with the partner's CA, or correct spec.partners[org-c].caBundleRef"
    );
    assert_eq!(stalled(&partners), None, "somebody may create it");
    assert!(of_nodes(&[]).is_none() && condition(&[], now()).is_none());
}

#[test]
fn the_status_names_authorities_and_who_was_reached() {
    let partners = settled(&[spec("org-b")], &[("org-b", Ok(ca(365) + &ca(400)))]);
    let reached =
        |urls: &[&str]| Reached { exposed: false, urls: urls.iter().map(|url| (*url).to_owned()).collect() };
    let url = "https://a.tm.org-b.example:9000";
    let both = status(&partners, &[reached(&[url]), reached(&[url, "https://x"])]);
    assert_eq!((both[0].accepted, both[0].cas.len()), (true, 2));
    assert_eq!((both[0].reached.as_slice(), both[0].unreached.len()), ([url.to_owned()].as_slice(), 0));
    let one = status(&partners, &[reached(&[url]), reached(&[])]);
    assert_eq!((one[0].reached.len(), one[0].unreached.as_slice()), (0, [url.to_owned()].as_slice()));
    assert_eq!(status(&partners, &[])[0].unreached.len(), 1, "no node has reported yet");
    let exposed = |urls: &[&str]| Reached { exposed: true, ..reached(urls) };
    let mixed = status(&partners, &[exposed(&[url]), reached(&[])]);
    assert_eq!(mixed[0].reached.len(), 1, "a node that is not exposed has no name that the partner knows");
    assert_eq!(status(&partners, &[exposed(&[]), reached(&[url])])[0].unreached.len(), 1);
}

#[test]
fn the_host_that_a_node_of_ours_is_known_by_is_no_partner_s() {
    let mut other = spec("org-c");
    other["dnsNames"] = json!(["*.world.example"]);
    other["urls"] = json!([]);
    let partners = settled(&[spec("org-b"), other], &[("org-b", Ok(ca(365))), ("org-c", Ok(ca(365)))]);
    let messages = messages(&partners);
    assert_eq!(messages[0], "");
    assert!(messages[1].starts_with("dnsNames: node-a.world.example is the advertised host"), "{messages:?}");
}

#[test]
fn names_that_are_ours_or_anothers_are_refused_and_the_field_is_named() {
    let with = |member: &str, value: Value| {
        let mut other = spec("org-c");
        other[member] = value;
        let bundles = [("org-b", Ok(ca(365))), ("org-c", Ok(ca(365)))];
        settled(&[spec("org-b"), other], &bundles)
    };
    for (member, value, says) in [
        (
            "dnsNames",
            json!(["a.tm.org-b.example"]),
            "dnsNames: *.tm.org-b.example and a.tm.org-b.example of partner org-c",
        ),
        ("dnsNames", json!(["*.tm.org-b.example"]), "have a name in common"),
        ("trustDomain", json!("org-b.example"), "trustDomain: org-b.example is that of partner org-c"),
    ] {
        let partners = with(member, value);
        assert!(messages(&partners)[0].contains(says), "{:?}", messages(&partners));
        assert!(messages(&partners).iter().all(|message| !message.is_empty()), "neither is accepted");
        assert!(stalled(&partners).is_some());
    }
    for ours in ["*.org-a.svc", "node-a.org-a.svc.cluster.local", "*.node-a-p2p.org-a.svc", "x.org-a.example"]
    {
        let partners = with("dnsNames", json!([ours]));
        assert_eq!(messages(&partners)[0], "", "org-b goes on");
        assert!(messages(&partners)[1].contains("a name of this network's nodes"), "{ours}");
    }
    for theirs in ["*.x-org-a.svc", "org-a.svc.example"] {
        let partners = with("dnsNames", json!([theirs]));
        assert!(messages(&partners)[1].starts_with("urls: "), "{theirs}: its urls are outside");
    }
    for bad in ["https://a.tm.org-c.example:0", "https://a.tm.org-c.example:70000", "https://b.example"] {
        assert!(messages(&with("urls", json!([bad])))[1].contains("port of 1 to 65535"), "{bad}");
    }
}

#[test]
fn a_bundle_must_be_of_authorities_and_bounded() {
    let reason = |bundle: String| messages(&settled(&[spec("org-b")], &[("org-b", Ok(bundle))]))[0].clone();
    assert!(reason("nothing".into()).contains("its CA bundle: it holds no PEM certificate"));
    assert!(reason(ca(365) + "-----BEGIN CERTIFICATE-----\nMIIB").contains("it is not PEM"));
    assert!(reason("#".repeat(MAX_BUNDLE_BYTES + 1)).contains("more than 12288 bytes"));
    assert_eq!(reason(ca(365)), "");
}

#[test]
fn a_partner_whose_last_authority_ends_soon_is_named() {
    let condition = |bundle: String, days: i64| {
        let partners = settled(&[spec("org-b")], &[("org-b", Ok(bundle))]);
        condition(&partners, now() + SignedDuration::from_hours(24 * days)).unwrap()
    };
    assert_eq!(condition(ca(365), 300).1, Reason::Accepted);
    let (truth, reason, message) = condition(ca(365), 345);
    assert_eq!((truth, reason), (ConditionStatus::False, Reason::AuthorityEnding));
    assert!(message.starts_with("the last CA of partner org-b ends at 2028-01-01T"), "{message}");
    assert_eq!(condition(ca(365) + &ca(800), 345).1, Reason::Accepted, "the next one is there");
}
