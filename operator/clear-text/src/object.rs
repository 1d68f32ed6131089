//! The search of one Kubernetes object: what it holds of configuration, and annotations. Pure.

use base64::prelude::{BASE64_STANDARD, Engine as _};
use serde::Serialize;
use serde_json::{Map, Value};

use crate::scan::{prefix, scan};
use crate::{MAX_HITS, key, value};

/// A credential in an object: where, and which rule found it. Never the credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize)]
pub struct ObjectHit {
    /// The path of the field, with the line after a colon if the field has several.
    pub path: String,
    /// The name of the rule.
    pub rule: &'static str,
}

/// What the search of an object found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ObjectScan {
    /// At most [`MAX_HITS`](crate::MAX_HITS), by path.
    pub hits: Vec<ObjectHit>,
    /// Whether everything that is searched in an object of its kind was searched.
    pub complete: bool,
}

/// A value under a name that promises a credential.
const NAMED_VALUE: &str = "named-value";
/// `kubectl apply` writes the whole object there once more.
const LAST_APPLIED: &str = "kubectl.kubernetes.io/last-applied-configuration";
/// The deepest nesting that is followed; no pod nests as deep.
const MAX_DEPTH: usize = 32;
/// The longest path of a hit, in bytes.
const MAX_PATH: usize = 300;
/// Kinds whose `spec` describes pods.
const WORKLOADS: [&str; 9] = [
    "Pod",
    "PodTemplate",
    "Deployment",
    "StatefulSet",
    "DaemonSet",
    "ReplicaSet",
    "ReplicationController",
    "Job",
    "CronJob",
];

/// Searches `object`: annotations of any; data of a ConfigMap; all of what a pod is made from. Of a Secret only the
/// annotations.
pub fn scan_object(object: &Value) -> ObjectScan {
    let mut search = Search::default();
    search.object(object, "", true);
    search.end()
}

/// Searches settings, for example the values of a Helm release: all texts and all named values below `path`.
pub fn scan_values(values: &Value, path: &str) -> ObjectScan {
    let mut search = Search::default();
    search.tree(values, path, Names::OfFields, 0);
    search.end()
}

/// What gives a value its name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Names {
    /// `name` and `value` beside each other, as in the environment of a container.
    OfEntries,
    /// The field itself.
    OfFields,
}

struct Search {
    hits: Vec<ObjectHit>,
    complete: bool,
}

impl Default for Search {
    fn default() -> Self {
        Self { hits: Vec::new(), complete: true }
    }
}

impl Search {
    fn end(mut self) -> ObjectScan {
        self.hits.sort();
        self.hits.dedup();
        self.hits.truncate(MAX_HITS);
        ObjectScan { hits: self.hits, complete: self.complete }
    }

    fn object(&mut self, object: &Value, at: &str, follow_last_applied: bool) {
        let kind = object["kind"].as_str().unwrap_or_default();
        self.metadata(&object["metadata"], &format!("{at}metadata"), follow_last_applied);
        if kind == "ConfigMap" {
            self.data(&object["data"], &format!("{at}data"));
            self.binary_data(&object["binaryData"], &format!("{at}binaryData"));
        } else if WORKLOADS.contains(&kind) {
            self.tree(&object["spec"], &format!("{at}spec"), Names::OfEntries, 0);
            for template in [".template", ".jobTemplate", ".jobTemplate/spec.template"] {
                let pointer = format!("/spec{}/metadata", template.replace('.', "/"));
                if let Some(metadata) = object.pointer(&pointer) {
                    let at = format!("{at}spec{}.metadata", template.replace('/', "."));
                    self.metadata(metadata, &at, follow_last_applied);
                }
            }
        }
    }

    fn metadata(&mut self, metadata: &Value, at: &str, follow_last_applied: bool) {
        for (name, text) in texts_of(&metadata["annotations"]) {
            let at = member(&format!("{at}.annotations"), name);
            let applied = (name == LAST_APPLIED && follow_last_applied)
                .then(|| serde_json::from_str::<Value>(text).ok())
                .flatten();
            match applied {
                Some(object) => self.object(&object, &format!("{at}."), false),
                None => self.named(name, text, &at),
            }
        }
    }

