//! Each bad configuration beside its valid twin.

use serde_json::{Value, json};

use super::{ConfigError, parse};

fn good() -> Value {
    json!({
        "mode": "tessera",
        "useWhiteList": "false",
        "serverConfigs": [
            {"app": "P2P", "enabled": true, "serverAddress": "https://node-a-p2p.org-a.svc:9000",
             "bindingAddress": "https://0.0.0.0:9000",
             "sslConfig": {"tls": "STRICT", "serverTrustMode": "CA", "serverTlsKeyPath": "/tls/tls.key",
                           "serverTrustCertificates": ["/tls/ca.crt"]},
             "properties": {"partyInfoInterval": "1000", "maxBodyBytes": 1024}},
            {"app": "Q2T", "serverAddress": "https://node-a.org-a.svc:8080", "sslConfig": {"tls": "STRICT"}}
        ],
        "peer": [{"url": "https://node-b-p2p.org-a.svc:9000"}],
        "tesseraNode": {
            "version": 1,
            "identity": {"trustDomain": "org-a.example", "name": "node-a"},
            "dynamicConfig": "/dynamic.json",
            "nodeTls": "/tls",
            "storage": {"directory": "/data"},
            "secretStore": {"address": "https://vault:8200", "caFile": "/ca", "authMount": "kubernetes",
                            "role": "r", "tokenFile": "/token", "kvMount": "secret", "path": "p/n/s",
                            "stamp": {"cluster": "c", "network": "n/org-a"}},
            "probeSocket": "/run/probe.sock"
        }
    })
}

fn problems(config: &Value) -> Vec<String> {
    match parse(&config.to_string()) {
        Err(ConfigError::Invalid(problems)) => problems,
        Err(other) => panic!("{other}"),
        Ok(_) => Vec::new(),
    }
}

#[test]
fn the_good_one_is_read_as_java_reads_it() {
    let config = parse(&good().to_string()).unwrap();
    assert_eq!(config.p2p.bind.to_string(), "0.0.0.0:9000");
    assert_eq!(config.p2p.advertised.as_str(), "https://node-a-p2p.org-a.svc:9000/");
    assert_eq!(config.p2p.party_info_interval.as_millis(), 1000);
    assert_eq!(config.p2p.limits.body_bytes, 1024);
    assert_eq!(config.identity.to_string(), "spiffe://org-a.example/node/node-a");
}

#[test]
fn each_fault_is_named_with_its_path() {
    let cases: &[(&str, Value, &str)] = &[
        ("/mode", json!("orion"), "mode "),
        (
            "/tesseraNode/storage/quotaBytes",
            json!((320 << 20) - 1),
            "tesseraNode.storage.quotaBytes must be at least 335544320",
        ),
        ("/useWhiteList", json!("maybe"), "useWhiteList must be true or false"),
        ("/jdbc", json!({"url": "jdbc:h2:mem"}), "jdbc.url is not supported"),
        ("/encryptor", json!({"type": "EC"}), "encryptor.type"),
        ("/features", json!({"enableMultiplePrivateStates": true}), "features.enableMultiplePrivateStates"),
        ("/bootstrapNode", json!(true), "bootstrapNode"),
        ("/residentGroups", json!([{}]), "residentGroups"),
        ("/peer", Value::Null, "peer may not be null"),
        ("/peer/0/url", json!("not a url"), "peer[0].url"),
        ("/peer/0/url", json!("http://node-b:9000"), "peer[0].url must start with https://"),
        ("/alwaysSendTo", json!(["AAAA"]), "alwaysSendTo[0]"),
        ("/keys", json!({"keyData": []}), "keys must be absent"),
        ("/serverConfigs/0/app", json!("ENCLAVE"), "serverConfigs[0].app"),
        ("/serverConfigs/0/app", json!("ADMIN"), "serverConfigs[0].app app must be provided"),
        ("/serverConfigs/0/influxConfig", json!({}), "serverConfigs[0].influxConfig"),
        ("/serverConfigs/0/serverAddress", json!("https://host"), "serverConfigs[0].serverAddress"),
        ("/serverConfigs/1/serverAddress", json!("https://0.0.0.0:8080"), "serverConfigs[1].serverAddress"),
        ("/serverConfigs/1/serverAddress", json!("unix:/tmp/tm.ipc"), "Unix socket"),
        ("/serverConfigs/1/serverAddress", json!("http://node-a:8080"), "https://"),
        ("/serverConfigs/1/sslConfig/tls", json!("OFF"), "serverConfigs[1].sslConfig.tls"),
        ("/serverConfigs/1/sslConfig/clientAuth", json!("false"), "clientAuth"),
        ("/serverConfigs/1/sslConfig/serverTrustMode", json!("TOFU"), "serverTrustMode"),
        ("/serverConfigs/1/sslConfig/excludeCipherSuites", json!(["TLS_RSA"]), "excludeCipherSuites"),
        ("/serverConfigs/1/sslConfig/serverKeyStore", json!("a.jks"), "serverKeyStore"),
        ("/serverConfigs/0/sslConfig/serverTlsKeyPath", json!("/x/tls.key"), "serverTlsKeyPath"),
        ("/tesseraNode/unknown", json!(1), "unknown field `unknown`"),
        ("/tesseraNode/dynamicConfig", Value::Null, "tesseraNode.dynamicConfig may not be null"),
        ("/tesseraNode/version", json!(2), "tesseraNode.version"),
        ("/tesseraNode/identity/name", json!("a b"), "tesseraNode.identity"),
        ("/tesseraNode/secretStore/address", json!("http://vault"), "secretStore.address"),
        ("/tesseraNode/metrics", json!({"bind": "here"}), "tesseraNode.metrics.bind"),
        ("/tesseraNode", Value::Null, "tesseraNode may not be null"),
    ];
    assert_eq!(problems(&good()), Vec::<String>::new());
    for (pointer, value, says) in cases {
        let mut config = good();
        let (parent, member) = pointer.rsplit_once('/').unwrap();
        config.pointer_mut(parent).unwrap()[member] = value.clone();
        let problems = problems(&config);
        assert!(problems.iter().any(|problem| problem.contains(says)), "{pointer} {value}: {problems:?}");
    }
}

#[test]
fn all_faults_are_listed_at_once() {
    let mut config = good();
    config["mode"] = json!("orion");
    config["peer"] = Value::Null;
    config["tesseraNode"]["nodeTls"] = json!(7);
    assert_eq!(problems(&config).len(), 3);
}

#[test]
fn what_is_not_json_is_another_exit_code() {
    assert_eq!(parse("{").unwrap_err().exit_code(), 3);
    assert_eq!(parse("{}").unwrap_err().exit_code(), 1);
}
