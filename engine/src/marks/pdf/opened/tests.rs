use std::fmt::Write;

use proptest::prelude::*;

use super::{key::Old, *};

const OWNER: [u8; 32] = [b'o'; 32];
const WORDS: &str = "words and words";

/// The key of what is built here, and the user's sum of it.
fn key(revision: u32, metadata: bool) -> (Vec<u8>, String) {
    let old = Old { revision, length: 16, owner: &OWNER, user: b"", permissions: 9, document: b"", metadata };
    let key = old.made().unwrap();
    let shown = old.shown(&key);
    (key, hex::encode([&shown[..], &[0; 16]].concat()))
}

fn dictionary(version: u32, more: &str) -> String {
    let revision = if version == 4 { 4 } else { 3 };
    let (_, user) = key(revision, !more.contains("false"));
    format!("<</Filter/Standard/V {version}/R {revision}/Length 128/P 9/O({})/U<{user}>{more}>>", "o".repeat(32))
}

/// Objects, one behind the other, with a table of them.
fn document(objects: &[(u32, Vec<u8>)], trailer: &str) -> Vec<u8> {
    let mut out = b"%PDF-1.7\n%\xE2\xE3\n".to_vec();
    let mut lines = String::new();
    for (number, object) in objects {
        writeln!(lines, "{number} 1\n{:010} 00000 n ", out.len()).unwrap();
        out.extend(format!("{number} 0 obj\n").bytes());
        out.extend(object);
        out.extend(b"\nendobj\n");
    }
    let at = out.len();
    out.extend(format!("xref\n{lines}trailer\n<<{trailer}>>\nstartxref\n{at}\n%%EOF\n").bytes());
    out
}

/// A string and a stream with this in its dictionary, each encrypted by RC4, and an encryption dictionary.
fn encrypted(version: u32, words: &str, more: &str) -> Vec<(u32, Vec<u8>)> {
    let (key, _) = key(if version == 4 { 4 } else { 3 }, !more.contains("false"));
    let of = |number| Method::Rc4.loosely(&key, Id { number, generation: 0 }, WORDS.as_bytes());
    let stream = [format!("<</Length 15{words}>>\nstream\n").as_bytes(), &of(2), b"\nendstream"].concat();
    vec![
        (1, format!("<</JS<{}>/X[/Y 5]>>", hex::encode(of(1))).into_bytes()),
        (2, stream),
        (3, dictionary(version, more).into_bytes()),
    ]
}

fn text(content: &[u8]) -> String {
    String::from_utf8_lossy(&opened(content).unwrap_or_default()).into_owned()
}

const TRAILER: &str = "/Root 1 0 R/Encrypt 3 0 R";
const FILTERS: &str = "/CF<</StdCF<</CFM/V2/Length 16>>>>/StmF/StdCF/StrF/StdCF";

#[test]
fn a_document_is_written_anew_without_its_encryption() {
    for (version, more) in [(2, ""), (4, FILTERS), (4, &format!("{FILTERS}/EncryptMetadata false"))] {
        let text = text(&document(&encrypted(version, "/X 5", more), TRAILER));
        assert!(text.contains("/JS(words and words)/X[/Y 5]>>\nendobj"), "{text}");
        assert!(text.contains("<</Length 15/X  5>>\nstream\nwords and words\nendstream\nendobj"), "{text}");
        assert!(text.contains("/WasEncrypted  3 0 R"), "{text}");
        assert!(!super::super::Pdf::of(text.as_bytes()).encrypted, "{text}");
    }
}

#[test]
fn a_stream_has_the_filter_that_it_names() {
    let of = |words: &str, more: &str| text(&document(&encrypted(4, words, more), TRAILER));
    let plain = "\nwords and words\nendstream";
    let none = "/Filter[/Crypt/Fl]/DecodeParms[<</Name/Identity>>null]";
    let identity = of(none, FILTERS);
    // Some readers decrypt it all the same.
    let (first, second) = identity.split_once("0 0 obj").unwrap();
    assert!(first.contains("/DecodeParms [null]/Filter [/Fl]/Length 15>>") && !first.contains(plain), "{identity}");
    assert!(second.contains(plain), "{identity}");
    let named = none.replace("Identity", "StdCF");
    assert!(of(&named, "/CF<</StdCF<</CFM/V2>>>>").contains(plain));
    assert!(of("/Type/EmbeddedFile", "/CF<</StdCF<</CFM/V2>>>>/EFF/StdCF").contains(plain));
    assert!(of("/Type/Metadata", &format!("{FILTERS}/EncryptMetadata false")).contains("0 0 obj"));
    assert!(!of("/Type/Metadata", FILTERS).contains("0 0 obj"));
    // What is not understood stays as it is, so that the stream stays packed.
    assert!(of("/Filter[/Fl/Crypt]", FILTERS).contains("/Filter [/Fl/Crypt]"));
}

