//! Publishes a generation: bodies first, then the manifest, then the pointer, and only then what follows from it.
//!
//! Every step is idempotent and no step leaves readers with half a generation: a crash anywhere converges on the next run.

use std::collections::BTreeSet;

use chrono::{DateTime, Utc};
use nacre_core::{
    bucket_keys::{MANIFESTS_PREFIX, REJECTED_PREFIX},
    generation::{
        Generation,
        manifest::{CustomEntry, DatabaseEntry, Manifest},
        published::{Published, PublishedError, Race, read_body},
    },
    port::{DefinitionsStore, Listed, StoreError, Topic, TopicMessage, WriteCondition},
};
use serde_json::{Value, json};

use crate::{
    flat::{self, Flat},
    retention::{self, expired},
    state::{self, UpdaterState},
};

/// Largest manifest that is read.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Most keys under one of the prefixes that are kept for a time only.
const MAX_KEYS: usize = 100_000;

/// Why publishing stopped. The generation that was published before stays, whole.
#[derive(Debug, thiserror::Error)]
pub enum PublishError {
    /// The published generation could not be read or replaced.
    #[error("the published generation could not be read or replaced")]
    Published(#[from] PublishedError),
    /// The definitions bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The generation could not be announced.
    #[error("the generation could not be announced")]
    Announce(#[source] StoreError),
}

/// Publishes into a definitions bucket.
#[derive(Debug)]
pub struct Publisher<'a, Store, Announcements> {
    /// The definitions bucket.
    pub store: &'a Store,
    /// The topic that announces generations.
    pub announcements: &'a Announcements,
    /// The flat prefix; `None` where another program fills it.
    pub flat: Option<Flat<'a, Store>>,
    /// How many generations are kept; at least 1.
    pub keep_generations: usize,
}

impl<Store: DefinitionsStore, Announcements: Topic> Publisher<'_, Store, Announcements> {
    /// Reads what is published.
    ///
    /// # Errors
    /// [`PublishError`]; a missing pointer is none.
    pub async fn published(&self) -> Result<Published, PublishError> {
        Ok(Published::read(self.store).await?)
    }

