//! One run of the updater: check, download, test, publish.

mod advance;
mod by_freshclam;
mod gather;
mod next_set;
mod whole_cvds;

use std::{collections::BTreeMap, io, path::Path};

use chrono::{DateTime, Utc};
use nacre_core::{
    generation::{Generation, published::Published},
    port::{DefinitionsStore, Topic},
};
use nacre_engine_client::claimed_directory::ClaimedDirectory;
use serde::Serialize;

use crate::{
    config::Config,
    custom::CustomError,
    database_test::DatabaseTestError,
    database_update::DatabaseUpdateError,
    dns::Dns,
    flat::Flat,
    freshclam::{Freshclam, FreshclamError},
    http::HttpClient,
    mirror::Mirrors,
    publish::{PublishError, Publisher},
    signatures::SignaturesError,
    state::UpdaterState,
};
use next_set::Next;

/// How often the pointer may be lost to another updater in one run.
const MAX_RACES: u32 = 5;

/// Why a run published nothing. What was published before stays.
#[derive(Debug, thiserror::Error)]
pub enum UpdateError {
    /// A database could not be updated.
    #[error(transparent)]
    Database(#[from] DatabaseUpdateError),
    /// freshclam downloaded no databases.
    #[error("freshclam downloaded no databases")]
    Freshclam(#[from] FreshclamError),
    /// The mirrors want to be left alone, and what is published is too old to wait.
    #[error(
        "the definitions are {age}, and all mirrors are rate-limiting us until {until}: see docs/definitions.md for other sources"
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
    /// The loose signature files could not be tried.
    #[error("the custom signature files could not be tried")]
    Loose(#[source] DatabaseTestError),
    /// The new set does not pass its test.
    #[error("the new set of databases ({set}) does not pass its test (report: {report})")]
    Prove {
        /// The set, such as `daily 27780, main 62`.
        set: String,
        /// Where its report is, or the log.
        report: String,
        /// Why.
        #[source]
        source: DatabaseTestError,
    },
    /// The changes in signatures cannot be determined.
    #[error("the changes in signatures cannot be determined")]
    Signatures(#[from] SignaturesError),
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
    /// The invocation's time ran out; the next one goes on from what is published.
    #[error(
        "the time of the invocation ran out: give the function a longer timeout or more memory, or a nearer mirror"
    )]
    OutOfTime,
    /// Others moved the pointer each time that we were about to.
    #[error("the pointer was lost to other updaters {MAX_RACES} times")]
    Races,
}

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

impl Update {
    /// The published generation.
    pub fn generation(&self) -> Generation {
        match self {
            Self::Published { generation, .. }
            | Self::UpToDate { generation, .. }
            | Self::CoolingDown { generation, .. }
            | Self::Pinned { generation } => *generation,
        }
    }
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
    /// The stock freshclam that updates the databases; `None` where our own client does.
    pub freshclam: Option<&'a Freshclam>,
    /// The engine program that proves sets.
    pub engine: &'a Path,
    /// The time of the run.
    pub now: DateTime<Utc>,
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
            remember_cool_downs(state, &cool_downs, now);
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
        for race in 0..MAX_RACES {
            let published = bucket.published().await?;
            if let Some(manifest) = published.manifest.as_ref().filter(|_| published.pinned) {
                tracing::warn!(
                    generation = manifest.generation.0,
                    "generation is pinned; updates wait until it is unpinned"
                );
                return Ok(Update::Pinned { generation: manifest.generation });
            }
            let scratch = self.scratch()?;
            let updates = self.update_databases(bucket, mirrors, &published, scratch.path()).await;
            // At once: a run that is killed later must not forget who wants to be left alone.
            let (cool_downs, now) = (mirrors.cool_downs(), self.now);
            if !cool_downs.is_empty() {
                bucket.remember(|state| remember_cool_downs(state, &cool_downs, now)).await?;
            }
            let (updates, cooling) = updates?;
            let custom = self.fetch_custom(&published).await?;
            let is_new = updates.values().any(|update| update.staged.is_some());
            let custom = self.leave_out_faulty(&published, is_new, custom, scratch.path()).await?;
            let set = match self.next_set(&published, updates, custom, scratch.path(), bucket).await? {
                Next::Set(set) => set,
                Next::Same { generation, not_current } => {
                    // The race may have been won, and only the response lost.
                    if race > 0 {
                        bucket.settle().await?;
                    }
                    self.serve_cvds(bucket, mirrors, scratch.path()).await?;
                    return self.nothing_new(&published, generation, not_current, cooling);
                }
                // Nothing is published yet, and there is not enough to begin with.
                Next::Incomplete => return Err(self.stale(&published, cooling)),
            };
            if let Some(update) = self.prove_and_publish(bucket, &published, set, scratch.path()).await? {
                self.serve_cvds(bucket, mirrors, scratch.path()).await?;
                let published = bucket.published().await?;
                // What was new was the operator's own: ClamAV's is as old as before.
                return if cooling.is_some() && !self.is_young(&published) {
                    Err(self.stale(&published, cooling))
                } else {
                    Ok(update)
                };
            }
        }
        Err(UpdateError::Races)
    }

    fn nothing_new(
        &self,
        published: &Published,
        generation: Generation,
        not_current: Vec<String>,
        cooling: Option<DateTime<Utc>>,
    ) -> Result<Update, UpdateError> {
        let Some(until) = cooling else { return Ok(Update::UpToDate { generation, held: not_current }) };
        if self.is_young(published) {
            Ok(Update::CoolingDown { generation, until })
        } else {
            Err(self.stale(published, cooling))
        }
    }

    fn is_young(&self, published: &Published) -> bool {
        newest_built(published).is_some_and(|built| self.now - built <= self.config.staleness_limit)
    }

    fn stale(&self, published: &Published, cooling: Option<DateTime<Utc>>) -> UpdateError {
        let age = newest_built(published).map(|built| format!("{} hours old", (self.now - built).num_hours()));
        UpdateError::Stale { age: age.unwrap_or_else(|| "not there yet".into()), until: cooling.unwrap_or(self.now) }
    }

    /// A directory of this run alone; what killed runs left is swept.
    fn scratch(&self) -> Result<ClaimedDirectory, UpdateError> {
        let path = &self.config.scratch_path;
        let scratch = ClaimedDirectory::new(path, "nacre-update-");
        scratch.map_err(|source| UpdateError::Disk { path: path.display().to_string(), source })
    }
}

/// Adds what this run learnt to what others did, and forgets what is over.
fn remember_cool_downs(state: &mut UpdaterState, learnt: &BTreeMap<String, DateTime<Utc>>, now: DateTime<Utc>) {
    for (mirror, until) in learnt {
        let known = state.cool_downs.entry(mirror.clone()).or_insert(*until);
        *known = (*known).max(*until);
    }
    state.cool_downs.retain(|_, until| *until > now);
}

/// When the newest of the published databases was built.
pub fn newest_built(published: &Published) -> Option<DateTime<Utc>> {
    let databases = published.manifest.iter().flat_map(|manifest| &manifest.databases);
    let newest = databases.map(|entry| entry.built).max()?;
    DateTime::from_timestamp(i64::try_from(newest).ok()?, 0)
}
