//! Every layer is hashed before it is parsed, and no layer is passed over because an equal one was clean.

use std::collections::BTreeSet;

use nacre_core::verdict::{Verdict, judge};
use nacre_engine_protocol::{Limits, Report};
use tempfile::TempDir;

use crate::{
    containers::{Writer, cabinet, cpio, iso, rich_text, seven_zip, stored_zip, tar, zip},
    differential::clamscan,
    driver::{Engine, directory_of, hdb, ndb},
    fail_closed::gzip,
};

/// Writers whose members may be large.
const WRITERS: [(&str, Writer); 8] = [
    ("tar", tar),
    ("tar.gz", |members| gzip(&tar(members))),
    ("zip", zip),
    ("stored zip", stored_zip),
    ("7z", seven_zip),
    ("cabinet", cabinet),
    ("iso", iso),
    ("tar in zip", |members| zip(&[&tar(members)])),
];

/// An engine, and its definitions for clamscan.
struct Pair {
    engine: Engine,
    definitions: TempDir,
}

impl Pair {
    fn with(definitions: &[(&str, &str)]) -> Self {
        Self { engine: Engine::with(definitions), definitions: directory_of(definitions) }
    }

    /// Scans by the engine.
    fn scan(&mut self, content: &[u8]) -> (Report, Verdict) {
        let report = self.engine.scan_within(content, Limits { max_scan_time_ms: 300_000, ..Limits::default() });
        let verdict = judge(&report, content.len() as u64, false);
        (report, verdict)
    }

    /// What clamscan finds in what was scanned last, with a cache and without probes; `None` when it is not installed.
    fn clamscan(&self) -> Option<Vec<String>> {
        let found = clamscan(self.definitions.path(), &self.engine.directory.path().join("object"));
        if found.is_none() {
            println!("skipped: clamscan is not installed");
        }
        found.map(BTreeSet::into_iter).map(Iterator::collect)
    }

    /// Checks that `content` has these alerts, and that clamscan says so, too.
    fn assert_alerts(&mut self, name: &str, content: &[u8], expected: &[&str]) -> Report {
        let (report, verdict) = self.scan(content);
        let expected: Vec<_> = expected.iter().map(|alert| format!("{alert}.UNOFFICIAL")).collect();
        assert_eq!(report.alerts, expected, "{name}: {verdict:?}");
        assert_eq!(self.clamscan().unwrap_or_else(|| expected.clone()), expected, "{name}");
        report
    }
}

/// Three members that signatures know by their hashes, and two that are large.
fn members() -> [Vec<u8>; 5] {
    let member = |name: &str| format!("the {name} member, which a signature knows as a whole\n").repeat(6).into_bytes();
    let bulk = |name: &str| format!("just some words in a row, and the {name} of them\n").repeat(130_000).into_bytes();
    [member("first"), bulk("one half"), member("middle"), bulk("other half"), member("last")]
}

fn known(members: &[Vec<u8>; 5]) -> String {
    [hdb("First", &members[0]), hdb("Middle", &members[2]), hdb("Last", &members[4])].concat()
}

#[test]
fn large_containers_are_read_to_their_last_member() {
    let members = members();
    let mut pair = Pair::with(&[("a.hdb", &known(&members))]);
    let all = members.each_ref().map(Vec::as_slice);
    for (name, write) in WRITERS {
        let report = pair.assert_alerts(name, &write(&all), &["First", "Last", "Middle"]);
        for member in &all {
            assert!(report.layers.iter().any(|layer| layer.size == member.len() as u64), "{name}: {:?}", report.layers);
        }
        let (_, verdict) = pair.scan(&write(&[all[1], all[3], b"a few words at its end\n"]));
        assert_eq!(verdict, Verdict::Clean, "{name} without what is known");
    }
}

#[test]
fn a_large_rich_text_keeps_its_embedded_objects() {
    let [first, _, middle, _, last] = &members();
    let mut pair = Pair::with(&[("a.hdb", &hdb("Last", last))]);
    let report = pair.assert_alerts("three", &rich_text(&[first, middle, last]), &["Last"]);
    assert_eq!(report.layer_count, 4, "{:?}", report.layers);
    let (repeated, _) = pair.scan(&rich_text(&[first, first, first]));
    assert_eq!(repeated.layer_count, 4, "{:?}", repeated.layers);
}

/// The callback that reports layers reads them whole: pages that libclamav's reader of the cpio points to are dropped. What it then does
/// not see, the second reader does.
#[test]
fn a_large_cpio_is_read_whole() {
    let members = members();
    let mut pair = Pair::with(&[("a.hdb", &known(&members))]);
    let all = members.each_ref().map(Vec::as_slice);
    pair.scan(&cpio(&all));
    let expected = pair.clamscan().unwrap_or_default();
    let (report, _) = pair.scan(&cpio(&all));
    assert!(!report.alerts.is_empty() && expected.iter().all(|alert| report.alerts.contains(alert)), "{report:?}");
    let (_, verdict) = pair.scan(&cpio(&[all[1], all[3], all[4]]));
    assert!(matches!(verdict, Verdict::Infected { .. }), "{verdict:?}");
    let (_, verdict) = pair.scan(&cpio(&[all[1], all[3], b"a few words at its end\n"]));
    assert_eq!(verdict, Verdict::Clean);
}

