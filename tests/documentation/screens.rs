//! Each screen that a page shows is made by a test, or held to what one printed.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use crate::{
    commands::manuals,
    pages::{all_sources, pages, root},
};

/// Commands of which a page need not show a screen: they print what is for shells and for `man`, or one line.
const WITHOUT: [&str; 3] = ["completions", "man", "rescan cancel"];

/// The commands that a page shows with what they print.
fn screens(page: &str) -> BTreeSet<String> {
    let mut inside = false;
    let lines = page.lines().filter(|line| {
        inside ^= line.starts_with("```");
        inside
    });
    lines
        .filter_map(|line| line.strip_prefix("$ "))
        .filter(|line| line.starts_with("nacre ") || line.starts_with("make "))
        .map(str::to_owned)
        .collect()
}

/// Whether a test names the command where it compares what it printed: by `assert_screen`, or within the page's own text.
fn is_held(command: &str, test: &str) -> bool {
    let by_comparison = test.contains("assert_screen(") && test.contains(&format!("\"{command}\""));
    by_comparison || test.contains(&format!("$ {command}\\n{{screen}}"))
}

#[test]
fn every_screen_that_a_page_shows_is_held_by_a_test() {
    let is_rust = |path: &&String| {
        let path = Path::new(path);
        path.extension().is_some_and(|extension| extension == "rs") && !path.starts_with("tests/documentation")
    };
    let tests: Vec<String> =
        all_sources().iter().filter(is_rust).map(|path| fs::read_to_string(root().join(path)).unwrap()).collect();
    let shown: BTreeMap<String, BTreeSet<String>> =
        pages().into_iter().map(|(name, page)| (name, screens(&page))).collect();
    let all: BTreeSet<&String> = shown.values().flatten().collect();
    assert!(all.len() > 30, "{all:?}");
    let held = |command: &String| tests.iter().any(|test| is_held(command, test));
    let missing: BTreeSet<_> = all.iter().filter(|command| !held(command)).collect();
    assert!(missing.is_empty(), "no test holds the screens of {missing:#?}");
}

#[test]
fn every_command_that_prints_for_people_has_a_screen() {
    let shown: BTreeSet<String> = pages().iter().flat_map(|(_, page)| screens(page)).collect();
    let commands: BTreeSet<String> = manuals().into_iter().map(|(words, _)| words.join(" ")).collect();
    // What has commands of its own prints nothing itself.
    let is_whole = |command: &&String| !commands.iter().any(|other| other.starts_with(&format!("{command} ")));
    let has = |command: &str| shown.iter().any(|screen| format!("{screen} ").starts_with(&format!("nacre {command} ")));
    let lacking: BTreeSet<&str> = commands
        .iter()
        .filter(|command| !command.is_empty())
        .filter(is_whole)
        .map(String::as_str)
        .filter(|command| !has(command))
        .collect();
    assert_eq!(lacking, WITHOUT.into(), "left: commands without a screen; right: those that need none");
}
