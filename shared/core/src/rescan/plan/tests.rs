//! The table of what a changed line means for a record, row by row, and what holds for every plan.

mod mistaken;
mod narrowed;

use proptest::prelude::*;

use super::*;
use nacre_clamav::{
    database::FunctionalityLevel,
    delta::{Delta, SignatureFile},
};

use crate::{builder::record, object::ObjectId, scan_record::FileTypes, targets::Targets};

const NOW: Generation = Generation(2);

/// Digest and size of the only layer of the records here.
const LAYER: LayerDigest = LayerDigest { size: 68, md5: [1; 16], sha1: [2; 20], sha256: [3; 32] };

fn engine() -> EngineVersion {
    EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) }
}

fn of(verdict: Verdict) -> RecordSummary {
    let mut summary = RecordSummary::from(&record("bucket", "key"));
    let view = RecordView {
        verdict,
        engine: engine(),
        targets: Targets::from_bits(1 << 1 | 1),
        layers: Some(vec![LAYER]),
        types: Some(FileTypes::of("CL_TYPE_MSEXE")),
    };
    summary.view = Some(view);
    summary
}

fn clean() -> RecordSummary {
    of(Verdict::Clean)
}

fn infected(names: &[&str]) -> RecordSummary {
    of(Verdict::Infected { signatures: names.iter().map(|name| (*name).to_owned()).collect() })
}

fn with(change: impl FnOnce(&mut RecordView)) -> RecordSummary {
    let mut summary = clean();
    change(summary.view.as_mut().expect("it has one"));
    summary
}

fn file(name: &str, line: &str) -> SignatureFile<'static> {
    let bytes = format!("{line}\n").into_bytes();
    if name.starts_with("own.") {
        SignatureFile::loose(name, bytes)
    } else {
        SignatureFile::member("daily.cvd", true, name, bytes)
    }
}

fn change(old: &[(&str, &str)], new: &[(&str, &str)]) -> Change {
    let set = |files: &[(&str, &str)]| files.iter().map(|(name, line)| file(name, line)).collect::<Vec<_>>();
    Change::Known(DeltaSummary::of(&Delta::between(&set(old), &set(new)), loaded_by(&engine())))
}

fn added(name: &str, line: &str) -> Change {
    change(&[], &[(name, line)])
}

fn removed(name: &str, line: &str) -> Change {
    change(&[(name, line)], &[])
}

fn plan(record: &RecordSummary, change: &Change) -> RescanPlan {
    plan_rescan(record, NOW, &engine(), change)
}

const NOTHING: RescanPlan = RescanPlan::Unaffected(Unaffected::NothingMatches);

fn md5(digest: &LayerDigest) -> String {
    hex::encode(digest.md5)
}

#[test]
fn a_digest_concerns_the_records_that_have_such_a_layer() {
    let other = "f".repeat(32);
    for (line, expected) in [
        (format!("{}:68:A", md5(&LAYER)), RescanPlan::DeltaScan),
        (format!("{}:*:A:73", md5(&LAYER)), RescanPlan::DeltaScan),
        (format!("{}:68:A", hex::encode(LAYER.sha1)), RescanPlan::DeltaScan),
        (format!("{}:68:A", hex::encode(LAYER.sha256).to_uppercase()), RescanPlan::DeltaScan),
        (format!("{}:69:A", md5(&LAYER)), NOTHING),
        (format!("{other}:68:A"), NOTHING),
    ] {
        for extension in ["hdb", "hsb"] {
            assert_eq!(plan(&clean(), &added(&format!("daily.{extension}"), &line)), expected, "{line}");
        }
        assert_eq!(plan(&clean(), &added("daily.hdu", &line)), NOTHING, "nobody looks for it");
    }
    let unknown = with(|view| view.layers = None);
    assert_eq!(plan(&unknown, &added("daily.hdb", &format!("{other}:1:A"))), RescanPlan::DeltaScan, "layers absent");
}

