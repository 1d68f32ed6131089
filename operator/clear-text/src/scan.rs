//! The search of one text. Pure.

use std::borrow::Cow;
use std::sync::{LazyLock, OnceLock};

use regex::bytes::{Captures, Regex, RegexBuilder, RegexSet, RegexSetBuilder};

use crate::rule::Rule;
use crate::rules::RULES;
use crate::{MAX_HITS, MAX_TEXT, encoded, key, value};

/// A credential in a text: which rule found it and where. Never the credential.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Hit {
    /// The name of the rule.
    pub rule: &'static str,
    /// The line, from 1.
    pub line: usize,
}

/// What the search of a text found.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scan {
    /// At most [`MAX_HITS`], by line.
    pub hits: Vec<Hit>,
    /// Whether all of the text was searched.
    pub complete: bool,
}

/// The most matches of one rule in one text that are judged.
const MAX_CANDIDATES: usize = 20_000;
/// What one pattern's automaton may take in memory while it searches.
const AUTOMATON: usize = 128 << 10;
/// What the automaton of all patterns together may take. With half of it, it is thrown away so often that ordinary manifests take
/// half as long again.
const AUTOMATON_OF_ALL: usize = 2 << 20;
/// How much of a value is judged.
const MAX_VALUE: usize = 512;

static ALL: LazyLock<RegexSet> = LazyLock::new(|| {
    RegexSetBuilder::new(RULES.iter().map(|rule| rule.pattern))
        .unicode(false)
        .dfa_size_limit(AUTOMATON_OF_ALL)
        .build()
        .expect("a test compiles the patterns of all rules")
});

/// One rule's pattern, compiled when a text first matches it.
static EACH: [OnceLock<Regex>; RULES.len()] = [const { OnceLock::new() }; RULES.len()];

fn regex(index: usize) -> &'static Regex {
    EACH[index].get_or_init(|| {
        RegexBuilder::new(RULES[index].pattern)
            .unicode(false)
            .dfa_size_limit(AUTOMATON)
            .build()
            .expect("a test compiles the patterns of all rules")
    })
}

/// Searches `text`, and what is encoded in it as base64.
pub fn scan(text: &str) -> Scan {
    let searched = prefix(text, MAX_TEXT);
    let mut search = Search { hits: Vec::new(), complete: searched.len() == text.len() };
    search.text(searched, |_| true, |start| line_of(searched, start));
    let decoded = Decoded::of(searched);
    search.text(&decoded.text, Decoded::is_of_one, |at| line_of(searched, decoded.start_of(at)));
    search.hits.sort();
    search.hits.dedup();
    Scan { hits: search.hits, complete: search.complete }
}

/// What stands in a text as base64, one after the other: a search of its own for each would cost more than the text.
struct Decoded {
    text: String,
    /// Where each starts here, and where it stands in the text.
    starts: Vec<(usize, usize)>,
}

/// Separates decoded texts. None of them holds a NUL.
const BETWEEN: &str = "\n\0\n";

impl Decoded {
    fn of(text: &str) -> Self {
        let mut all = Self { text: String::new(), starts: Vec::new() };
        for (start, decoded) in encoded::texts(text) {
            all.starts.push((all.text.len(), start));
            all.text.push_str(&decoded);
            all.text.push_str(BETWEEN);
        }
        all
    }

    /// Whether a match lies in one of the texts.
    fn is_of_one(found: &[u8]) -> bool {
        !found.contains(&0)
    }

    /// Where that stands in the text which is found here.
    fn start_of(&self, found: usize) -> usize {
        let after = self.starts.partition_point(|(from, _)| *from <= found);
        after.checked_sub(1).map_or(0, |index| self.starts[index].1)
    }
}

/// Whether the rules find the credential of a text that holds one, and none in a text without: a control for a search that
/// finds nothing.
pub fn control() -> bool {
    let finds = |text| !scan(text).hits.is_empty();
    finds("spring.datasource.password=control-1") && !finds("spring.datasource.password=${CONTROL}")
}

struct Search {
    hits: Vec<Hit>,
    complete: bool,
}

impl Search {
    fn text(&mut self, text: &str, counts: fn(&[u8]) -> bool, line: impl Fn(usize) -> usize) {
        for index in &ALL.matches(text.as_bytes()) {
            let matches = regex(index).captures_iter(text.as_bytes());
            for (count, found) in matches.enumerate() {
                if count == MAX_CANDIDATES || self.hits.len() == MAX_HITS {
                    self.complete &= count < MAX_CANDIDATES;
                    break;
                }
                if counts(&found[0]) && is_credential(&RULES[index], &found) {
                    self.hits.push(Hit { rule: RULES[index].name, line: line(start_of(&found)) });
                }
            }
        }
    }
}

