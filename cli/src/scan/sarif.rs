//! What a scan found, as one SARIF 2.1.0 log for code scanning in CI. Pure.
//!
//! An infected file is an error, one that could not be scanned a warning; clean files are not mentioned. A file is named by a URI:
//! relative where its path is, so that it is found in a checkout.

use std::{collections::BTreeMap, os::unix::ffi::OsStrExt, path::Path};

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, percent_encode};
use serde_json::{Value, json};

use super::FileResult;
use crate::printable::printable;

/// The schema that the log follows; a test holds it.
const SCHEMA: &str = "https://docs.oasis-open.org/sarif/sarif/v2.1.0/errata01/os/schemas/sarif-schema-2.1.0.json";

/// All that is not plainly part of a path, a colon too: the first part of a relative one would be a scheme.
const OUTSIDE_PATHS: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'-').remove(b'.').remove(b'_').remove(b'~');

/// The findings so far.
#[derive(Debug, Default)]
pub(super) struct Log {
    /// The rules that were broken, by their name, with their place in the log.
    rules: BTreeMap<String, usize>,
    descriptors: Vec<Value>,
    results: Vec<Value>,
}

impl Log {
    /// Adds what was found in a file: nothing where it is clean or was skipped.
    pub(super) fn add(&mut self, path: &Path, result: &FileResult) {
        let shown = printable(&result.path);
        match result.verdict {
            "infected" => {
                for signature in &result.signatures {
                    let text = format!("{shown} is infected: {}", printable(signature));
                    self.push(signature, "error", "The file matches this signature of malware.", &text, path, result);
                }
            }
            "unscannable" => {
                let reason = result.reason.unwrap_or("unknown");
                let text = match result.unread.as_slice() {
                    [] => format!("{shown} could not be scanned: {reason}"),
                    unread => format!("{shown} could not be scanned: {reason} [{}]", printable(&unread.join(", "))),
                };
                let rule = format!("unscannable/{reason}");
                self.push(
                    &rule,
                    "warning",
                    "The file could not be scanned, so it may be infected.",
                    &text,
                    path,
                    result,
                );
            }
            _ => {}
        }
    }

    fn push(&mut self, rule: &str, level: &str, about: &str, text: &str, path: &Path, result: &FileResult) {
        let next = self.descriptors.len();
        let index = *self.rules.entry(rule.to_owned()).or_insert(next);
        if index == next {
            self.descriptors.push(json!({
                "id": rule, "shortDescription": { "text": about }, "defaultConfiguration": { "level": level },
            }));
        }
        let uri = uri(path);
        let mut found = json!({
            "ruleId": rule, "ruleIndex": index, "level": level, "message": { "text": text },
            "locations": [{ "physicalLocation": { "artifactLocation": { "uri": uri } } }],
        });
        // The file itself, for a reader that wants to know whether it is still the same one.
        if let Some(file) = result.layers.iter().find(|layer| layer.depth == 0)
            && let Some(found) = found.as_object_mut()
        {
            found.insert("fingerprints".into(), json!({ "sha256/v1": file.sha256 }));
        }
        self.results.push(found);
    }

    /// The whole log.
    pub(super) fn finish(self) -> Value {
        json!({
            "$schema": SCHEMA, "version": "2.1.0",
            "runs": [{
                "tool": { "driver": {
                    "name": "nacre", "version": env!("CARGO_PKG_VERSION"), "semanticVersion": env!("CARGO_PKG_VERSION"),
                    "rules": self.descriptors,
                } },
                "invocations": [{ "executionSuccessful": true }],
                "results": self.results,
            }],
        })
    }
}

/// A path as a URI, whatever its bytes.
fn uri(path: &Path) -> String {
    let path = path.strip_prefix("./").unwrap_or(path);
    let encoded = percent_encode(path.as_os_str().as_bytes(), OUTSIDE_PATHS).to_string();
    if path.is_absolute() { format!("file://{encoded}") } else { encoded }
}

#[cfg(test)]
mod tests {
    use std::{ffi::OsStr, path::PathBuf};

    use nacre_core::verdict::{Reason, Verdict};
    use percent_encoding::percent_decode_str;
    use proptest::prelude::*;

    use super::*;

    fn validated(log: Log) -> Value {
        let schema = serde_json::from_str(include_str!("../../tests/schemas/sarif-2.1.0.json")).unwrap();
        let log = log.finish();
        if let Err(error) = jsonschema::validator_for(&schema).unwrap().validate(&log) {
            panic!("{error}: {log}");
        }
        log["runs"][0].clone()
    }

    fn log(verdicts: &[(&str, Verdict)]) -> Log {
        let mut log = Log::default();
        for (path, verdict) in verdicts {
            let path = PathBuf::from(path);
            log.add(&path, &FileResult::unseen(&path, verdict));
        }
        log
    }

    #[test]
    fn each_signature_and_each_reason_is_one_rule() {
        let infected = || Verdict::Infected { signatures: vec!["A".into(), "B".into()] };
        let encrypted = Verdict::Unscannable { reason: Reason::Encrypted };
        let skipped = Verdict::Skipped { reason: Reason::NotAFile };
        let run = validated(log(&[
            ("./a b", infected()),
            ("/c:d", infected()),
            ("e", encrypted),
            ("f", Verdict::Clean),
            ("g", skipped),
        ]));
        let of = |list: &Value, field: &str| -> Vec<String> {
            list.as_array().unwrap().iter().map(|one| one[field].as_str().unwrap().to_owned()).collect()
        };
        assert_eq!(of(&run["tool"]["driver"]["rules"], "id"), ["A", "B", "unscannable/encrypted"]);
        assert_eq!(of(&run["results"], "ruleId"), ["A", "B", "A", "B", "unscannable/encrypted"]);
        assert_eq!(of(&run["results"], "level"), ["error", "error", "error", "error", "warning"]);
        let uri = |n: usize| &run["results"][n]["locations"][0]["physicalLocation"]["artifactLocation"]["uri"];
        assert_eq!((uri(0), uri(2)), (&json!("a%20b"), &json!("file:///c%3Ad")));
    }

    #[test]
    fn a_log_without_findings_is_a_log() {
        assert_eq!(validated(Log::default())["results"], json!([]));
    }

    #[test]
    fn a_name_cannot_hide_in_a_message() {
        let run = validated(log(&[("\u{202e}gpj.exe\n", Verdict::Infected { signatures: vec!["A".into()] })]));
        assert_eq!(run["results"][0]["message"]["text"], r"\u{202e}gpj.exe\n is infected: A");
    }

    proptest! {
        #[test]
        fn a_uri_names_the_path_and_nothing_else(bytes in prop::collection::vec(1_u8.., 1..40)) {
            let path = Path::new(OsStr::from_bytes(&bytes));
            let uri = uri(path);
            prop_assert!(uri.strip_prefix("file://").unwrap_or(&uri).chars().all(|c| c.is_ascii_alphanumeric() || "/-._~%".contains(c)));
            let decoded: Vec<u8> = percent_decode_str(uri.strip_prefix("file://").unwrap_or(&uri)).collect();
            let plain = path.strip_prefix("./").unwrap_or(path);
            prop_assert_eq!(decoded, plain.as_os_str().as_bytes());
        }
    }
}