#[test]
fn what_readers_may_differ_on_stays_encrypted() {
    let plain = document(&encrypted(2, "", ""), TRAILER);
    assert!(opened(&plain).is_some());
    let table = |from: &str, to: &str| {
        let text = plain.iter().map(|byte| char::from(*byte)).collect::<String>().replacen(from, to, 1);
        text.chars().map(|letter| u8::try_from(u32::from(letter)).unwrap()).collect::<Vec<u8>>()
    };
    for (from, to) in [
        ("2 1\n00", "9 1\n00"),
        ("00000 n", "00001 n"),
        ("%PDF", " PDF"),
        ("endobj\nxref", "endobj\nwords\nxref"),
        ("startxref\n", "startxref\n1"),
        ("/Encrypt 3 0 R", "/Encrypt 3 1 R"),
        ("/Encrypt 3 0 R", "/Encrypt 2 0 R"),
        ("/Encrypt 3 0 R", "/Encrypt null "),
        ("/Encrypt 3 0 R", "/Prev 5/X 3 0 "),
        ("Standard", "standard"),
        ("/Length 15", "/Length 14"),
        ("/Length 15", "/Length 99"),
        ("/P 9", "/P 8"),
        ("/R 3", "/R 2"),
        ("/V 2", "/V 1"),
        ("/V 2", "/V 3"),
        ("/Length 128", "/Length 127"),
        ("/U<", "/U<00"),
        ("xref\n1 1", "xref\n4000000000 1"),
        ("xref\n1 1", "xref\n1 4000000000"),
    ] {
        assert!(opened(&table(from, to)).is_none(), "{from} {to}");
    }
    for (version, words, more) in [
        (2, "/Type/XRef", ""),
        (2, "/X/XRef", ""),
        (2, "/W[1 1 1]", ""),
        (2, "/Length 15", ""),
        (2, "", "/SubFilter/X"),
        (2, "", "/EncryptMetadata false"),
        (4, "", "/CF<</StdCF<</CFM/AESV3>>>>"),
        (4, "", "/CF<</StdCF<</CFM/V2/Length 5>>>>"),
        (4, "", "/CF<</Identity<</CFM/V2>>>>"),
        (4, "", "/StmF/StdCF"),
        (4, "", &FILTERS.replace("StmF/StdCF", "StmF/Nobody")),
    ] {
        assert!(opened(&document(&encrypted(version, words, more), TRAILER)).is_none(), "{words} {more}");
    }
    let twice = [encrypted(2, "", ""), vec![(3, b"null".to_vec())]].concat();
    assert!(opened(&document(&twice, TRAILER)).is_none());
    // The table of a later update does not know the dictionary, and its trailer no encryption.
    for trailer in ["/Root 1 0 R", "/Root 1 0 R/Encrypt 3 0 R", "/Size 1"] {
        let update = format!("xref\ntrailer<<{trailer}>>\nstartxref {}\n%%EOF", plain.len());
        assert!(opened(&[&plain, update.as_bytes()].concat()).is_none(), "{trailer}");
    }
    let at = plain.windows(6).position(|word| word == b"\nxref\n").unwrap() + 1;
    let update = format!("xref\ntrailer<<{TRAILER}/Prev {at}>>\nstartxref {}\n%%EOF", plain.len());
    assert!(opened(&[&plain, update.as_bytes()].concat()).is_some());
    let circle = update.replace(&at.to_string(), &plain.len().to_string());
    assert!(opened(&[&plain, circle.as_bytes()].concat()).is_none());
}

#[test]
fn a_table_may_be_a_stream() {
    let objects = encrypted(2, "", "");
    let before = document(&objects, "");
    let places: Vec<usize> = (1..=3)
        .map(|number| {
            let head = format!("{number} 0 obj\n");
            before.windows(head.len()).position(|text| text == head.as_bytes()).unwrap()
        })
        .collect();
    let own = before.windows(5).position(|text| text == b"xref\n").unwrap();
    let with = |places: &[usize], widths: &str, index: &str| {
        let lines: Vec<u8> = places
            .iter()
            .flat_map(|at| [&[1][..], &u32::try_from(*at).unwrap().to_be_bytes(), &[0]].concat())
            .collect();
        let head = format!("<</Type/XRef{index}/W[{widths}]{TRAILER}/Length {}>>\nstream\n", lines.len());
        let table = [head.as_bytes(), &lines, b"\nendstream"].concat();
        let start = &before[..own];
        [start, b"4 0 obj\n", &table, format!("\nendobj\nstartxref {own}\n").as_bytes()].concat()
    };
    let index = "/Index[1 3]";
    assert!(opened(&with(&places, "1 4 1", index)).is_some());
    for (widths, index) in
        [("1 4", index), ("1 3 2", index), ("0 0 0", index), ("9 9 9", index), ("1 4 1", "/Index[1 9]"), ("1 4 1", "")]
    {
        assert!(opened(&with(&places, widths, index)).is_none(), "{widths} {index}");
    }
    assert!(opened(&with(&places[..2], "1 4 1", "/Index[1 2]")).is_none(), "the dictionary is not in the table");
    assert!(opened(&with(&[places[0], places[0], places[2]], "1 4 1", index)).is_none());
}

proptest! {
    #[test]
    fn no_bytes_panic_it(bytes: Vec<u8>, at in 0_usize..1000, more in "[<>/()\\[\\]# R0-9A-Za-z]{0,40}") {
        for version in [2, 4] {
            let plain = document(&encrypted(version, "", &format!("{FILTERS}{more}")), TRAILER);
            opened(&plain);
            opened(&document(&encrypted(version, &more, FILTERS), TRAILER));
            opened(&document(&encrypted(version, "", FILTERS), &format!("{TRAILER}{more}")));
            let at = at.min(plain.len());
            let rest = plain.get(at + bytes.len()..).unwrap_or_default();
            opened(&[&plain[..at], &bytes, rest].concat());
            opened(&[&plain[..at], &bytes, &plain[at..]].concat());
        }
    }
}
