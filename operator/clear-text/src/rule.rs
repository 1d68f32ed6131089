//! What a rule is. Pure.

/// A kind of credential and how it is written.
#[derive(Debug)]
pub struct Rule {
    /// What a hit is called.
    pub name: &'static str,
    /// The pattern, in the syntax of the crate `regex`.
    pub pattern: &'static str,
    /// What the pattern's value must be.
    pub value: Value,
    /// A text that the rule must find.
    pub hit: &'static str,
    /// A text like it that is no credential.
    pub near_miss: &'static str,
}

/// What is asked of a value beside that the pattern matches.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Value {
    /// Nothing: the pattern itself is certain.
    Any,
    /// The group is the value, which must be a literal.
    Exact,
    /// The group is the rest of a line of YAML, whose scalar must be a literal.
    YamlLine,
    /// The group is the rest of a line after `=`, whose first value must be a literal.
    Assigned,
    /// The group is base64 of `user:password`.
    BasicAuth,
}

/// A rule of the table.
pub(crate) const fn rule(
    name: &'static str,
    value: Value,
    pattern: &'static str,
    hit: &'static str,
    near_miss: &'static str,
) -> Rule {
    Rule { name, pattern, value, hit, near_miss }
}
