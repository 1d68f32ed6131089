//! From the store's answers to facts. Pure. What is not as Vault and OpenBao say it is no fact.

use core::net::IpAddr;

use serde_json::{Map, Value};

use crate::checklist::store_facts::{AuditDevice, AuthMethod, KvFacts, MfaEnforcement, RoleFacts};

/// The longest name that is taken over: names of the store end in a status.
const LONGEST_NAME: usize = 128;

/// A name on one line, without what a terminal would obey.
fn name(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).take(LONGEST_NAME).collect()
}

fn text<'a>(value: &'a Value, member: &str) -> &'a str {
    value.get(member).and_then(Value::as_str).unwrap_or_default()
}

/// A role, by its path.
pub(super) fn role(found: Value) -> Option<RoleFacts> {
    serde_json::from_value(found).ok()
}

/// A policy's text, from `sys/policies/acl/…`.
pub(super) fn policy(found: &Value) -> Option<String> {
    let text = found.get("policy").and_then(Value::as_str)?;
    Some(text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect())
}

/// The auth methods, from `sys/auth`: at least one is there, by which the auditor came in.
pub(super) fn methods(found: &Value) -> Option<Vec<AuthMethod>> {
    let method = |(mount, method): (&String, &Value)| {
        let (kind, accessor) = (text(method, "type"), text(method, "accessor"));
        let is_whole = !kind.is_empty() && !accessor.is_empty();
        is_whole.then(|| AuthMethod { mount: name(mount), kind: name(kind), accessor: name(accessor) })
    };
    sorted(found, method).filter(|methods| !methods.is_empty())
}

/// What asks for a second factor, from the list of `identity/mfa/login-enforcement`; nothing there: nothing asks for one.
pub(super) fn enforcements(found: Option<&Value>) -> Option<Vec<MfaEnforcement>> {
    let Some(found) = found else { return Some(Vec::new()) };
    let names = found.get("keys").and_then(Value::as_array).map_or(0, Vec::len);
    let strings = |value: &Value, member: &str| {
        let list = value.get(member).and_then(Value::as_array);
        list.into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect::<Vec<_>>()
    };
    let enforcement = |(_, info): (&String, &Value)| {
        Some(MfaEnforcement {
            factors: strings(info, "mfa_method_ids").len(),
            accessors: strings(info, "auth_method_accessors"),
            kinds: strings(info, "auth_method_types"),
        })
    };
    // Names without what they stand for say nothing.
    sorted(found.get("key_info")?, enforcement).filter(|all| all.len() == names)
}

/// The audit devices, from `sys/audit`.
pub(super) fn devices(found: Option<&Value>) -> Option<Vec<AuditDevice>> {
    let Some(found) = found else { return Some(Vec::new()) };
    let device = |(path, device): (&String, &Value)| {
        let kind = text(device, "type");
        let options = device.get("options").unwrap_or(&Value::Null);
        (!kind.is_empty()).then(|| AuditDevice {
            path: name(path),
            kind: name(kind),
            remote: is_remote(kind, options),
            raw: is_on(options, "log_raw"),
        })
    };
    sorted(found, device)
}

/// The settings of the key-value engine, from `sys/mounts/…` and the engine's own `config`. One of version 1 has none.
pub(super) fn kv(engine: &Value, config: Option<&Value>) -> Option<KvFacts> {
    if text(engine, "type") != "kv" {
        return None;
    }
    let is_version_2 = engine.get("options").is_some_and(|options| text(options, "version") == "2");
    if !is_version_2 {
        return Some(KvFacts { is_version_2, cas_required: false, deletes_after: None });
    }
    let config = config?;
    let after = text(config, "delete_version_after");
    let deletes_after = (!matches!(after, "" | "0s")).then(|| name(after));
    Some(KvFacts { is_version_2, cas_required: config.get("cas_required")?.as_bool()?, deletes_after })
}

/// A socket to another machine, or OpenBao's HTTP device. Where a file goes, or a record of the local syslog, the store does not say.
fn is_remote(kind: &str, options: &Value) -> bool {
    let address = match kind {
        "socket" if text(options, "socket_type") == "unix" => return false,
        "socket" => text(options, "address"),
        "http" => text(options, "uri").split("://").nth(1).unwrap_or_default(),
        _ => return false,
    };
    !address.is_empty() && !is_loopback(address)
}

/// No address at all is the machine's own, too.
fn is_loopback(address: &str) -> bool {
    let host = address.split('/').next().unwrap_or_default();
    let host = host.rsplit_once(':').map_or(host, |(host, _)| host).trim_matches(['[', ']']);
    let is_own = |ip: IpAddr| ip.is_loopback() || ip.is_unspecified();
    host.is_empty() || host == "localhost" || host.parse().is_ok_and(is_own)
}

