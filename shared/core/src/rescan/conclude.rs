//! A delta scan: the files that its engine loads, and the verdict by its report and the record. Pure.

use std::collections::{BTreeMap, BTreeSet};

use nacre_clamav::{
    context::{self, is_bytecode},
    delta::{Delta, SignatureFile},
    pattern_length::may_rules_exceed_probes,
    signature::Kind,
};
use nacre_engine_protocol::Report;

use crate::{
    scan_record::{ScanRecord, recorded_layers, recorded_types},
    verdict::{Verdict, judge},
};

/// Suffix of libclamav's names for signatures that are not from a signed database.
const UNOFFICIAL: &str = ".UNOFFICIAL";

/// The name of a file with a signature that no content has: libclamav takes no set without one, and all that was added may be gone.
const NO_SIGNATURE: &str = "added-none.hsb";

/// Returns the files that a delta engine loads, by name: the lines that the delta added, and the context of the newer set, whose files
/// `newer` has. The context of each database is a database of its own, which is loaded in the place of the whole. Those with bytecode
/// are not among them: they are loaded unchanged.
pub fn delta_files<'a>(delta: &Delta, newer: impl IntoIterator<Item = SignatureFile<'a>>) -> BTreeMap<String, Vec<u8>> {
    let rules_changed = delta.lines().any(|(line, _)| Kind::of_extension(&line.extension) == Kind::Yara);
    let mut files = delta.added_files();
    files.insert(NO_SIGNATURE.to_owned(), format!("{}:1:Nacre.None\n", "0".repeat(64)).into_bytes());
    let (mut databases, mut whole) = (BTreeMap::<String, Vec<SignatureFile<'a>>>::new(), BTreeSet::new());
    for file in newer {
        let database = file.database().map(str::to_owned);
        if is_bytecode(&file.name) {
            // Runs only from its signed container.
            whole.extend(database);
            continue;
        }
        let Some(part) = context::part(&file) else { continue };
        if Kind::of(&file.name) == Kind::Yara && !rules_changed && !may_rules_exceed_probes(&file.bytes) {
            continue;
        }
        match database {
            Some(database) => databases.entry(database).or_default().push(part),
            None => add(&mut files, part),
        }
    }
    for (database, parts) in databases.iter().filter(|(database, _)| !whole.contains(*database)) {
        match context::to_cud(database, parts) {
            Some((name, bytes)) => drop(files.insert(name, bytes)),
            // A name that no database has: loose files are better than none.
            None => parts.iter().cloned().for_each(|part| add(&mut files, part)),
        }
    }
    files
}

/// Adds a file, behind what there is of its name: an operator's file may be called as those of added lines are.
fn add(files: &mut BTreeMap<String, Vec<u8>>, part: SignatureFile<'_>) {
    let file = files.entry(part.name).or_default();
    if !file.is_empty() && !file.ends_with(b"\n") {
        file.push(b'\n');
    }
    file.extend_from_slice(&part.bytes);
}

/// Names of added signatures as a full engine reports them.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct AddedNames {
    /// Signatures that a full engine loads from signed databases, and a delta engine from loose files.
    signed: BTreeSet<String>,
    /// Those of them that others have, too: which of the two an alert is of is not known.
    shared: BTreeSet<String>,
}

impl AddedNames {
    /// The names of a delta's signatures; `signed_by_clamav` says whether a full engine loads databases with ClamAV's own signature.
    pub fn of(delta: &Delta, signed_by_clamav: bool) -> Self {
        if !signed_by_clamav {
            return Self::default();
        }
        let (signed, others) = (delta.added_names(true), delta.added_names(false));
        let shared = signed.intersection(&others).cloned().collect();
        Self { signed, shared }
    }

    /// The name in a full engine; `None` where that is not known.
    fn full_engine_name(&self, alert: &str) -> Option<String> {
        match alert.strip_suffix(UNOFFICIAL).filter(|name| self.signed.contains(*name)) {
            Some(name) if self.shared.contains(name) => None,
            Some(name) => Some(name.to_owned()),
            None => Some(alert.to_owned()),
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
        // The record answers for the layers that it names: the newer engine must have seen the same. In others, a full scan may find
        // more, be it a second name.
        _ if !has_same_layers(record, report) => None,
        Verdict::Infected { signatures } => {
            let names: Option<BTreeSet<String>> =
                signatures.iter().map(|alert| names.full_engine_name(alert)).collect();
            Some(Verdict::Infected { signatures: names?.into_iter().collect() })
        }
        Verdict::Clean => Some(Verdict::Clean),
        _ => None,
    }
}

fn has_same_layers(record: &ScanRecord, report: &Report) -> bool {
    let layers = recorded_layers(report);
    let types = record.types.is_none_or(|types| recorded_types(report) == Some(types));
    types
        && record.targets.bits() == report.targets
        && record.layer_count == report.layer_count
        && record.layers == layers
}

#[cfg(test)]
mod tests {
    use nacre_engine_protocol::Layer;

    use super::*;
    use crate::targets::Targets;
    use crate::{
        builder::record,
        scan_record::{FileTypes, LayerDigest},
    };

    fn file(official: bool, name: &str, text: &str) -> SignatureFile<'static> {
        if official {
            SignatureFile::member("daily.cvd", true, name, text.as_bytes().to_vec())
        } else {
            SignatureFile::loose(name, text.as_bytes().to_vec())
        }
    }

    #[test]
    fn a_delta_engine_has_what_was_added_and_the_whole_context() {
        let old = [file(true, "daily.ndb", "A:0:*:00\n"), file(true, "daily.fp", "T\n")];
        let new = [
            file(true, "daily.ndb", "A:0:*:00\nB:0:*:01\n"),
            file(true, "daily.fp", "T\n"),
            file(false, "daily.fp", "U\n"),
            file(false, "own.yar", "rule a { condition: true }"),
            SignatureFile::member("bytecode.cvd", true, "1.cbc", b"code".as_slice()),
            SignatureFile::member("bytecode.cvd", true, "bytecode.ign2", b"A\n".as_slice()),
        ];
        let unchanged_rules = [old.as_slice(), &new[3..]].concat();
        let files = delta_files(&Delta::between(&unchanged_rules, &new), new.iter().cloned());
        let names: Vec<&str> = files.keys().map(String::as_str).collect();
        assert_eq!(names, ["added-none.hsb", "added.ndb", "daily.cud", "daily.fp"]);
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
    fn a_name_of_two_signatures_needs_a_full_scan() {
        let named = |custom: &str| {
            let added = [file(true, "daily.ndb", "A:0:*:00\n"), file(false, "own.ndb", custom)];
            AddedNames::of(&Delta::between(&[], &added), true)
        };
        let (record, report) = seen(&["A.UNOFFICIAL"]);
        assert!(conclude(&record, &report, false, &named("B:0:*:00\n")).is_some());
        assert_eq!(conclude(&record, &report, false, &named("A:0:*:01\n")), None);
    }

    #[test]
    fn the_names_of_what_was_found_in_other_layers_may_not_be_all() {
        let (record, mut report) = seen(&["A.UNOFFICIAL"]);
        assert!(conclude(&record, &report, false, &AddedNames::default()).is_some());
        report.layer_count += 1;
        assert_eq!(conclude(&record, &report, false, &AddedNames::default()), None);
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
            ScanRecord { types: Some(FileTypes::of("CL_TYPE_GZ")), ..known.clone() },
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