#[test]
fn a_pattern_concerns_the_records_whose_matchers_ran() {
    for (name, line, expected) in [
        ("daily.ndb", "A:1:*:00ff", RescanPlan::DeltaScan),
        ("daily.ndb", "A:6:*:00ff", NOTHING),
        ("daily.ndb", "A:0:*:00ff", RescanPlan::DeltaScan),
        ("daily.ndu", "A:1:*:00ff", NOTHING),
        ("daily.ldb", "A;Engine:51-255,Target:1;0;00ff", RescanPlan::DeltaScan),
        ("daily.ldb", "A;Engine:51-255,Target:10;0;00ff", NOTHING),
        ("daily.ldb", "A;Engine:217-255,Target:1;0;00ff", NOTHING),
        ("daily.ldu", "A;Engine:51-255,Target:1;0;00ff", NOTHING),
        ("daily.mdb", "68:00112233445566778899aabbccddeeff:A", RescanPlan::DeltaScan),
        ("daily.cdb", "A:CL_TYPE_ZIP:*:x:*:*:*:1:*:*", RescanPlan::DeltaScan),
        ("daily.pdb", "H:example.com", NOTHING),
        ("own.yar", "rule a { condition: true }", RescanPlan::DeltaScan),
        ("own.db", "A=00ff", RescanPlan::DeltaScan),
    ] {
        assert_eq!(plan(&clean(), &added(name, line)), expected, "{name}: {line}");
    }
    let text = with(|view| view.targets = Targets::from_bits(1 << 7 | 1));
    let import = |name: &str| format!("00112233445566778899aabbccddeeff:68:{name}");
    let more =
        change(&[("daily.imp", &import("A"))], &[("daily.imp", &format!("{}\n01{}", import("A"), &import("B")[2..]))]);
    assert_eq!(plan(&clean(), &more), RescanPlan::DeltaScan);
    for first in [added("daily.imp", &import("A")), removed("daily.imp", &import("A"))] {
        assert_eq!(
            plan(&clean(), &first),
            RescanPlan::FullScan(FullScan::Context),
            "more is unpacked of some, or less"
        );
        assert_eq!(plan(&text, &first), NOTHING);
    }
    assert_eq!(plan(&text, &added("daily.mdb", "68:00112233445566778899aabbccddeeff:A")), NOTHING);
    for target in [3, 4, 7, 14] {
        let page = with(|view| view.targets = Targets::of(target));
        assert_eq!(plan(&page, &added("daily.pdb", "H:example.com")), RescanPlan::DeltaScan);
        for hashes in [added("daily.gdb", "S:W:00"), removed("daily.gdb", "S:W:00"), added("a.pdb", "S1:F:00")] {
            assert_eq!(plan(&page, &hashes), RescanPlan::FullScan(FullScan::Context), "one may take back another");
            assert_eq!(plan(&clean(), &hashes), NOTHING);
        }
    }
    let link = infected(&["Heuristics.Phishing.Email.SpoofedDomain"]);
    let renamed = plan(&link, &added("daily.pdb", "H:example.com"));
    assert_eq!(renamed, RescanPlan::FullScan(FullScan::SignatureRemoved), "one of several names of a link is reported");
    let unreported = with(|view| view.targets = Targets::NONE);
    assert_eq!(plan(&unreported, &added("daily.ndb", "A:6:*:00ff")), RescanPlan::DeltaScan, "nobody knows what ran");
}

#[test]
fn what_is_gone_heals_only_what_it_convicted() {
    for (name, line) in [
        ("daily.hdb", "00112233445566778899aabbccddeeff:68:A"),
        ("daily.mdb", "68:00112233445566778899aabbccddeeff:A"),
        ("daily.ndb", "A:6:*:00ff"),
        ("daily.ldb", "A;Target:1;0;00ff"),
        ("daily.cdb", "A:CL_TYPE_ZIP:*:x:*:*:*:1:*:*"),
    ] {
        let gone = removed(name, line);
        assert_eq!(plan(&clean(), &gone), NOTHING);
        let healing = RescanPlan::FullScan(FullScan::SignatureRemoved);
        assert_eq!(plan(&infected(&["A"]), &gone), healing, "{name}");
        assert_eq!(plan(&infected(&["A.UNOFFICIAL"]), &gone), healing, "{name}");
        let standing = RescanPlan::Unaffected(Unaffected::StillInfected);
        assert_eq!(plan(&infected(&["B"]), &gone), standing);
        assert_eq!(plan(&infected(&["A", "B"]), &gone), standing, "the other stands");
    }
    let healing = RescanPlan::FullScan(FullScan::SignatureRemoved);
    assert_eq!(plan(&infected(&[]), &removed("daily.ndb", "A:6:*:00")), healing, "nobody knows what convicted it");
    assert_eq!(plan(&infected(&["Heuristics.Phishing.Email"]), &removed("daily.pdb", "H:example.com")), healing);
    let safebrowsing = ["Heuristics.Safebrowsing.Suspected-phishing_safebrowsing.clamav.net"];
    assert_eq!(plan(&infected(&safebrowsing), &removed("daily.gdb", "S:P:00")), healing);
    let fewer_rules = removed("own.yar", "rule a { condition: true }");
    assert_eq!(plan(&infected(&["YARA.a.UNOFFICIAL"]), &fewer_rules), healing);
    assert_eq!(plan(&clean(), &fewer_rules), RescanPlan::DeltaScan, "a rule of the same name may take its place");
    let replaced = change(&[("daily.ndb", "A:1:*:00")], &[("daily.ndb", "A:1:*:01")]);
    assert_eq!(plan(&infected(&["A"]), &replaced), healing, "another signature has its name");
}

