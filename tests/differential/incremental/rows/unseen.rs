//! The rows about content that libclamav holds in memory, and about what stands around that which it matches on.

use nacre_core::scan_record::{LayerDigest, RecordView};

use super::{Broken, Narrowed, Row, is_delta, is_trust, line};
use crate::incremental::corpus::Corpus;
use nacre_engine_client::protocol::Digests;

fn no_layers(view: &mut RecordView) {
    view.layers = Some(Vec::new());
}

/// As if only that were known which digests of viruses are compared with.
fn only_matched(view: &mut RecordView) {
    if let Some(layers) = &mut view.layers {
        layers.retain(LayerDigest::has_sha);
    }
}

/// A digest that a record has beside those of contents in memory: they keep nothing from being known.
pub(super) fn narrowed(corpus: &Corpus) -> Vec<Narrowed> {
    let row = |name, of: &Digests, spared| Narrowed {
        row: Row {
            name,
            old: vec![],
            new: vec![("row.hsb", line(of))],
            is_its: is_delta,
            broken: Broken::Misread(no_layers),
        }
        .with_always(),
        spared,
    };
    vec![
        row("a digest in memory", &corpus.named("a.lzh").layers[1], &["a.txt", "a.sfx", "a16.html", "a.zip"]),
        row("a digest elsewhere", &corpus.named("a.pdf").layers[0], &["a.lzh", "a.sfx", "a16.html"]),
    ]
}

/// Trust in what is around a match.
pub(super) fn rows(corpus: &Corpus) -> Vec<Row> {
    let mut rows = Vec::new();
    for (name, file) in
        [("the archive in a program is trusted now", "a.sfx"), ("a page is trusted now once it is decoded", "a16.html")]
    {
        let known = corpus.named(file);
        let around = known.layers.iter().find(|of| of.sha256 == Digests::NO_SHA256).expect("it is hashed");
        let within = known.layers.iter().skip(1).find(|of| of.sha256 != Digests::NO_SHA256).expect("it is matched on");
        let found = || ("row.hsb", line(within));
        let trust = ("row.fp", format!("{}:{}:Trust\n", around.md5, around.size));
        let broken = Broken::Misread(only_matched);
        rows.push(Row { name, old: vec![found()], new: vec![found(), trust], is_its: is_trust, broken });
    }
    rows
}
