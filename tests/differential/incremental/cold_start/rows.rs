//! For each part of a scan set, signatures that only this part gets right, and a decision without it.

use nacre_engine_client::protocol::{Digests, Limits};
use nacre_scan_set::key::{Candidate, Digest};

use super::{
    super::{Lab, corpus::Known, genes::md5_hex},
    decide::{Broken, examine, is_section},
    handler,
};

pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) files: Vec<(&'static str, String)>,
    pub(super) broken: Broken,
}

/// Every part whose absence can be seen.
pub(super) fn rows(lab: &Lab) -> Vec<Row> {
    let corpus = &lab.corpus;
    let (text, archive, nested) = (corpus.named("a.txt"), corpus.named("a.zip"), corpus.named("nested.zip"));
    let whole = &archive.layers[0];
    let inner = nested.layers.iter().find(|layer| layer.size == text.bytes.len() as u64).expect("the innermost text");
    let of_layer = |name: &str| format!("{}:{}:{name}\n", inner.sha256, inner.size);
    let of_any_size = || format!("{}:*:Any:73\n", inner.md5);
    let trusted = format!("{}:{}:Trust\n", whole.sha256, whole.size);
    let mut rows = Vec::new();
    let mut add = |name, files: Vec<(&'static str, String)>, broken| rows.push(Row { name, files, broken });
    add("a key", vec![("row.hsb", of_layer("Row"))], Broken::Forgets(|_| true));
    add("a key of any size", vec![("row.hdb", of_any_size())], Broken::Forgets(|of| of.size.is_none()));
    add("a key with a size", vec![("row.hdb", of_layer("Row"))], Broken::Forgets(|of| of.size.is_some()));
    add("keys by the digest's length", vec![("row.hdb", of_layer("Row"))], Broken::Forgets(is_sha256));
    let files = vec![("row.hsb", of_layer("Row")), ("row.sfp", trusted)];
    add("an allow-list on an ancestor", files.clone(), Broken::Without(".sfp"));
    add("the mini engine", files, Broken::Undecided);
    let files = vec![("row.hsb", of_layer("Row")), ("row.ign2", "Row\n".into())];
    add("an ignore list", files, Broken::Without(".ign2"));
    let line = of_layer("Row");
    let by_line = format!("Row:{}\n", md5_hex(line.trim_end().as_bytes()));
    add("an ignored line", vec![("row.hsb", line), ("row.ign2", by_line)], Broken::Without(".ign2"));
    let of_nothing = format!("{}:7:Nothing\n", "1".repeat(64));
    let files = vec![("row.hsb", of_layer("Row")), ("z.ign2", "Row\n".into()), ("z.hsb", of_nothing)];
    add("the order of loading", files, Broken::Late);
    let files = vec![("row.hsb", format!("{}:{}:Row:1:2\n", inner.sha256, inner.size))];
    add("functionality levels", files, Broken::Undecided);
    if let Some(program) = corpus.files.iter().find(|known| !known.sections.is_empty()) {
        let (size, md5, _) = &program.sections[0];
        let section = || ("row.mdb", format!("{size}:{md5}:Row\n"));
        add("a section", vec![section()], Broken::Forgets(is_section));
        let off = ("row.cfg", "PE:0x0:1:255\n".to_owned());
        add("a switch", vec![section(), off], Broken::Without(".cfg"));
    }
    let files = handled(lab, corpus.named("hello.sh"));
    add("a signature with a handler", files, Broken::Without(".ldb"));
    for row in &mut rows {
        row.files.push(("row.ndb", "Always:0:*:00112233445566778899aabbccddeeff00112233\n".into()));
    }
    rows
}

fn is_sha256(candidate: &Candidate) -> bool {
    matches!(candidate.digest, Digest::Sha256(_))
}

/// A signature that has a file scanned as a page, and the digest of what libclamav makes of it only then.
fn handled(lab: &Lab, known: &Known) -> Vec<(&'static str, String)> {
    let directory = lab.scratch.path().join("handler");
    std::fs::create_dir_all(&directory).unwrap();
    let line = format!("{}\n", handler(0, known).expect("bytes that are not all one"));
    std::fs::write(directory.join("row.ldb"), &line).unwrap();
    let report = lab.runtime.block_on(examine(lab, &directory, &known.path, Limits::default())).unwrap();
    lab.pool.dismiss(&directory);
    let is_new = |of: &&Digests| known.layers.iter().all(|layer| layer.sha256 != of.sha256);
    let made = report.derived.iter().find(is_new).expect("a page is made into something");
    vec![("row.ldb", line), ("row.hsb", format!("{}:{}:Row\n", made.sha256, made.size))]
}
