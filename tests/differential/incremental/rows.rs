//! For each row of the plan, a pair of sets that only this row gets right.

use nacre_shared::rescan_plan::{FullScan, RescanPlan};

use super::corpus::Corpus;

/// A pair of sets, and the plan that it is about.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) old: Vec<(&'static str, String)>,
    pub(super) new: Vec<(&'static str, String)>,
    pub(super) is_its: fn(RescanPlan) -> bool,
}

const ALWAYS: &str = "Always:0:*:00112233445566778899aabbccddeeff00112233\n";

fn is_delta(plan: RescanPlan) -> bool {
    plan == RescanPlan::DeltaScan
}

/// Every row whose effect can be seen in a verdict.
pub(super) fn rows(corpus: &Corpus) -> Vec<Row> {
    let text = corpus.named("a.txt");
    let (nested, archive) = (corpus.named("nested.zip"), corpus.named("a.zip"));
    let inner = nested.layers.iter().find(|layer| layer.size == text.bytes.len() as u64).expect("the innermost text");
    let whole = &archive.layers[0];
    let piece = hex::encode(&text.bytes[10..30]);
    let body = format!("Row:0:*:{piece}\n");
    let page = "Row:3:*:72656164657220".to_owned() + "6f66207061676573\n";
    let digest = |layer: &nacre_shared::engine::protocol::Layer| format!("{}:{}:Row\n", layer.sha256, layer.size);
    let phishing = "H:paypal-test.com\n".to_owned();
    let allowed = "M:evil.example.net:www.paypal-test.com\n".to_owned();
    let added =
        |name, file: &'static str, line: String| Row { name, old: vec![], new: vec![(file, line)], is_its: is_delta };
    let mut rows = vec![
        added("a digest of a whole file", "row.hsb", digest(whole)),
        added("a digest of a layer", "row.hsb", digest(inner)),
        added("a digest of any size", "row.hdb", format!("{}:*:Row:73\n", inner.md5)),
        added("a pattern for everything", "row.ndb", body.clone()),
        added("a pattern for a target", "row.ndb", page),
        added("a logical signature", "row.ldb", format!("Row;Engine:51-255,Target:0;0;{piece}\n")),
        added("metadata of archives", "row.cdb", "Row:CL_TYPE_ZIP:*:^inner\\.zip$:*:*:*:*:*:*\n".into()),
        added("a URL that is imitated", "row.pdb", phishing.clone()),
        added("a rule", "row.yar", format!("rule row {{ strings: $a = {{ {piece} }} condition: $a }}\n")),
        Row {
            name: "what convicted is gone",
            old: vec![("row.ndb", body.clone())],
            new: vec![],
            is_its: |plan| plan == RescanPlan::FullScan(FullScan::Healing),
        },
        Row {
            name: "what convicted is ignored",
            old: vec![("row.ndb", body.clone())],
            new: vec![("row.ndb", body.clone()), ("row.ign2", "Row\n".into())],
            is_its: |plan| plan == RescanPlan::FullScan(FullScan::Healing),
        },
        Row {
            name: "what was ignored is not any more",
            old: vec![("row.ndb", body.clone()), ("row.ign2", "Row\n".into())],
            new: vec![("row.ndb", body.clone())],
            is_its: is_delta,
        },
        Row {
            name: "a layer is trusted now",
            old: vec![("row.hsb", digest(whole))],
            new: vec![("row.hsb", digest(whole)), ("row.sfp", digest(whole).replace("Row", "Trust"))],
            is_its: |plan| plan == RescanPlan::FullScan(FullScan::Trust),
        },
        Row {
            name: "a layer is trusted no more",
            old: vec![("row.hsb", digest(whole)), ("row.sfp", digest(whole).replace("Row", "Trust"))],
            new: vec![("row.hsb", digest(whole))],
            is_its: |plan| plan == RescanPlan::FullScan(FullScan::Trust),
        },
        Row {
            name: "what steers the engine changed",
            old: vec![("row.pdb", phishing.clone()), ("row.wdb", allowed)],
            new: vec![("row.pdb", phishing)],
            is_its: |plan| plan == RescanPlan::FullScan(FullScan::Context),
        },
    ];
    if let Some(program) = corpus.files.iter().find(|known| !known.sections.is_empty()) {
        let (size, md5) = &program.sections[0];
        rows.push(added("a section of a program", "row.mdb", format!("{size}:{md5}:Row\n")));
    }
    for row in &mut rows {
        row.old.push(("always.ndb", ALWAYS.into()));
        row.new.push(("always.ndb", ALWAYS.into()));
    }
    rows
}
