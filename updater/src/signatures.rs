//! Computes what changes in signatures from the published generation to the next, for those who rescan.

use std::{borrow::Cow, collections::BTreeSet, fs};

use nacre_clamav::{
    archive::{self, ArchiveLimits},
    context::{self, may_have_part},
    cvd::{Cvd, HeaderError},
    delta::{Delta, SignatureFile, TwinSearch, ignored},
    digest::Sha256Digest,
    signature::is_ignoring,
    unpacked::{UnpackError, members_in_order},
};
use nacre_core::{
    generation::{
        Generation,
        history::{History, MAX_DELTA_BYTES, MAX_DELTA_LINES, Step, StepKind},
        manifest::{BodyEntry, ContextEntry, DatabaseEntry, Manifest},
        published::{PublishedError, read_body, read_custom},
    },
    port::DefinitionsStore,
    telemetry::error_chain,
};

use crate::{custom::CustomPart, database_update::StagedDatabase};

/// Why the changes cannot be determined.
#[derive(Debug, thiserror::Error)]
pub enum SignaturesError {
    /// A published body cannot be read.
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    /// A database of ours cannot be read from the disk.
    #[error("{0} cannot be read")]
    Disk(String, #[source] std::io::Error),
    /// A verified database is no database.
    #[error("{0} has no header")]
    Header(String, #[source] HeaderError),
    /// A verified database cannot be unpacked.
    #[error("{0} cannot be unpacked")]
    Unpack(String, #[source] UnpackError),
}

/// The part of the next manifest on signatures, and the bodies that it names.
#[derive(Debug, Default)]
pub struct SignatureDiff {
    /// The steps, the last one to the next generation.
    pub history: History,
    /// The contexts of its databases.
    pub contexts: Vec<ContextEntry>,
    /// Bodies to be written, which may be there already.
    pub bodies: Vec<(BodyEntry, Vec<u8>)>,
}

impl SignatureDiff {
    fn delta(&mut self, to: Generation, bytes: Vec<u8>) -> BodyEntry {
        let entry = BodyEntry::of_delta(to, &bytes);
        self.bodies.push((entry.clone(), bytes));
        entry
    }

    fn body(&mut self, bytes: Vec<u8>) -> BodyEntry {
        let entry = BodyEntry::of(&bytes);
        self.bodies.push((entry.clone(), bytes));
        entry
    }
}

/// A database that is read when it is needed.
enum Source<'a> {
    Published(&'a DatabaseEntry),
    Fresh(&'a StagedDatabase),
}

impl Source<'_> {
    fn entry(&self) -> &DatabaseEntry {
        match self {
            Self::Published(entry) => entry,
            Self::Fresh(part) => &part.entry,
        }
    }

    fn ignores(&self) -> bool {
        self.entry().members.iter().any(|member| is_ignoring(&member.name))
    }

    async fn body(&self, store: &impl DefinitionsStore) -> Result<Vec<u8>, SignaturesError> {
        match self {
            Self::Published(entry) => Ok(read_body(store, entry).await?),
            Self::Fresh(part) => {
                fs::read(&part.path).map_err(|error| SignaturesError::Disk(self.entry().file_name(), error))
            }
        }
    }

    async fn files(&self, store: &impl DefinitionsStore) -> Result<Vec<SignatureFile<'static>>, SignaturesError> {
        let (name, body) = (self.entry().file_name(), self.body(store).await?);
        let cvd = self.parse(&body)?;
        let members = members_in_order(cvd.payload(), ArchiveLimits::default())
            .map_err(|error| SignaturesError::Unpack(name.clone(), error))?;
        let owned = |(member, bytes): (String, Cow<'_, [u8]>)| {
            SignatureFile::member(name.clone(), true, member, bytes.into_owned())
        };
        Ok(members.into_iter().map(owned).collect())
    }

    /// Shows the files one by one: `main` has hundreds of megabytes.
    async fn see(
        &self,
        store: &impl DefinitionsStore,
        mut see: impl FnMut(SignatureFile<'_>),
    ) -> Result<(), SignaturesError> {
        let (name, body) = (self.entry().file_name(), self.body(store).await?);
        let cvd = self.parse(&body)?;
        for member in archive::members(cvd.payload(), ArchiveLimits::default()) {
            let member = member.map_err(|error| SignaturesError::Unpack(name.clone(), error.into()))?;
            see(SignatureFile::member(name.clone(), true, member.name, member.bytes));
        }
        Ok(())
    }

    fn parse<'b>(&self, body: &'b [u8]) -> Result<Cvd<'b>, SignaturesError> {
        Cvd::parse_as(self.entry().kind, body).map_err(|error| SignaturesError::Header(self.entry().file_name(), error))
    }
}

/// Computes what leads from `before` to the generation of these parts and loose files. `before` is `None` where nothing was published
/// under the same keys: nothing leads here then.
///
/// # Errors
/// [`SignaturesError`].
pub async fn diff_signatures(
    store: &impl DefinitionsStore,
    before: Option<&Manifest>,
    to: Generation,
    parts: &[StagedDatabase],
    custom: &[CustomPart],
) -> Result<SignatureDiff, SignaturesError> {
    let mut diff = SignatureDiff::default();
    let previous: &[DatabaseEntry] = before.map_or(&[], |before| &before.databases);
    let stays = |sha256: Sha256Digest| previous.iter().any(|entry| entry.sha256 == sha256);
    // One database at a time where possible: unpacked, they are large.
    for part in parts {
        let mut known = before.iter().flat_map(|before| &before.contexts);
        let known = known.find(|context| context.of == part.entry.sha256);
        let context = match known.filter(|_| stays(part.entry.sha256)) {
            Some(context) => Some(context.clone()),
            None => context_of(part, store, &mut diff).await?,
        };
        diff.contexts.extend(context);
    }
    let Some(before) = before else { return Ok(diff) };
    let kind = match delta(store, before, parts, custom).await {
        Ok(delta) if delta.lines().len() > MAX_DELTA_LINES => StepKind::TooLarge,
        Ok(delta) => match delta.to_bytes() {
            bytes if bytes.len() > MAX_DELTA_BYTES => StepKind::TooLarge,
            bytes => StepKind::Delta { delta: diff.delta(to, bytes) },
        },
        // A body that was lost must not keep the next generation from being published: records are scanned in full.
        Err(SignaturesError::Published(error)) if error.is_lost_body() => {
            tracing::error!(
                cause = error_chain(&error),
                "the delta cannot be computed: every object needs a full scan"
            );
            StepKind::TooLarge
        }
        Err(error) => return Err(error),
    };
    diff.history = before.history.clone().then(Step { to, kind });
    Ok(diff)
}

async fn context_of(
    part: &StagedDatabase,
    store: &impl DefinitionsStore,
    diff: &mut SignatureDiff,
) -> Result<Option<ContextEntry>, SignaturesError> {
    if !part.entry.members.iter().any(|member| may_have_part(&member.name)) {
        return Ok(None);
    }
    let files = Source::Fresh(part).files(store).await?;
    let body = diff.body(context::pack(&files));
    Ok(Some(ContextEntry { database: part.entry.name.clone(), of: part.entry.sha256, body }))
}

async fn delta(
    store: &impl DefinitionsStore,
    before: &Manifest,
    parts: &[StagedDatabase],
    custom: &[CustomPart],
) -> Result<Delta, SignaturesError> {
    let old: Vec<Source<'_>> = before.databases.iter().map(Source::Published).collect();
    let new: Vec<Source<'_>> = parts.iter().map(Source::Fresh).collect();
    let digests = |sources: &[Source<'_>]| -> BTreeSet<Sha256Digest> {
        sources.iter().map(|source| source.entry().sha256).collect()
    };
    let (digests_before, digests_now) = (digests(&old), digests(&new));
    let is_new = |source: &Source<'_>| {
        let sha256 = &source.entry().sha256;
        !(digests_before.contains(sha256) && digests_now.contains(sha256))
    };
    let (mut files_before, mut files_now) = (Vec::new(), Vec::new());
    for entry in &before.custom {
        files_before.push(SignatureFile::loose(entry.name.clone(), read_custom(store, entry).await?));
    }
    for part in custom {
        files_now.push(SignatureFile::loose(part.entry.name.clone(), part.bytes.clone()));
    }
    for (sources, files) in [(&old, &mut files_before), (&new, &mut files_now)] {
        for source in sources.iter().filter(|source| is_new(source) || source.ignores()) {
            files.extend(source.files(store).await?);
        }
    }
    let (ignored_before, ignored_now) = (ignored(&files_before), ignored(&files_now));
    let names = ignored_before.differing(&ignored_now);
    // What is ignored now, and was not, may be in any database that stays, and so may another line of a digest in a table that changed.
    // Only these lines are kept.
    let mut search = TwinSearch::between(&files_before, &files_now);
    let stays = || new.iter().filter(|source| !is_new(source) && !source.ignores());
    if !names.is_empty() {
        for source in stays() {
            source.see(store, |file| search.ignore(&file, &names)).await?;
        }
    }
    for source in stays() {
        source.see(store, |file| search.add(&file)).await?;
    }
    let (twins, are_any) = search.end();
    if are_any || !names.is_empty() {
        let mut concerned = Vec::new();
        for source in stays() {
            source.see(store, |file| concerned.push(file.concerned_by(&names, &twins))).await?;
        }
        files_before.extend(concerned.iter().cloned());
        files_now.extend(concerned);
    }
    Ok(Delta::with_twins(&files_before, &files_now, &twins))
}
