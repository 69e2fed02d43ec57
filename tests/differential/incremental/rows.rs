//! For each row of the plan, a pair of sets that only this row gets right, and the plan without it.

use nacre_clamav::delta::{Delta, SignatureFile};
use nacre_core::{
    rescan::{
        delta_summary::DeltaSummary,
        plan::{Change, FullScan, RescanPlan, Unaffected, loaded_by},
    },
    scan_record::{EngineVersion, FunctionalityLevel, RecordSummary, RecordView},
    targets::Targets,
};
use nacre_engine_client::{
    equivalence::{EquivalenceCheck, SignatureSet},
    protocol::Digests,
};

mod narrowed;
mod unseen;

pub(super) use narrowed::{Narrowed, ignored_in_vain, narrowed};

use super::{
    corpus::{Corpus, Known},
    genes::{md5_hex, url_hash},
};

/// A pair of sets, and the plan that it is about.
pub(super) struct Row {
    pub(super) name: &'static str,
    pub(super) old: Vec<(&'static str, String)>,
    pub(super) new: Vec<(&'static str, String)>,
    pub(super) is_its: fn(RescanPlan) -> bool,
    pub(super) broken: Broken,
}

/// How a plan is broken.
pub(super) enum Broken {
    /// It does not see what changed in files of these extensions.
    Blind(&'static [&'static str]),
    /// It reads something else in a record than is there.
    Misread(fn(&mut RecordView)),
    /// It takes signatures of its engine's last functionality level for those of older engines.
    Window,
    /// It sees nothing added for every target.
    NothingForAll,
    /// It leaves alone what needs this.
    Ignores(fn(RescanPlan) -> bool),
}

impl Broken {
    pub(super) fn plan(
        &self,
        check: &EquivalenceCheck<'_>,
        (record, change): (&RecordSummary, &Change),
        (old, new): (&SignatureSet, &SignatureSet),
    ) -> RescanPlan {
        let summary = |old: &[SignatureFile<'_>], new: &[SignatureFile<'_>], engine: &EngineVersion| {
            Change::Known(DeltaSummary::of(&Delta::between(old, new), loaded_by(engine)))
        };
        match self {
            Self::Blind(extensions) => {
                let seen = |set: &SignatureSet| -> Vec<SignatureFile<'static>> {
                    let is_seen = |file: &&SignatureFile<'_>| !extensions.iter().any(|of| file.name.ends_with(of));
                    set.files.iter().filter(is_seen).cloned().collect()
                };
                check.plan(record, &summary(&seen(old), &seen(new), check.engine()))
            }
            Self::Misread(misread) => {
                let mut record = record.clone();
                record.view.as_mut().map(misread);
                check.plan(&record, change)
            }
            Self::Window => {
                let level = FunctionalityLevel(check.engine().functionality_level.0 + 1);
                let engine = EngineVersion { functionality_level: level, ..check.engine().clone() };
                check.plan(record, &summary(&old.files, &new.files, &engine))
            }
            Self::NothingForAll => {
                let mut change = change.clone();
                if let Change::Known(known) = &mut change {
                    known.matches_any = false;
                }
                check.plan(record, &change)
            }
            Self::Ignores(is_its) => match check.plan(record, change) {
                plan if is_its(plan) => RescanPlan::Unaffected(Unaffected::NothingMatches),
                plan => plan,
            },
        }
    }
}

const ALWAYS: &str = "Always:0:*:00112233445566778899aabbccddeeff00112233\n";

fn is_delta(plan: RescanPlan) -> bool {
    plan == RescanPlan::DeltaScan
}

fn is_healing(plan: RescanPlan) -> bool {
    plan == RescanPlan::FullScan(FullScan::SignatureRemoved)
}

fn is_trust(plan: RescanPlan) -> bool {
    plan == RescanPlan::FullScan(FullScan::Trust)
}

fn is_context(plan: RescanPlan) -> bool {
    plan == RescanPlan::FullScan(FullScan::Context)
}

fn is_unscannable(plan: RescanPlan) -> bool {
    plan == RescanPlan::FullScan(FullScan::Unscannable)
}

fn line(of: &Digests) -> String {
    format!("{}:{}:Row\n", of.sha256, of.size)
}

fn trusted(of: &Digests) -> String {
    line(of).replace("Row", "Trust")
}

/// What libclamav makes of a file, and is none of its layers.
fn made(known: &Known) -> &Digests {
    let layers = usize::try_from(known.layer_count).expect("few");
    known.layers.get(layers).expect("something is made of it")
}

/// Every row whose effect can be seen in a verdict.
pub(super) fn rows(corpus: &Corpus) -> Vec<Row> {
    [added(corpus), withdrawn(corpus), trust(corpus), order(corpus), unseen::rows(corpus)]
        .into_iter()
        .flatten()
        .map(Row::with_always)
        .collect()
}

