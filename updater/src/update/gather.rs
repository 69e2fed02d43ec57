//! Gathers what the next set consists of: what the mirrors and the operator have, and what stays.

use std::{collections::BTreeMap, fs, path::Path};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::database::{ContainerKind, DatabaseName, DatabaseVersion};
use nacre_core::{
    generation::{
        manifest::{CustomEntry, DatabaseEntry},
        published::Published,
    },
    port::{DefinitionsStore, Topic},
    telemetry::error_chain,
};

use super::{
    UpdateError, Updater,
    next_set::{Next, NextSet},
};
use crate::{
    custom::{CustomPart, CustomSources},
    database_update::{DatabaseUpdate, DatabaseUpdateError, DatabaseUpdater, StagedDatabase},
    loose_test::{Faulty, OnFault, faulty},
    mirror::{Advertised, MirrorError, Mirrors},
    publish::Publisher,
    state::UpdaterState,
};

/// How long a CDIFF is waited for that is announced and not there, before the whole CVD is taken instead.
const CDIFF_GRACE_PERIOD: TimeDelta = TimeDelta::hours(12);

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Updates every database; second, until when all mirrors are rate-limiting us, where that kept one from being updated.
    pub(super) async fn update_databases(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        mirrors: &Mirrors<'_, Store>,
        published: &Published,
        scratch: &Path,
    ) -> Result<(BTreeMap<DatabaseName, DatabaseUpdate>, Option<DateTime<Utc>>), UpdateError> {
        let cooling = mirrors.cooling();
        if cooling.is_some() {
            return Ok((BTreeMap::new(), cooling));
        }
        let state = bucket.state().await?;
        let (updates, cooling) = match self.freshclam {
            Some(freshclam) => self.update_by_freshclam(freshclam, bucket, mirrors, published, &state, scratch).await?,
            None => self.update_by_ourselves(mirrors, published, &state, scratch).await?,
        };
        let awaited: Vec<&str> =
            updates.iter().filter(|(_, done)| done.cdiff_pending).map(|(name, _)| name.as_str()).collect();
        let same = state.awaited.keys().map(String::as_str).eq(awaited.iter().copied());
        if !same {
            let remember = |state: &mut UpdaterState| {
                state.awaited.retain(|name, _| awaited.contains(&name.as_str()));
                for name in &awaited {
                    state.awaited.entry((*name).to_owned()).or_insert(self.now);
                }
            };
            bucket.remember(remember).await?;
        }
        Ok((updates, cooling))
    }

    async fn update_by_ourselves(
        &self,
        mirrors: &Mirrors<'_, Store>,
        published: &Published,
        state: &UpdaterState,
        scratch: &Path,
    ) -> Result<(BTreeMap<DatabaseName, DatabaseUpdate>, Option<DateTime<Utc>>), UpdateError> {
        let (mut updates, mut cooling) = (BTreeMap::new(), None);
        let announced = self.announced().await;
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
                    let wait_for_cdiff = since.is_none_or(|since| self.now - *since < CDIFF_GRACE_PERIOD);
                    self.database_updater(mirrors, scratch, wait_for_cdiff).update(name, entry, advertised).await
                }
                Err(source) => Err(DatabaseUpdateError::Mirror { database: name.to_string(), source }),
            };
            match outcome {
                Ok(done) => drop(updates.insert(name.clone(), done)),
                Err(DatabaseUpdateError::Mirror { source: MirrorError::CoolingDown { until }, .. }) => {
                    cooling = Some(until);
                }
                Err(error) => return Err(error.into()),
            }
        }
        Ok((updates, cooling))
    }

    /// The newest versions, by the DNS record; none where there is no record to rely on.
    pub(super) async fn announced(&self) -> BTreeMap<DatabaseName, DatabaseVersion> {
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

    /// When a database was built, for a mirror to decide whether it has changed since. A time to come would hide every
    /// change until then: a builder's clock may be wrong.
    fn built(&self, entry: &DatabaseEntry) -> DateTime<Utc> {
        let built = i64::try_from(entry.built).ok().and_then(|built| DateTime::from_timestamp(built, 0));
        built.filter(|built| *built <= self.now).unwrap_or(DateTime::UNIX_EPOCH)
    }

    pub(super) fn database_updater<'b>(
        &'b self,
        mirrors: &'b Mirrors<'b, Store>,
        scratch: &'b Path,
        wait_for_cdiff: bool,
    ) -> DatabaseUpdater<'b, Store> {
        DatabaseUpdater {
            wait_for_cdiff,
            mirrors,
            store: self.store,
            trust_anchors: &self.config.trust_anchors,
            check_detached: self.config.check_detached,
            max_database_bytes: self.config.max_database_bytes,
            scratch,
            now: self.now,
        }
    }

    pub(super) async fn fetch_custom(
        &self,
        published: &Published,
    ) -> Result<(Vec<CustomPart>, Vec<String>), UpdateError> {
        let sources = CustomSources {
            urls: &self.config.custom_urls,
            prefix: &self.config.custom_prefix,
            max_bytes: self.config.max_custom_bytes,
            http: self.http,
            store: self.store,
        };
        let known = published.manifest.as_ref().map(|manifest| manifest.custom.as_slice()).unwrap_or_default();
        Ok(sources.fetch(known).await?)
    }

    /// Leaves out loose files that libclamav would load in part, where the operator chose so: each is named among what is not current.
    /// What is published has been tried, as long as no database is new.
    pub(super) async fn leave_out_faulty(
        &self,
        published: &Published,
        is_new: bool,
        (mut custom, mut not_current): (Vec<CustomPart>, Vec<String>),
        scratch: &Path,
    ) -> Result<(Vec<CustomPart>, Vec<String>), UpdateError> {
        let known = published.manifest.as_ref().map(|manifest| manifest.custom.as_slice()).unwrap_or_default();
        let is_known = |part: &CustomPart| {
            known.iter().any(|entry| (&entry.name, entry.sha256) == (&part.entry.name, part.entry.sha256))
        };
        if self.config.on_fault == OnFault::Reject || !is_new && custom.iter().all(is_known) {
            return Ok((custom, not_current));
        }
        let faulty = faulty(self.engine, scratch, &custom).await.map_err(UpdateError::Loose)?;
        for Faulty { name, source, faults } in faulty {
            tracing::warn!(
                file = source,
                faults,
                "loose file left out: mend it, and try it with `nacre definitions check`"
            );
            custom.retain(|part| part.entry.name != name);
            not_current.push(format!("{name} (left out: {faults})"));
        }
        Ok((custom, not_current))
    }

    /// Puts the next set together: the updated databases, and the published ones where there is no update.
    pub(super) async fn next_set(
        &self,
        published: &Published,
        mut updates: BTreeMap<DatabaseName, DatabaseUpdate>,
        (custom, mut not_current): (Vec<CustomPart>, Vec<String>),
        scratch: &Path,
        bucket: &Publisher<'_, Store, Announcements>,
    ) -> Result<Next, UpdateError> {
        let anchor = self.config.trust_anchors.identity();
        let (mut kept, mut parts, mut signed_files) = (Vec::new(), Vec::new(), BTreeMap::new());
        for name in &self.config.databases {
            let done = updates.remove(name).unwrap_or_default();
            not_current.extend(done.not_current);
            signed_files.extend(done.signed_files);
            match (done.staged, published.entry(name.as_str(), &anchor)) {
                (Some(part), _) => parts.push(part),
                (None, Some(entry)) => kept.push(entry.clone()),
                // A database that the operator has just added may be had later; what is published goes on without it.
                (None, None) if published.verified_by(&anchor).is_some() => {
                    not_current.push(format!("{name} (not there yet)"));
                }
                (None, None) => return Ok(Next::Incomplete),
            }
        }
        if let Some(manifest) = published.verified_by(&anchor) {
            let identity = |entry: &CustomEntry| (entry.name.clone(), entry.sha256);
            let same_custom = custom.iter().map(|part| identity(&part.entry)).eq(manifest.custom.iter().map(identity));
            if parts.is_empty() && same_custom && kept.len() == manifest.databases.len() {
                return Ok(Next::Same { generation: manifest.generation, not_current });
            }
        }
        for entry in kept {
            let path = scratch.join(format!("{}-published", entry.file_name()));
            let bytes = bucket.body(&entry).await?;
            fs::write(&path, bytes).map_err(|source| UpdateError::Disk { path: path.display().to_string(), source })?;
            parts.push(StagedDatabase { entry, path });
        }
        parts.sort_by(|a, b| a.entry.name.cmp(&b.entry.name));
        Ok(Next::Set(NextSet { parts, custom, signed_files, not_current }))
    }
}
