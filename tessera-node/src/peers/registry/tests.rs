use tessera_enclave::codec::party_info::PartyInfo;
use tessera_enclave::codec::versions::ApiVersions;

use super::*;

fn url(name: &str) -> NodeUrl {
    format!("https://{name}:9000/").parse().unwrap()
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from([byte; 32])
}

fn identity(name: &str) -> Identity {
    Identity::node("org.test", name).unwrap()
}

fn said(address: &str, keys: &[u8], parties: &[&str]) -> Announcement {
    let said = PartyInfo {
        url: url(address).to_string(),
        recipients: keys.iter().map(|byte| (key(*byte), url(address).to_string())).collect(),
        parties: parties.iter().map(|name| url(name).to_string()).collect(),
    };
    Announcement::new(&said, ApiVersions::default()).unwrap()
}

fn registry() -> Registry {
    let mut registry = Registry::new("org.test", url("a"), false);
    registry.set_own_keys(vec![key(1)]);
    registry
}

impl Registry {
    fn hears(&mut self, name: &str, announcement: Announcement) -> Learned {
        self.learn(&identity(name), announcement, Instant::now()).unwrap()
    }

    /// As [`Self::proves`], of a node of another organisation.
    fn proves_at(&mut self, domain: &str, name: &str, announcement: Announcement) {
        let caller = Identity::node(domain, name).unwrap();
        if let Some(claim) = self.learn(&caller, announcement, Instant::now()).unwrap().claim {
            self.proven(&claim.peer, claim.keys);
        }
    }

    /// Announced, and every claim proven.
    fn proves(&mut self, name: &str, announcement: Announcement) {
        if let Some(claim) = self.hears(name, announcement).claim {
            self.proven(&claim.peer, claim.keys);
        }
    }

    fn holder(&self, byte: u8) -> Option<String> {
        self.snapshot().holder(&key(byte)).map(|peer| peer.url().host().to_owned())
    }

    fn down(&self, name: &str) {
        self.nodes[&identity(name)].peer.set_up(false);
    }

    fn targets_of(&self) -> Vec<String> {
        self.snapshot().targets().map(|target| target.endpoint.url.host().to_owned()).collect()
    }
}

#[test]
fn a_key_is_held_by_the_node_that_proved_it() {
    let mut registry = registry();
    let learned = registry.hears("b", said("b", &[2], &["c"]));
    assert!(learned.changed && learned.came_up);
    assert_eq!(registry.holder(2), None, "it is only claimed");
    let claim = learned.claim.unwrap();
    registry.proven(&claim.peer, claim.keys);
    assert_eq!(registry.holder(2), Some("b".to_owned()));
    assert_eq!(registry.targets_of(), ["b"]);
    assert_eq!(registry.snapshot().strangers.len(), 1);
}

#[test]
fn a_claim_without_proof_takes_no_key_over() {
    let mut registry = registry();
    registry.proves("b", said("b", &[2], &[]));
    registry.hears("d", said("d", &[2], &[]));
    registry.down("b");
    assert_eq!(registry.holder(2), Some("b".to_owned()), "a holder that is down stays the holder");
    // The control: with its proof the second node is the holder while the first is down.
    let claim = Claim { peer: Arc::clone(&registry.nodes[&identity("d")].peer), keys: vec![key(2)] };
    registry.proven(&claim.peer, claim.keys);
    assert_eq!(registry.holder(2), Some("d".to_owned()));
    registry.hears("b", said("b", &[2], &[]));
    assert_eq!(registry.holder(2), Some("b".to_owned()));
}

#[test]
fn a_proof_is_for_the_address_and_the_keys_that_were_announced() {
    let mut registry = registry();
    let claim = registry.hears("b", said("b", &[2], &[])).claim.unwrap();
    registry.hears("b", said("elsewhere", &[2], &[]));
    registry.proven(&claim.peer, claim.keys.clone());
    assert_eq!(registry.holder(2), None, "the proof was given at another address");
    registry.proves("c", said("c", &[3, 4], &[]));
    registry.proves("c", said("c", &[4], &[]));
    assert_eq!((registry.holder(3), registry.holder(4)), (None, Some("c".to_owned())));
}

#[test]
fn what_is_proven_is_not_asked_for_again_and_the_rest_after_a_pause() {
    let mut registry = registry();
    let claim = registry.hears("b", said("b", &[2, 3], &[])).claim.unwrap();
    registry.proven(&claim.peer, vec![key(2)]);
    assert!(registry.hears("b", said("b", &[2, 3], &[])).claim.is_none());
    let later = Instant::now() + PROOF_PAUSE;
    let again = registry.learn(&identity("b"), said("b", &[2, 3], &[]), later).unwrap().claim.unwrap();
    assert_eq!(again.keys, [key(3)]);
}

