//! What the pages name exists: `make` targets, commands of `nacre`, files, functions and links.

use std::{
    collections::BTreeSet,
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_test_support::programs_directory;

pub(crate) fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..")
}

/// Each page, by its path from the root.
pub(crate) fn pages() -> Vec<(String, String)> {
    let mut names: Vec<String> =
        ["README.md", "ARCHITECTURE.md", "CONTRIBUTING.md", "SECURITY.md", "CHANGELOG.md"].map(str::to_owned).into();
    for entry in fs::read_dir(root().join("docs")).unwrap() {
        let name = entry.unwrap().file_name().into_string().unwrap();
        if Path::new(&name).extension().is_some_and(|extension| extension == "md") {
            names.push(format!("docs/{name}"));
        }
    }
    names.into_iter().map(|name| (name.clone(), fs::read_to_string(root().join(name)).unwrap())).collect()
}

/// The lines of code of a page, in blocks and in spans.
pub(crate) fn code(page: &str) -> Vec<&str> {
    let (mut found, mut in_block) = (Vec::new(), false);
    for line in page.lines() {
        if line.starts_with("```") {
            in_block = !in_block;
        } else if in_block || line.starts_with("    ") {
            found.push(line.trim());
        } else {
            found.extend(line.split('`').skip(1).step_by(2));
        }
    }
    found
}

/// The source files of the tree, by their path from the root.
fn sources(folder: &Path, found: &mut BTreeSet<String>) {
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() && name != "target" && !name.starts_with('.') {
            sources(&path, found);
        } else if path.is_file() {
            found.insert(path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned());
        }
    }
}

pub(crate) fn all_sources() -> BTreeSet<String> {
    let mut found = BTreeSet::new();
    sources(&root(), &mut found);
    found
}

#[test]
fn every_make_target_that_a_page_names_exists() {
    let makefile = fs::read_to_string(root().join("Makefile")).unwrap();
    let targets: BTreeSet<&str> = makefile
        .lines()
        .filter(|line| line.starts_with(|first: char| first.is_ascii_lowercase()))
        .filter_map(|line| line.split_once(':'))
        .map(|(target, _)| target)
        .collect();
    let mut named = 0;
    for (name, page) in pages() {
        for line in code(&page) {
            let Some(target) = line.strip_prefix("make ").and_then(|rest| rest.split_whitespace().next()) else {
                continue;
            };
            named += 1;
            assert!(targets.contains(target), "{name}: make {target}");
        }
    }
    assert!(named > 10, "{named}");
}

#[test]
fn every_command_of_nacre_that_a_page_names_exists() {
    let program = programs_directory().unwrap().join("nacre");
    let mut commands = BTreeSet::new();
    for (name, page) in pages() {
        for line in code(&page) {
            let Some(rest) = line.trim_start_matches("$ ").strip_prefix("nacre ") else { continue };
            let is_word = |word: &&str| {
                word.starts_with(|first: char| first.is_ascii_lowercase())
                    && word.chars().all(|c| c.is_ascii_lowercase() || c == '-')
            };
            let words: Vec<String> = rest.split_whitespace().take_while(is_word).map(str::to_owned).collect();
            // A command and its own command; further words are values.
            for length in 1..=words.len().min(2) {
                commands.insert((words.get(..length).unwrap().to_vec(), name.clone()));
            }
        }
    }
    assert!(commands.len() > 10, "{commands:?}");
    for (words, page) in commands {
        let help = Command::new(&program).args(&words).arg("--help").output().unwrap();
        assert!(help.status.success(), "{page}: nacre {}", words.join(" "));
    }
}

/// `shared/core/src/event.rs` as a path, `event.rs` as a file's name anywhere.
#[test]
fn every_file_that_a_page_names_exists() {
    let sources = all_sources();
    let is_path = |span: &&str| {
        let plain = span.chars().all(|c| c.is_ascii_alphanumeric() || "/._-".contains(c));
        let extension = Path::new(span).extension().and_then(|extension| extension.to_str());
        plain && extension.is_some_and(|extension| ["rs", "toml", "yaml", "py", "md"].contains(&extension))
    };
    let mut named = 0;
    for (name, page) in pages() {
        for span in code(&page).into_iter().filter(is_path) {
            named += 1;
            let ends = |source: &String| source == span || source.ends_with(&format!("/{span}"));
            assert!(sources.iter().any(ends), "{name}: {span}");
        }
    }
    assert!(named > 30, "{named}");
}

/// Lines such as ``1. `scanner/src/scan.rs` `settle`: …``: the file has the function.
#[test]
fn every_step_of_a_walkthrough_is_in_the_file_that_it_names() {
    let page = fs::read_to_string(root().join("ARCHITECTURE.md")).unwrap();
    let mut steps = 0;
    for line in page.lines() {
        let spans: Vec<&str> = line.split('`').skip(1).step_by(2).collect();
        let is_step = line.split_once(". `").is_some_and(|(number, _)| number.parse::<u32>().is_ok());
        let (true, [file, functions @ ..]) = (is_step, &spans[..]) else { continue };
        let source = fs::read_to_string(root().join(file)).unwrap_or_else(|_| panic!("{file} is not there"));
        steps += 1;
        let functions: Vec<&&str> = functions.iter().filter(|span| span.ends_with("()")).collect();
        assert!(!functions.is_empty(), "{line}");
        for function in functions {
            let declared = format!("fn {}", function.trim_end_matches("()"));
            let found = source
                .match_indices(&declared)
                .any(|(at, _)| source.get(at + declared.len()..).is_some_and(|rest| rest.starts_with(['(', '<'])));
            assert!(found, "{file} has no {function}");
        }
    }
    assert!(steps >= 20, "{steps}");
}

#[test]
fn every_link_leads_somewhere() {
    for (name, page) in pages() {
        let folder = Path::new(&name).parent().unwrap().to_owned();
        for link in page.split("](").skip(1).filter_map(|rest| rest.split(')').next()) {
            if link.starts_with("http") {
                continue;
            }
            let (path, anchor) = link.split_once('#').unwrap_or((link, ""));
            let target = if path.is_empty() { root().join(&name) } else { root().join(&folder).join(path) };
            assert!(target.exists(), "{name}: {link}");
            if !anchor.is_empty() {
                let linked = fs::read_to_string(&target).unwrap();
                let slug = |heading: &str| {
                    let kept =
                        heading.to_lowercase().replace(|c: char| !(c.is_alphanumeric() || " -_".contains(c)), "");
                    kept.trim().replace(' ', "-")
                };
                let headings = linked.lines().filter(|line| line.starts_with('#'));
                assert!(
                    headings.map(|line| slug(line.trim_start_matches('#'))).any(|found| found == anchor),
                    "{name}: {link}"
                );
            }
        }
    }
}

/// Side by side, longer lines cannot be read. Tables and code are as wide as they must be.
#[test]
fn no_line_of_prose_is_over_100_columns() {
    for (name, page) in pages() {
        let mut inside = false;
        for (number, line) in page.lines().enumerate() {
            inside ^= line.trim_start().starts_with("```");
            let is_code = inside || line.starts_with("    ");
            if !is_code && !line.trim_start().starts_with('|') {
                assert!(line.chars().count() <= 100, "{name}:{}: {line}", number + 1);
            }
        }
    }
}