    /// Reads a published body.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn body(&self, database: &DatabaseEntry) -> Result<Vec<u8>, PublishError> {
        Ok(read_body(self.store, database).await?)
    }

    /// Writes an immutable key; an existing one has the same bytes.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn put(&self, key: &str, bytes: Vec<u8>) -> Result<(), PublishError> {
        match self.store.write(key, bytes, &[], WriteCondition::Absent).await {
            Ok(_) => Ok(()),
            // It exists, or another run is writing it: S3 reports both in the same way, so the key is listed.
            Err(StoreError::PreconditionFailed(call)) => match self.store.list(key, 1).await?.as_slice() {
                [] => Err(StoreError::Unavailable(call, "another run is writing the key".into()).into()),
                _ => Ok(()),
            },
            Err(error) => Err(error.into()),
        }
    }

    /// Adds a signed file to the flat prefix, for freshclam clients. Before the database that it leads to: a client that
    /// sees the new version must find what leads there.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn put_signed_file(&self, file: &str, bytes: Vec<u8>) -> Result<(), PublishError> {
        let Some(flat) = &self.flat else { return Ok(()) };
        Ok(flat.add(file, bytes).await?)
    }

    /// Writes the manifest and moves the pointer from `before` to it. All bodies must be there.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn advance(&self, before: &Published, manifest: &Manifest) -> Result<Race, PublishError> {
        Ok(before.advance(self.store, manifest, false).await?)
    }

    /// Does what follows from the published generation, unless it was done: the flat prefix, then the announcement.
    ///
    /// A slow run may write the flat prefix after a faster one's newer generation, so the pointer is read again afterwards
    /// and the work repeated for whatever it names by then; what was written meanwhile is recognised by its ETag.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn settle(&self) -> Result<(), PublishError> {
        let mut settled = None;
        while let Some(manifest) = self.published().await?.manifest.filter(|found| settled != Some(found.generation)) {
            self.fill_flat(&manifest).await?;
            if self.state().await?.settled_generation != manifest.generation.0 {
                self.announce(&manifest).await?;
                self.remember(|state| state.settled_generation = manifest.generation.0).await?;
            }
            settled = Some(manifest.generation);
        }
        Ok(())
    }

    async fn fill_flat(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let Some(flat) = &self.flat else { return Ok(()) };
        let there = flat.list().await?;
        for entry in flat::missing(manifest, flat.prefix, &there, &self.state().await?) {
            let (written, file) = (flat.copy(entry).await?, entry.file_name());
            self.remember(|state| drop(state.flat.insert(file.clone(), written.clone()))).await?;
        }
        let outdated = flat::outdated(manifest, flat.prefix, &there, flat.keep_cdiffs, flat.keep_cvds);
        Ok(flat.remove(&outdated).await?)
    }

    /// Removes bodies, deltas, reports and passes that no kept generation needs.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn tidy(&self, now: DateTime<Utc>) -> Result<(), PublishError> {
        let Some(published) = self.published().await?.manifest else { return Ok(()) };
        let mut there = Vec::new();
        for prefix in retention::PREFIXES {
            there.extend(self.store.list(prefix, MAX_KEYS).await?);
        }
        let manifests = there.iter().filter(|listed| listed.key.starts_with(MANIFESTS_PREFIX)).cloned();
        let manifests: Vec<_> = manifests.collect();
        let kept = retention::kept(&manifests, published.generation, self.keep_generations, now);
        let mut manifests = Vec::new();
        for generation in kept {
            let key = Manifest::object_key(generation);
            let stored = self.store.read(&key, MAX_JSON_BYTES).await?;
            let manifest = Manifest::parse(&stored.bytes).map_err(|source| PublishedError::Invalid { key, source })?;
            manifests.push(manifest);
        }
        let rejected = self.rejected_bodies(&there, now).await?;
        let expired = expired(&there, &manifests, &rejected, now);
        // Another run may have published, or an operator rolled back to an expiring generation, since the pointer was read.
        if self.published().await?.manifest.as_ref() != Some(&published) {
            return Ok(());
        }
        for key in expired {
            self.store.remove(&key).await?;
        }
        Ok(())
    }

    /// The bodies of the sets whose reports are kept.
    async fn rejected_bodies(&self, there: &[Listed], now: DateTime<Utc>) -> Result<BTreeSet<String>, PublishError> {
        let mut bodies = BTreeSet::new();
        let reports = there.iter().filter(|listed| retention::is_kept_report(listed, now));
        for key in reports.map(|listed| &listed.key) {
            let stored = self.store.read(key, MAX_JSON_BYTES).await?;
            // A report that cannot be read keeps nothing: it is for people.
            let report: Value = serde_json::from_slice(&stored.bytes).unwrap_or_default();
            let parts = ["databases", "custom"].iter().filter_map(|part| report.get(part)?.as_array()).flatten();
            bodies.extend(parts.filter_map(|part| Some(part.get("object_key")?.as_str()?.to_owned())));
        }
        Ok(bodies)
    }

    /// Keeps a set that failed its test, with its report; returns the report's key. Its bodies must be published.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn reject(
        &self,
        generation: Generation,
        databases: &[&DatabaseEntry],
        custom: &[&CustomEntry],
        cause: &str,
        now: DateTime<Utc>,
    ) -> Result<String, PublishError> {
        let report = json!({
            "generation": generation, "rejected": now, "cause": cause, "databases": databases, "custom": custom,
        });
        let key = format!("{REJECTED_PREFIX}{}-{}.json", generation.0, now.format("%Y%m%dT%H%M%SZ"));
        self.put(&key, report.to_string().into_bytes()).await?;
        Ok(key)
    }

    /// Reads the updater's state.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn state(&self) -> Result<UpdaterState, PublishError> {
        Ok(state::load(self.store).await?)
    }

    /// Changes the updater's state.
    ///
    /// # Errors
    /// [`PublishError`].
    pub async fn remember(&self, change: impl Fn(&mut UpdaterState)) -> Result<UpdaterState, PublishError> {
        Ok(state::change(self.store, change).await?)
    }

    async fn announce(&self, manifest: &Manifest) -> Result<(), PublishError> {
        let body = json!({ "generation": manifest.generation, "published": manifest.published });
        let message = TopicMessage {
            subject: Some(format!("Definitions generation {} published", manifest.generation.0)),
            body: body.to_string(),
            attributes: Vec::new(),
            per_protocol: false,
        };
        self.announcements.publish(&message).await.map_err(PublishError::Announce)
    }
}

#[cfg(test)]
mod tests;
