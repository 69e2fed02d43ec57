//! Summaries since several generations, made together line by line.

use std::{collections::HashMap, sync::Arc};

use nacre_clamav::{
    delta::DeltaLine,
    signature::{Concern, FileDigest, Kind, Signature, hash_digest, is_pua},
};

use super::{
    DeltaSummary, LoadedBy, Lookups, MAX_NARROWED, NarrowedForms, PHISHING_TARGETS, PROGRAM_TARGETS, RULE_NAMES,
};
use crate::{
    rescan::{
        narrowed::Narrowed,
        window::{Generations, LineChange},
    },
    targets::Targets,
};

/// Prefixes of libclamav's names for matches of lines without a name.
const PHISHING_NAMES: [&str; 2] = ["Heuristics.Phishing.", "Heuristics.Safebrowsing."];

/// Summaries in the making.
pub(super) struct Summaries {
    since: Vec<DeltaSummary>,
    lookups: Lookups,
    /// Digests of parts of programs that were added, since when, and by how many lines.
    programs: HashMap<Vec<u8>, (Generations, usize)>,
}

impl Summaries {
    pub(super) fn new(generations: usize) -> Self {
        let summary =
            |place| DeltaSummary { since: 1_u128.checked_shl(place).unwrap_or_default(), ..DeltaSummary::default() };
        let since = (0..).take(generations).map(summary).collect();
        Self { since, lookups: Lookups::default(), programs: HashMap::new() }
    }

    /// The summaries since some generations.
    fn of(&mut self, generations: Generations) -> impl Iterator<Item = &mut DeltaSummary> {
        self.since.iter_mut().filter(move |summary| summary.since & generations != 0)
    }

    pub(super) fn finished(self) -> Vec<DeltaSummary> {
        let lookups = Arc::new(self.lookups);
        self.since.into_iter().map(|summary| DeltaSummary { lookups: Arc::clone(&lookups), ..summary }).collect()
    }

    /// Takes all that changed of a line.
    pub(super) fn take(&mut self, delta_line: &DeltaLine, change: LineChange, engine: LoadedBy) {
        let DeltaLine { extension, line, .. } = delta_line;
        let file_name = format!("x.{extension}");
        if is_pua(&file_name) && !engine.pua {
            return;
        }
        if let Some(extension) = delta_line.moved() {
            return self.take_moved(extension, line, change.any, engine);
        }
        let kind = Kind::of(&file_name);
        for summary in self.of(change.any) {
            let since = summary.since;
            let changed = summary.counts.entry(extension.clone()).or_default();
            changed.added += u64::from(change.added & since != 0);
            changed.removed += u64::from(change.fewer & since != 0);
        }
        if kind == Kind::Yara {
            // A rule may refer to others: they are loaded together, and match any object. Of two rules of a name libclamav loads the
            // first, and nothing after it of the second one's file: where one is gone, more may match.
            for summary in self.of(change.any) {
                summary.matches_any = true;
                summary.removed_regexes += 1;
                summary.removed_prefixes.insert(RULE_NAMES);
            }
            return;
        }
        let Some(signature) = Signature::parse(kind, line) else {
            // A line that we cannot read may mean anything.
            return self.require_full_scan(extension, change.any);
        };
        if !signature.levels.contains(&engine.functionality_level.0) {
            return;
        }
        if kind == Kind::Logical && line.contains(&b'/') {
            self.of(change.removed).for_each(|summary| summary.removed_regexes += 1);
        }
        let is_context = matches!(signature.concern, Concern::Everything);
        // Whether an ignored name reaches a signature depends on the order in which files are loaded.
        self.require_full_scan(extension, if is_context { change.any } else { change.shadowed });
        if let Concern::Trust { digest } = signature.concern {
            *self.lookups.trust.entry(digest).or_default() |= change.any;
            let by_sha = u32::from(!matches!(digest, FileDigest::Md5(_)));
            for summary in self.of(change.any) {
                summary.changed_trust += 1;
                summary.changed_sha_trust += by_sha;
            }
            self.of(change.removed).for_each(|summary| summary.revokes_trust = true);
            return;
        }
        if signature.concern == Concern::AllowedUrl {
            return self.of(change.any).for_each(|summary| summary.changes_allowed_urls = true);
        }
        if let Concern::Interferes { target } = signature.concern {
            let targets = target.map_or(Targets::ALL, Targets::of);
            return self.of(change.any).for_each(|summary| summary.interferes |= targets);
        }
        if signature.concern == Concern::Phishing {
            // Of a link that several lines match one name alone is reported.
            self.of(change.any).for_each(|summary| summary.removed_prefixes.extend(PHISHING_NAMES));
        }
        if change.added != 0 {
            self.take_added(kind, line, &signature, change.added);
        }
        if change.removed != 0
            && let Some(name) = signature.name
        {
            let name = super::plain_name(&String::from_utf8_lossy(name)).to_owned();
            *self.lookups.removed.entry(name).or_default() |= change.removed;
        }
    }

