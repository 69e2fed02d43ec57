//! Pairs of sets that once misled an incremental rescan, and their siblings: each by name, both ways.

mod mistaken;
mod programs;
mod tables;
mod twins;
mod unseen;

use std::{fs, path::Path, process::Command};

use nacre_clamav::{
    archive::ArchiveLimits, builder::CvdBuilder, cvd::Cvd, database::DatabaseName, signing::SigningKeys,
};
use nacre_core::{
    generation::{engine_form::engine_form, manifest::DatabaseEntry},
    telemetry::error_chain,
};
use nacre_engine_client::{
    EnginePool,
    equivalence::{EquivalenceCheck, SignatureSet},
};
use nacre_test_support::programs_directory;
use sha2::{Digest, Sha256};
use tokio::runtime::Runtime;

/// A text that the signatures here find.
const TEXT: &[u8] = b"this is a plain little file with MALWARE_MARKER_ONE inside of it, enough text\n";
/// A page whose text a logical signature for HTML finds.
const PAGE: &[u8] =
    b"<!DOCTYPE html><html><head><title>Title</title></head><body><p>Some More Text of a page.</p></body></html>\n";
/// What [`TEXT`] is found by.
const MARKER: &str = "4d414c574152455f4d41524b45525f4f4e45";
const FILLER: &str = "Filler:0:*:00112233445566778899aabbccddeeff\n";

type Files = Vec<(String, Vec<u8>)>;

/// A pair of sets and a file.
struct Case {
    name: &'static str,
    old: Files,
    new: Files,
    object: Vec<u8>,
}

fn loose(files: &[(&str, &str)]) -> Files {
    let filler = ("filler.ndb".to_owned(), FILLER.as_bytes().to_vec());
    let files = files.iter().map(|(name, text)| ((*name).to_owned(), text.as_bytes().to_vec()));
    files.chain([filler]).collect()
}

fn case(name: &'static str, old: &[(&str, &str)], new: &[(&str, &str)], object: &[u8]) -> Case {
    Case { name, old: loose(old), new: loose(new), object: object.to_vec() }
}

/// A database as an engine gets one that others than ClamAV signed; `patched` says whether from a CLD.
fn database(name: &str, members: &[(&str, &str)], patched: bool) -> (String, Vec<u8>) {
    let keys = SigningKeys::fixed();
    let builder = members.iter().fold(CvdBuilder::new(name), |builder, (member, text)| builder.member(member, *text));
    let cvd = builder.build(keys);
    let name = DatabaseName::new(name).unwrap();
    let verified = Cvd::parse(&cvd).unwrap().verify(&name, &keys.trust_anchors(), ArchiveLimits::default()).unwrap();
    let file = if patched { builder.build_cld(keys) } else { cvd.clone() };
    let (file_name, bytes) = engine_form(&DatabaseEntry::of(&verified), &file, false).unwrap();
    (file_name, bytes.into_owned())
}

fn body(name: &str) -> String {
    format!("{name}:0:*:{MARKER}\n")
}

fn digest(of: &[u8], name: &str) -> String {
    format!("{}:{}:{name}\n", hex::encode(Sha256::digest(of)), of.len())
}

fn rule(name: &str, text: &str) -> String {
    format!("rule {name} {{ strings: $a = \"{text}\" condition: $a }}\n")
}