/// Text of a page is matched on in lower case and without hash: only the raw text has the capitals, so that the page is not re-typed again.
#[test]
fn a_signature_with_a_handler_retypes_and_does_not_alert() {
    let retype = hex::encode("Take ME For A Page");
    let mut pair = Pair::with(&[
        ("a.ldb", &format!("Retype;Engine:81-255,Target:0,HandlerType:CL_TYPE_HTML;0;{retype}\n")),
        ("b.ndb", &format!("Page:3:*:{}\n", hex::encode("words of a page"))),
    ]);
    let retyped = pair.assert_alerts("benign", b"Take ME For A Page, and nothing else\n", &[]);
    assert_eq!((retyped.targets & 1 << 3, retyped.layer_count), (1 << 3, 2), "it was scanned as a page");
    pair.assert_alerts("not retyped", b"Take me for text, and the words of a page\n", &[]);
    let page = b"Take ME For A Page, and the words of a page\n";
    pair.assert_alerts("malicious", page, &["Page"]);
    pair.assert_alerts("a member", &zip(&[&page.repeat(20)]), &["Page"]);
    let (first, other) = (page.repeat(20), page.repeat(30));
    pair.assert_alerts("two members", &zip(&[&first, &other]), &["Page"]);
    // In the bytes of these archives the pattern stands as in the file, so they are re-typed whole, besides being unpacked.
    let benign = b"Take ME For A Page, and nothing else\n".repeat(20);
    for (name, write) in WRITERS.into_iter().filter(|(name, _)| name.contains("tar") || name.contains("zip")) {
        let content = write(&[&benign, b"Some words of another file\n"]);
        pair.assert_alerts(name, &content, &[]);
        assert_eq!(pair.scan(&content).1, Verdict::Clean, "{name}");
    }
    // libclamav keeps the hash of what it re-typed last: an equal file next to it counts as re-typed already, and alerts by both.
    pair.assert_alerts("the same twice", &zip(&[&first, &first]), &["Page", "Retype"]);
}

#[test]
fn repeated_members_have_the_layers_of_distinct_ones() {
    let page = |n: u32| format!("<html><body><p>Some words, {n:04}</p></body></html>\n").repeat(9).into_bytes();
    let text = |n: u32| format!("just some words in a row, and {n:04}\n").repeat(9).into_bytes();
    let data = |n: u32| format!("\0\x01\x02 some data of a kind that nobody knows, {n:04}\0").repeat(9).into_bytes();
    let mut pair = Pair::with(&[("a.ndb", &ndb("Data", b"of a kind that nobody knows"))]);
    let writers = WRITERS.into_iter().chain([("cpio", cpio as Writer), ("rich text", rich_text)]);
    for (name, write) in writers {
        for (kind, member) in [("pages", &page as &dyn Fn(u32) -> Vec<u8>), ("text", &text), ("data", &data)] {
            let pack = |numbers: [u32; 4]| {
                let [a, b, c, d] = numbers.map(member);
                write(&[&a, &b, &zip(&[&c, &b, &d]), &a])
            };
            let (repeated, distinct) = (pair.scan(&pack([1; 4])).0, pair.scan(&pack([1, 2, 3, 4])).0);
            let shape = |report: &Report| {
                let layers = report.layers.iter().map(|layer| (layer.file_type.clone(), layer.depth));
                (layers.collect::<Vec<_>>(), report.layer_count, report.targets, report.alerts.clone(), report.unopened)
            };
            assert_eq!(shape(&repeated), shape(&distinct), "{kind} in {name}");
            let (again, _) = pair.scan(&pack([1; 4]));
            assert_eq!((again.layers, again.derived), (repeated.layers, repeated.derived), "{kind} in {name}, again");
        }
    }
}

/// Trusted by the archive around it, content raises no alert. clamscan takes it for clean ever after, wherever it stands.
#[test]
fn trust_in_an_archive_does_not_reach_what_is_outside() {
    let page = b"<html><body>a marker in a page</body></html>\n".repeat(9);
    let data = b"\0\x01\x02 a marker in data\0\0".repeat(9);
    for member in [&page, &data] {
        let trusted = zip(&[member]);
        let trust = [hdb("Trusted", &trusted), hdb("Trusted.Tar", &tar(&[member]))].concat();
        let mut pair = Pair::with(&[("a.ndb", &ndb("Marker", b"a marker in")), ("a.fp", &trust)]);
        assert_eq!(pair.scan(&tar(&[&trusted])).0.alerts, [""; 0], "it is trusted");
        for (name, content) in [
            ("before", tar(&[&trusted, member])),
            ("before, in a zip", zip(&[&trusted, member])),
            ("after", tar(&[member, &trusted])),
            ("beside", zip(&[&tar(&[member]), &cpio(&[member])])),
        ] {
            assert_eq!(pair.scan(&content).0.alerts, ["Marker.UNOFFICIAL"], "{name}");
        }
    }
}

/// The same content is clean in one place and not in another.
#[test]
fn what_a_container_decides_is_asked_in_each_place() {
    let marker = hex::encode("a marker in data");
    let mut pair = Pair::with(&[
        ("a.ldb", &format!("In.Tar;Engine:81-255,Container:CL_TYPE_POSIX_TAR,Target:0;0;{marker}\n")),
        ("b.cdb", "Named:CL_TYPE_ZIP:*:bad\\.txt:*:*:*:*:*:*\n"),
    ]);
    let data = b"\0\x01\x02 a marker in data\0\0".repeat(9);
    for (name, content) in [
        ("zip, tar", zip(&[&data, &tar(&[&data])])),
        ("tar, zip", zip(&[&tar(&[&data]), &data])),
        ("tar in tar", tar(&[&zip(&[&data]), &data])),
    ] {
        pair.assert_alerts(name, &content, &["In.Tar"]);
    }
    pair.assert_alerts("zip only", &zip(&[&data, &zip(&[&data])]), &[]);
    let named = crate::driver::zip(&[("good.txt", &data), ("bad.txt", &data)]);
    pair.assert_alerts("named", &zip(&[&data, &named]), &["Named"]);
}
