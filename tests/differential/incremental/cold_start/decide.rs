//! Decides about files with a scan set, as a scanner does: body, filter, shards, mini engine.

use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, stream};
use nacre_engine_client::{
    Examination, ExamineError,
    equivalence::SignatureSet,
    protocol::{self, FILTER_EXTENSION, Limits, Proposed, Report},
};
use nacre_scan_set::{
    body::{self, NamedFile},
    builder::{Built, SetBuilder},
    filter::Filter,
    key::{Candidate, Digest},
    line::{Class, HashLine, Kind, chomped},
    mini,
    propose::Proposal,
    shard::{self, Hit},
};
use tempfile::TempDir;

use super::super::{AT_ONCE, Lab};

/// How a decision is broken.
pub(super) enum Broken {
    Nothing,
    /// The filter forgot these.
    Forgets(fn(&Candidate) -> bool),
    /// The mini engine has no context of these extensions.
    Without(&'static str),
    /// Nobody asks the mini engine: an exact match is an alert.
    Undecided,
}

/// The scan sets of a directory's databases, and of its loose files as one more, and the body laid out.
pub(super) struct ScanSets {
    sets: Vec<(Built<Vec<u8>>, Vec<u8>)>,
    body: Vec<NamedFile>,
    pub(super) body_directory: PathBuf,
    /// For each name the first of those with its digest and size: libclamav tells one of them by chance.
    twins: BTreeMap<String, String>,
}

impl ScanSets {
    pub(super) fn build(directory: &Path, body_directory: &Path) -> Self {
        let set = SignatureSet::read(directory).unwrap();
        let mut by_database = BTreeMap::<String, Vec<(String, Vec<u8>)>>::new();
        for file in &set.files {
            if file.name == "COPYING" || file.name.ends_with(".info") {
                continue;
            }
            let database = file.name.split('.').next().unwrap_or_default().to_owned();
            by_database.entry(database).or_default().push((file.name.clone(), file.bytes.to_vec()));
        }
        let mut names = BTreeMap::<Candidate, String>::new();
        let mut twins = BTreeMap::new();
        for (name, bytes) in by_database.values().flatten() {
            let Some(class) = Class::of_file(name) else { continue };
            for line in bytes.split(|byte| *byte == b'\n') {
                let line: Vec<u8> = chomped(line).iter().filter(|byte| !matches!(byte, b' ' | b'+')).copied().collect();
                let Some(read) = HashLine::parse(class.kind(), &line) else { continue };
                let name = String::from_utf8_lossy(read.name).into_owned();
                let first = names.entry(read.candidate).or_insert_with(|| name.clone()).clone();
                twins.insert(name, first);
            }
        }
        let sets = by_database.values().map(|files| {
            let mut builder = SetBuilder::new(|| Ok(Cursor::new(Vec::new())), Vec::new()).unwrap();
            for (name, bytes) in files {
                builder.add(name, bytes).unwrap();
            }
            let mut shards = Vec::new();
            (builder.finish(&mut shards).unwrap(), shards)
        });
        let sets: Vec<_> = sets.collect();
        let body = sets.iter().flat_map(|(built, _)| body::files(&built.body).unwrap()).collect::<Vec<_>>();
        let filters = sets
            .iter()
            .enumerate()
            .map(|(number, (built, _))| (format!("{number}.{FILTER_EXTENSION}"), built.filter.clone()));
        let laid_out: Vec<_> = body.iter().cloned().chain(mini::fillers()).chain(filters).collect();
        lay_out(body_directory, &laid_out);
        Self { sets, body, body_directory: body_directory.to_owned(), twins }
    }

