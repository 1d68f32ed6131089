//! The steps against a store in memory that answers as the real one was seen to.

use std::cell::RefCell;
use std::collections::BTreeMap;

use serde_json::{Value, json};
use tessera_store_objects::Wanted;

use super::super::example::example;
use super::{AUTH_TYPES, Outcome, Setup, SetupError, Step};
use crate::vault::{Store, VaultError};

/// A Vault: what lies at each path, what was written, and what it lacks or denies.
#[derive(Default)]
struct Fake {
    data: RefCell<BTreeMap<String, Value>>,
    writes: RefCell<Vec<String>>,
    /// Types of auth methods that its catalog does not have.
    lacks: &'static [&'static str],
    outside: bool,
    /// Whatever is mounted, another setup mounts first.
    raced: bool,
    denied: Option<&'static str>,
}

impl Fake {
    fn with(path: &str, data: Value) -> Self {
        let fake = Self::default();
        fake.data.borrow_mut().insert(path.to_owned(), data);
        fake
    }

    fn mount(&self, list: &str, mount: &str, value: Value) {
        let mut data = self.data.borrow_mut();
        let mounts = data.entry(list.to_owned()).or_insert_with(|| json!({}));
        mounts[format!("{mount}/")] = value;
    }
}

impl Store for Fake {
    async fn read(&self, path: &str) -> Result<Option<Value>, VaultError> {
        Ok(self.data.borrow().get(path).cloned())
    }

    async fn write(&self, path: &str, body: &Value) -> Result<(), VaultError> {
        if self.raced && (path.starts_with("sys/mounts/") || path.starts_with("sys/auth/")) {
            let winner = Self { raced: false, ..Self::default() };
            Box::pin(winner.write(path, body)).await?;
            self.data.borrow_mut().extend(winner.data.into_inner());
            let errors = "path is already in use at secret/".to_owned();
            return Err(VaultError::Refused { verb: "write", path: path.to_owned(), status: 400, errors });
        }
        if self.denied == Some(path) {
            let capabilities = "\"create\" and \"update\"";
            return Err(VaultError::Denied { verb: "write", path: path.to_owned(), capabilities });
        }
        if self.outside && path == "auth/kubernetes/config" {
            let errors =
                "open /var/run/secrets/kubernetes.io/serviceaccount/ca.crt: no such file or directory"
                    .to_owned();
            return Err(VaultError::Refused { verb: "write", path: path.to_owned(), status: 400, errors });
        }
        if let Some(mount) = path.strip_prefix("sys/mounts/") {
            self.mount("sys/mounts", mount, body.clone());
        } else if let Some(mount) = path.strip_prefix("sys/auth/") {
            let kind = body["type"].as_str().unwrap();
            if self.lacks.contains(&kind) {
                let errors = format!("plugin not found in the catalog: {kind}");
                return Err(VaultError::Refused {
                    verb: "write",
                    path: path.to_owned(),
                    status: 400,
                    errors,
                });
            }
            self.mount("sys/auth", mount, json!({"type": kind, "accessor": "auth_kubernetes_1"}));
        } else {
            self.data.borrow_mut().insert(path.to_owned(), body.clone());
        }
        self.writes.borrow_mut().push(path.to_owned());
        Ok(())
    }
}

async fn run(store: &Fake, wanted: &Wanted, dry_run: bool) -> Result<Vec<Step>, SetupError> {
    let mut steps = Vec::new();
    Setup { store, wanted, dry_run }.run(|step| steps.push(step)).await?;
    Ok(steps)
}

async fn refused(store: &Fake) -> SetupError {
    run(store, &example(), false).await.unwrap_err()
}

fn outcomes(steps: &[Step]) -> Vec<Outcome> {
    steps.iter().map(|step| step.outcome).collect()
}

