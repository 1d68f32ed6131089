use super::*;

fn url(name: &str) -> NodeUrl {
    format!("https://{name}:9000/").parse().unwrap()
}

fn key(byte: u8) -> PublicKey {
    PublicKey::from([byte; 32])
}

fn said(name: &str, keys: &[u8], parties: &[&str]) -> PartyInfo {
    PartyInfo {
        url: url(name).to_string(),
        recipients: keys.iter().map(|byte| (key(*byte), url(name).to_string())).collect(),
        parties: parties.iter().map(|name| url(name).to_string()).collect(),
    }
}

fn directory() -> Directory {
    let mut directory = Directory::new(url("a"), false);
    directory.set_own_keys(vec![key(1)]);
    directory
}

fn holder(directory: &Directory, byte: u8) -> Option<String> {
    directory.holder(&key(byte)).map(|holder| holder.url.host().to_owned())
}

#[test]
fn a_key_is_known_only_from_its_holder() {
    let mut directory = directory();
    let mut message = said("b", &[2], &["c"]);
    message.recipients.push((key(3), url("c").to_string()));
    directory.learn(&message, ApiVersions::default()).unwrap();
    assert_eq!((holder(&directory, 2), holder(&directory, 3)), (Some("b".into()), None));
    assert_eq!(directory.targets(), [url("b"), url("c")]);
}

#[test]
fn a_new_announcement_replaces_the_old_one() {
    let mut directory = directory();
    directory.learn(&said("b", &[2, 3], &[]), ApiVersions::default()).unwrap();
    directory.learn(&said("b", &[3], &[]), ApiVersions::default()).unwrap();
    assert_eq!((holder(&directory, 2), holder(&directory, 3)), (None, Some("b".into())));
}

#[test]
fn our_own_key_and_our_own_address_cannot_be_taken() {
    let mut directory = directory();
    directory.learn(&said("b", &[1], &[]), ApiVersions::default()).unwrap();
    directory.learn(&said("a", &[7], &[]), ApiVersions::default()).unwrap();
    assert_eq!((holder(&directory, 1), holder(&directory, 7)), (None, None));
    assert_eq!(directory.announcement().recipients, [(key(1), url("a").to_string())]);
}

#[test]
fn of_two_claimants_the_first_that_lives_holds_the_key() {
    let mut directory = directory();
    directory.learn(&said("c", &[2], &[]), ApiVersions::default()).unwrap();
    directory.learn(&said("b", &[2], &[]), ApiVersions::default()).unwrap();
    assert_eq!(holder(&directory, 2), Some("c".into()));
    directory.down(&url("c"));
    assert_eq!(holder(&directory, 2), Some("b".into()));
    assert_eq!(directory.keys().iter().filter(|(known, _)| *known == key(2)).count(), 1);
}

#[test]
fn a_node_that_is_down_keeps_its_keys_and_is_announced_to_nobody() {
    let mut directory = directory();
    directory.learn(&said("b", &[2], &[]), ApiVersions::default()).unwrap();
    directory.down(&url("b"));
    assert_eq!(holder(&directory, 2), Some("b".into()));
    assert_eq!(directory.announcement().parties, [url("a").to_string()]);
    assert!(directory.targets().is_empty(), "a dead stranger is not polled again");
}

#[test]
fn a_configured_peer_is_polled_for_ever_and_forgotten_when_it_is_dropped() {
    let mut directory = directory();
    directory.configure([url("a"), url("b")]);
    directory.learn(&said("b", &[2], &[]), ApiVersions::default()).unwrap();
    directory.down(&url("b"));
    assert_eq!(directory.targets(), [url("b")]);
    directory.configure([]);
    assert_eq!((holder(&directory, 2), directory.targets().len()), (None, 0));
}

#[test]
fn without_discovery_strangers_cannot_register() {
    let mut directory = Directory::new(url("a"), true);
    directory.configure([url("b")]);
    assert!(directory.learn(&said("b", &[2], &[]), ApiVersions::default()).is_ok());
    let refused = directory.learn(&said("c", &[3], &[]), ApiVersions::default()).unwrap_err();
    assert_eq!(refused.to_string(), "https://c:9000/ is not a known peer");
}