    fn hits(&self, proposals: &[Proposal]) -> Vec<Hit> {
        let mut hits = Vec::new();
        for Proposal { filter, candidate } in proposals {
            let (built, shards) = &self.sets[*filter];
            let place = Filter::parse(&built.filter).unwrap().shard_of(candidate);
            let from = usize::try_from(place.offset).unwrap();
            let bytes = &shards[from..from + place.length as usize];
            assert!(place.is(bytes));
            hits.extend(shard::hits(bytes, &[*candidate]).unwrap());
        }
        hits.sort();
        hits.dedup();
        hits
    }
}

fn lay_out(directory: &Path, files: &[NamedFile]) {
    let _ = fs::remove_dir_all(directory);
    fs::create_dir_all(directory).unwrap();
    for (name, bytes) in files {
        fs::write(directory.join(name), bytes).unwrap();
    }
}

/// What all signatures say of a file, and what a scan set says.
#[derive(Debug)]
pub(super) struct Decided {
    pub(super) full: Said,
    pub(super) ours: Said,
    pub(super) proposals: usize,
    pub(super) hits: usize,
    /// Whether a content could not be read, so that nothing is claimed.
    pub(super) unread: bool,
}

#[derive(Debug, PartialEq, Eq)]
pub(super) struct Said {
    pub(super) alerts: Vec<String>,
    pub(super) others: Vec<String>,
}

impl Said {
    fn by(report: &Report) -> Self {
        let others = [report.limits_exceeded.clone(), report.encrypted.clone()].concat();
        Self { alerts: report.alerts.clone(), others }
    }
}

impl Decided {
    pub(super) fn agrees(&self, sets: &ScanSets) -> bool {
        let same = canonical(&self.full.alerts, sets) == canonical(&self.ours.alerts, sets);
        self.unread || same && self.full.others == self.ours.others
    }
}

/// Names, one for all of those that one digest and size has.
pub(super) fn canonical(alerts: &[String], sets: &ScanSets) -> Vec<String> {
    let name = |alert: &String| {
        let bare = alert.strip_suffix(".UNOFFICIAL").unwrap_or(alert);
        sets.twins.get(bare).cloned().unwrap_or_else(|| bare.to_owned())
    };
    let mut names: Vec<String> = alerts.iter().map(name).collect();
    names.sort();
    names.dedup();
    names
}

/// Decides about every file of the corpus.
pub(super) async fn decide(
    lab: &Lab,
    all: &Path,
    sets: &ScanSets,
    broken: &Broken,
) -> Result<Vec<(PathBuf, Decided)>, ExamineError<std::io::Error>> {
    let body = fs::canonicalize(&sets.body_directory).unwrap();
    let one = |path: PathBuf| {
        let body = &body;
        async move {
            let full = examine(lab, all, &path).await?;
            let of_body = examine(lab, body, &path).await?;
            let mut proposals = proposed(&of_body);
            if let Broken::Forgets(forgotten) = broken {
                proposals.retain(|proposal| !forgotten(&proposal.candidate));
            }
            let hits = sets.hits(&proposals);
            let mut ours = Said::by(&of_body);
            if !hits.is_empty() {
                ours.alerts.extend(decide_hits(lab, sets, &hits, &path, broken).await?);
                ours.alerts.sort();
                ours.alerts.dedup();
            }
            let unread = of_body.unlooked > 0;
            let decided = Decided { full: Said::by(&full), ours, proposals: proposals.len(), hits: hits.len(), unread };
            Ok((path, decided))
        }
    };
    let decided = stream::iter(lab.corpus.paths().map(one)).buffered(AT_ONCE).collect::<Vec<_>>().await;
    lab.pool.dismiss(all);
    lab.pool.dismiss(&body);
    decided.into_iter().collect()
}

/// What the filters do not rule out, by the engine's own lookups.
fn proposed(report: &Report) -> Vec<Proposal> {
    let read = |proposal: &protocol::Proposal| {
        let kind = match proposal.of {
            Proposed::File => Kind::File,
            Proposed::Section => Kind::Section,
        };
        let digest = Digest::from_hex(proposal.digest.as_bytes()).unwrap();
        let candidate = Candidate { kind, digest, size: proposal.size };
        Proposal { filter: proposal.filter.parse().unwrap(), candidate }
    };
    report.proposals.iter().map(read).collect()
}

/// The alerts of a mini engine.
async fn decide_hits(
    lab: &Lab,
    sets: &ScanSets,
    hits: &[Hit],
    path: &Path,
    broken: &Broken,
) -> Result<Vec<String>, ExamineError<std::io::Error>> {
    if matches!(broken, Broken::Undecided) {
        let name = |hit: &Hit| {
            let read = HashLine::parse(hit.class.kind(), &hit.line).unwrap();
            String::from_utf8_lossy(read.name).into_owned()
        };
        return Ok(hits.iter().map(name).collect());
    }
    let kept = |name: &str| !matches!(broken, Broken::Without(extension) if name.ends_with(extension));
    let context = sets.body.iter().filter(|(name, _)| kept(name));
    let context = context.filter_map(|(name, bytes)| Some((name.clone(), mini::context_of(name, bytes)?)));
    let directory = TempDir::new_in(lab.scratch.path()).unwrap();
    lay_out(directory.path(), &context.chain(mini::files_of(hits)).collect::<Vec<_>>());
    let report = examine(lab, directory.path(), path).await;
    lab.pool.dismiss(directory.path());
    Ok(report?.alerts)
}

pub(super) async fn examine(
    lab: &Lab,
    definitions: &Path,
    path: &Path,
) -> Result<Report, ExamineError<std::io::Error>> {
    let fetch = async |to: &Path| fs::copy(path, to).map(drop);
    match lab.pool.examine(definitions, fetch, Limits::default(), || Duration::from_mins(10)).await? {
        Examination::Seen { report, .. } => Ok(report),
        other => panic!("{} was not seen: {other:?}", path.display()),
    }
}

/// Whether a candidate is of a section.
pub(super) fn is_section(candidate: &Candidate) -> bool {
    candidate.kind == Kind::Section
}
