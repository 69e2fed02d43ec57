//! Summary of a delta, in a form that plans many records quickly.

mod summaries;

use std::{
    collections::{BTreeMap, BTreeSet, HashMap, HashSet},
    sync::Arc,
};

use nacre_clamav::{database::FunctionalityLevel, delta::Delta, signature::FileDigest};
use serde::Serialize;
use summaries::Summaries;

use crate::{
    rescan::{
        narrowed::Narrowed,
        window::{Generations, LineChange, Window},
    },
    scan_record::{LayerDigest, RecordView},
    targets::Targets,
};

/// Targets whose matchers run where libclamav checks for phishing, as bits: on mail and its HTML. What it recognizes as mail only while
/// it scans text or binary data (`CL_TYPE_MHTML`) has the matchers of these, and its HTML may, too.
const PHISHING_TARGETS: Targets = Targets::from_bits(1 << 3 | 1 << 4 | 1 << 7 | 1 << 14);

/// The target whose matcher runs on programs of Windows, as bits.
const PROGRAM_TARGETS: Targets = Targets::from_bits(1 << 1);

/// Prefix of libclamav's names for matches of YARA rules.
const RULE_NAMES: &str = "YARA.";

/// Suffix of libclamav's names for signatures that are not from a signed database.
const UNOFFICIAL: &str = ".UNOFFICIAL";

/// Which signatures an engine loads.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct LoadedBy {
    /// The engine's functionality level.
    pub functionality_level: FunctionalityLevel,
    /// Whether it loads signatures of potentially unwanted applications.
    pub pua: bool,
}

/// Summary of a delta. Those since several generations share what they look up.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DeltaSummary {
    /// Extension of a file whose change requires full scans, where there is one.
    pub requires_full_scan: Option<String>,
    /// Whether something was added that any object may match.
    pub matches_any: bool,
    /// Targets for which something was added.
    pub targets: Targets,
    /// What was added for content of a certain kind.
    narrowed: NarrowedForms,
    /// Whether the URLs changed that are no phishing, or the hashes of URLs, of which one may take back another.
    changes_allowed_urls: bool,
    /// Targets whose matchers have other signatures that change what others find: content is scanned as another type, or a pattern is
    /// mistaken for another.
    interferes: Targets,
    /// Number of digests of files that were added.
    added_files: usize,
    /// Number of files in which the trust changed.
    changed_trust: u32,
    /// Number of these that are named by a SHA-1 or SHA-256.
    changed_sha_trust: u32,
    /// Whether something is not trusted any more.
    pub revokes_trust: bool,
    /// Number of digests of files of which libclamav may report another name now than before.
    renamed_files: usize,
    /// What changed of the digests of parts of programs, of which records have none.
    programs: ProgramDigests,
    /// Number of signatures with a regular expression that were removed, and of changed rules of YARA: such may fail on content, or take
    /// too long.
    removed_regexes: u32,
    /// Prefixes of names of which any may have been removed.
    removed_prefixes: BTreeSet<&'static str>,
    /// Lines added and removed, by the extension of their file.
    pub counts: BTreeMap<String, Changed>,
    lookups: Arc<Lookups>,
    /// The generation, as a bit.
    since: Generations,
}

/// What summaries look up, each with the generations since which it changed.
#[derive(Debug, Default, PartialEq, Eq)]
struct Lookups {
    /// Digests of files that were added, with their sizes; `None` for any.
    files: HashMap<FileDigest, Vec<(Option<u64>, Generations)>>,
    /// Digests of files that are trusted now and were not, or the other way.
    trust: HashMap<FileDigest, Generations>,
    /// Digests of files of which libclamav may report another name now than before.
    renamed: HashMap<FileDigest, Generations>,
    /// Names of signatures that were removed or changed, in the form of [`plain_name`].
    removed: HashMap<String, Generations>,
}

/// What was added for content of a certain kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
struct NarrowedForms {
    /// At most [`MAX_NARROWED`].
    forms: HashSet<Narrowed>,
    /// Whether there are more: then all of them count as if they demanded nothing.
    are_too_many: bool,
}

/// What changed of the digests of parts of programs: of several lines of one digest, libclamav reports the one that it loaded last.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
struct ProgramDigests {
    /// Whether a digest was added more than once.
    repeated: bool,
    /// Whether another name may be reported now than before.
    renamed: bool,
}

/// Numbers of lines.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Changed {
    /// Lines that only the newer set has.
    pub added: u64,
    /// Lines that only the older set has.
    pub removed: u64,
}

/// Most forms of [`Narrowed`] that a record is compared with; beyond that, all of them count as if they demanded nothing.
const MAX_NARROWED: usize = 256;

impl DeltaSummary {
    /// Summarises what an engine loads.
    pub fn of(delta: &Delta, engine: LoadedBy) -> Self {
        let mut summaries = Summaries::new(1);
        for (line, count) in delta.lines() {
            summaries.take(line, LineChange::default().with(count, 1), engine);
        }
        summaries.finished().pop().unwrap_or_default()
    }

    /// Summarises what an engine loads, since each generation of a window.
    pub(crate) fn of_window(window: &Window, engine: LoadedBy) -> Vec<Self> {
        let mut summaries = Summaries::new(window.len());
        for (line, change) in window.changes() {
            summaries.take(line, change, engine);
        }
        summaries.finished()
    }

