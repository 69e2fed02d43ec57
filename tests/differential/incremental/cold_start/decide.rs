//! Decides about files with a scan set, as a scanner does: body, filter, shards, mini engine.

use std::{
    collections::BTreeMap,
    fs,
    io::Cursor,
    path::{Path, PathBuf},
    time::Duration,
};

use futures::{StreamExt, stream};
use nacre_clamav::{
    archive::ArchiveLimits,
    context::to_cud,
    cvd::{COPYING, Cvd},
    database::DatabaseName,
    delta::SignatureFile,
    digest::Sha256Digest,
    signature,
    unpacked::members_in_order,
};
use nacre_core::{
    generation::manifest::{BodyEntry, ScanSetEntry},
    port::{DefinitionsStore, WriteCondition},
};
use nacre_engine_client::{
    Examination, ExamineError,
    equivalence::SignatureSet,
    protocol::{self, Limits, Proposed, Report},
    scan_sets,
};
use nacre_scan_set::{
    body::{self, NamedFile},
    builder::{Built, SetBuilder},
    key::{Candidate, Digest},
    line::{Class, HashLine, Kind, chomped},
    mini,
};
use nacre_testing::memory_definitions::MemoryDefinitions;

use super::super::{AT_ONCE, Lab};

/// How a decision is broken.
pub(super) enum Broken {
    Nothing,
    /// The filter forgot these.
    Forgets(fn(&Candidate) -> bool),
    /// The mini engine has no context of these extensions.
    Without(&'static str),
    /// The mini engine loads the lines that match behind all databases.
    Late,
    /// Nobody asks the mini engine: an exact match is an alert.
    Undecided,
}

/// The scan sets of a directory's databases, published, and laid out as a scanner lays them out.
pub(super) struct ScanSets {
    published: MemoryDefinitions,
    laid_out: scan_sets::ScanSets,
    /// For each name the first of those with its digest and size: libclamav reports one of them by chance.
    twins: BTreeMap<String, String>,
}

impl ScanSets {
    pub(super) async fn build(directory: &Path, body_directory: &Path) -> Self {
        let set = SignatureSet::read(directory).unwrap();
        let mut by_database = BTreeMap::<String, Vec<NamedFile>>::new();
        let (mut names, mut twins) = (BTreeMap::<Candidate, String>::new(), BTreeMap::new());
        let mut files = mini::fillers().collect::<Vec<_>>();
        for file in &set.files {
            note_twins(&file.name, &file.bytes, &mut names, &mut twins);
            let member = (file.name.clone(), file.bytes.to_vec());
            match &file.container {
                _ if !is_signatures(&file.name) => {}
                None => files.push(member),
                Some(container) => {
                    let database = container.rsplit_once('.').unwrap().0.to_owned();
                    by_database.entry(database).or_default().push(member);
                }
            }
        }
        let published = MemoryDefinitions::default();
        let mut entries = Vec::new();
        for (database, members) in by_database {
            let mut builder = SetBuilder::new(|| Ok(Cursor::new(Vec::new())), Vec::new()).unwrap();
            for (name, bytes) in &members {
                builder.add(name, bytes).unwrap();
            }
            let mut shards = Vec::new();
            let Built { body, filter, lines, .. } = builder.finish(&mut shards).unwrap();
            let entry = ScanSetEntry {
                database: DatabaseName::new(&database).unwrap(),
                of: Sha256Digest::of(b""),
                body: BodyEntry::of_scan_set(&body),
                filter: BodyEntry::of_scan_set(&filter),
                shards: BodyEntry::of_scan_set(&shards),
                lines,
            };
            published.write(&entry.shards.object_key, shards, &[], WriteCondition::Always).await.unwrap();
            let body = body::files(&body).unwrap().into_iter();
            let body: Vec<_> =
                body.map(|(name, bytes)| SignatureFile::member(database.as_str(), false, name, bytes)).collect();
            files.extend(to_cud(&database, &body).filter(|_| !body.is_empty()));
            files.push((scan_sets::filter_file(&entry), filter));
            entries.push(entry);
        }
        lay_out(body_directory, &files);
        let body_directory = fs::canonicalize(body_directory).unwrap();
        let loose = set.files.iter().filter(|file| file.container.is_none()).map(|file| file.name.clone()).collect();
        Self { published, laid_out: scan_sets::ScanSets::new(body_directory, entries, loose, false), twins }
    }
}

fn note_twins(file: &str, bytes: &[u8], names: &mut BTreeMap<Candidate, String>, twins: &mut BTreeMap<String, String>) {
    let Some(class) = Class::of_file(file) else { return };
    for line in bytes.split(|byte| *byte == b'\n') {
        let line: Vec<u8> = chomped(line).iter().filter(|byte| !matches!(byte, b' ' | b'+')).copied().collect();
        let Some(read) = HashLine::parse(class.kind(), &line) else { continue };
        let name = String::from_utf8_lossy(read.name).into_owned();
        let first = names.entry(read.candidate).or_insert_with(|| name.clone()).clone();
        twins.insert(name, first);
    }
}

/// Whether a member holds signatures.
fn is_signatures(name: &str) -> bool {
    name != COPYING && signature::Kind::of(name) != signature::Kind::Nothing
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
    /// Whether a line matched exactly.
    pub(super) is_hit: bool,
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
    limits: Limits,
) -> Result<Vec<(PathBuf, Decided)>, ExamineError<std::io::Error>> {
    let one = |path: PathBuf| async move {
        let full = examine(lab, all, &path, limits).await?;
        let mut of_body = examine(lab, sets.laid_out.directory(), &path, limits).await?;
        if let Broken::Forgets(forgotten) = broken {
            of_body.proposals.retain(|proposal| !forgotten(&candidate(proposal)));
        }
        let (proposals, unread) = (of_body.proposals.len(), of_body.unlooked > 0);
        let mini = sets.laid_out.compare(&sets.published, &of_body, &lab.pool).await.expect("shards");
        let is_hit = mini.is_some();
        let of_mini = match mini {
            None => None,
            Some(_) if matches!(broken, Broken::Undecided) => {
                Some(Report { alerts: vec!["Row".into()], ..Report::default() })
            }
            Some(mini) => {
                broken.spoil(&mini.directory);
                Some(examine(lab, &mini.directory, &path, limits).await?)
            }
        };
        let ours = sets.laid_out.decided(Report { unlooked: 0, ..of_body }, of_mini).expect("nothing unlooked");
        Ok((path, Decided { full: Said::by(&full), ours: Said::by(&ours), proposals, is_hit, unread }))
    };
    let decided = stream::iter(lab.corpus.paths().map(one)).buffered(AT_ONCE).collect::<Vec<_>>().await;
    lab.pool.dismiss(all);
    lab.pool.dismiss(sets.laid_out.directory());
    decided.into_iter().collect()
}

fn candidate(proposal: &protocol::Proposal) -> Candidate {
    let kind = match proposal.of {
        Proposed::File => Kind::File,
        Proposed::Section => Kind::Section,
    };
    Candidate { kind, digest: Digest::from_hex(proposal.digest.as_bytes()).unwrap(), size: proposal.size }
}

impl Broken {
    /// Takes out of a mini engine's databases what it is broken by.
    fn spoil(&self, mini: &Path) {
        for entry in fs::read_dir(mini).unwrap() {
            let path = entry.unwrap().path();
            let Some(database) = path.file_name().unwrap().to_str().unwrap().strip_suffix(".cud") else { continue };
            let bytes = fs::read(&path).unwrap();
            let members = members_in_order(Cvd::parse(&bytes).unwrap().payload(), ArchiveLimits::default()).unwrap();
            let is_left = |name: &str| match self {
                Self::Without(extension) => !name.ends_with(extension),
                Self::Late => !name.starts_with("nacre-hits"),
                _ => true,
            };
            let mut left = Vec::new();
            for (name, bytes) in members {
                if !is_signatures(&name) {
                    continue;
                }
                if is_left(&name) {
                    left.push(SignatureFile::member(database, false, name, bytes.into_owned()));
                } else if matches!(self, Self::Late) {
                    fs::write(mini.join(format!("zz-{database}-{name}")), bytes).unwrap();
                }
            }
            let (_, spoiled) = to_cud(database, &left).unwrap();
            fs::remove_file(&path).unwrap();
            if !left.is_empty() {
                fs::write(&path, spoiled).unwrap();
            }
        }
    }
}

pub(super) async fn examine(
    lab: &Lab,
    definitions: &Path,
    path: &Path,
    limits: Limits,
) -> Result<Report, ExamineError<std::io::Error>> {
    let fetch = async |to: &Path| fs::copy(path, to).map(drop);
    match lab.pool.examine(definitions, fetch, limits, || Duration::from_mins(10)).await? {
        Examination::Seen { report, .. } => Ok(report),
        other => panic!("{} was not seen: {other:?}", path.display()),
    }
}

/// Whether a candidate is of a section.
pub(super) fn is_section(candidate: &Candidate) -> bool {
    candidate.kind == Kind::Section
}
