//! The commands that pages show are run by tests, and what they print for programs has a schema.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_test_support::programs_directory;

use crate::pages::{all_sources, code, pages, root};

/// Where a page says that no test runs its commands of the AWS CLI.
const MARK: &str = "need a real account";

/// The manual of each command, by its words, such as `dlq list`.
pub(crate) fn manuals() -> Vec<(Vec<String>, String)> {
    let directory = tempfile::tempdir().unwrap();
    let nacre = programs_directory().unwrap().join("nacre");
    assert!(Command::new(nacre).arg("man").arg(directory.path()).status().unwrap().success());
    let mut manuals = Vec::new();
    for entry in fs::read_dir(directory.path()).unwrap() {
        let path = entry.unwrap().path();
        let words = path.file_stem().unwrap().to_str().unwrap().split('-').skip(1).map(str::to_owned).collect();
        manuals.push((words, fs::read_to_string(&path).unwrap()));
    }
    manuals
}

#[test]
fn what_is_printed_as_json_has_a_schema_and_each_schema_is_of_a_command() {
    let has_json = |manual: &String| manual.contains(r"\fB\-\-json\fR");
    let commands: BTreeSet<String> =
        manuals().into_iter().filter(|(_, manual)| has_json(manual)).map(|(words, _)| words.join("-")).collect();
    let mut schemas = BTreeSet::new();
    for entry in fs::read_dir(root().join("docs/schemas")).unwrap() {
        let path = entry.unwrap().path();
        let schema: serde_json::Value = serde_json::from_str(&fs::read_to_string(&path).unwrap()).unwrap();
        let name = path.file_name().unwrap().to_str().unwrap().strip_suffix(".schema.json").unwrap().to_owned();
        assert_eq!(schema["title"], format!("nacre {} --json", name.replace('-', " ")), "{}", path.display());
        schemas.insert(name);
    }
    assert_eq!(commands, schemas, "left: commands with --json; right: docs/schemas");
}

/// A command that a page shows, and the options that it is given there.
fn shown(line: &str, known: &BTreeSet<Vec<String>>) -> Option<(Vec<String>, BTreeSet<String>)> {
    let line = line.trim_start_matches("$ ").strip_prefix("nacre ")?;
    let line = line.split([';', '#', '|']).next().unwrap_or_default();
    let words: Vec<String> = line.split_whitespace().map(str::to_owned).collect();
    let path =
        (1..=words.len().min(2)).rev().map(|length| words[..length].to_vec()).find(|path| known.contains(path))?;
    let options = words.iter().filter(|word| word.starts_with("--"));
    Some((path, options.map(|word| word.split('=').next().unwrap().to_owned()).collect()))
}

/// Whether some file of a folder of tests has the command and these options as literals. Its first word may be another file's, which
/// runs it for all of them.
fn is_run(folders: &BTreeMap<PathBuf, Vec<String>>, path: &[String], option: Option<&String>) -> bool {
    let literal = |text: &String, word: &String| text.contains(&format!("\"{word}\""));
    let runs = |text: &String| path.iter().skip(1).chain(option).all(|word| literal(text, word));
    let has_first = |texts: &[String]| path.first().is_some_and(|word| texts.iter().any(|text| literal(text, word)));
    folders.values().any(|texts| has_first(texts) && texts.iter().any(runs))
}

#[test]
fn every_command_that_a_page_shows_is_run_by_a_test() {
    let known: BTreeSet<Vec<String>> = manuals().into_iter().map(|(words, _)| words).collect();
    let is_test = |path: &&Path| {
        let is_rust = path.extension().is_some_and(|extension| extension == "rs");
        is_rust
            && (path.starts_with("tests") || path.starts_with("cli/tests"))
            && !path.starts_with("tests/documentation")
    };
    let mut folders: BTreeMap<PathBuf, Vec<String>> = BTreeMap::new();
    for path in all_sources().iter().map(Path::new).filter(is_test) {
        let text = fs::read_to_string(root().join(path)).unwrap();
        folders.entry(path.parent().unwrap().to_owned()).or_default().push(text);
    }
    let (mut missing, mut commands) = (BTreeSet::new(), BTreeSet::new());
    for (name, page) in pages() {
        for (path, options) in code(&page).into_iter().filter_map(|line| shown(line, &known)) {
            let tried = options.iter().map(Some).chain([None]);
            for option in tried.filter(|option| !is_run(&folders, &path, *option)) {
                missing.insert(format!("{name}: nacre {} {}", path.join(" "), option.map_or("", String::as_str)));
            }
            commands.insert(path);
        }
    }
    assert!(commands.len() > 25, "{commands:?}");
    assert!(missing.is_empty(), "no test runs {missing:#?}");
}

#[test]
fn a_page_with_commands_of_the_aws_cli_says_that_no_test_runs_them() {
    for (name, page) in pages() {
        let mut inside = false;
        let has_any = page.lines().any(|line| {
            inside ^= line.starts_with("```");
            inside && line.starts_with("aws ")
        });
        assert!(!has_any || page.contains(MARK), "{name} does not say that its commands {MARK}");
    }
}
