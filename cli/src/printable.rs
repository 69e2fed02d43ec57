//! Text that may hold anything, made fit for a terminal.

use std::fmt::Write;

/// Escapes what a terminal obeys rather than shows: neither a file's name nor a word from within it may reach it as a command,
/// nor reorder or hide what is around it.
pub(crate) fn printable(text: &str) -> String {
    text.chars().flat_map(|c| if is_shown(c) { vec![c] } else { c.escape_default().collect() }).collect()
}

/// The same of one line of JSON, by escapes of JSON's own: a parser reads what it would have read before.
pub(crate) fn printable_json(json: &str) -> String {
    let mut line = String::with_capacity(json.len());
    for c in json.chars() {
        if is_shown(c) {
            line.push(c);
            continue;
        }
        for unit in c.encode_utf16(&mut [0; 2]) {
            // Writing to memory cannot fail.
            let _ = write!(line, "\\u{unit:04x}");
        }
    }
    line
}

/// Whether a character is shown where it stands: no control character, and no invisible one of those that end lines, change
/// the direction of what follows, or smuggle text.
fn is_shown(c: char) -> bool {
    let hidden = matches!(
        c,
        '\u{ad}' | '\u{34f}' | '\u{115f}' | '\u{1160}' | '\u{3164}' | '\u{fe00}'..='\u{fe0f}' | '\u{61c}' | '\u{180e}' | '\u{200b}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2060}'..='\u{206f}'
        | '\u{feff}' | '\u{fff9}'..='\u{fffb}' | '\u{e0000}'..='\u{e0fff}'
    );
    !c.is_control() && !hidden
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOSTILE: &str = "a\u{1b}[31m\n\u{9b}2J\u{7f}\u{202e}gpj.exe\u{e0041}é漢";

    #[test]
    fn nothing_is_left_to_obey() {
        let expected = r"a\u{1b}[31m\n\u{9b}2J\u{7f}\u{202e}gpj.exe\u{e0041}é漢";
        assert_eq!(printable(HOSTILE), expected);
    }

    #[test]
    fn json_reads_as_before() {
        let line = printable_json(&serde_json::to_string(HOSTILE).unwrap());
        assert!(line.chars().all(is_shown), "{line}");
        assert_eq!(serde_json::from_str::<String>(&line).unwrap(), HOSTILE);
    }
}
