//! Text that others wrote, made safe for a document. Pure.

/// `text` without characters that a reader does not see or that change the order of what stands around them.
pub(super) fn visible(text: &str) -> String {
    let text = text.replace("\r\n", "\n");
    text.chars().map(|char| if is_hidden(char) { char::REPLACEMENT_CHARACTER } else { char }).collect()
}

/// `text` on one line, without space at its ends; none if nothing is left.
pub(super) fn one_line(text: &str) -> Option<String> {
    let words: Vec<_> = text.split_whitespace().map(visible).collect();
    (!words.is_empty()).then(|| words.join(" "))
}

/// `text` as plain text in Markdown, the format of long texts in OSCAL.
pub(super) fn markdown(text: &str) -> String {
    let mut escaped = String::with_capacity(text.len());
    for char in visible(text).chars() {
        if matches!(char, '\\' | '`' | '*' | '~' | '^' | '[' | ']' | '<' | '>' | '{' | '}') {
            escaped.push('\\');
        }
        escaped.push(char);
    }
    escaped
}

fn is_hidden(char: char) -> bool {
    (char.is_control() && !matches!(char, '\n' | '\t'))
        || matches!(char, '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{2069}' | '\u{feff}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hidden_characters_are_replaced() {
        assert_eq!(visible("a\r\nb\r"), "a\nb\u{fffd}");
        assert_eq!(visible("a\0b\u{202e}c\nd"), "a\u{fffd}b\u{fffd}c\nd");
    }

    #[test]
    fn one_line_holds_all_words_or_is_none() {
        assert_eq!(one_line("  a\n\n b\tc ").as_deref(), Some("a b c"));
        assert_eq!(one_line(" \n"), None);
    }

    #[test]
    fn markdown_shows_markup_as_text() {
        assert_eq!(markdown("<b> *x* [l](u) `c`"), r"\<b\> \*x\* \[l\](u) \`c\`");
    }
}
