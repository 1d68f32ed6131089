//! A secret store that keeps what it is given, and fails when it is told to.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};

use serde_json::{Value, json};

#[path = "../../keys/tests/fake/mod.rs"]
mod fake;

use fake::{ABSENT, FakeStore, Request, login};

use super::Spec;

/// KV version 2 with check-and-set, and a login.
pub struct SecretStore {
    fake: FakeStore,
    kept: Arc<Mutex<BTreeMap<String, Value>>>,
    sealed: Arc<AtomicBool>,
    hanging: Arc<AtomicBool>,
}

impl SecretStore {
    pub async fn start() -> Self {
        let kept = Arc::new(Mutex::new(BTreeMap::new()));
        let sealed = Arc::new(AtomicBool::new(false));
        let hanging = Arc::new(AtomicBool::new(false));
        let (state, seal, hang) = (Arc::clone(&kept), Arc::clone(&sealed), Arc::clone(&hanging));
        let fake = FakeStore::start(move |request| {
            if hang.load(Ordering::Relaxed) && request.path.contains("/keys/") {
                return None;
            }
            if seal.load(Ordering::Relaxed) {
                return Some((503, r#"{"errors":["Vault is sealed"]}"#.to_owned()));
            }
            Some(answer(request, &mut state.lock().unwrap()))
        })
        .await;
        Self { fake, kept, sealed, hanging }
    }

    pub fn seal(&self, sealed: bool) {
        self.sealed.store(sealed, Ordering::Relaxed);
    }

    /// Whether it answers no request for a key.
    pub fn hang(&self, hanging: bool) {
        self.hanging.store(hanging, Ordering::Relaxed);
    }

    /// Loses every secret with this in its path, and that there ever was one.
    pub fn forget(&self, part: &str) {
        self.kept.lock().unwrap().retain(|path, _| !path.contains(part));
    }

    /// Path and content of all secrets.
    pub fn secrets(&self) -> BTreeMap<String, Value> {
        self.kept.lock().unwrap().clone()
    }

    /// Changes what is kept there, as its administrator can.
    pub fn change(&self, path_end: &str, change: impl FnOnce(&mut Value)) {
        let mut kept = self.kept.lock().unwrap();
        let (_, value) = kept.iter_mut().find(|(path, _)| path.ends_with(path_end)).expect("kept");
        change(value);
    }

    pub fn saw(&self, part: &str) -> bool {
        !self.fake.requests(part).is_empty()
    }

    /// How often it was asked for something with this in its path.
    pub fn asked(&self, part: &str) -> usize {
        self.fake.requests(part).len()
    }

    /// Lets `node` keep its keys here instead of in files.
    pub fn serve(&self, node: &mut Spec, versions: u32) {
        node.config.as_object_mut().unwrap().remove("keys");
        node.config["tesseraNode"]["secretStore"] = serde_json::to_value(&self.fake.config).unwrap();
        node.write_config();
        ask_for(node, versions);
    }
}

/// Asks for so many versions of the one key.
pub fn ask_for(node: &Spec, versions: u32) {
    ask_for_key(node, &json!({"name": "main", "versions": versions, "default": true}));
}

/// Asks for the one key as the operator describes it.
pub fn ask_for_key(node: &Spec, key: &Value) {
    let file = node.dir.join("dynamic.json");
    let mut dynamic: Value = serde_json::from_slice(&std::fs::read(&file).unwrap()).unwrap();
    dynamic["keys"] = json!([key]);
    std::fs::write(file, dynamic.to_string()).unwrap();
}

fn answer(request: &Request, kept: &mut BTreeMap<String, Value>) -> (u16, String) {
    let path = request.path.trim_start_matches("/v1/").to_owned();
    match (request.method.as_str(), path.as_str()) {
        // Short enough that a renewal is soon due.
        (_, path) if path.ends_with("/login") => login(3),
        (_, "auth/token/renew-self") => login(3),
        (_, "auth/token/revoke-self") => (204, String::new()),
        ("GET", _) => match kept.get(&path) {
            Some(data) => (200, json!({"data": {"data": data, "metadata": {"version": 1}}}).to_string()),
            None => (ABSENT.0, ABSENT.1.to_owned()),
        },
        _ => {
            let body: Value = serde_json::from_str(&request.body).unwrap();
            assert_eq!(body["options"]["cas"], json!(0), "a key is written once or not at all");
            if kept.contains_key(&path) {
                let conflict = "check-and-set parameter did not match the current version";
                return (400, json!({"errors": [conflict]}).to_string());
            }
            kept.insert(path, body["data"].clone());
            (200, json!({"data": {"version": 1, "created_time": "2026-01-02T03:04:05Z"}}).to_string())
        }
    }
}
