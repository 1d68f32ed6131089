//! A line of a table: one field, what is refused there and why, what is admitted there.

use serde_json::Value;

use crate::api_server::ApiServer;
use crate::fixture;

/// A case in the making, and the case itself.
pub(crate) struct Case {
    name: &'static str,
    object: Value,
    field: &'static str,
    refused: Option<Value>,
    admitted: Option<Value>,
    says: &'static [&'static str],
}

/// The value of a field that is left out.
pub(crate) const ABSENT: Option<Value> = None;

pub(crate) fn network(name: &'static str) -> Case {
    Case::of(name, fixture::network())
}

pub(crate) fn node(name: &'static str) -> Case {
    Case::of(name, fixture::node())
}

pub(crate) fn attestation(name: &'static str) -> Case {
    Case::of(name, fixture::attestation())
}

pub(crate) fn backup_proof(name: &'static str) -> Case {
    Case::of(name, fixture::backup_proof())
}

pub(crate) fn key_restore(name: &'static str) -> Case {
    Case::of(name, fixture::key_restore())
}

impl Case {
    fn of(name: &'static str, object: Value) -> Self {
        Self { name, object, field: "", refused: ABSENT, admitted: ABSENT, says: &[] }
    }

    /// The object that the case starts from has this, too.
    pub(crate) fn given(mut self, field: &str, value: impl Into<Option<Value>>) -> Self {
        set(&mut self.object, field, value.into());
        self
    }

    /// The one field (a JSON pointer) that the refused and the admitted object differ in.
    pub(crate) fn at(mut self, field: &'static str) -> Self {
        self.field = field;
        self
    }

    pub(crate) fn refuses(mut self, value: impl Into<Option<Value>>) -> Self {
        self.refused = value.into();
        self
    }

    /// What the refusal must contain: the field as a person would write it, and the rule.
    pub(crate) fn saying(mut self, says: &'static [&'static str]) -> Self {
        self.says = says;
        self
    }

    pub(crate) fn admits(mut self, value: impl Into<Option<Value>>) -> Self {
        self.admitted = value.into();
        self
    }

    /// Both halves when the object is new.
    pub(crate) async fn check_create(&self, server: &ApiServer) -> Result<(), String> {
        let refusal = server.create(&self.with(self.refused.as_ref(), &self.object), true).await;
        let admission = server.create(&self.with(self.admitted.as_ref(), &self.object), true).await;
        self.judge(refusal, admission)
    }

    /// Both halves when the object is there already, as `number` to keep it apart from other cases.
    pub(crate) async fn check_update(&self, server: &ApiServer, number: usize) -> Result<(), String> {
        let live = self.live(server, number).await?;
        let refusal = server.would_replace(&self.with(self.refused.as_ref(), &live)).await;
        let admission = server.would_replace(&self.with(self.admitted.as_ref(), &live)).await;
        self.judge(refusal, admission)
    }

    /// The admitted half alone, of a case whose refused twin starts from another status.
    async fn check_admitted(&self, server: &ApiServer, number: usize) -> Result<(), String> {
        let live = self.live(server, number).await?;
        let admission = server.would_replace(&self.with(self.admitted.as_ref(), &live)).await;
        admission.map(drop).map_err(|message| self.fault("is refused", &message))
    }

    /// The object that the case starts from, with its status.
    async fn live(&self, server: &ApiServer, number: usize) -> Result<Value, String> {
        let mut object = self.object.clone();
        set(&mut object, "/metadata/name", Some(format!("case-{number}").into()));
        let mut live =
            server.create(&object, false).await.map_err(|error| self.fault("is no start", &error))?;
        if let Some(status) = object.get("status") {
            set(&mut live, "/status", Some(status.clone()));
            live = server.replace_status(&live).await.map_err(|error| self.fault("is no status", &error))?;
        }
        Ok(live)
    }

    fn with(&self, value: Option<&Value>, object: &Value) -> Value {
        let mut object = object.clone();
        set(&mut object, self.field, value.cloned());
        object
    }

    fn judge(&self, refusal: Result<Value, String>, admission: Result<Value, String>) -> Result<(), String> {
        assert!(self.refused != self.admitted && self.says.len() >= 2, "{}: not a case", self.name);
        let Err(message) = refusal else { return Err(self.fault("was admitted", "the invalid half")) };
        if let Some(missing) = self.says.iter().find(|part| !message.contains(**part)) {
            return Err(self.fault(&format!("is refused without saying {missing:?}"), &message));
        }
        admission.map(drop).map_err(|message| self.fault("has a twin that is refused", &message))
    }

    fn fault(&self, what: &str, detail: &str) -> String {
        format!("{} ({}) {what}: {detail}", self.name, self.field)
    }
}

/// Checks all `cases` on new objects and reports every fault, not the first.
pub(crate) async fn check_create(test: &str, cases: Vec<Case>) {
    let server = ApiServer::start(test).await;
    let mut faults = Vec::new();
    for case in &cases {
        faults.extend(case.check_create(&server).await.err());
    }
    report(test, cases.len(), &faults);
}

/// The same on objects that exist.
pub(crate) async fn check_update(test: &str, cases: Vec<Case>) {
    let server = ApiServer::start(test).await;
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        faults.extend(case.check_update(&server, number).await.err());
    }
    report(test, cases.len(), &faults);
}

/// Checks that all changes of objects that exist are admitted.
pub(crate) async fn check_admitted(test: &str, cases: Vec<Case>) {
    let server = ApiServer::start(test).await;
    let mut faults = Vec::new();
    for (number, case) in cases.iter().enumerate() {
        faults.extend(case.check_admitted(&server, number).await.err());
    }
    assert!(faults.is_empty(), "{} of {} cases:\n{}", faults.len(), cases.len(), faults.join("\n"));
}

fn report(test: &str, cases: usize, faults: &[String]) {
    println!("{test}: {cases} invalid specs, each beside a valid twin");
    assert!(faults.is_empty(), "{} of {cases} cases:\n{}", faults.len(), faults.join("\n"));
}

/// Sets or removes what `field` (a JSON pointer) points to. One past the end of a list appends.
fn set(object: &mut Value, field: &str, value: Option<Value>) {
    let (parent, last) = field.rsplit_once('/').expect("a field is a JSON pointer");
    let parent = object.pointer_mut(parent).unwrap_or_else(|| panic!("{field} has no parent in the fixture"));
    match (parent, value) {
        (Value::Object(members), Some(value)) => drop(members.insert(last.to_owned(), value)),
        (Value::Object(members), None) => drop(members.remove(last)),
        (Value::Array(items), value) => {
            let index = last.parse::<usize>().expect("a list is indexed by number");
            items.splice(index..items.len().min(index + 1), value);
        }
        (other, _) => panic!("{field} points into {other}"),
    }
}