    fn data(&mut self, data: &Value, at: &str) {
        for (name, text) in texts_of(data) {
            self.named(name, text, &member(at, name));
        }
    }

    fn binary_data(&mut self, data: &Value, at: &str) {
        for (name, encoded) in texts_of(data) {
            // What is no text cannot be read as a credential by this table.
            let bytes = BASE64_STANDARD.decode(encoded).ok();
            match bytes.map(|bytes| String::from_utf8_lossy(&bytes).into_owned()) {
                Some(text) => self.named(name, &text, &member(at, name)),
                None => self.complete = false,
            }
        }
    }

    fn tree(&mut self, value: &Value, at: &str, names: Names, depth: usize) {
        if depth > MAX_DEPTH {
            self.complete = false;
            return;
        }
        match value {
            Value::String(text) => self.text(text, at),
            Value::Array(items) => {
                self.options(items, at);
                for (index, item) in items.iter().enumerate() {
                    self.tree(item, &format!("{at}[{index}]"), names, depth + 1);
                }
            }
            Value::Object(fields) => self.fields(fields, at, names, depth),
            Value::Null | Value::Bool(_) | Value::Number(_) => {}
        }
    }

    fn fields(&mut self, fields: &Map<String, Value>, at: &str, names: Names, depth: usize) {
        let entry = |field| fields.get(field).and_then(Value::as_str);
        if let (Some(name), Some(text)) = (entry("name"), entry("value")) {
            self.named(name, text, &format!("{at}.value"));
            // A header's value says what it is only after its name.
            self.text(&format!("{name}: {text}"), &format!("{at}.value"));
        }
        for (name, value) in fields {
            let at = member(at, name);
            match value {
                Value::String(text) if names == Names::OfFields => self.named(name, text, &at),
                _ => self.tree(value, &at, names, depth + 1),
            }
        }
    }

    /// `--password` and its value as two arguments.
    fn options(&mut self, items: &[Value], at: &str) {
        for (index, pair) in items.windows(2).enumerate() {
            let [Some(option), Some(text)] = [pair[0].as_str(), pair[1].as_str()] else { continue };
            if option.starts_with('-') && !option.contains('=') && !text.starts_with('-') {
                self.value(option, text, &format!("{at}[{}]", index + 1));
            }
        }
    }

    fn named(&mut self, name: &str, text: &str, at: &str) {
        self.value(name, text, at);
        self.text(text, at);
    }

    fn value(&mut self, name: &str, text: &str, at: &str) {
        let text = text.trim();
        let is_one_line = !text.contains('\n');
        if is_one_line && key::family(name).is_some_and(|family| value::holds(family, text)) {
            self.hit(at, NAMED_VALUE);
        }
    }

    fn text(&mut self, text: &str, at: &str) {
        let found = scan(text);
        self.complete &= found.complete;
        let has_lines = text.trim_end().contains('\n');
        for hit in found.hits {
            let path = if has_lines { format!("{at}:{}", hit.line) } else { at.to_owned() };
            self.hit(&path, hit.rule);
        }
    }

    fn hit(&mut self, path: &str, rule: &'static str) {
        if self.hits.len() < 4 * MAX_HITS {
            self.hits.push(ObjectHit { path: prefix(path, MAX_PATH).to_owned(), rule });
        }
    }
}

fn texts_of(fields: &Value) -> impl Iterator<Item = (&str, &str)> {
    let fields = fields.as_object().into_iter().flatten();
    fields.filter_map(|(name, value)| Some((name.as_str(), value.as_str()?)))
}

fn member(at: &str, name: &str) -> String {
    let is_plain = name.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_' || byte == b'-');
    if is_plain { format!("{at}.{name}") } else { format!("{at}[{name:?}]") }
}

#[cfg(test)]
#[path = "object_tests.rs"]
mod tests;
