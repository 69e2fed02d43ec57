//! What freshclam printed: for people, and for the versions that it saw announced. Mirrors have a hand in it. Pure.

use nacre_clamav::database::{DatabaseName, DatabaseVersion};

use crate::http::redacted;

/// How many of the last lines are reported.
const LINES: usize = 6;

/// Most characters of a line that is reported.
const LINE_CHARACTERS: usize = 300;

/// The last lines, in one: nothing in it ends a line of a log, and addresses are without their secrets.
pub(super) fn last_lines(printed: &str) -> String {
    let lines: Vec<&str> = printed.split(['\n', '\r']).map(str::trim).filter(|line| !line.is_empty()).collect();
    let last = lines.get(lines.len().saturating_sub(LINES)..).unwrap_or_default();
    let shown = last.iter().map(|line| escaped(&without_secrets(line)));
    let shown = shown.collect::<Vec<_>>().join("; ");
    if shown.is_empty() { "it printed nothing".to_owned() } else { shown }
}

/// The version of a database that the mirrors or the DNS record announced to freshclam, where it is newer than the one that was there.
pub fn announced_version(printed: &str, database: &DatabaseName) -> Option<DatabaseVersion> {
    let version = |line: &str| {
        let rest = line.strip_prefix(database.as_str())?.strip_prefix(" database available for ")?;
        let (_, version) = rest.strip_suffix(')')?.split_once("remote version: ")?;
        version.parse().ok().map(DatabaseVersion)
    };
    printed.lines().filter_map(|line| version(line.trim())).max()
}

fn escaped(line: &str) -> String {
    let shown = line.chars().take(LINE_CHARACTERS).map(|character| {
        // What turns the direction of writing is not a control character, and hides as much.
        let is_plain = !character.is_control()
            && !matches!(character, '\u{200e}'..='\u{200f}' | '\u{2028}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
        if is_plain { character.to_string() } else { character.escape_unicode().to_string() }
    });
    shown.collect()
}

/// The line with each address [`redacted`].
fn without_secrets(line: &str) -> String {
    let (mut rest, mut shown) = (line, String::new());
    while let Some(place) = address(rest) {
        let (before, from) = rest.split_at(place);
        // Anything but a blank may be of a password.
        let length = from.find(char::is_whitespace);
        let (address, after) = from.split_at(length.unwrap_or(from.len()));
        // Where a sentence ends with it.
        let bare = address.trim_end_matches(['.', ',', ';', ':', '\'', '"', ')']);
        shown.push_str(before);
        shown.push_str(&redacted(bare));
        shown.push_str(address.strip_prefix(bare).unwrap_or_default());
        rest = after;
    }
    shown + rest
}

/// Where the first address begins.
fn address(text: &str) -> Option<usize> {
    let lower = text.to_ascii_lowercase();
    ["http://", "https://", "ftp://"].iter().filter_map(|scheme| lower.find(scheme)).min()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn only_the_last_lines_are_shown_and_no_secrets() {
        let printed = (1..=9).map(|n| format!("line {n}\n")).collect::<Vec<_>>().concat();
        assert_eq!(last_lines(&printed), "line 4; line 5; line 6; line 7; line 8; line 9");
        let printed = "Giving up on http://user:secret@127.0.0.1:8377...\r\nGET HTTPS://m/a?key=secret failed\n";
        assert_eq!(last_lines(printed), "Giving up on http://127.0.0.1:8377/...; GET https://m/a failed");
        assert_eq!(last_lines("a\u{1b}[2Jb\u{202e}c"), "a\\u{1b}[2Jb\\u{202e}c");
        assert_eq!(last_lines(" \n"), "it printed nothing");
    }

    #[test]
    fn announcements_are_read_by_their_database() {
        let printed = "daily database available for update (local version: 27779, remote version: 27781)\n\
            main database available for download (remote version: 62)\n\
            bytecode database is up-to-date (version: 339, sigs: 80, f-level: 90, builder: b)\n\
            evil database available for update (local version: 1, remote version: -7)\n";
        let version = |name| announced_version(printed, &DatabaseName::new(name).unwrap()).map(|version| version.0);
        assert_eq!((version("daily"), version("main")), (Some(27781), Some(62)));
        assert_eq!((version("bytecode"), version("evil"), version("dail")), (None, None, None));
    }

    proptest! {
        #[test]
        fn nothing_printed_breaks_a_log_or_panics(printed in "(\\PC|[\\x00-\\x1f]|https?://u:hidden@){0,40}") {
            let shown = last_lines(&printed);
            prop_assert!(!shown.contains(char::is_control), "{:?}", shown);
            announced_version(&printed, &DatabaseName::new("daily").unwrap());
        }

        #[test]
        fn no_password_is_shown(before in "[ -~]{0,30} ", path in "[a-z0-9./]{0,20}", after in "[ -~]{0,30}") {
            let shown = last_lines(&format!("{before}http://user:hunter2hunter2@mirror/{path} {after}"));
            prop_assert!(!shown.contains("hunter2"), "{}", shown);
        }
    }
}