impl Row {
    /// With something that matches nothing in both sets, as an engine wants a signature.
    fn with_always(mut self) -> Self {
        for set in [&mut self.old, &mut self.new] {
            set.push(("always.ndb", ALWAYS.into()));
        }
        self
    }
}

/// What comes.
fn added(corpus: &Corpus) -> Vec<Row> {
    let (text, page, many) = (corpus.named("a.txt"), corpus.named("page.html"), corpus.named("many.zip"));
    let (nested, archive) = (corpus.named("nested.zip"), corpus.named("a.zip"));
    let inner = nested.layers.iter().find(|layer| layer.size == text.bytes.len() as u64).expect("the innermost text");
    let piece = hex::encode(&text.bytes[10..30]);
    let rule = format!("rule row {{ strings: $a = {{ {piece} }} condition: $a }}\n");
    let no_layers: fn(&mut RecordView) = |view| view.layers = Some(Vec::new());
    let only_generic: fn(&mut RecordView) = |view| view.targets = Targets::of(0);
    let mut rows: Vec<Row> = Vec::new();
    let mut add = |name, file: &'static str, line: String, broken| {
        rows.push(Row { name, old: vec![], new: vec![(file, line)], is_its: is_delta, broken });
    };
    add("a digest of a whole file", "row.hsb", line(&archive.layers[0]), Broken::Blind(&["hsb"]));
    add("a digest of a layer", "row.hsb", line(inner), Broken::Misread(no_layers));
    add("a digest of any size", "row.hdb", format!("{}:*:Row:73\n", inner.md5), Broken::Misread(no_layers));
    add(
        "a digest of what is made of a page",
        "row.hsb",
        line(made(page)),
        Broken::Misread(|view| {
            if let Some(layers) = &mut view.layers {
                layers.truncate(1);
            }
        }),
    );
    assert!(many.layer_count > 256, "its layers are recorded");
    let of_many = format!("{}:{}:Row\n", md5_hex(b"member 7 of many"), b"member 7 of many".len());
    add("a digest where the layers are not known", "row.hdb", of_many, Broken::Misread(no_layers));
    add("a pattern for everything", "row.ndb", format!("Row:0:*:{piece}\n"), Broken::NothingForAll);
    let of_page = format!("Row:3:*:{}\n", hex::encode(b"reader of pages"));
    add("a pattern for a target", "row.ndb", of_page, Broken::Misread(only_generic));
    let from_end = format!("Row:7:EOF-{}:{}\n", text.bytes.len(), hex::encode(b"a plain text"));
    add("a pattern from the end of text", "row.ndb", from_end, Broken::Misread(only_generic));
    add("a pattern of the oldest kind", "row.db", format!("Row={piece}\n"), Broken::NothingForAll);
    let logical = |more: &str| format!("Row;Engine:51-255,Target:0{more};0;{piece}\n");
    add("a logical signature", "row.ldb", logical(""), Broken::Blind(&["ldb"]));
    add("what is in a container", "row.ldb", logical(",Container:CL_TYPE_ZIP"), Broken::Blind(&["ldb"]));
    let last = format!("Row;Engine:51-{},Target:0;0;{piece}\n", corpus.functionality_level.0);
    add("the last functionality level", "row.ldb", last, Broken::Window);
    let member = "Row:CL_TYPE_ZIP:*:^inner\\.zip$:*:*:*:*:*:*\n";
    add("metadata of archives", "row.cdb", member.into(), Broken::Blind(&["cdb"]));
    add("a URL that is imitated", "row.pdb", "H:paypal-test.com\n".into(), Broken::Blind(&["pdb"]));
    add("a rule", "row.yar", rule, Broken::Blind(&["yar"]));
    if let Some(program) = corpus.files.iter().find(|known| !known.sections.is_empty()) {
        let (size, md5, sha256) = &program.sections[0];
        add("a section of a program", "row.mdb", format!("{size}:{md5}:Row\n"), Broken::Misread(only_generic));
        add("a section by SHA-256", "row.msb", format!("{size}:{sha256}:Row\n"), Broken::Blind(&["msb"]));
    }
    let secret = corpus.named("secret.zip");
    rows.push(Row {
        name: "what could not be scanned",
        old: vec![],
        new: vec![("row.hsb", line(&secret.layers[0]))],
        is_its: is_unscannable,
        broken: Broken::Ignores(is_unscannable),
    });
    rows
}