    /// Takes a signature that was added.
    fn take_added(&mut self, kind: Kind, line: &[u8], signature: &Signature<'_>, generations: Generations) {
        match signature.concern {
            Concern::File { digest, size } => {
                let sizes = self.lookups.files.entry(digest).or_insert_with(|| Vec::with_capacity(1));
                sizes.push((size, generations));
                self.of(generations).for_each(|summary| summary.added_files += 1);
                self.rename(digest, generations);
            }
            Concern::Target(target) => {
                let narrowed = Narrowed::of(Targets::of(target), &signature.narrowing);
                for summary in self.of(generations) {
                    match &narrowed {
                        Some(narrowed) => summary.narrow(narrowed),
                        None => summary.targets |= Targets::of(target),
                    }
                }
                if kind == Kind::ProgramHash {
                    let digest = hash_digest(kind, line).unwrap_or_default().to_ascii_lowercase();
                    let (since, lines) = self.programs.entry(digest).or_default();
                    *since |= generations;
                    *lines += 1;
                    // An engine is shared by records of several generations: it has what was added since any of them.
                    let repeated = if *lines > 1 { *since } else { 0 };
                    self.of(generations).for_each(|summary| summary.programs.renamed = true);
                    self.of(repeated).for_each(|summary| summary.programs.repeated = true);
                }
            }
            Concern::Phishing => self.of(generations).for_each(|summary| summary.targets |= PHISHING_TARGETS),
            Concern::Any => {
                let narrowed = Narrowed::of(Targets::ALL, &signature.narrowing);
                for summary in self.of(generations) {
                    match &narrowed {
                        Some(narrowed) => summary.narrow(narrowed),
                        None => summary.matches_any = true,
                    }
                }
            }
            Concern::Everything | Concern::Trust { .. } | Concern::AllowedUrl | Concern::Interferes { .. } => {
                self.of(generations).for_each(|summary| summary.matches_any = true);
            }
        }
    }

    /// Takes the mark of a digest that changed its place among others in.
    fn take_moved(&mut self, extension: &str, line: &[u8], generations: Generations, engine: LoadedBy) {
        let file_name = format!("x.{extension}");
        if is_pua(&file_name) && !engine.pua {
            return;
        }
        if extension == "imp" && line == b"*" {
            // Of programs with a damaged import table, more is scanned now than before, or less.
            return self.of(generations).for_each(|summary| summary.interferes |= PROGRAM_TARGETS);
        }
        match Signature::parse(Kind::of(&file_name), line).map(|signature| signature.concern) {
            Some(Concern::File { digest, .. }) => self.rename(digest, generations),
            Some(Concern::Target(_)) => self.of(generations).for_each(|summary| summary.programs.renamed = true),
            Some(Concern::Phishing) => self.of(generations).for_each(|summary| summary.changes_allowed_urls = true),
            _ => self.require_full_scan(extension, generations),
        }
    }

    fn rename(&mut self, digest: FileDigest, generations: Generations) {
        *self.lookups.renamed.entry(digest).or_default() |= generations;
        self.of(generations).for_each(|summary| summary.renamed_files += 1);
    }

    fn require_full_scan(&mut self, extension: &str, generations: Generations) {
        for summary in self.of(generations) {
            summary.requires_full_scan.get_or_insert_with(|| extension.to_owned());
        }
    }
}

impl DeltaSummary {
    fn narrow(&mut self, narrowed: &Narrowed) {
        let NarrowedForms { forms, are_too_many } = &mut self.narrowed;
        if !*are_too_many {
            forms.insert(narrowed.clone());
            *are_too_many = forms.len() > MAX_NARROWED;
        }
        if *are_too_many {
            self.targets |= narrowed.targets;
            for narrowed in forms.drain() {
                self.targets |= narrowed.targets;
            }
        }
    }
}