#[test]
fn a_certificate_is_one_node() {
    let mut registry = registry();
    for port in 0..200 {
        registry.hears("d", said(&format!("d{port}"), &[port], &[]));
    }
    assert_eq!(registry.nodes.len(), 1);
    assert_eq!(registry.snapshot().known.len(), 1);
}

#[test]
fn a_repeated_announcement_changes_nothing() {
    let mut registry = registry();
    registry.proves("b", said("b", &[2], &["c"]));
    let again = registry.hears("b", said("b", &[2], &["c"]));
    assert!(!again.changed && !again.came_up && again.claim.is_none());
}

#[test]
fn our_own_key_and_our_own_address_cannot_be_taken() {
    let mut registry = registry();
    registry.proves("b", said("b", &[1], &[]));
    registry.proves("c", said("a", &[7], &[]));
    assert_eq!((registry.holder(1), registry.holder(7)), (None, None));
    assert_eq!(registry.snapshot().announcement(None).recipients, [(key(1), url("a").to_string())]);
}

#[test]
fn a_node_that_is_down_is_neither_announced_nor_polled() {
    let mut registry = registry();
    registry.proves("b", said("b", &[2], &[]));
    registry.down("b");
    assert_eq!(registry.snapshot().announcement(None).parties, [url("a").to_string()]);
    assert!(registry.targets_of().is_empty());
    // The control: a configured one is polled, and forgotten with its keys when it is dropped.
    registry.configure([url("a"), url("b")]);
    assert_eq!(registry.targets_of(), ["b"]);
    registry.configure([]);
    assert_eq!((registry.holder(2), registry.targets_of().len()), (None, 0));
}

#[test]
fn a_silent_node_that_nobody_configured_is_forgotten() {
    let mut registry = registry();
    registry.configure([url("b")]);
    for name in ["b", "c", "d"] {
        registry.proves(name, said(name, &[name.as_bytes()[0]], &[]));
    }
    registry.down("b");
    registry.down("c");
    let heard = registry.nodes[&identity("c")].heard;
    assert!(!registry.forget(&[], heard + FORGET_AFTER - Duration::from_secs(1)));
    assert!(registry.forget(&[], heard + FORGET_AFTER));
    assert_eq!(registry.nodes.keys().collect::<Vec<_>>(), [&identity("b"), &identity("d")]);
}

#[test]
fn strangers_are_bounded_and_polled_once() {
    let mut registry = registry();
    let names: Vec<_> = (0..1000).map(|number| format!("s{number}")).collect();
    for part in names.chunks(500) {
        let parties: Vec<_> = part.iter().map(String::as_str).collect();
        registry.hears("d", said("d", &[], &parties));
        let more: Vec<_> = part.iter().map(|name| format!("{name}x")).collect();
        registry.hears("d", said("d", &[], &more.iter().map(String::as_str).collect::<Vec<_>>()));
    }
    assert_eq!(registry.strangers.len(), MAX_STRANGERS);
    let polled: Vec<_> = registry.strangers.values().take(8).cloned().collect();
    assert!(registry.forget(&polled, Instant::now()));
    assert_eq!(registry.strangers.len(), MAX_STRANGERS - 8);
}

#[test]
fn without_discovery_strangers_cannot_register() {
    let mut registry = Registry::new("org.test", url("a"), true);
    registry.configure([url("b")]);
    assert!(registry.learn(&identity("b"), said("b", &[2], &["x"]), Instant::now()).is_ok());
    assert!(registry.strangers.is_empty());
    let refused = registry.learn(&identity("c"), said("c", &[3], &[]), Instant::now()).unwrap_err();
    assert_eq!(refused.to_string(), "https://c:9000/ is not a known peer");
}

fn partners(listed: &[(&str, &str)]) -> Arc<Partners> {
    let partner = |(domain, name): &(&str, &str)| {
        let key = rcgen::KeyPair::generate().unwrap();
        let mut params = rcgen::CertificateParams::default();
        params.is_ca = rcgen::IsCa::Ca(rcgen::BasicConstraints::Unconstrained);
        let pem = params.self_signed(&key).unwrap().pem();
        let roots = tessera_tls::Roots::from_pem(pem.as_bytes()).unwrap();
        tessera_tls::Partner::new(tessera_tls::Scope::new(domain, &[name]).unwrap(), roots)
    };
    Arc::new(Partners::new(listed.iter().map(partner).collect()))
}