#[test]
fn a_name_is_compared_as_libclamav_reports_it() {
    let healing = RescanPlan::FullScan(FullScan::SignatureRemoved);
    for (line, alert) in [
        ("A ", "A "),
        ("A ", "A .UNOFFICIAL"),
        ("A (Clam)", "A.UNOFFICIAL"),
        ("A (Clam) B", "A"),
        ("A.UNOFFICIAL", "A.UNOFFICIAL"),
        ("A.UNOFFICIAL", "A.UNOFFICIAL.UNOFFICIAL"),
    ] {
        let gone = removed("daily.hdb", &format!("00112233445566778899aabbccddeeff:68:{line}"));
        assert_eq!(plan(&infected(&[alert]), &gone), healing, "{line:?} {alert:?}");
    }
}

#[test]
fn of_digests_with_several_lines_the_name_that_is_reported_may_change() {
    let (first, last) = (format!("{}:68:A", md5(&LAYER)), format!("{}:68:B", md5(&LAYER)));
    let both = |one: &str, other: &str| format!("{one}\n{other}");
    let healing = RescanPlan::FullScan(FullScan::SignatureRemoved);
    let standing = RescanPlan::Unaffected(Unaffected::StillInfected);
    let swapped = change(&[("own.hdb", &both(&first, &last))], &[("own.hdb", &both(&last, &first))]);
    assert_eq!(plan(&infected(&["B"]), &swapped), healing);
    assert_eq!(plan(&clean(), &swapped), NOTHING);
    assert_eq!(plan(&infected(&["B"]), &added("own.hdb", &first)), healing, "it may be reported by another name");
    let elsewhere = added("own.hdb", &format!("{}:68:A", "f".repeat(32)));
    assert_eq!(plan(&infected(&["B"]), &elsewhere), standing);
    let ambiguous = RescanPlan::FullScan(FullScan::Ambiguous);
    assert_eq!(plan(&clean(), &added("own.hdb", &both(&first, &last))), ambiguous);
    let renamed = change(&[("own.a.hdb", &first)], &[("own.z.hdb", &first)]);
    assert_eq!(plan(&infected(&["B"]), &renamed), healing, "another may be loaded before it now");

    let section = |name: &str| format!("68:00112233445566778899aabbccddeeff:{name}");
    let sections = both(&section("A"), &section("B"));
    assert_eq!(plan(&clean(), &added("own.mdb", &sections)), ambiguous);
    assert_eq!(plan(&clean(), &added("own.mdb", &section("A"))), RescanPlan::DeltaScan);
    assert_eq!(plan(&infected(&["B"]), &added("own.mdb", &section("A"))), healing);
    let text = with(|view| {
        view.targets = Targets::from_bits(1 << 7 | 1);
        view.verdict = Verdict::Infected { signatures: vec!["B".into()] };
    });
    assert_eq!(plan(&text, &added("own.mdb", &sections)), standing);
}

#[test]
fn what_libclamav_reads_otherwise_than_line_by_line_concerns_every_record() {
    let long = |start: &str| format!("{start}{}", "61".repeat(4100));
    for line in [long("#"), long("A:6:*:"), "A:6:*:00\0:1".to_owned()] {
        assert_eq!(plan(&clean(), &added("own.ndb", &line)), RescanPlan::FullScan(FullScan::Context));
    }
}

#[test]
fn what_is_ignored_is_gone_and_what_is_no_longer_ignored_is_new() {
    let signature = ("daily.ndb", "A:1:*:00ff");
    let ignoring = [signature, ("own.ign2", "A")];
    let ignored = change(&[signature], &ignoring);
    assert_eq!(plan(&infected(&["A"]), &ignored), RescanPlan::FullScan(FullScan::SignatureRemoved));
    assert_eq!(plan(&clean(), &ignored), NOTHING);
    assert_eq!(plan(&clean(), &change(&ignoring, &[signature])), RescanPlan::DeltaScan);
    // Whether a list reaches a signature depends on which is loaded first.
    assert_eq!(plan(&clean(), &change(&[], &ignoring)), RescanPlan::FullScan(FullScan::Context));
    // Only a parser of rules could say what the name means.
    let rules = ("own.yar", "rule a { condition: true }");
    let unknown = change(&[rules], &[rules, ("own.ign2", "a")]);
    assert_eq!(plan(&clean(), &unknown), RescanPlan::FullScan(FullScan::Context));
}