/// Where the credential starts, or else the match.
fn start_of(found: &Captures<'_>) -> usize {
    found.name("v").or_else(|| found.get(0)).map_or(0, |at| at.start())
}

fn is_credential(rule: &Rule, found: &Captures<'_>) -> bool {
    let group = |name| found.name(name).map(|group| String::from_utf8_lossy(group.as_bytes()));
    let family = match group("k") {
        // A key that names no credential: the pattern knows only a part of it.
        Some(key) => match key::family(&key) {
            Some(family) => family,
            None => return false,
        },
        None => key::Family::Password,
    };
    let raw = group("v").unwrap_or(Cow::Borrowed(""));
    let raw = prefix(&raw, MAX_VALUE);
    let upper = group("k").is_some_and(|key| !key.bytes().any(|byte| byte.is_ascii_lowercase()));
    value::is_credential(rule.value, family, raw, upper)
}

/// At most `limit` bytes of `text`, not in the middle of a character.
pub(crate) fn prefix(text: &str, limit: usize) -> &str {
    let mut end = text.len().min(limit);
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}

fn line_of(text: &str, position: usize) -> usize {
    1 + text.as_bytes()[..position.min(text.len())].split(|&byte| byte == b'\n').count().saturating_sub(1)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_rule_finds_its_hit_and_not_its_near_miss() {
        for (index, rule) in RULES.iter().enumerate() {
            let (hit, near_miss) = (rule.hit.replace('¤', ""), rule.near_miss.replace('¤', ""));
            let alone = |text: &str| {
                regex(index).captures_iter(text.as_bytes()).any(|found| is_credential(rule, &found))
            };
            assert!(alone(&hit), "{} does not find its hit", rule.name);
            assert!(scan(&hit).hits.iter().any(|it| it.rule == rule.name), "{}: not in the set", rule.name);
            assert!(!alone(&near_miss), "{} finds its near miss", rule.name);
            assert!(scan(&near_miss).hits.is_empty(), "{}: {:?}", rule.name, scan(&near_miss).hits);
        }
    }

    #[test]
    fn the_control_holds() {
        assert!(control());
    }

    #[test]
    fn rules_have_names_of_their_own() {
        let mut names: Vec<_> = RULES.iter().map(|rule| rule.name).collect();
        names.sort_unstable();
        names.dedup();
        assert_eq!(names.len(), RULES.len());
    }

    #[test]
    fn a_hit_names_the_line_and_no_value() {
        let found = scan("a: b\n\ndb:\n  password: hunter2\n");
        assert_eq!(found.hits, [Hit { rule: "yaml-field", line: 4 }]);
        assert!(found.complete);
        assert!(!format!("{found:?}").contains("hunter2"));
    }

    #[test]
    fn what_base64_hides_is_found_one_level_deep() {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let once = BASE64_STANDARD.encode("spring.datasource.password=hunter2\n");
        assert_eq!(scan(&format!("a: b\nblob: {once}\n")).hits, [Hit { rule: "assignment", line: 2 }]);
        let twice = BASE64_STANDARD.encode(&once);
        assert!(scan(&twice).hits.is_empty());
    }

    #[test]
    fn each_text_in_base64_is_searched_by_itself() {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let [key, value] =
            ["database:\n  password:", "  hunter2hunter2"].map(|text| BASE64_STANDARD.encode(text));
        assert!(scan(&format!("{key}\n{value}\n")).hits.is_empty(), "two texts, and no credential in either");
        let command = BASE64_STANDARD.encode("#!/bin/sh\nvault login\n");
        assert!(scan(&command).hits.is_empty(), "what follows a text is no argument of its last command");
        let secret = BASE64_STANDARD.encode("password=hunter2hunter2");
        let found = scan(&format!("{key}\n{value}\n{secret}\n")).hits;
        assert!(found.iter().all(|hit| hit.line == 3) && !found.is_empty(), "{found:?}");
    }

    #[test]
    fn no_number_of_words_in_front_hides_what_base64_hides() {
        use base64::prelude::{BASE64_STANDARD, Engine as _};
        let hidden = BASE64_STANDARD.encode("spring.datasource.password=hunter2\n");
        let words = "internationalizations ".repeat(1000);
        assert_eq!(scan(&format!("{words}\n{hidden}\n")).hits, [Hit { rule: "assignment", line: 2 }]);
        let long =
            BASE64_STANDARD.encode(format!("{}\npassword=hunter2\n", "a line of text\n".repeat(100_000)));
        assert!(!scan(&long).hits.is_empty() && scan(&long).complete);
    }

    #[test]
    fn a_search_ends() {
        let many = "password=hunter2\n".repeat(1000);
        assert_eq!(scan(&many).hits.len(), MAX_HITS);
        let long = "a".repeat(MAX_TEXT + 1);
        assert!(!scan(&long).complete);
    }
}
