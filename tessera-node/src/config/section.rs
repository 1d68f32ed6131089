//! Reads Tessera's JSON as leniently as Java's binding does (numbers and booleans may be quoted, unknown members are
//! ignored), and collects every problem with its path instead of stopping at the first.

use std::cell::RefCell;
use std::fmt::Display;

use serde_json::{Map, Value};

/// Every problem found so far: `<path> <message>`.
#[derive(Debug, Default)]
pub(super) struct Problems(RefCell<Vec<String>>);

impl Problems {
    pub(super) fn add(&self, path: &str, message: impl Display) {
        self.0.borrow_mut().push(format!("{path} {message}"));
    }

    pub(super) fn into_list(self) -> Vec<String> {
        self.0.into_inner()
    }
}

/// One JSON object and where it stands in the file.
#[derive(Clone, Copy)]
pub(super) struct Section<'a> {
    path: &'a str,
    object: &'a Map<String, Value>,
    problems: &'a Problems,
}

impl<'a> Section<'a> {
    pub(super) fn new(path: &'a str, object: &'a Map<String, Value>, problems: &'a Problems) -> Self {
        Self { path, object, problems }
    }

    /// The path of a member.
    pub(super) fn path(&self, member: &str) -> String {
        if self.path.is_empty() { member.to_owned() } else { format!("{}.{member}", self.path) }
    }

    pub(super) fn problem(&self, member: &str, message: impl Display) {
        self.problems.add(&self.path(member), message);
    }

    pub(super) fn problems(&self) -> &'a Problems {
        self.problems
    }

    /// A member that is there and not null.
    pub(super) fn value(&self, member: &str) -> Option<&'a Value> {
        self.object.get(member).filter(|value| !value.is_null())
    }

    pub(super) fn string(&self, member: &str) -> Option<&'a str> {
        let value = self.value(member)?;
        let text = value.as_str();
        if text.is_none() {
            self.problem(member, "must be a string");
        }
        text
    }

    pub(super) fn boolean(&self, member: &str) -> bool {
        match self.value(member) {
            None => false,
            Some(Value::Bool(value)) => *value,
            // Binding in Java takes any other text as false; a typing error in a security switch must not.
            Some(Value::String(text)) if text.eq_ignore_ascii_case("true") => true,
            Some(Value::String(text)) if text.eq_ignore_ascii_case("false") => false,
            Some(_) => {
                self.problem(member, "must be true or false");
                false
            }
        }
    }

    /// A number, plain or quoted.
    pub(super) fn number(&self, member: &str) -> Option<u64> {
        let value = self.value(member)?;
        let number = value.as_u64().or_else(|| value.as_str()?.trim().parse().ok());
        if number.is_none() {
            self.problem(member, "must be a whole number that is not negative");
        }
        number
    }

    pub(super) fn array(&self, member: &str) -> &'a [Value] {
        match self.value(member) {
            None => &[],
            Some(Value::Array(items)) => items,
            Some(_) => {
                self.problem(member, "must be an array");
                &[]
            }
        }
    }

    /// An object, or nothing: what else stands there is somebody else's to complain about.
    pub(super) fn plain_object(&self, member: &str) -> Option<&'a Map<String, Value>> {
        self.value(member)?.as_object()
    }

    pub(super) fn object(&self, member: &str) -> Option<&'a Map<String, Value>> {
        let value = self.value(member)?;
        let object = value.as_object();
        if object.is_none() {
            self.problem(member, "must be an object");
        }
        object
    }
}
