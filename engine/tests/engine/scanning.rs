//! What a scan sees.

use nacre_core::verdict::{Verdict, judge};
use nacre_engine_protocol::Limits;
use sha1::Sha1;
use sha2::{Digest, Sha256};

use crate::driver::{Engine, TEST_FILES_SIGNATURE, eicar, hdb, ndb, test_files, zip};

#[test]
fn eicar_is_found_by_hash_and_by_body_however_deep() {
    let signatures = [("a.hdb", &*hdb("By.Hash", &eicar())), ("b.ndb", &*ndb("By.Body", &eicar()))];
    let mut engine = Engine::with(&signatures);
    let nested = zip(&[("inner.zip", &zip(&[("eicar.com", &eicar())]))]);
    for content in [eicar(), nested] {
        let report = engine.scan(&content);
        assert_eq!(report.status, 1);
        assert_eq!(report.alerts, ["By.Body.UNOFFICIAL", "By.Hash.UNOFFICIAL"]);
        assert!(report.messages.is_empty(), "{:?}", report.messages);
    }
}

#[test]
fn a_clean_file_is_clean_and_read_whole() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let content = b"nothing to see here\n".repeat(50_000);
    let report = engine.scan(&content);
    assert_eq!((report.status, report.alerts.len()), (0, 0));
    assert!(report.limits_exceeded.is_empty() && report.encrypted.is_empty() && report.messages.is_empty());
    assert!(report.bytes_scanned >= content.len() as u64 / 4096 * 4096, "{}", report.bytes_scanned);
    assert_eq!(report.layers[0].size, content.len() as u64);
}

/// libclamav's own bounds for these matchers are 20 MiB of text, 40 MiB of HTML and 100 MiB for expressions.
#[test]
fn padding_past_the_bounds_of_single_matchers_hides_nothing() {
    let body = hex::encode("the marker of this test");
    let signatures = [
        ("a.ndb", format!("By.Text:7:*:{body}\nBy.Html:3:*:{body}\n")),
        (
            "b.ldb",
            "By.Expression;Engine:81-255,Target:0;1;746865206d61726b6572;0/the marker of [a-z]+ test/\n".to_owned(),
        ),
    ];
    let mut engine = Engine::with(&signatures.each_ref().map(|(name, lines)| (*name, lines.as_str())));
    let padded = |start: &str, padding: &str, bytes: usize| {
        [start.as_bytes(), &padding.as_bytes().repeat(bytes / padding.len()), b"\nthe marker of this test\n"].concat()
    };
    let limits = Limits { max_scan_time_ms: 300_000, ..Limits::default() };
    for (name, content) in [
        ("By.Text.UNOFFICIAL", padded("", "just some words in a row\n", 22 << 20)),
        ("By.Html.UNOFFICIAL", padded("<html><body>", "<p>words</p>\n", 42 << 20)),
        ("By.Expression.UNOFFICIAL", padded("", "just some words in a row\n", 101 << 20)),
    ] {
        let report = engine.scan_within(&content, limits);
        assert!(report.alerts.iter().any(|alert| alert == name), "{name}: {:?} {}", report.alerts, report.targets);
    }
}

#[test]
fn every_test_file_is_detected() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    for file in test_files() {
        let report = engine.scan(&std::fs::read(&file).unwrap());
        assert_eq!(report.alerts, ["ClamAV-Test-File.UNOFFICIAL"], "{}", file.display());
        assert_eq!(report.layer_count, report.layers.len() as u64);
    }
}

#[test]
fn targets_are_those_whose_matchers_ran() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    assert_eq!(engine.scan(b"just some words in a row\n").targets, 1 | 1 << 7);
    assert_eq!(engine.scan(b"<html><body><p>words</p></body></html>\n").targets & 0b1001, 0b1001);
    assert_eq!(engine.scan(&zip(&[("a.txt", b"just some words in a row\n")])).targets, 1 | 1 << 7);
    if let Some(program) = test_files().into_iter().find(|file| file.ends_with("clam.exe")) {
        assert_eq!(engine.scan(&std::fs::read(program).unwrap()).targets, 1 | 1 << 1);
    }
}

#[test]
fn layers_of_a_zip_are_the_zip_and_its_members() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let member = b"just some words in a row, and some more\n".repeat(10);
    let archive = zip(&[("a.txt", &member)]);
    let report = engine.scan(&archive);
    let outer = &report.layers[0];
    assert_eq!((&*outer.file_type, outer.size, outer.depth), ("CL_TYPE_ZIP", archive.len() as u64, 0));
    assert_eq!(outer.sha256, hex::encode(Sha256::digest(&archive)));
    let inner = &report.layers[1];
    assert_eq!((inner.size, inner.depth), (member.len() as u64, 1));
    assert_eq!(inner.md5, hex::encode(md5::Md5::digest(&member)));
    assert_eq!(inner.sha1, hex::encode(Sha1::digest(&member)));
    assert_eq!(inner.sha256, hex::encode(Sha256::digest(&member)));
}