    /// Whether anything was added that may match some object.
    pub fn adds(&self) -> bool {
        self.matches_any || !self.targets.is_empty() || !self.narrowed.forms.is_empty() || self.added_files > 0
    }

    /// Whether a signature that may fail on content, or take too long, was removed.
    pub fn removes_regex(&self) -> bool {
        self.removed_regexes > 0
    }

    /// Whether rules of YARA changed.
    pub fn changes_rules(&self) -> bool {
        self.removed_prefixes.contains(RULE_NAMES)
    }

    /// Whether something was added that may match an object of which a scan saw this.
    pub fn may_match(&self, view: &RecordView) -> bool {
        let (targets, layers) = (view.targets, view.layers.as_deref());
        if self.matches_any || self.targets.intersects(targets) {
            return true;
        }
        // It is not recorded which matchers ran on it.
        if targets.is_empty() && self.adds() {
            return true;
        }
        if self.narrowed.forms.iter().any(|narrowed| narrowed.may_match(view)) {
            return true;
        }
        match layers {
            _ if self.added_files == 0 => false,
            None => true,
            Some(layers) => layers.iter().any(|layer| self.has_file(layer)),
        }
    }

    fn has_file(&self, layer: &LayerDigest) -> bool {
        digests(layer)
            .filter_map(|digest| self.lookups.files.get(&digest))
            .flatten()
            .any(|(size, since)| since & self.since != 0 && size.is_none_or(|size| size == layer.size))
    }

    /// Whether it changed the trust in one of these layers; `None` for layers that are not known.
    pub fn changes_trust(&self, layers: Option<&[LayerDigest]>) -> bool {
        match layers {
            // No probe matches content that libclamav derives from a layer and then trusts, so no record has its digest.
            _ if self.revokes_trust => true,
            _ if self.changed_trust == 0 => false,
            None => true,
            Some(layers) => layers.iter().any(|layer| {
                let is_of = |digest| self.lookups.trust.get(&digest).is_some_and(|since| since & self.since != 0);
                (self.changed_sha_trust > 0 && !layer.has_sha()) || digests(layer).any(is_of)
            }),
        }
    }

    /// Whether an object with these targets and layers has a digest that was added more than once: which of the names a full engine
    /// reports depends on the order in which it has them.
    pub fn is_ambiguous(&self, targets: Targets, layers: Option<&[LayerDigest]>) -> bool {
        let of_layer = |layer: &LayerDigest, digest: FileDigest| {
            let sizes = self.lookups.files.get(&digest).map(Vec::as_slice).unwrap_or_default();
            // An engine is shared by records of several generations: it has what was added since any of them.
            sizes.iter().filter(|(size, _)| size.is_none_or(|size| size == layer.size)).count() > 1
        };
        let of_layers = layers
            .is_some_and(|layers| layers.iter().any(|layer| digests(layer).any(|digest| of_layer(layer, digest))));
        of_layers || (self.programs.repeated && targets.intersects(PROGRAM_TARGETS))
    }

    /// Whether libclamav may report another name than before for a digest of an object with these targets and layers; `None` for
    /// layers that are not known.
    pub fn renames(&self, targets: Targets, layers: Option<&[LayerDigest]>) -> bool {
        if self.programs.renamed && targets.intersects(PROGRAM_TARGETS) {
            return true;
        }
        match layers {
            _ if self.renamed_files == 0 => false,
            None => true,
            Some(layers) => layers
                .iter()
                .flat_map(digests)
                .any(|digest| self.lookups.renamed.get(&digest).is_some_and(|since| since & self.since != 0)),
        }
    }

    /// Whether the phishing check of an object with these targets may conclude something else of a URL: what was
    /// found may be allowed, or the other way.
    pub fn changes_phishing_check(&self, targets: Targets) -> bool {
        // It is not recorded which matchers ran on it.
        self.changes_allowed_urls && (targets.is_empty() || targets.intersects(PHISHING_TARGETS))
    }

    /// Whether what changed may have changed what other signatures find in an object with these targets.
    pub fn interferes(&self, targets: Targets) -> bool {
        !self.interferes.is_empty() && (targets.is_empty() || targets.intersects(self.interferes))
    }

    /// Whether the signatures of a name, as records have it, are unchanged.
    pub fn is_unchanged(&self, name: &str) -> bool {
        let is_removed = self.lookups.removed.get(plain_name(name)).is_some_and(|since| since & self.since != 0);
        !is_removed && !self.removed_prefixes.iter().any(|prefix| name.starts_with(prefix))
    }
}

/// A signature's name without what libclamav cuts off, or adds, where it reports it, so that a line's name and an alert's are the
/// same. Two names may become one: more is scanned then.
fn plain_name(name: &str) -> &str {
    let mut plain = name.find(" (Clam)").and_then(|end| name.get(..end)).unwrap_or(name).trim();
    while let Some(shorter) = plain.strip_suffix(UNOFFICIAL) {
        plain = shorter.trim_end();
    }
    plain
}

fn digests(layer: &LayerDigest) -> impl Iterator<Item = FileDigest> {
    let known = if layer.has_sha() { 3 } else { 1 };
    [FileDigest::Md5(layer.md5), FileDigest::Sha1(layer.sha1), FileDigest::Sha256(layer.sha256)].into_iter().take(known)
}

#[cfg(test)]
mod tests;