#[tokio::test]
async fn an_empty_store_is_set_up_in_order_and_a_second_run_writes_nothing() {
    let store = Fake::default();
    assert_eq!(outcomes(&run(&store, &example(), false).await.unwrap()), [Outcome::Done; 10]);
    let writes = [
        "sys/mounts/secret",
        "secret/config",
        "sys/auth/kubernetes",
        "auth/kubernetes/config",
        "sys/policies/acl/tessera-prod-eu1-org-a",
        "sys/policies/acl/tessera-prod-eu1-org-a-auditor",
        "auth/kubernetes/role/tessera-org-a-probe-inside",
        "auth/kubernetes/role/tessera-org-a-probe-outside",
        "auth/kubernetes/role/tessera-org-a-auditor",
        "auth/kubernetes/role/tessera-org-a",
    ];
    assert_eq!(*store.writes.borrow(), writes);
    assert_eq!(outcomes(&run(&store, &example(), false).await.unwrap()), [Outcome::AlreadySo; 10]);
    assert_eq!(store.writes.borrow().len(), writes.len());
}

#[tokio::test]
async fn the_policy_names_the_accessor_of_the_mount() {
    let store = Fake::default();
    run(&store, &example(), false).await.unwrap();
    let policy = &store.data.borrow()["sys/policies/acl/tessera-prod-eu1-org-a"]["policy"];
    assert_eq!(*policy, example().policy("auth_kubernetes_1"));
}

#[tokio::test]
async fn a_dry_run_writes_nothing() {
    let store = Fake::default();
    assert_eq!(outcomes(&run(&store, &example(), true).await.unwrap()), [Outcome::WouldDo; 10]);
    assert!(store.writes.borrow().is_empty());
}

#[tokio::test]
async fn without_the_builtin_method_the_plugin_is_used() {
    let store = Fake { lacks: &AUTH_TYPES[..1], ..Fake::default() };
    let steps = run(&store, &example(), false).await.unwrap();
    assert_eq!(steps[2].what, "auth method vault-plugin-auth-kubernetes at auth/kubernetes/");
    assert_eq!(outcomes(&run(&store, &example(), false).await.unwrap()), [Outcome::AlreadySo; 10]);
}

#[tokio::test]
async fn without_any_kubernetes_method_it_says_so() {
    let store = Fake { lacks: &AUTH_TYPES, ..Fake::default() };
    assert!(matches!(refused(&store).await, SetupError::NoAuthPlugin));
}

#[tokio::test]
async fn a_version_1_engine_is_refused() {
    let store = Fake::with("sys/mounts", json!({"secret/": {"type": "kv", "options": {"version": "1"}}}));
    assert!(matches!(refused(&store).await, SetupError::NotKv2 { .. }));
    let store = Fake::with("sys/mounts", json!({"secret/": {"type": "pki", "options": null}}));
    assert!(matches!(refused(&store).await, SetupError::NotKv2 { .. }));
}

#[tokio::test]
async fn an_auth_mount_of_another_type_is_refused() {
    let store = Fake::with("sys/auth", json!({"kubernetes/": {"type": "jwt", "accessor": "auth_jwt_1"}}));
    assert!(matches!(refused(&store).await, SetupError::NotKubernetes { .. }));
}

#[tokio::test]
async fn a_policy_of_another_prefix_is_left_alone() {
    let store = Fake::default();
    let other = Wanted { path_prefix: "prod/eu1-org-a".to_owned(), ..example() };
    run(&store, &other, false).await.unwrap();
    assert_eq!(other.policy_name(), example().policy_name());
    assert!(matches!(refused(&store).await, SetupError::ForeignPolicy { .. }));
}

#[tokio::test]
async fn a_role_of_another_namespace_is_left_alone() {
    let store = Fake::default();
    run(&store, &Wanted { namespace: "org-b".to_owned(), ..example() }, false).await.unwrap();
    assert!(matches!(refused(&store).await, SetupError::ForeignRole { .. }));
}