/// Options are texts; some versions show booleans.
fn is_on(options: &Value, member: &str) -> bool {
    match options.get(member) {
        None | Some(Value::Null | Value::Bool(false)) => false,
        Some(Value::String(text)) => {
            !matches!(text.as_str(), "" | "0" | "f" | "F" | "false" | "False" | "FALSE")
        }
        Some(_) => true,
    }
}

/// Every member as `of` makes it, by its name; `None`: one could not be made, or it is no map.
fn sorted<T>(found: &Value, of: impl Fn((&String, &Value)) -> Option<T>) -> Option<Vec<T>> {
    let members: &Map<String, Value> = found.as_object()?;
    let mut members: Vec<_> = members.iter().collect();
    members.sort_unstable_by_key(|(name, _)| *name);
    members.into_iter().map(of).collect()
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn a_device_is_remote_when_its_settings_lead_to_another_machine() {
        let of = |kind: &str, options: Value| {
            devices(Some(&json!({"d/": {"type": kind, "options": options}}))).unwrap().remove(0)
        };
        let remote = |kind: &str, options: Value| of(kind, options).remote;
        assert!(remote("socket", json!({"address": "collector.logs.svc:9090", "socket_type": "tcp"})));
        assert!(remote("socket", json!({"address": "10.0.0.7:9090"})));
        assert!(remote("http", json!({"uri": "https://collector.logs.svc/audit"})));
        for address in
            ["127.0.0.1:9090", "localhost:9090", "[::1]:9090", "[::]:9090", "0.0.0.0:9090", ":9090", ""]
        {
            assert!(!remote("socket", json!({"address": address})), "{address}");
        }
        assert!(!remote("socket", json!({"address": "/run/audit.sock", "socket_type": "unix"})));
        assert!(!remote("file", json!({"file_path": "/vault/audit.log"})));
        assert!(!remote("syslog", json!({})));
        assert!(of("file", json!({"log_raw": "true"})).raw && of("file", json!({"log_raw": true})).raw);
        assert!(!of("file", json!({"log_raw": "false"})).raw && !of("file", Value::Null).raw);
        assert_eq!(devices(Some(&json!({"d/": {}}))), None, "a device without a type is no device");
        assert_eq!(devices(None), Some(Vec::new()));
    }

    #[test]
    fn an_enforcement_without_its_contents_is_no_fact() {
        assert_eq!(enforcements(None), Some(Vec::new()));
        assert_eq!(enforcements(Some(&json!({"keys": ["people"]}))), None);
        assert_eq!(enforcements(Some(&json!({"keys": ["a", "b"], "key_info": {"a": {}}}))), None);
        let info = json!({"mfa_method_ids": ["m"], "auth_method_accessors": ["auth_userpass_1"], "auth_method_types": null});
        let found = enforcements(Some(&json!({"keys": ["people"], "key_info": {"people": info}}))).unwrap();
        assert_eq!((found[0].factors, found[0].accessors.len(), found[0].kinds.len()), (1, 1, 0));
    }

    #[test]
    fn an_engine_is_what_mount_and_config_say() {
        let v2 = json!({"type": "kv", "options": {"version": "2"}});
        let of = |config: Value| kv(&v2, Some(&config));
        let found =
            of(json!({"cas_required": true, "delete_version_after": "0s", "max_versions": 0})).unwrap();
        assert!(found.cas_required && found.deletes_after.is_none());
        let found = of(json!({"cas_required": false, "delete_version_after": "720h0m0s"})).unwrap();
        assert_eq!((found.cas_required, found.deletes_after.as_deref()), (false, Some("720h0m0s")));
        assert_eq!(of(json!({})), None);
        assert_eq!(kv(&v2, None), None);
        let v1 = kv(&json!({"type": "kv", "options": null}), None).unwrap();
        assert!(!v1.is_version_2);
    }

    #[test]
    fn methods_are_sorted_and_whole() {
        let found = json!({
            "userpass/": {"type": "userpass", "accessor": "auth_userpass_1"},
            "token/": {"type": "token", "accessor": "auth_token_1"},
        });
        let mounts: Vec<_> = methods(&found).unwrap().into_iter().map(|method| method.mount).collect();
        assert_eq!(mounts, ["token/", "userpass/"]);
        assert_eq!(methods(&json!({"token/": {"type": "token"}})), None);
        assert_eq!(methods(&json!({})), None);
        assert_eq!(methods(&json!([])), None);
    }
}
