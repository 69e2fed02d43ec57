//! What `nacre` prints, held to what the pages say of it.

#![expect(clippy::expect_used, reason = "what is not as documented is to panic")]

use std::{
    env, fs,
    iter::Peekable,
    path::{Path, PathBuf},
    str::Lines,
};

use serde_json::Value;

fn docs() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../docs")
}

/// Holds each line of what a command printed to the schema of its `--json`, where that was given.
///
/// `arguments` are those of `nacre`. The schema is that of the command's words: `docs/schemas/dlq-list.schema.json`. A file of its name
/// in `target/schemas-held` says that something was held to it: `dev/schemas-held` fails where none is.
///
/// # Panics
/// When there is no schema, or a line does not conform.
pub fn assert_as_schema(arguments: &[&str], printed: &str) {
    let Some(name) = held(arguments, printed) else { return };
    // A test runs as target/PROFILE/deps/NAME.
    let test = env::current_exe().expect("a test has a path");
    let target = test.ancestors().nth(3).unwrap_or(Path::new("target")).join("schemas-held");
    fs::create_dir_all(&target).and_then(|()| fs::write(target.join(name), "")).expect("the build folder is writable");
}

/// Holds what was printed to the schema; its name, when there was a line to hold.
fn held(arguments: &[&str], printed: &str) -> Option<String> {
    if !arguments.contains(&"--json") {
        return None;
    }
    let (first, words) = (arguments.first().copied().unwrap_or_default(), arguments.iter().take(2));
    let both = words.copied().collect::<Vec<_>>().join("-");
    let schema = [both.as_str(), first].into_iter().find_map(|name| {
        let text = fs::read_to_string(docs().join("schemas").join(format!("{name}.schema.json"))).ok()?;
        Some((name.to_owned(), serde_json::from_str::<Value>(&text).expect("a schema is JSON")))
    });
    let (name, schema) = schema.unwrap_or_else(|| panic!("docs/schemas has none of nacre {arguments:?}"));
    let validator = jsonschema::validator_for(&schema).expect("a schema is valid");
    for line in printed.lines() {
        let value = serde_json::from_str(line).unwrap_or_else(|error| panic!("nacre {arguments:?}: {error}: {line}"));
        let errors: Vec<String> = validator.iter_errors(&value).map(|error| error.to_string()).collect();
        assert!(errors.is_empty(), "nacre {arguments:?}: {errors:#?}: {line}");
    }
    (!printed.trim().is_empty()).then_some(name)
}

/// Holds a screen that a page shows to what the command printed: its words are the same, its numbers, times and ids may be others.
///
/// `page` is a file of `docs`, `command` the line after `$ `. Each of `names` is a name that was printed, and that of the page. A line
/// `…` of the page stands for any lines, and one at the end of a line for the rest of it.
///
/// # Panics
/// When the page does not show it.
pub fn assert_screen(page: &str, command: &str, printed: &str, names: &[(&str, &str)]) {
    let text = fs::read_to_string(docs().join(page)).expect("the page is there");
    let shown = screen(&text, command).unwrap_or_else(|| panic!("docs/{page} has no screen of: {command}"));
    let printed = names.iter().fold(printed.to_owned(), |text, (real, shown)| text.replace(real, shown));
    let same = matches(&mut shown.lines().peekable(), &mut printed.lines().peekable());
    assert!(same, "docs/{page} shows other than what was printed by: {command}\n{shown}\n---\n{printed}");
}

/// What follows the command in its block, to the next command.
fn screen(page: &str, command: &str) -> Option<String> {
    let mut lines = page.lines().skip_while(|line| line.strip_prefix("$ ") != Some(command));
    lines.next()?;
    let lines = lines.take_while(|line| !line.starts_with("```") && !line.starts_with("$ "));
    Some(lines.flat_map(|line| [line, "\n"]).collect())
}

fn matches(shown: &mut Peekable<Lines<'_>>, printed: &mut Peekable<Lines<'_>>) -> bool {
    while let Some(line) = shown.next() {
        if line.trim() == "…" {
            let Some(after) = shown.peek() else { return true };
            while printed.next_if(|line| !is_same(after, line)).is_some() {}
        } else if !printed.next().is_some_and(|printed| is_same(line, printed)) {
            return false;
        }
    }
    printed.next().is_none()
}

fn is_same(shown: &str, printed: &str) -> bool {
    shown
        .strip_suffix('…')
        .map_or_else(|| form(shown) == form(printed), |beginning| form(printed).starts_with(&form(beginning)))
}

/// A line without what differs from run to run: what has a digit is `#`, and blanks are one.
fn form(line: &str) -> String {
    let is_of_value = |c: char| c.is_ascii_alphanumeric() || "-:.".contains(c);
    let (mut form, mut rest) = (String::new(), line);
    while let Some(first) = rest.chars().next() {
        let length = rest.find(|c| is_of_value(c) != is_of_value(first)).unwrap_or(rest.len());
        let (run, after) = rest.split_at(length);
        form += if is_of_value(first) && run.contains(|c: char| c.is_ascii_digit()) { "#" } else { run };
        rest = after;
    }
    form.split_whitespace().collect::<Vec<_>>().join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PAGE: &str = "```\n$ nacre a\n2026-01-01T00:00:00Z  first\n…\nlast 7 of uploads\n$ nacre b\nb\n```\n";

    fn is_shown(command: &str, printed: &str) -> bool {
        let shown = screen(PAGE, command).unwrap();
        matches(&mut shown.lines().peekable(), &mut printed.lines().peekable())
    }

    #[test]
    fn a_screen_is_compared_by_its_words() {
        assert!(is_shown("nacre a", "2026-11-29T08:00:00Z first\nmore\nlast 12 of uploads\n"));
        assert!(is_shown("nacre a", "2026-11-29T08:00:00Z first\nlast 12 of uploads\n"));
        assert!(!is_shown("nacre a", "2026-11-29T08:00:00Z first\nlast 12 of others\n"));
        assert!(!is_shown("nacre a", "first\nlast 12 of uploads\n"));
        assert!(is_same("cause: denied: …", "cause: denied: by 7") && !is_same("cause: …", "reason: denied"));
        assert!(is_shown("nacre b", "b") && !is_shown("nacre b", "b\nb") && !is_shown("nacre b", ""));
        assert_eq!(screen(PAGE, "nacre c"), None);
    }

    #[test]
    fn a_line_that_the_schema_does_not_have_is_found() {
        assert_eq!(held(&["trigger", "--json"], r#"{"requested":1}"#).as_deref(), Some("trigger"));
        assert_eq!(held(&["dlq", "list", "--json"], ""), None, "nothing was printed");
        assert_eq!(held(&["trigger"], "1 scans requested"), None);
        let more = std::panic::catch_unwind(|| held(&["trigger", "--json"], r#"{"requested":1,"more":2}"#));
        let none = std::panic::catch_unwind(|| held(&["nothing", "--json"], "{}"));
        assert!(more.is_err() && none.is_err());
    }
}