#[test]
fn a_key_of_one_organisation_is_given_to_no_node_of_another() {
    let mut registry = registry();
    registry.set_partners(partners(&[("b.test", "*.b.test"), ("c.test", "*.c.test")]));
    registry.proves("x", said("x", &[2], &[]));
    registry.proves_at("b.test", "b", said("gate.b.test", &[2, 3], &[]));
    registry.proves_at("c.test", "c", said("gate.c.test", &[2, 3, 4], &[]));
    registry.down("x");
    let holders = [2, 3, 4].map(|byte| registry.holder(byte).unwrap());
    assert_eq!(
        holders,
        ["x", "gate.b.test", "gate.c.test"],
        "the first that proved it, also when it is down"
    );
    registry.proves("x", said("x", &[2, 4], &[]));
    assert_eq!(registry.holder(4).unwrap(), "gate.c.test", "a partner's key is not ours to take either");
    // The control: within one organisation the second holder counts while the first is down.
    registry.proves("y", said("y", &[2], &[]));
    registry.down("x");
    assert_eq!(registry.holder(2).unwrap(), "y");
}

#[test]
fn of_the_nodes_that_proved_a_key_the_oldest_alone_counts_as_its_holder() {
    let mut registry = registry();
    registry.proves("x", said("x", &[2], &[]));
    registry.proves("y", said("y", &[2, 3], &[]));
    registry.down("x");
    let held = |name: &str, byte| registry.snapshot().is_holder(&identity(name), &key(byte));
    assert!(held("x", 2) && held("y", 3));
    assert!(!held("y", 2), "also while the oldest is down");
    assert!(!held("x", 3) && !held("x", 4) && !held("z", 2));
}

#[test]
fn nodes_of_our_own_that_answer_come_first() {
    let mut registry = registry();
    registry.set_partners(partners(&[("b.test", "*.b.test")]));
    registry.proves_at("b.test", "b", said("gate.b.test", &[2], &[]));
    registry.proves("x", said("x", &[3], &[]));
    registry.proves("y", said("y", &[4], &[]));
    registry.down("x");
    let directory = registry.snapshot();
    let (peers, silent) = directory.all("org.test");
    let names: Vec<_> = peers.iter().map(|peer| peer.identity().name()).collect();
    assert_eq!((names, silent), (vec!["y", "x", "b"], vec![]));
}

#[test]
fn a_partner_that_goes_takes_its_nodes_and_keys_with_it() {
    let mut registry = registry();
    registry.set_partners(partners(&[("b.test", "*.b.test"), ("c.test", "*.c.test")]));
    registry.proves("x", said("x", &[2], &[]));
    registry.proves_at("b.test", "b", said("gate.b.test", &[3], &[]));
    registry.proves_at("c.test", "c", said("gate.c.test", &[4], &[]));
    registry.set_partners(partners(&[("c.test", "other.c.test"), ("d.test", "*.d.test")]));
    assert_eq!([2, 3, 4].map(|byte| registry.holder(byte)), [Some("x".to_owned()), None, None]);
    registry.proves_at("d.test", "d", said("gate.d.test", &[3], &[]));
    assert_eq!(registry.holder(3).unwrap(), "gate.d.test", "what nobody holds any more may be proven anew");
}

#[test]
fn announcements_to_a_partner_leave_out_the_nodes_of_others() {
    let mut registry = registry();
    let partners = partners(&[("b.test", "*.b.test"), ("c.test", "*.c.test")]);
    registry.set_partners(Arc::clone(&partners));
    registry.proves("x", said("x", &[2], &[]));
    registry.proves_at("b.test", "b", said("gate.b.test", &[3], &[]));
    registry.proves_at("c.test", "c", said("gate.c.test", &[4], &[]));
    let announced = |partner: Option<&tessera_tls::Scope>| registry.snapshot().announcement(partner).parties;
    let all: Vec<_> = ["gate.b.test", "gate.c.test", "x", "a"].map(|name| url(name).to_string()).into();
    assert_eq!(announced(None), all);
    let b = partners.of_host("gate.b.test").unwrap();
    assert_eq!(announced(Some(b.scope())), [all[0].clone(), all[2].clone(), all[3].clone()]);
}

