//! A delta scan: the files that its engine loads, and the verdict by its report and the record. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nacre_clamav::{
    context::is_bytecode,
    delta::{Delta, SignatureFile},
    signature::Kind,
};
use nacre_engine_protocol::Report;

use crate::{
    scan_record::{ScanRecord, recorded_layers},
    verdict::{Verdict, judge},
};

/// Suffix of libclamav's names for signatures that are not from a signed database.
const UNOFFICIAL: &str = ".UNOFFICIAL";

/// Returns the files that a delta engine loads, by name: the lines that the delta added, and the whole context of the newer set, whose
/// files `newer` has. Containers with bytecode are not among them: they are loaded unchanged.
pub fn delta_files<'a>(delta: &Delta, newer: impl IntoIterator<Item = SignatureFile<'a>>) -> BTreeMap<String, Vec<u8>> {
    let rules_changed = delta.lines().any(|(line, _)| Kind::of_extension(&line.extension) == Kind::Yara);
    let mut files = delta.added_files();
    for file in newer {
        let kind = Kind::of(&file.name);
        let needed = match kind {
            Kind::Yara => rules_changed,
            // Runs only from its signed container.
            Kind::OpaqueContext => !is_bytecode(&file.name),
            _ => kind.is_context(),
        };
        if needed {
            files.insert(free_name(&files, &file.name), file.bytes.into_owned());
        }
    }
    files
}

/// The name, or one like it that is not taken.
fn free_name(files: &BTreeMap<String, Vec<u8>>, name: &str) -> String {
    let names = (0_u32..).map(|n| if n == 0 { name.to_owned() } else { format!("{n}-{name}") });
    names.into_iter().find(|name| !files.contains_key(name)).unwrap_or_else(|| name.to_owned())
}

/// Names of added signatures as a full engine reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedNames {
    /// Signatures that a full engine loads from signed databases, and a delta engine from loose files.
    signed: BTreeSet<String>,
}

impl AddedNames {
    /// The names of a delta's signatures; `signed_by_clamav` says whether a full engine loads databases with ClamAV's own signature.
    pub fn of(delta: &Delta, signed_by_clamav: bool) -> Self {
        Self { signed: if signed_by_clamav { delta.added_official_names() } else { BTreeSet::new() } }
    }

    fn full_engine_name(&self, alert: &str) -> String {
        match alert.strip_suffix(UNOFFICIAL).filter(|name| self.signed.contains(*name)) {
            Some(name) => name.to_owned(),
            None => alert.to_owned(),
        }
    }
}

/// Returns the verdict by the record of a clean object and a delta engine's report on the same bytes; `None` when only a full scan
/// can decide.
pub fn conclude(record: &ScanRecord, report: &Report, unrar: bool, names: &AddedNames) -> Option<Verdict> {
    if record.verdict != Verdict::Clean {
        return None;
    }
    match judge(report, record.size, unrar) {
        Verdict::Infected { signatures } => {
            let names: BTreeSet<String> = signatures.iter().map(|alert| names.full_engine_name(alert)).collect();
            Some(Verdict::Infected { signatures: names.into_iter().collect() })
        }
        // The record answers for the layers that it names: the newer engine must have seen the same.
        Verdict::Clean if has_same_layers(record, report) => Some(Verdict::Clean),
        _ => None,
    }
}

fn has_same_layers(record: &ScanRecord, report: &Report) -> bool {
    let layers = recorded_layers(report);
    record.targets.bits() == report.targets && record.layer_count == report.layer_count && record.layers == layers
}

#[cfg(test)]
mod tests {
    use std::borrow::Cow;

    use nacre_engine_protocol::Layer;

    use super::*;
    use crate::targets::Targets;
    use crate::{builder::record, scan_record::LayerDigest};

    fn file(official: bool, name: &str, text: &str) -> SignatureFile<'static> {
        SignatureFile { official, name: name.into(), bytes: Cow::Owned(text.into()) }
    }

    #[test]
    fn a_delta_engine_has_what_was_added_and_the_whole_context() {
        let old = [file(true, "daily.ndb", "A:0:*:00\n"), file(true, "daily.fp", "T\n")];
        let new = [
            file(true, "daily.ndb", "A:0:*:00\nB:0:*:01\n"),
            file(true, "daily.fp", "T\n"),
            file(false, "daily.fp", "U\n"),
            file(false, "own.yar", "rule a { condition: true }"),
            file(true, "1.cbc", "code"),
        ];
        let unchanged_rules = [old.as_slice(), &new[3..]].concat();
        let files = delta_files(&Delta::between(&unchanged_rules, &new), new.iter().cloned());
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["1-daily.fp", "added.ndb", "daily.fp"]);
        assert_eq!(files["added.ndb"], b"B:0:*:01\n");
        let files = delta_files(&Delta::between(&old, &new), new);
        assert!(files.contains_key("own.yar"), "rules are loaded together");
    }

    fn seen(alerts: &[&str]) -> (ScanRecord, Report) {
        let layer = Layer {
            file_type: "CL_TYPE_BINARY_DATA".into(),
            size: 10,
            depth: 0,
            md5: "00".repeat(16),
            sha1: "00".repeat(20),
            sha256: "00".repeat(32),
        };
        let digest = LayerDigest { size: 10, md5: [0; 16], sha1: [0; 20], sha256: [0; 32] };
        let record =
            ScanRecord { size: 10, targets: Targets::of(0), layers: Some(vec![digest]), ..record("bucket", "key") };
        let alerts = alerts.iter().map(|alert| (*alert).to_owned()).collect();
        (record, Report { alerts, targets: 1, layers: vec![layer], layer_count: 1, ..Report::default() })
    }

    #[test]
    fn names_are_those_of_a_full_engine() {
        let delta = Delta::between(&[], &[file(true, "daily.ndb", "A:0:*:00\n"), file(false, "own.ndb", "B:0:*:00\n")]);
        let (record, report) = seen(&["A.UNOFFICIAL", "B.UNOFFICIAL"]);
        let names_of = |signed| match conclude(&record, &report, false, &AddedNames::of(&delta, signed)) {
            Some(Verdict::Infected { signatures }) => signatures,
            other => panic!("{other:?}"),
        };
        assert_eq!(names_of(true), ["A", "B.UNOFFICIAL"]);
        assert_eq!(names_of(false), ["A.UNOFFICIAL", "B.UNOFFICIAL"]);
    }

    #[test]
    fn clean_needs_a_record_of_the_same_layers() {
        let names = AddedNames::default();
        let (known, report) = seen(&[]);
        assert_eq!(conclude(&known, &report, false, &names), Some(Verdict::Clean));
        let others = [
            ScanRecord { targets: Targets::from_bits(3), ..known.clone() },
            ScanRecord { layers: None, ..known.clone() },
            ScanRecord { layer_count: 2, ..known.clone() },
            ScanRecord { size: 11, ..known.clone() },
            ScanRecord { verdict: Verdict::Infected { signatures: vec!["A".into()] }, ..known },
        ];
        for other in others {
            assert_eq!(conclude(&other, &report, false, &names), None);
        }
        let (known, mut report) = seen(&[]);
        report.encrypted.push("Heuristics.Encrypted.Zip".into());
        assert_eq!(conclude(&known, &report, false, &names), None);
    }
}