#[test]
fn trust_concerns_the_records_that_have_such_a_layer() {
    for line in [format!("{}:68:T", md5(&LAYER)), format!("{}:*:T", hex::encode(LAYER.sha256))] {
        for trust in [added("own.fp", &line), removed("daily.sfp", &line)] {
            for record in [clean(), infected(&["A"]), of(Verdict::Unscannable { reason: Reason::Encrypted })] {
                assert_eq!(plan(&record, &trust), RescanPlan::FullScan(FullScan::Trust));
            }
        }
    }
    let line = format!("{}:68:T", "f".repeat(32));
    let other = added("own.fp", &line);
    assert_eq!(plan(&clean(), &other), NOTHING);
    assert_eq!(plan(&with(|view| view.layers = None), &other), RescanPlan::FullScan(FullScan::Trust));
    let withdrawn = removed("own.fp", &line);
    assert_eq!(plan(&clean(), &withdrawn), RescanPlan::FullScan(FullScan::Trust), "no record says what was trusted");
}

#[test]
fn content_that_is_known_by_its_md5_alone_may_have_any_other_digest_that_is_trusted() {
    let around = LayerDigest { size: 9, md5: [7; 16], sha1: [0; 20], sha256: [0; 32] };
    let record = with(|view| view.layers = Some(vec![LAYER, around]));
    let sha256 = format!("{}:9:T", "f".repeat(64));
    for trust in [added("own.fp", &format!("{}:9:T", md5(&around))), added("own.sfp", &sha256)] {
        assert_eq!(plan(&record, &trust), RescanPlan::FullScan(FullScan::Trust));
    }
    assert_eq!(plan(&clean(), &added("own.sfp", &sha256)), NOTHING);
    assert_eq!(plan(&record, &added("own.fp", &format!("{}:9:T", "f".repeat(32)))), NOTHING);
    // No digest of a virus is compared with it.
    for none in [sha256, format!("{}:9:T", "0".repeat(64))] {
        assert_eq!(plan(&record, &added("own.hsb", &none)), NOTHING);
    }
}

#[test]
fn what_steers_the_engine_concerns_every_record() {
    for name in
        ["a.sdb", "a.ftm", "a.cfg", "a.crb", "a.pwdb", "a.cat", "a.idb", "1.cbc", "a.ign", "a.ioc", "a.surprise"]
    {
        for change in [added(name, "x"), removed(name, "x")] {
            for record in [clean(), infected(&["A"])] {
                assert_eq!(plan(&record, &change), RescanPlan::FullScan(FullScan::Context), "{name}");
            }
        }
    }
}

#[test]
fn what_could_not_be_scanned_follows_its_reason() {
    let digest = added("daily.hdb", &format!("{}:68:A", md5(&LAYER)));
    let elsewhere = added("daily.ndb", "A:6:*:00ff");
    for &reason in Reason::ALL {
        let record = of(Verdict::Unscannable { reason });
        let (hit, miss) = (plan(&record, &digest), plan(&record, &elsewhere));
        let expected = match reason {
            Reason::TooLarge | Reason::Archived | Reason::CustomerKey => {
                (RescanPlan::Unaffected(Unaffected::NeverScanned), RescanPlan::Unaffected(Unaffected::NeverScanned))
            }
            _ if reason.is_transient() => {
                (RescanPlan::FullScan(FullScan::RetryTransient), RescanPlan::FullScan(FullScan::RetryTransient))
            }
            _ => (RescanPlan::FullScan(FullScan::Unscannable), NOTHING),
        };
        assert_eq!((hit, miss), expected, "{reason}");
        let regex = removed("daily.ldb", "A;Engine:51-255,Target:6;0&1;00ff;0/a+/");
        let may_have_failed = matches!(reason, Reason::EngineError | Reason::EngineLimit | Reason::TimeLimit);
        assert_eq!(plan(&record, &regex), if may_have_failed { expected.0 } else { miss }, "{reason}");
    }
}

