//! The rows by which a change concerns fewer records than its kind of signature would: what each spares, and what it must not spare.

use nacre_core::{scan_record::RecordView, targets::Targets};

use super::{ALWAYS, Broken, Row, is_context, is_delta, made};
use crate::incremental::corpus::Corpus;

/// A row, and files that it spares.
pub(in super::super) struct Narrowed {
    pub(in super::super) row: Row,
    pub(in super::super) spared: &'static [&'static str],
}

/// Every narrowing whose effect can be seen in a verdict.
pub(in super::super) fn narrowed(corpus: &Corpus) -> Vec<Narrowed> {
    [sizes(corpus), phishing(), ignored()].into_iter().flatten().collect()
}

fn other_sizes(view: &mut RecordView) {
    view.layers.iter_mut().flatten().for_each(|layer| layer.size += 1);
}

/// As if no other matcher ran.
fn only_pages_and_mail(view: &mut RecordView) {
    view.targets = Targets::from_bits(view.targets.bits() & (1 | 1 << 3 | 1 << 4));
}

fn sizes(corpus: &Corpus) -> Vec<Narrowed> {
    let (text, page, script) = (corpus.named("a.txt"), corpus.named("page.html"), corpus.named("hello.sh"));
    let row = |name, target: u8, size: u64, pattern: &[u8]| Narrowed {
        row: Row {
            name,
            old: vec![],
            new: vec![(
                "row.ldb",
                format!("Row;Engine:51-255,FileSize:{size}-{size},Target:{target};0;{}\n", hex::encode(pattern)),
            )],
            is_its: is_delta,
            broken: Broken::Misread(other_sizes),
        }
        .with_always(),
        // Not an archive of so many members that no layer is recorded.
        spared: &["a.pdf", "noise", "true"],
    };
    let size_of = |bytes: &[u8]| bytes.len() as u64;
    vec![
        row("a pattern in content of a size", 0, size_of(&text.bytes), &text.bytes[10..30]),
        row("a pattern in a page of a size", 3, made(page).size, b"reader of pages"),
        row("a pattern in text of the size that it is normalized to", 7, made(script).size, b"hello,"),
    ]
}

fn phishing() -> Vec<Narrowed> {
    let phishing = || ("row.pdb", "H:paypal-test.com\n".to_owned());
    let allowed = || ("row.wdb", "M:evil.example.net:www.paypal-test.com\n".to_owned());
    let row = |name, old, new, broken| Narrowed {
        row: Row { name, old, new, is_its: is_context, broken }.with_always(),
        spared: &["a.pdf", "a.png", "a.elf", "true"],
    };
    vec![
        row("a URL is allowed", vec![phishing()], vec![phishing(), allowed()], Broken::Blind(&["wdb"])),
        row(
            "a URL is not allowed any more",
            vec![phishing(), allowed()],
            vec![phishing()],
            Broken::Misread(only_pages_and_mail),
        ),
    ]
}

/// Names that are ignored, of signatures that we do not read.
fn ignored() -> Vec<Narrowed> {
    let rule = || ("row.yar", "rule row_of_text { strings: $a = \"A plain text\" condition: $a }\n".to_owned());
    let names = |names: &str| ("row.ign2", format!("{names}\n"));
    let row = |name, old, new| Narrowed {
        row: Row { name, old, new, is_its: is_context, broken: Broken::Blind(&["ign2"]) }.with_always(),
        spared: &[],
    };
    vec![
        row("a rule is ignored", vec![rule()], vec![rule(), names("row_of_text")]),
        row("a rule is not ignored any more", vec![rule(), names("row_of_text")], vec![rule()]),
    ]
}

/// Names that nothing bears are ignored, beside a rule: it concerns nothing.
pub(in super::super) fn ignored_in_vain() -> [Vec<(&'static str, String)>; 2] {
    let rule = || ("row.yar", "rule row_of_text { strings: $a = \"A plain text\" condition: $a }\n".to_owned());
    let always = || ("always.ndb", ALWAYS.to_owned());
    [vec![rule(), always()], vec![rule(), always(), ("row.ign2", "Gone.Long.Ago\nfake_dont_remove_this_line\n".into())]]
}