/// What an `ign2` means (A1 to A4).
fn ignoring() -> Vec<Case> {
    let (md5, empty) = (super::incremental::genes::md5_hex, "d41d8cd98f00b204e9800998ecf8427e");
    let (own, line) = (body("Win.Test.A"), body("Win.Test.A").trim_end().to_owned());
    let both = format!("{own}Some.Very.Long.Name-1:0:*:00112233445566778899aabbccddeeff\n");
    let cdb = "C.One:CL_TYPE_ZIP:*:^inner\\.txt$:*:*:*:*:*:*\n";
    let zip = {
        let mut zip = zip::ZipWriter::new(std::io::Cursor::new(Vec::new()));
        zip.start_file("inner.txt", zip::write::SimpleFileOptions::default()).unwrap();
        std::io::Write::write_all(&mut zip, TEXT).unwrap();
        zip.finish().unwrap().into_inner()
    };
    let normal = |name: &str| format!("{name}:0:*:{MARKER}\n");
    let of = |ign2: &str, signatures: &str| loose(&[("own.ign2", ign2), ("own.ndb", signatures)]);
    let pair = |name, old: &str, new: &str, signatures: &str| Case {
        name,
        old: of(old, signatures),
        new: of(new, signatures),
        object: TEXT.to_vec(),
    };
    let by_md5 = format!("Win.Test.A:{}\n", md5(line.as_bytes()));
    vec![
        pair(
            "a name with an MD5 before a name",
            "Win.Test.A\n",
            &format!("Some.Very.Long.Name-1:{empty}\nWin.Test.A\n"),
            &both,
        ),
        pair(
            "a name with an MD5 after a name",
            "Win.Test.A\n",
            &format!("Win.Test.A\nSome.Very.Long.Name-1:{empty}\n"),
            &both,
        ),
        pair("a name by its MD5", &by_md5, "Other\n", &own),
        pair("a name by two MD5s", &by_md5, &format!("{by_md5}Win.Test.A:{empty}\n"), &own),
        pair("a line of the old form", "Other.Thing\nown.ndb:1:Win.Test.A\n", "Other.Thing\n", &own),
        pair("a name with .UNOFFICIAL", "Win.Test.A\n", "Other.Thing\n", &normal("Win.Test.A.UNOFFICIAL")),
        pair("a name with a part in braces", "Win.Test.A\n", "Other.Thing\n", &normal("Win.Test.A.{One}")),
        pair("a name of two bytes", "Ab\n", "Other.Thing\n", &normal("Ab")),
        pair("a name with a blank", "Win.Test.A \n", "Win.Test.A\n", &own),
        case(
            "an old list with plain names",
            &[("own.ign", "Win.Test.A\n"), ("own.ndb", &own)],
            &[("own.ndb", &own)],
            TEXT,
        ),
        Case {
            name: "metadata by the MD5 of its name",
            old: loose(&[("own.ign2", &format!("C.One:{}\n", md5(b"C.One"))), ("own.cdb", cdb)]),
            new: loose(&[("own.ign2", "Other\n"), ("own.cdb", cdb)]),
            object: zip,
        },
    ]
}

/// What is reached depends on the order of loading (A5, A7).
fn order() -> Vec<Case> {
    let (hsb, trusted) = (digest(TEXT, "H.One"), digest(TEXT, "T.One"));
    let daily = |patched| database("daily", &[("daily.ign2", "H.One\n"), ("daily.hsb", &hsb)], patched);
    let with = |files: &[(String, Vec<u8>)], more: &[(&str, &str)]| [files.to_vec(), loose(more)].concat();
    // `main`'s list is loaded after `daily`: it does not reach what `daily` trusts.
    let trusting =
        [database("daily", &[("daily.sfp", &trusted)], false), database("main", &[("main.ign2", "T.One\n")], false)];
    let ignoring = |of: &str, list: &str| database(of, &[(&format!("{of}.ign2"), list)], false);
    let late = |list: &str| vec![database("daily", &[("daily.hsb", &hsb)], false), ignoring("main", list)];
    vec![
        Case {
            name: "a CVD becomes a CLD",
            old: with(&[daily(false)], &[]),
            new: with(&[daily(true)], &[]),
            object: TEXT.to_vec(),
        },
        Case {
            name: "a list that does not reach what is trusted",
            old: with(&trusting, &[]),
            new: with(&trusting, &[("own.ndb", &body("N.One"))]),
            object: TEXT.to_vec(),
        },
        Case {
            name: "a list of a later database",
            old: with(&late("Other\n"), &[]),
            new: with(&late("H.One\n"), &[]),
            object: TEXT.to_vec(),
        },
        Case {
            name: "a list that moves to a later database",
            old: with(
                &[
                    database("daily", &[("daily.ign2", "H.One\n"), ("daily.hsb", &hsb)], false),
                    ignoring("main", "Other\n"),
                ],
                &[],
            ),
            new: with(
                &[
                    database("daily", &[("daily.ign2", "Other\n"), ("daily.hsb", &hsb)], false),
                    ignoring("main", "H.One\n"),
                ],
                &[],
            ),
            object: TEXT.to_vec(),
        },
        case(
            "a rule takes the place of another file's",
            &[("a.yar", &rule("b", "nope_nope_nope")), ("b.yar", &rule("b", "MALWARE_MARKER_ONE"))],
            &[("b.yar", &rule("b", "MALWARE_MARKER_ONE"))],
            TEXT,
        ),
        case("the last rule is gone", &[("a.yar", &rule("b", "nope_nope_nope"))], &[], TEXT),
        case(
            "rules of one name in files whose order changes",
            &[("a.yar", &rule("b", "nope_nope_nope")), ("z.yar", &rule("b", "MALWARE_MARKER_ONE"))],
            &[("a.yar", &rule("b", "MALWARE_MARKER_ONE")), ("z.yar", &rule("b", "nope_nope_nope"))],
            TEXT,
        ),
        case(
            "a rule that is no longer ignored",
            &[
                ("own.ign2", "b\n"),
                ("a.yar", &rule("b", "nope_nope_nope")),
                ("b.yar", &rule("b", "MALWARE_MARKER_ONE")),
            ],
            &[("a.yar", &rule("b", "nope_nope_nope")), ("b.yar", &rule("b", "MALWARE_MARKER_ONE"))],
            TEXT,
        ),
    ]
}