/// What goes, or is not used any more, or is again.
fn withdrawn(corpus: &Corpus) -> Vec<Row> {
    let piece = hex::encode(&corpus.named("a.txt").bytes[10..30]);
    let body = || ("row.ndb", format!("Row:0:*:{piece}\n"));
    let rule = ("row.yar", format!("rule row {{ strings: $a = {{ {piece} }} condition: $a }}\n"));
    let by_name = || ("row.ign2", "Row\n".to_owned());
    let by_line = ("row.ign2", format!("Row:{}\n", md5_hex(body().1.trim_end().as_bytes())));
    let phishing = || ("row.pdb", "H:paypal-test.com\n".to_owned());
    let url = url_hash(false);
    let allowed = ("row.wdb", "M:evil.example.net:www.paypal-test.com\n".to_owned());
    let heals = |name, old, new| Row { name, old, new, is_its: is_healing, broken: Broken::Ignores(is_healing) };
    let comes_back = |name, old, new| Row { name, old, new, is_its: is_delta, broken: Broken::Blind(&["ign2"]) };
    vec![
        heals("what convicted is gone", vec![body()], vec![]),
        heals("a rule that convicted is gone", vec![rule], vec![]),
        heals("a URL is not imitated any more", vec![phishing()], vec![]),
        heals("what convicted is ignored", vec![body()], vec![body(), by_name()]),
        comes_back("what was ignored is not any more", vec![body(), by_name()], vec![body()]),
        Row {
            is_its: is_context,
            ..comes_back("what was ignored by its line is not any more", vec![body(), by_line], vec![body()])
        },
        Row {
            name: "a hash of a URL is not allowed any more",
            old: vec![("row.gdb", format!("S:W:{url}\nS1:F:{url}\n"))],
            new: vec![("row.gdb", format!("S1:F:{url}\n"))],
            is_its: is_context,
            broken: Broken::Ignores(is_context),
        },
        Row {
            name: "what steers the engine changed",
            old: vec![phishing(), allowed],
            new: vec![phishing()],
            is_its: is_context,
            broken: Broken::Blind(&["wdb"]),
        },
    ]
}

/// What is trusted, and what is not any more.
fn trust(corpus: &Corpus) -> Vec<Row> {
    let (archive, page) = (corpus.named("a.zip"), corpus.named("page.html"));
    let whole = &archive.layers[0];
    let convicts = || ("row.hsb", line(whole));
    let trusts = || ("row.sfp", trusted(whole));
    let of_page = || ("row.hsb", line(made(page)));
    let trusts_page = || ("row.sfp", trusted(made(page)));
    let row = |name, old, new| Row { name, old, new, is_its: is_trust, broken: Broken::Blind(&["sfp"]) };
    vec![
        row("a layer is trusted now", vec![convicts()], vec![convicts(), trusts()]),
        row("a layer is trusted no more", vec![convicts(), trusts()], vec![convicts()]),
        row("what is made of a page is trusted now", vec![of_page()], vec![of_page(), trusts_page()]),
        row("what is made of a page is trusted no more", vec![of_page(), trusts_page()], vec![of_page()]),
    ]
}

/// What other lines, and their order, make of a line.
fn order(corpus: &Corpus) -> Vec<Row> {
    let text = corpus.named("a.txt");
    let piece = hex::encode(&text.bytes[10..30]);
    let body = || ("row.ndb", format!("Row:0:*:{piece}\nSome.Other.Name:0:*:00112233445566778899aabbccddee00\n"));
    let rule = |text: &str| format!("rule row {{ strings: $a = {{ {text} }} condition: $a }}\n");
    let (one, other) = (line(&text.layers[0]), line(&text.layers[0]).replace("Row", "Two"));
    let row = |name, old, new, is_its: fn(RescanPlan) -> bool| Row {
        name,
        old,
        new,
        is_its,
        broken: Broken::Ignores(is_its),
    };
    let by_md5 = "Some.Other.Name:d41d8cd98f00b204e9800998ecf8427e\nRow\n";
    vec![
        row(
            "a list of more than names",
            vec![body(), ("row.ign2", "Row\n".into())],
            vec![body(), ("row.ign2", by_md5.into())],
            is_context,
        ),
        row(
            "a rule of the same name is gone",
            vec![("a.yar", rule("00 11 22 33")), ("row.yar", rule(&piece))],
            vec![("row.yar", rule(&piece))],
            is_delta,
        ),
        row(
            "a digest is reported by another name",
            vec![("row.hsb", format!("{one}{other}"))],
            vec![("row.hsb", format!("{other}{one}"))],
            is_healing,
        ),
        row("several names of a digest", vec![], vec![("row.hsb", format!("{other}{one}"))], is_ambiguous),
    ]
}

fn is_ambiguous(plan: RescanPlan) -> bool {
    plan == RescanPlan::FullScan(FullScan::Ambiguous)
}
