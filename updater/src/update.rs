//! One run of the updater: look, bring, prove, publish.

use std::{collections::BTreeMap, fs, io, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_shared::{
    definitions::{
        database::{ContainerKind, DatabaseName, DatabaseVersion},
        manifest::{Change, CustomEntry, DatabaseEntry, EngineProof, Generation, Manifest},
    },
    port::{DefinitionsStore, Topic},
    published::{Published, Race},
    telemetry::error_chain,
};
use serde::Serialize;
use tempfile::TempDir;

use crate::{
    bring::{BringError, Bringer, Brought, Part},
    config::Config,
    custom::{CustomError, CustomPart, CustomSources},
    delta::{Scripts, delta},
    dns::Dns,
    flat::Flat,
    http::HttpClient,
    mirror::{Advertised, MirrorError, Mirrors},
    prove::{ProveError, Prover},
    publish::{PublishError, Publisher},
    state::State,
};

/// How often the pointer may be lost to another updater in one run.
const MAX_RACES: u32 = 5;

/// Why a run published nothing. What was published before stays.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A database could not be brought up to date.
    #[error(transparent)]
    Bring(#[from] BringError),
    /// The mirrors want to be left alone, and what is published is too old to wait.
    #[error(
        "the definitions are {age}, and the mirrors want to be left alone until {until}: see docs/definitions.md for other sources"
    )]
    Stale {
        /// How old, in words.
        age: String,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// The loose signature files could not be had.
    #[error("the custom signature files could not be taken")]
    Custom(#[from] CustomError),
    /// The new set does not pass its proof.
    #[error("the new set of databases ({set}) does not pass its proof, as {report} tells")]
    Prove {
        /// The set, such as `daily 27780, main 62`.
        set: String,
        /// Where its report is, or the log.
        report: String,
        /// Why.
        #[source]
        source: ProveError,
    },
    /// The scratch disk failed.
    #[error("the scratch directory {path} cannot be used")]
    Disk {
        /// Where.
        path: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The definitions bucket or the topic failed.
    #[error("the generation could not be published")]
    Publish(#[from] PublishError),
    /// Others moved the pointer each time that we were about to.
    #[error("the pointer was lost to other updaters {MAX_RACES} times")]
    Races,
}

/// How long a CDIFF is waited for that is announced and not there, before the whole CVD is taken instead.
const PATIENCE: TimeDelta = TimeDelta::hours(12);

/// What a run came to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
#[serde(tag = "outcome", rename_all = "snake_case")]
pub enum Update {
    /// A new generation is published.
    Published {
        /// Which.
        generation: Generation,
        /// What is new in it, such as `daily 27780` or `local.ign2`.
        databases: Vec<String>,
        /// What is not the newest in it, such as `daily 27781 (announced, not there yet)`.
        held: Vec<String>,
    },
    /// The published generation is the newest that the mirrors have.
    UpToDate {
        /// Which.
        generation: Generation,
        /// Databases of which the mirrors serve an older version, or not yet the announced one.
        held: Vec<String>,
    },
    /// The mirrors want to be left alone; what is published is young enough to wait.
    CoolingDown {
        /// What is published.
        generation: Generation,
        /// Until when.
        until: DateTime<Utc>,
    },
    /// An operator pinned the published generation.
    Pinned {
        /// Which.
        generation: Generation,
    },
}

/// What a run works with.
#[derive(Debug)]
pub struct Updater<'a, Store, Announcements> {
    /// The settings.
    pub config: &'a Config,
    /// The definitions bucket.
    pub store: &'a Store,
    /// The topic that announces generations.
    pub announcements: &'a Announcements,
    /// Client of the mirrors and of custom URLs.
    pub http: &'a HttpClient,
    /// The DNS record of the newest versions, where there is one for these mirrors.
    pub dns: Option<&'a Dns>,
    /// The engine program that proves sets.
    pub engine: &'a Path,
    /// The time of the run.
    pub now: DateTime<Utc>,
}

/// The set of a generation to come.
struct NextSet {
    parts: Vec<Part>,
    custom: Vec<CustomPart>,
    scripts: Scripts,
    signed_files: BTreeMap<String, Vec<u8>>,
    held: Vec<String>,
}

impl NextSet {
    fn databases(&self) -> Vec<&DatabaseEntry> {
        self.parts.iter().map(|part| &part.entry).collect()
    }

    fn custom(&self) -> Vec<&CustomEntry> {
        self.custom.iter().map(|part| &part.entry).collect()
    }

    /// The set in words, such as `daily 27780, main 62, local.ign2`.
    fn label(&self) -> String {
        let databases = self.parts.iter().map(|part| labelled(&part.entry));
        databases.chain(self.custom.iter().map(|part| part.entry.name.clone())).collect::<Vec<_>>().join(", ")
    }
}

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Runs once.
    ///
    /// # Errors
    /// [`UpdateError`]; what was published before stays.
    pub async fn run(&self) -> Result<Update, UpdateError> {
        let bucket = self.bucket();
        // First what a run before may have left undone: no mirror's trouble may keep a generation from being announced.
        bucket.settle().await?;
        let state = bucket.state().await?;
        let (config, now) = (self.config, self.now);
        let mirrors = Mirrors::new(&config.mirrors, config.private_mirror, self.http, self.store, now, &state);
        let outcome = self.run_with(&bucket, &mirrors).await;
        let (cool_downs, ended_well) = (mirrors.cool_downs(), outcome.is_ok());
        let remembered = bucket.remember(|state| {
            state.cool_downs.clone_from(&cool_downs);
            state.last_check = Some(now);
            state.last_success = if ended_well { Some(now) } else { state.last_success };
        });
        match (outcome, remembered.await) {
            (Ok(update), Ok(_)) => Ok(update),
            (Ok(_), Err(error)) => Err(error.into()),
            (Err(error), _) => Err(error),
        }
    }

    fn bucket(&self) -> Publisher<'_, Store, Announcements> {
        let config = self.config;
        let flat = Flat {
            store: self.store,
            prefix: &config.flat_prefix,
            keep_cdiffs: config.keep_cdiffs,
            keep_cvds: config.serve_cvds,
        };
        Publisher {
            store: self.store,
            announcements: self.announcements,
            flat: config.writes_flat_prefix().then_some(flat),
            keep_generations: config.keep_generations,
        }
    }

    async fn run_with(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
    ) -> Result<Update, UpdateError> {
        for _ in 0..MAX_RACES {
            let published = bucket.published().await?;
            if let Some(manifest) = published.manifest.as_ref().filter(|_| published.pinned) {
                tracing::warn!(
                    generation = manifest.generation.0,
                    "generation is pinned; updates wait until it is unpinned"
                );
                return Ok(Update::Pinned { generation: manifest.generation });
            }
            let scratch = self.scratch()?;
            let (brought, cooling) = self.bring_databases(bucket, mirrors, &published, scratch.path()).await?;
            let custom = self.bring_custom(&published).await?;
            let set = match self.next_set(&published, brought, custom, scratch.path(), bucket).await? {
                Next::Set(set) => set,
                Next::Same { generation, held } => {
                    self.serve_cvds(bucket, mirrors, scratch.path()).await?;
                    return self.nothing_new(&published, generation, held, cooling);
                }
                // Nothing is published yet, and there is not enough to begin with.
                Next::Incomplete => return Err(self.stale(&published, cooling)),
            };
            if let Some(update) = self.prove_and_publish(bucket, &published, set, scratch.path()).await? {
                self.serve_cvds(bucket, mirrors, scratch.path()).await?;
                return Ok(update);
            }
        }
        Err(UpdateError::Races)
    }

    /// Brings every database; second, until when the mirrors want to be left alone, where that kept one from being brought.
    async fn bring_databases(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        published: &Published,
        scratch: &Path,
    ) -> Result<(BTreeMap<DatabaseName, Brought>, Option<DateTime<Utc>>), UpdateError> {
        let (mut brought, mut cooling) = (BTreeMap::new(), mirrors.cooling());
        if cooling.is_some() {
            return Ok((brought, cooling));
        }
        let announced = self.announced().await;
        let state = bucket.state().await?;
        let anchor = self.config.trust_anchors.identity();
        for name in &self.config.databases {
            let entry = published.entry(name.as_str(), &anchor);
            let outcome = match announced.get(name) {
                Some(version) => Ok(Advertised { version: *version, kind: ContainerKind::Cvd }),
                None => mirrors.advertised(name, entry.map(|entry| (entry.version, self.built(entry)))).await,
            };
            let outcome = match outcome {
                Ok(advertised) => {
                    let since = state.awaited.get(name.as_str());
                    let patient = since.is_none_or(|since| self.now - *since < PATIENCE);
                    self.bringer(mirrors, scratch, patient).bring(name, entry, advertised).await
                }
                Err(source) => Err(BringError::Mirror { database: name.to_string(), source }),
            };
            match outcome {
                Ok(done) => drop(brought.insert(name.clone(), done)),
                Err(BringError::Mirror { source: MirrorError::CoolingDown { until }, .. }) => cooling = Some(until),
                Err(error) => return Err(error.into()),
            }
        }
        let awaited: Vec<&str> =
            brought.iter().filter(|(_, done)| done.awaited).map(|(name, _)| name.as_str()).collect();
        let same = state.awaited.keys().map(String::as_str).eq(awaited.iter().copied());
        if !same {
            let remember = |state: &mut State| {
                state.awaited.retain(|name, _| awaited.contains(&name.as_str()));
                for name in &awaited {
                    state.awaited.entry((*name).to_owned()).or_insert(self.now);
                }
            };
            bucket.remember(remember).await?;
        }
        Ok((brought, cooling))
    }

    /// The newest versions, as the DNS record tells them; none where there is no record to rely on.
    async fn announced(&self) -> BTreeMap<DatabaseName, DatabaseVersion> {
        let Some(dns) = self.dns else { return BTreeMap::new() };
        match dns.look_up().await {
            Ok(record) if record.is_fresh(self.now) => {
                let version = |name: &DatabaseName| Some((name.clone(), record.version(name)?));
                self.config.databases.iter().filter_map(version).collect()
            }
            Ok(record) => {
                tracing::warn!(recorded_at = %record.recorded_at, "DNS record is stale; asking the mirrors instead");
                BTreeMap::new()
            }
            Err(error) => {
                tracing::warn!(cause = error_chain(&error), "DNS record not found; asking the mirrors instead");
                BTreeMap::new()
            }
        }
    }

    /// When a database was built, for a mirror to tell whether it has changed since. A time to come would hide every
    /// change until then: a builder's clock may be wrong.
    fn built(&self, entry: &DatabaseEntry) -> DateTime<Utc> {
        let built = i64::try_from(entry.built).ok().and_then(|built| DateTime::from_timestamp(built, 0));
        built.filter(|built| *built <= self.now).unwrap_or(DateTime::UNIX_EPOCH)
    }

    fn bringer<'b>(&'b self, mirrors: &'b Mirrors<'b, Store>, scratch: &'b Path, patient: bool) -> Bringer<'b, Store> {
        Bringer {
            patient,
            mirrors,
            store: self.store,
            trust_anchors: &self.config.trust_anchors,
            check_detached: self.config.check_detached,
            max_database_bytes: self.config.max_database_bytes,
            scratch,
            now: self.now,
        }
    }

    async fn bring_custom(&self, published: &Published) -> Result<(Vec<CustomPart>, Vec<String>), UpdateError> {
        let sources = CustomSources {
            urls: &self.config.custom_urls,
            prefix: &self.config.custom_prefix,
            max_bytes: self.config.max_custom_bytes,
            http: self.http,
            store: self.store,
        };
        let known = published.manifest.as_ref().map(|manifest| manifest.custom.as_slice()).unwrap_or_default();
        Ok(sources.bring(known).await?)
    }

    /// Puts the next set together: what was brought, and what is published where nothing was.
    async fn next_set(
        &self,
        published: &Published,
        mut brought: BTreeMap<DatabaseName, Brought>,
        (custom, mut held): (Vec<CustomPart>, Vec<String>),
        scratch: &Path,
        bucket: &Publisher<'_, Store, Announcements>,
    ) -> Result<Next, UpdateError> {
        let anchor = self.config.trust_anchors.identity();
        let (mut kept, mut parts, mut scripts, mut signed_files) =
            (Vec::new(), Vec::new(), Scripts::new(), BTreeMap::new());
        for name in &self.config.databases {
            let done = brought.remove(name).unwrap_or_default();
            held.extend(done.held);
            signed_files.extend(done.signed_files);
            match (done.part, published.entry(name.as_str(), &anchor)) {
                (Some(part), _) => {
                    scripts.insert(name.clone(), done.scripts);
                    parts.push(part);
                }
                (None, Some(entry)) => kept.push(entry.clone()),
                (None, None) => return Ok(Next::Incomplete),
            }
        }
        if let Some(manifest) = published.verified_by(&anchor) {
            let identity = |entry: &CustomEntry| (entry.name.clone(), entry.sha256.clone());
            let same_custom = custom.iter().map(|part| identity(&part.entry)).eq(manifest.custom.iter().map(identity));
            if parts.is_empty() && same_custom && kept.len() == manifest.databases.len() {
                return Ok(Next::Same { generation: manifest.generation, held });
            }
        }
        for entry in kept {
            let path = scratch.join(format!("{}-published", entry.file_name()));
            let bytes = bucket.body(&entry).await?;
            fs::write(&path, bytes).map_err(|source| UpdateError::Disk { path: path.display().to_string(), source })?;
            parts.push(Part { entry, path });
        }
        parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        Ok(Next::Set(NextSet { parts, custom, scripts, signed_files, held }))
    }

    /// Proves and publishes a set; `None` when another updater was faster.
    async fn prove_and_publish(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        published: &Published,
        set: NextSet,
        scratch: &Path,
    ) -> Result<Option<Update>, UpdateError> {
        let generation = published.next_generation();
        let proof = self.prove(bucket, generation, &set, scratch).await?;
        let anchor = self.config.trust_anchors.identity();
        let delta = published
            .verified_by(&anchor)
            .map(|before| delta(before, generation, &set.databases(), &set.custom(), &set.scripts));
        let new = news(&set, delta.as_ref().map(|delta| delta.changes.as_slice()));
        let databases = set.databases().into_iter().cloned().collect();
        let custom = set.custom().into_iter().cloned().collect();
        let mut manifest = Manifest::new(generation, self.now, anchor, databases, proof).with_custom(custom);
        manifest.delta = delta;
        self.put_bodies(bucket, published, &set).await?;
        self.put_scripts(bucket, &manifest, set.scripts).await?;
        for (file, bytes) in set.signed_files {
            bucket.put_signed_file(&file, bytes).await?;
        }
        if bucket.advance(published, &manifest).await? == Race::Lost {
            return Ok(None);
        }
        bucket.settle().await?;
        if let Err(error) = bucket.tidy(self.now).await {
            // What is kept too long costs a little; the next generation tidies again.
            tracing::warn!(cause = error_chain(&error), "old generations not removed");
        }
        Ok(Some(Update::Published { generation, databases: new, held: set.held }))
    }

    async fn prove(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        generation: Generation,
        set: &NextSet,
        scratch: &Path,
    ) -> Result<EngineProof, UpdateError> {
        let prover = Prover {
            program: self.engine,
            scratch,
            store: self.store,
            canary_prefix: &self.config.canary_prefix,
            signed_by_clamav: self.config.trust_anchors.is_clamav(),
        };
        let source = match prover.prove(&set.parts, &set.custom).await {
            Ok(proof) => return Ok(proof),
            Err(source) => source,
        };
        let mut report = "the log".to_owned();
        if matches!(source, ProveError::Unfit(_)) {
            self.put_bodies(bucket, &Published::default(), set).await?;
            let cause = error_chain(&source);
            report = bucket.reject(generation, &set.databases(), &set.custom(), &cause, self.now).await?;
        }
        Err(UpdateError::Prove { set: set.label(), report, source })
    }

    /// Writes the bodies that the published generation does not have.
    async fn put_bodies(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        published: &Published,
        set: &NextSet,
    ) -> Result<(), UpdateError> {
        let there: Vec<String> = published.manifest.iter().flat_map(Manifest::object_keys).collect();
        for part in set.parts.iter().filter(|part| !there.contains(&part.entry.object_key)) {
            let path = part.path.display().to_string();
            let bytes = fs::read(&part.path).map_err(|source| UpdateError::Disk { path, source })?;
            bucket.put(&part.entry.object_key, bytes).await?;
        }
        for part in set.custom.iter().filter(|part| !there.contains(&part.entry.object_key)) {
            bucket.put(&part.entry.object_key, part.bytes.clone()).await?;
        }
        Ok(())
    }

    async fn put_scripts(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        manifest: &Manifest,
        mut scripts: Scripts,
    ) -> Result<(), UpdateError> {
        for change in manifest.delta.iter().flat_map(|delta| &delta.changes) {
            let Change::Patched { name, scripts: entries } = change else { continue };
            let Some((_, applied)) = scripts.iter_mut().find(|(database, _)| database.as_str() == name) else {
                continue;
            };
            for (entry, applied) in entries.iter().zip(std::mem::take(applied)) {
                bucket.put(&entry.object_key, applied.script).await?;
            }
        }
        Ok(())
    }

    /// Mirrors whole CVDs where CDIFFs have led us past them: only their makers can make them. They are for others, so that
    /// no trouble with them fails a run.
    async fn serve_cvds(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        scratch: &Path,
    ) -> Result<(), UpdateError> {
        let Some(flat) = bucket.flat.as_ref().filter(|flat| flat.keep_cvds) else { return Ok(()) };
        let Some(manifest) = bucket.published().await?.manifest else { return Ok(()) };
        let state = bucket.state().await?;
        for entry in manifest.databases.iter().filter(|entry| entry.kind == ContainerKind::Cld) {
            let file = format!("{}.cvd", entry.name);
            let served = state.flat.get(&file).map_or(0, |file| file.version);
            if served >= entry.version.0 || mirrors.cooling().is_some() {
                continue;
            }
            let there = mirrors.advertised(&entry.name, None).await;
            if !there.is_ok_and(|there| there.version.0 > served && there.kind == ContainerKind::Cvd) {
                continue;
            }
            let mut brought = Brought::default();
            match self.bringer(mirrors, scratch, true).fetch_whole(&entry.name, ContainerKind::Cvd, &mut brought).await
            {
                Ok((verified, bytes)) if verified.header.version.0 > served => {
                    for (file, bytes) in brought.signed_files {
                        bucket.put_signed_file(&file, bytes).await?;
                    }
                    let written = flat.write(&DatabaseEntry::of(&verified), bytes).await;
                    let written = written.map_err(|source| PublishError::Store { key: flat.key(&file), source })?;
                    bucket.remember(|state| drop(state.flat.insert(file.clone(), written.clone()))).await?;
                }
                Ok(_) => {}
                Err(error) => tracing::warn!(file, cause = error_chain(&error), "whole database not mirrored"),
            }
        }
        Ok(())
    }

    fn nothing_new(
        &self,
        published: &Published,
        generation: Generation,
        held: Vec<String>,
        cooling: Option<DateTime<Utc>>,
    ) -> Result<Update, UpdateError> {
        let Some(until) = cooling else { return Ok(Update::UpToDate { generation, held }) };
        let young = newest_built(published).is_some_and(|built| self.now - built <= self.config.staleness_limit);
        if young { Ok(Update::CoolingDown { generation, until }) } else { Err(self.stale(published, cooling)) }
    }

    fn stale(&self, published: &Published, cooling: Option<DateTime<Utc>>) -> UpdateError {
        let age = newest_built(published).map(|built| format!("{} hours old", (self.now - built).num_hours()));
        UpdateError::Stale { age: age.unwrap_or_else(|| "not there yet".into()), until: cooling.unwrap_or(self.now) }
    }

    fn scratch(&self) -> Result<TempDir, UpdateError> {
        let path = &self.config.scratch_path;
        let scratch = tempfile::Builder::new().prefix("nacre-update-").tempdir_in(path);
        scratch.map_err(|source| UpdateError::Disk { path: path.display().to_string(), source })
    }
}