/// Unrelated signatures change no count (A8): a file of several windows, with a match before the end of the first.
fn counts() -> Vec<Case> {
    let mut cases = Vec::new();
    for before_end in [24, 40, 150, 600, 3_000, 5_000] {
        let mut object: Vec<u8> =
            (0..270_000_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[1] | 0x80).collect();
        let at = 131_072 - before_end;
        object[at..at + 19].copy_from_slice(b"MARKALPHA..MARKBETA");
        let counted = |name: &str, count: &str| {
            let (alpha, beta) = (hex::encode("MARKALPHA"), hex::encode("MARKBETA"));
            format!("{name};Engine:81-255,Target:0;{count};{alpha}{{-5}}{beta}\n")
        };
        let long: Vec<u8> = (0..220_u32).map(|n| n.wrapping_mul(2_654_435_761).to_be_bytes()[0]).collect();
        let long = format!("Long:0:*:{}\n", hex::encode(long));
        let (more, once) = (counted("S.Count", "0>1"), counted("T.Once", "0=1"));
        let longest = format!("Longest;Engine:81-255,Target:0;0;{}\n", "9e2dc65c".repeat(1_900));
        // A gap of 127 bytes has five characters, and a wide text two bytes for each of its own.
        let gaps = (0..60).map(|n| format!("9e2dc6{n:02x}{{127}}")).collect::<Vec<_>>().concat();
        let (logical_gaps, extended) =
            (format!("Gaps;Engine:81-255,Target:0;0;{gaps}ff\n"), format!("Gaps:0:*:{gaps}ff\n"));
        let wide = format!("Wide;Engine:81-255,Target:0;0;{}::w\n", "9e2dc65c".repeat(800));
        let jumps = (0..60).map(|n| format!("9e 2d c6 {n:02x} [127] ")).collect::<Vec<_>>().concat();
        let gaps_rule = format!("rule gaps {{ strings: $a = {{ {jumps} fe ff }} condition: $a }}\n");
        let of = |name, old: &[(&str, &str)], new: &[(&str, &str)]| case(name, old, new, &object);
        cases.extend([
            of("a long pattern is added", &[("own.ldb", &more)], &[("own.ldb", &more), ("own.ndb", &long)]),
            of(
                "counts are added beside a long pattern",
                &[("own.ndb", &long)],
                &[("own.ldb", &(more.clone() + &once)), ("own.ndb", &long)],
            ),
            of("a pattern with gaps is added", &[("own.ldb", &more)], &[("own.ldb", &more), ("z.ldb", &logical_gaps)]),
            of(
                "counts are added beside a pattern with gaps",
                &[("own.ndb", &extended)],
                &[("own.ldb", &more), ("own.ndb", &extended)],
            ),
            of("counts are added beside a wide text", &[("z.ldb", &wide)], &[("own.ldb", &more), ("z.ldb", &wide)]),
            of("a rule with gaps is added", &[("own.ldb", &more)], &[("own.ldb", &more), ("own.yar", &gaps_rule)]),
            of(
                "counts are added beside a rule with gaps",
                &[("own.yar", &gaps_rule)],
                &[("own.ldb", &more), ("own.yar", &gaps_rule)],
            ),
            of(
                "a pattern longer than a probe is added",
                &[("own.ldb", &more)],
                &[("own.ldb", &(more.clone() + &longest))],
            ),
            of(
                "counts are added beside a pattern longer than a probe",
                &[("own.ldb", &longest)],
                &[("own.ldb", &(more.clone() + &once + &longest))],
            ),
        ]);
    }
    cases
}