/// A digest matches what libclamav makes of a layer, too, and one that is trusted there takes back what matches: a record without
/// these would be left alone when such a signature comes.
#[test]
fn derived_contents_of_pages_and_text_are_reported_as_they_are_matched() {
    let page = b"<html><body><p>Words, <!-- hidden --> and More.</p><script>var answer = 42;</script></body></html>\n";
    let text = b"Just some WORDS   in a row\n".repeat(3);
    let mut plain = Engine::with(&[TEST_FILES_SIGNATURE]);
    for content in [&page[..], &text] {
        let derived = plain.scan(content).derived;
        assert!(!derived.is_empty(), "{}", String::from_utf8_lossy(content));
        let digests = derived.iter().enumerate().map(|(n, of)| format!("{}:{}:Made.{n}\n", of.sha256, of.size));
        let report = Engine::with(&[("a.hsb", &digests.collect::<String>())]).scan(content);
        assert_eq!((report.alerts.len(), report.unread), (derived.len(), 0), "{:?}", report.alerts);
        assert_eq!(report.derived, derived, "whatever is loaded");
    }
}

#[test]
fn the_same_file_twice_gives_the_same_layers_and_targets() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let archive = zip(&[("a.txt", b"just some words in a row\n")]);
    let (once, twice) = (engine.scan(&archive), engine.scan(&archive));
    assert_eq!((once.layers, once.targets), (twice.layers, twice.targets));
}

#[test]
fn an_exceeded_limit_is_reported() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let members: Vec<_> = (0..20).map(|n| format!("{n}.txt")).collect();
    let members: Vec<(&str, &[u8])> = members.iter().map(|name| (&**name, &b"just some words\n"[..])).collect();
    let (many, deep) = (zip(&members), (0..5).fold(eicar(), |content, _| zip(&[("inner", &content)])));
    let large = b"just some words\n".repeat(100_000);
    let usual = Limits::default();
    let cases = [
        (&many, Limits { max_files: 5, ..usual }, "MaxFiles"),
        (&deep, Limits { max_recursion: 2, ..usual }, "MaxRecursion"),
        (&large, Limits { max_file_size: 1000, ..usual }, "MaxFileSize"),
        (&zip(&[("large", &large)]), Limits { max_scan_size: 100_000, ..usual }, "MaxScanSize"),
    ];
    for (content, limits, name) in cases {
        let report = engine.scan_within(content, limits);
        assert!(report.limits_exceeded.iter().any(|limit| limit.ends_with(name)), "{name}: {report:?}");
        assert!(report.alerts.is_empty());
    }
    let report = engine.scan(&many);
    assert!(report.limits_exceeded.is_empty(), "limits of one scan reached the next: {report:?}");
}

#[test]
fn encryption_is_reported() {
    /// `zip -P secret` of 30 bytes of text.
    const ENCRYPTED: &str = "504b03040a00090000002d0d775d911c030a2a0000001e00000005001c00732e7478745554090003c599036b6997036b75780b0001040000000004000000006d7373f70f03656994c2e80292820211604f0a51bfa27ed56bf89d28644add50ee29e8af98216acd9f38504b0708911c030a2a0000001e000000504b01021e030a00090000002d0d775d911c030a2a0000001e000000050018000000000001000000a48100000000732e7478745554050003c599036b75780b000104000000000400000000504b050600000000010001004b000000790000000000";
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    let report = engine.scan(&hex::decode(ENCRYPTED).unwrap());
    assert_eq!(report.encrypted, ["Heuristics.Encrypted.Zip"]);
    assert!(report.alerts.is_empty());
}

#[test]
fn a_trusted_layer_does_not_silence_the_others() {
    let trusted = eicar();
    let mut engine = Engine::with(&[("a.ndb", &ndb("By.Body", &eicar())), ("a.fp", &hdb("Trusted", &trusted))]);
    assert!(engine.scan(&trusted).alerts.is_empty());
    let other = [&trusted[..], b" and more"].concat();
    assert_eq!(engine.scan(&other).alerts, ["By.Body.UNOFFICIAL"]);
}

/// libclamav takes back every match on such a file, and that is no sign of a file that was not matched on.
#[test]
fn a_trusted_object_of_any_type_is_clean() {
    let text = [&eicar()[..], b" in a text"].concat();
    let archive = zip(&[("eicar.com", &eicar()), ("words.txt", b"some words")]);
    let document = [&b"%PDF-1.4\n"[..], &eicar()].concat();
    let objects = [text, archive, document];
    let trust = objects.each_ref().map(|object| hdb("Trusted", object)).concat();
    let mut engine = Engine::with(&[("a.ndb", &ndb("By.Body", &eicar())), ("a.fp", &trust)]);
    for object in &objects {
        let report = engine.scan(object);
        assert_eq!(judge(&report, object.len() as u64, false), Verdict::Clean, "{report:?}");
        let other = [&object[..], b" and more"].concat();
        let report = engine.scan(&other);
        assert_eq!(report.alerts, ["By.Body.UNOFFICIAL"], "{report:?}");
    }
}