#[test]
fn the_nodes_and_keys_of_one_partner_are_bounded() {
    let mut registry = registry();
    registry.set_partners(partners(&[("b.test", "*.b.test")]));
    for number in 0..=MAX_PARTNER_NODES {
        registry.proves_at("b.test", &format!("b{number}"), said(&format!("g{number}.b.test"), &[], &[]));
    }
    assert_eq!(registry.nodes.len(), MAX_PARTNER_NODES);
    registry.proves("x", said("x", &[2], &[]));
    assert_eq!(registry.holder(2).unwrap(), "x", "our own nodes have a bound of their own");
    let keys = (0..1000_u32).map(|number| {
        let mut bytes = [9; 32];
        bytes[..4].copy_from_slice(&number.to_be_bytes());
        (PublicKey::from(bytes), url("g0.b.test").to_string())
    });
    let keys: Vec<_> = keys.collect();
    for number in 0..6 {
        let address = url(&format!("g{number}.b.test")).to_string();
        let recipients = keys.iter().map(|(key, _)| (*key, address.clone())).collect();
        let said = PartyInfo { url: address, recipients, parties: Vec::new() };
        let announcement = Announcement::new(&said, ApiVersions::default()).unwrap();
        let caller = Identity::node("b.test", &format!("b{number}")).unwrap();
        registry.learn(&caller, announcement, Instant::now()).unwrap();
    }
    assert_eq!(registry.claims, MAX_PARTNER_KEYS + 1);
}

/// Of a node whose certificate names these hosts.
fn said_by(hosts: &[&str], announcement: Announcement) -> Announcement {
    announcement.of_hosts(hosts.iter().map(|host| (*host).to_owned()).collect())
}

/// Where a node announces itself, and where requests to it go.
fn reached(registry: &Registry) -> [String; 2] {
    let holder = registry.snapshot().holder(&key(2)).unwrap();
    [holder.url(), &holder.endpoint.url].map(|url| url.host().to_owned())
}

#[test]
fn a_node_of_ours_is_reached_at_its_service_if_that_is_configured() {
    let configured = || {
        let mut registry = registry();
        registry.configure([url("b-p2p.svc"), url("c-p2p.svc")]);
        registry
    };
    let mut registry = configured();
    registry.proves("b", said_by(&["b-p2p.svc", "b.world"], said("b.world", &[2], &[])));
    assert_eq!(reached(&registry), ["b.world", "b-p2p.svc"]);
    assert_eq!(registry.targets_of(), ["b-p2p.svc", "c-p2p.svc"], "it is polled once");
    let parties = |partner: Option<&tessera_tls::Scope>| registry.snapshot().announcement(partner).parties;
    let ours = ["b-p2p.svc", "a"].map(|name| url(name).to_string());
    assert_eq!(parties(None), ours, "among ourselves it goes by its Service");
    let partners = partners(&[("p.test", "*.p.test")]);
    let partner = partners.of_host("x.p.test").unwrap();
    assert_eq!(parties(Some(partner.scope()))[0], url("b.world").to_string());
    // The controls: a certificate that does not name the Service, another node's Service, and an address that is configured itself.
    for (hosts, at, expected) in [
        (&["b.world"][..], "b.world", "b.world"),
        (&["*.svc", "b.world"], "b.world", "b.world"),
        (&["c-p2p.svc", "b.world"], "b.world", "b.world"),
        (&["b-p2p.svc", "c-p2p.svc"], "c-p2p.svc", "c-p2p.svc"),
    ] {
        let mut registry = configured();
        registry.proves("b", said_by(hosts, said(at, &[2], &[])));
        assert_eq!(reached(&registry), [at, expected]);
    }
}

/// As with one certificate's names on all nodes of a machine, or behind one name that all share.
#[test]
fn names_that_nodes_share_lead_no_node_to_another_s_address() {
    let mut registry = registry();
    registry.configure([url("tm.test"), url("localhost")]);
    for name in ["b", "c"] {
        let hosts = ["tm.test", "localhost", "b.test", "c.test"];
        let byte = name.as_bytes()[0];
        registry.proves(name, said_by(&hosts, said(&format!("{name}.test"), &[byte], &[])));
        assert_eq!(
            registry.snapshot().holder(&key(byte)).unwrap().endpoint.url,
            url(&format!("{name}.test"))
        );
    }
}

#[test]
fn a_node_that_is_configured_later_is_reached_there_and_keeps_its_keys() {
    let announced = || said_by(&["b-p2p.svc", "b.world"], said("b.world", &[2], &[]));
    let mut registry = registry();
    registry.proves("b", announced());
    registry.configure([url("b-p2p.svc")]);
    assert!(registry.hears("b", announced()).changed);
    assert_eq!(reached(&registry), ["b.world", "b-p2p.svc"]);
    // One that is no longer configured goes with its keys.
    registry.configure([]);
    assert_eq!(registry.holder(2), None);
    let mut strict = Registry::new("org.test", url("a"), true);
    assert!(strict.learn(&identity("b"), announced(), Instant::now()).is_err(), "nobody configured it");
    strict.configure([url("b-p2p.svc")]);
    assert!(strict.learn(&identity("b"), announced(), Instant::now()).is_ok());
}