/// Order and names of lines (A9 to A12).
fn lines() -> Vec<Case> {
    let page = format!("L.H;Engine:51-255,Target:3;0;{}\n", hex::encode("more text"));
    let off = "DOCUMENT:0xffffffff\nDOCUMENT:0x0\n";
    let on = "DOCUMENT:0x0\nDOCUMENT:0xffffffff\n";
    let (a, b) = (digest(TEXT, "A.One"), digest(TEXT, "B.One"));
    let wild = |name: &str| format!("{}:*:{name}:73\n", hex::encode(Sha256::digest(TEXT)));
    let blank = digest(TEXT, "Test.Sp ");
    let cut = digest(TEXT, "Test.Cut (Clam) More");
    let unofficial = digest(TEXT, "Test.UNOFFICIAL");
    let hidden = format!("#{}{}", "x".repeat(8_190), body("Hidden"));
    vec![
        case(
            "the last line of a cfg counts",
            &[("own.cfg", off), ("own.ldb", &page)],
            &[("own.cfg", on), ("own.ldb", &page)],
            PAGE,
        ),
        case(
            "cfg files that change their names",
            &[("a.cfg", "DOCUMENT:0xffffffff\n"), ("b.cfg", "DOCUMENT:0x0\n"), ("own.ldb", &page)],
            &[("a.cfg", "DOCUMENT:0x0\n"), ("b.cfg", "DOCUMENT:0xffffffff\n"), ("own.ldb", &page)],
            PAGE,
        ),
        case("a name with a blank at its end", &[("own.hsb", &blank)], &[], TEXT),
        case("a name that libclamav cuts", &[("own.hsb", &cut)], &[], TEXT),
        case("a name that ends in .UNOFFICIAL", &[("own.hsb", &unofficial)], &[], TEXT),
        case(
            "two names of a digest change places",
            &[("own.hsb", &(a.clone() + &b))],
            &[("own.hsb", &(b.clone() + &a))],
            TEXT,
        ),
        case("two names of a digest are added", &[], &[("own.hsb", &(b.clone() + &a))], TEXT),
        case("a second name of a digest is added", &[("own.hsb", &a)], &[("own.hsb", &(a.clone() + &b))], TEXT),
        case(
            "a second name of a digest, of any size",
            &[("own.hsb", &a)],
            &[("own.hsb", &(a.clone() + &wild("W.One")))],
            TEXT,
        ),
        case(
            "two names of a digest in two files",
            &[("a.hsb", &a), ("b.hsb", &b)],
            &[("a.hsb", &b), ("b.hsb", &a)],
            TEXT,
        ),
        case("the file of a digest is renamed", &[("a.hsb", &a), ("m.hsb", &b)], &[("z.hsb", &a), ("m.hsb", &b)], TEXT),
        case("a comment longer than a line", &[], &[("own.ndb", &hidden)], TEXT),
        case("an extension in upper case", &[], &[("OWN.NDB", &body("Upper"))], TEXT),
    ]
}

#[test]
fn what_once_misled_a_rescan_misleads_it_no_more() {
    let scratch = tempfile::tempdir().unwrap();
    let program = programs_directory().unwrap().join("nacre-engine");
    let pool = EnginePool::new(program, scratch.path().to_owned());
    let runtime = Runtime::new().unwrap();
    let mut differ = Vec::new();
    for case in [
        ignoring(),
        order(),
        counts(),
        lines(),
        twins::twins(),
        tables::tables(),
        programs::programs(),
        unseen::unseen(),
        mistaken::mistaken(),
    ]
    .into_iter()
    .flatten()
    {
        let (old, new, object) =
            (scratch.path().join("old"), scratch.path().join("new"), scratch.path().join("object"));
        write(&old, &case.old);
        write(&new, &case.new);
        fs::write(&object, &case.object).unwrap();
        for (from, to) in [(&old, &new), (&new, &old)] {
            let (from, to) = (SignatureSet::read(from).unwrap(), SignatureSet::read(to).unwrap());
            let compared = runtime.block_on(async {
                let check = EquivalenceCheck::new(&pool, &from, &to).await?;
                check.compare_file(&object).await
            });
            let comparison = compared.unwrap_or_else(|error| panic!("{}: {}", case.name, error_chain(&error)));
            if !comparison.agrees() {
                differ.push(format!("{}: {comparison:?}", case.name));
            }
            println!("{}: {:?}, {} to {}", case.name, comparison.plan, comparison.old.name(), comparison.full.name());
            pool.dismiss(&from.directory);
            pool.dismiss(&to.directory);
        }
    }
    assert!(differ.is_empty(), "{differ:#?}");
}

/// Only tmpfs has an order of its files that a test can choose.
#[test]
fn the_order_in_which_files_were_made_does_not_matter() {
    let Ok(scratch) = tempfile::tempdir_in("/dev/shm") else { return eprintln!("skipped: there is no tmpfs") };
    let files = [
        ("a.yar", rule("b", "nope_nope_nope")),
        ("z.yar", rule("b", "MALWARE_MARKER_ONE")),
        ("filler.ndb", FILLER.into()),
    ];
    let object = scratch.path().join("object");
    fs::write(&object, TEXT).unwrap();
    for (name, reversed) in [("one", false), ("other", true)] {
        let directory = scratch.path().join(name);
        fs::create_dir(&directory).unwrap();
        let mut files = files.clone();
        if reversed {
            files.reverse();
        }
        for (file, text) in files {
            fs::write(directory.join(file), text).unwrap();
        }
        let mut nacre = Command::new(programs_directory().unwrap().join("nacre"));
        let nacre = nacre.args(["scan", "--definitions"]).args([&directory, &object]).output().unwrap();
        assert_eq!(nacre.status.code(), Some(0), "the first rule is used: {}", String::from_utf8_lossy(&nacre.stdout));
    }
}

fn write(directory: &Path, files: &Files) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).unwrap();
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}