#[test]
fn where_the_proof_has_a_gap_everything_is_scanned_again() {
    let nothing = Change::Known(DeltaSummary::default());
    let other = EngineVersion { version: "1.5.0".into(), functionality_level: FunctionalityLevel(216) };
    assert_eq!(plan_rescan(&clean(), NOW, &other, &nothing), RescanPlan::FullScan(FullScan::Engine));
    let other = EngineVersion { functionality_level: FunctionalityLevel(220), ..engine() };
    assert_eq!(plan_rescan(&clean(), NOW, &other, &nothing), RescanPlan::FullScan(FullScan::Engine));
    let unknown = RecordSummary { view: None, ..clean() };
    assert_eq!(plan(&unknown, &nothing), RescanPlan::FullScan(FullScan::UnknownRecord));
    assert_eq!(plan(&clean(), &Change::NotKept), RescanPlan::FullScan(FullScan::DeltaNotKept));
    assert_eq!(plan(&clean(), &Change::TooLarge), RescanPlan::FullScan(FullScan::DeltaTooLarge));
    assert_eq!(plan(&clean(), &nothing), NOTHING);
    assert_eq!(plan_rescan(&clean(), Generation(1), &engine(), &Change::NotKept), RescanPlan::UpToDate);
}

proptest! {
    /// More changed never means less to do.
    #[test]
    fn a_plan_is_one_answer_and_more_changes_never_make_it_less_careful(
        targets in 0_u16..1 << 15, has_layers: bool, is_infected: bool, lines in prop::collection::vec((0_usize..4, 0_u8..15), 0..6),
    ) {
        let mut record = if is_infected { infected(&["S.1"]) } else { clean() };
        record.object = ObjectId::new("bucket", "key", None);
        let view = record.view.as_mut().expect("it has one");
        view.targets = Targets::from_bits(targets);
        if !has_layers {
            view.layers = None;
        }
        let files: Vec<SignatureFile<'static>> = lines.iter().enumerate().map(|(n, (kind, number))| match kind {
            0 => file(&format!("{n}.ndb"), &format!("S.{number}:{number}:*:00ff")),
            1 => file(&format!("{n}.hdb"), &format!("{number:032x}:1:S.{number}")),
            2 => file(&format!("{n}.fp"), &format!("{number:032x}:1:S.{number}")),
            _ => file(&format!("{n}.ftm"), "x"),
        }).collect();
        let rank = |plan: RescanPlan| match plan {
            RescanPlan::UpToDate | RescanPlan::Unreported => 0,
            RescanPlan::Unaffected(_) => 1,
            RescanPlan::DeltaScan => 2,
            RescanPlan::FullScan(_) => 3,
        };
        let mut least = 0;
        for count in 0..=files.len() {
            let summary = DeltaSummary::of(&Delta::between(&[], &files[..count]), loaded_by(&engine()));
            let change = Change::Known(summary);
            let answer = plan(&record, &change);
            prop_assert_eq!(answer, plan(&record, &change));
            prop_assert!(rank(answer) >= least, "{answer:?}");
            least = rank(answer);
            prop_assert_eq!(plan_rescan(&record, record.generation, &engine(), &change), RescanPlan::UpToDate, "nothing is planned twice");
        }
    }
}

#[test]
fn a_record_is_renewed_while_all_that_may_be_concluded_from_it_later_is_as_true() {
    let advanced = |record: &RecordSummary, change: &Change| {
        let plan = plan_rescan(record, NOW, &engine(), change);
        may_advance_generation(record, plan, change)
    };
    let elsewhere = added("a.ndb", "B:6:*:00ff");
    assert!(advanced(&clean(), &elsewhere));
    assert!(!advanced(&clean(), &added("a.ndb", "B:1:*:00ff")), "it needs a scan");
    assert!(!advanced(&clean(), &Change::NotKept) && !advanced(&clean(), &Change::TooLarge));
    assert!(advanced(&infected(&["A", "B"]), &elsewhere));
    // The record would name A for ever, and the removal of B would not end the conviction.
    let gone = removed("a.ndb", "A:0:*:00ff");
    let both = infected(&["A", "B"]);
    let plan = plan_rescan(&both, NOW, &engine(), &gone);
    assert_eq!(plan, RescanPlan::Unaffected(Unaffected::StillInfected));
    assert!(!advanced(&both, &gone));
    assert!(!advanced(&infected(&["A"]), &gone), "it needs a scan");
    let unseen = of(Verdict::Skipped { reason: Reason::TooLarge });
    assert!(!advanced(&unseen, &elsewhere), "what changed is no matter to it, and need not be known");
}