#[tokio::test]
async fn a_weakened_role_is_put_right() {
    let store = Fake::default();
    run(&store, &example(), false).await.unwrap();
    let role = "auth/kubernetes/role/tessera-org-a";
    store.data.borrow_mut().get_mut(role).unwrap()["audience"] = json!("");
    let steps = run(&store, &example(), false).await.unwrap();
    assert_eq!(steps[9].outcome, Outcome::Done);
    assert_eq!(store.data.borrow()[role]["audience"], "https://vault.vault.svc:8200");
}

#[tokio::test]
async fn another_cluster_s_api_server_stays_unless_asked() {
    let store = Fake::default();
    let asked = Wanted { kubernetes_host: Some("https://10.0.0.1:6443".to_owned()), ..example() };
    run(&store, &asked, false).await.unwrap();
    let steps = run(&store, &example(), false).await.unwrap();
    assert_eq!(steps[3].outcome, Outcome::Kept);
    assert!(steps[3].what.contains("https://10.0.0.1:6443"));
    assert_eq!(run(&store, &asked, false).await.unwrap()[3].outcome, Outcome::AlreadySo);
}

#[tokio::test]
async fn a_store_outside_of_the_cluster_is_told_what_it_lacks() {
    let store = Fake { outside: true, ..Fake::default() };
    let message = refused(&store).await.to_string();
    assert!(message.contains("token_reviewer_jwt"), "{message}");
}

#[tokio::test]
async fn a_mount_that_another_setup_made_meanwhile_is_taken_as_it_is() {
    let store = Fake { raced: true, ..Fake::default() };
    let steps = run(&store, &example(), false).await.unwrap();
    assert_eq!(steps[0].outcome, Outcome::AlreadySo);
    assert_eq!(*store.writes.borrow().last().unwrap(), "auth/kubernetes/role/tessera-org-a");
    // The other setup made the engine, and requires check-and-set next; until then it stays as it is.
    let again = run(&store, &example(), false).await.unwrap();
    assert_eq!((again[1].outcome, again.len()), (Outcome::Kept, 10));
    assert!(again.iter().all(|step| matches!(step.outcome, Outcome::AlreadySo | Outcome::Kept)));
}

#[tokio::test]
async fn an_engine_that_was_there_keeps_its_settings_and_its_owner_is_told() {
    let store = Fake::with("sys/mounts", json!({"secret/": {"type": "kv", "options": {"version": "2"}}}));
    let steps = run(&store, &example(), false).await.unwrap();
    assert_eq!(steps[1].outcome, Outcome::Kept);
    assert!(steps[1].what.contains("vault write secret/config cas_required=true"), "{}", steps[1].what);
    store.data.borrow_mut().insert("secret/config".to_owned(), json!({"cas_required": true}));
    assert_eq!(run(&store, &example(), false).await.unwrap()[1].outcome, Outcome::AlreadySo);
}

#[tokio::test]
async fn a_dry_run_shows_each_command_and_a_setup_of_before_lacks_the_auditor_alone() {
    let store = Fake::default();
    for step in run(&store, &example(), true).await.unwrap() {
        assert!(step.command.is_some_and(|command| command.starts_with("vault ")), "{}", step.what);
    }
    run(&store, &example(), false).await.unwrap();
    let added = |path: &String| path.ends_with("-auditor") || path.contains("-probe-");
    store.data.borrow_mut().retain(|path, _| !added(path));
    store.writes.borrow_mut().clear();
    run(&store, &example(), false).await.unwrap();
    assert!(store.writes.borrow().len() == 4 && store.writes.borrow().iter().all(added));
}

#[tokio::test]
async fn a_denial_names_path_and_capability() {
    let store = Fake { denied: Some("sys/auth/kubernetes"), ..Fake::default() };
    let message = refused(&store).await.to_string();
    assert!(message.contains("sys/auth/kubernetes") && message.contains("capability"), "{message}");
}