/// What follows from what was brought.
enum Next {
    /// A set to prove.
    Set(NextSet),
    /// The set that is published.
    Same { generation: Generation, held: Vec<String> },
    /// A database is missing.
    Incomplete,
}

/// When the newest of the published databases was built.
pub fn newest_built(published: &Published) -> Option<DateTime<Utc>> {
    let databases = published.manifest.iter().flat_map(|manifest| &manifest.databases);
    let newest = databases.map(|entry| entry.built).max()?;
    DateTime::from_timestamp(i64::try_from(newest).ok()?, 0)
}

/// What is new in a set, in words; all of it where nothing was published before.
fn news(set: &NextSet, changes: Option<&[Change]>) -> Vec<String> {
    let all = set.parts.iter().map(|part| (part.entry.name.to_string(), labelled(&part.entry)));
    let all: Vec<(String, String)> =
        all.chain(set.custom.iter().map(|part| (part.entry.name.clone(), part.entry.name.clone()))).collect();
    let Some(changes) = changes else { return all.into_iter().map(|(_, label)| label).collect() };
    let label = |name: &String| all.iter().find(|(found, _)| found == name).map(|(_, label)| label.clone());
    let told = changes.iter().map(|change| match change {
        Change::Patched { name, .. } | Change::Replaced { name } => label(name).unwrap_or_default(),
        Change::Removed { name } => format!("{name} (removed)"),
    });
    told.collect()
}

fn labelled(entry: &DatabaseEntry) -> String {
    format!("{} {}", entry.name, entry.version.0)
}
