//! Names of the rules in YARA files, as far as they are needed to find those that are there twice.
//!
//! libclamav keeps one table of names for all files. A file that has a name which another had before is not read past it: its other
//! rules are lost, with a warning that nobody sees.

use std::{collections::BTreeMap, fmt};

use crate::{delta::SignatureFile, load_order::in_load_order, signature::Kind};

/// A name that several rules have.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct RepeatedRule {
    /// The name.
    pub name: String,
    /// The file whose rule is used.
    pub used: String,
    /// The file that is not read past its rule of this name.
    pub skipped: String,
}

impl fmt::Display for RepeatedRule {
    /// As a sentence.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { name, used, skipped } = self;
        write!(f, "{skipped} is not used from its rule {name} on, whose name a rule of {used} has: rename it")
    }
}

/// Names that several rules of a set have.
pub fn repeated_rules(files: &[SignatureFile<'_>]) -> Vec<RepeatedRule> {
    let (mut first, mut repeated) = (BTreeMap::<Vec<u8>, &str>::new(), Vec::new());
    for file in in_load_order(files).into_iter().filter(|file| Kind::of(&file.name) == Kind::Yara) {
        for name in rule_names(&file.bytes) {
            match first.get(name) {
                Some(used) => repeated.push(RepeatedRule {
                    name: String::from_utf8_lossy(name).into_owned(),
                    used: (*used).to_owned(),
                    skipped: file.name.clone(),
                }),
                None => drop(first.insert(name.to_vec(), &file.name)),
            }
        }
    }
    repeated
}

/// The names of the rules in a file, in their order.
pub fn rule_names(source: &[u8]) -> Vec<&[u8]> {
    let (mut names, mut after_rule, mut rest) = (Vec::new(), false, source);
    while let Some(token) = next_token(&mut rest) {
        if after_rule {
            names.push(token);
        }
        after_rule = token == b"rule";
    }
    names
}

/// Takes the next word; comments, texts and hexadecimal strings hold none.
fn next_token<'a>(rest: &mut &'a [u8]) -> Option<&'a [u8]> {
    loop {
        match *rest {
            [] => return None,
            [b'/', b'/', ..] => skip_past(rest, b"\n"),
            [b'/', b'*', ..] => skip_past(rest, b"*/"),
            [b'"', text @ ..] => {
                *rest = text;
                skip_text(rest);
            }
            [first, ..] if is_word(*first) => {
                let end = rest.iter().position(|byte| !is_word(*byte)).unwrap_or(rest.len());
                let (word, after) = rest.split_at(end);
                *rest = after;
                return Some(word);
            }
            [_, after @ ..] => *rest = after,
        }
    }
}

fn is_word(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || byte == b'_'
}

fn skip_past(rest: &mut &[u8], end: &[u8]) {
    let at = memchr::memmem::find(rest, end).map_or(rest.len(), |at| at + end.len());
    *rest = rest.get(at..).unwrap_or_default();
}

/// Skips a text up to its closing quotation mark.
fn skip_text(rest: &mut &[u8]) {
    while let Some((first, after)) = rest.split_first() {
        *rest = match first {
            b'\\' => after.get(1..).unwrap_or_default(),
            _ => after,
        };
        if matches!(first, b'"' | b'\n') {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_found_among_all_that_looks_like_them() {
        let source = br#"
            // rule comment { }
            /* rule other { } */
            rule one : tag { meta: text = "rule \" rule two {" strings: $a = { 72 75 } condition: $a }
            private rule three { condition: false }
            global
            rule four{condition:true}
        "#;
        let names: Vec<_> = rule_names(source).into_iter().map(|name| std::str::from_utf8(name).unwrap()).collect();
        assert_eq!(names, ["one", "three", "four"]);
    }

    #[test]
    fn the_file_that_is_loaded_later_is_the_one_that_is_skipped() {
        let rule = |name: &str| format!("rule {name} {{ condition: true }}\n").into_bytes();
        let files = [
            SignatureFile::loose("z.yar", rule("b")),
            SignatureFile::loose("a.yara", [rule("a"), rule("b")].concat()),
            SignatureFile::loose("other.ndb", rule("a")),
        ];
        let expected = RepeatedRule { name: "b".into(), used: "a.yara".into(), skipped: "z.yar".into() };
        assert_eq!(repeated_rules(&files), [expected]);
    }

    proptest! {
        #[test]
        fn no_bytes_panic_the_reader(source: Vec<u8>) {
            let _ = rule_names(&source);
        }
    }
}
