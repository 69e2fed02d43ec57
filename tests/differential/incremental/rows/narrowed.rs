//! The rows by which a change concerns fewer records than its kind of signature would: what each spares, and what it must not spare.

use nacre_core::{
    scan_record::{FileTypes, RecordView},
    targets::Targets,
};

use super::{ALWAYS, Broken, Row, is_context, is_delta, made};
use crate::incremental::corpus::Corpus;

/// The fuzzy hash of `looks.png`, as `sigtool --fuzzy-img` calculates it.
const LOOKS: &str = "b609aad5fa88d5a2";

/// A row, and files that it spares.
pub(in super::super) struct Narrowed {
    pub(in super::super) row: Row,
    pub(in super::super) spared: &'static [&'static str],
}

/// Every narrowing whose effect can be seen in a verdict.
pub(in super::super) fn narrowed(corpus: &Corpus) -> Vec<Narrowed> {
    [sizes(corpus), within(corpus), types(), phishing(), ignored(), super::unseen::narrowed(corpus)]
        .into_iter()
        .flatten()
        .collect()
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

fn no_types(view: &mut RecordView) {
    view.types = Some(FileTypes::of("CL_TYPE_SIS"));
}

fn only_the_object(view: &mut RecordView) {
    if let Some(layers) = &mut view.layers {
        layers.truncate(1);
    }
}

/// What is in something.
fn within(corpus: &Corpus) -> Vec<Narrowed> {
    let piece = hex::encode(&corpus.named("a.txt").bytes[10..30]);
    let row = |name, within: &str, misread, spared| Narrowed {
        row: Row {
            name,
            old: vec![],
            new: vec![("row.ldb", format!("Row;Engine:51-255,{within},Target:0;0;{piece}\n"))],
            is_its: is_delta,
            broken: Broken::Misread(misread),
        }
        .with_always(),
        spared,
    };
    // A text has its normal form besides.
    let single: &[&str] = &["a.elf", "a.pdf"];
    vec![
        row("in a container", "Container:CL_TYPE_ZIP", only_the_object, single),
        row(
            "in a container that is always reported",
            "Container:CL_TYPE_GZ",
            no_types,
            &["a.txt", "a.zip", "a.tar", "true"],
        ),
        row("in several containers", "Intermediates:CL_TYPE_ZIP>CL_TYPE_ZIP", only_the_object, single),
        row("in a tar", "Intermediates:CL_TYPE_OLD_TAR", no_types, &["a.txt", "a.zip", "a.gz", "true"]),
    ]
}

/// What concerns content of some types.
fn types() -> Vec<Narrowed> {
    let row = |name, file, line: String, is_its, broken, spared| Narrowed {
        row: Row { name, old: vec![], new: vec![(file, line)], is_its, broken }.with_always(),
        spared,
    };
    let member = "Row:CL_TYPE_OLD_TAR:*:^a\\.txt$:*:*:*:*:*:*\n".to_owned();
    let others: &[&str] = &["a.txt", "a.zip", "a.gz", "a.pdf", "true"];
    let mut rows =
        vec![row("metadata of a tar", "row.cdb", member, is_delta as fn(_) -> _, Broken::Misread(no_types), others)];
    let looks = format!("Row;Engine:150-255,Target:0;0;fuzzy_img#{LOOKS}#0\n");
    rows.push(row("the looks of an image", "row.ldb", looks, is_delta, Broken::Misread(no_types), others));
    // A PDF is scanned as a page, too.
    let of_pages = || ("page.ndb", format!("Row:3:*:{}\n", hex::encode("endobj")));
    let start = hex::encode("%PDF-1.4");
    let retypes = ("row.ldb", format!("Retype;Engine:51-255,Target:10,HandlerType:CL_TYPE_HTML;0;{start}\n"));
    let only_generic: fn(&mut RecordView) = |view| view.targets = Targets::of(0);
    let row_of = |name, old, new| Narrowed {
        row: Row { name, old, new, is_its: is_context, broken: Broken::Misread(only_generic) }.with_always(),
        spared: &["a.txt", "noise", "a.elf", "true", "looks.png"],
    };
    rows.push(row_of("scanned as another type", vec![of_pages()], vec![of_pages(), retypes.clone()]));
    rows.push(row_of("scanned as another type no more", vec![of_pages(), retypes], vec![of_pages()]));
    rows
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
