//! Proves the next set, and publishes it.

use std::{fs, path::Path};

use nacre_core::{
    generation::{
        Generation,
        manifest::{EngineProof, Manifest, ScanSetEntry},
        published::{Published, Race},
    },
    port::{DefinitionsStore, Topic},
    telemetry::error_chain,
};

use super::{
    Update, UpdateError, Updater,
    next_set::{NextSet, labelled},
};
use crate::{
    database_test::{DatabaseTest, DatabaseTestError},
    publish::Publisher,
    scan_sets, signatures,
};

impl<Store: DefinitionsStore, Announcements: Topic> Updater<'_, Store, Announcements> {
    /// Proves and publishes a set; `None` when another updater was faster.
    pub(super) async fn prove_and_publish(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        published: &Published,
        set: NextSet,
        scratch: &Path,
    ) -> Result<Option<Update>, UpdateError> {
        let generation = published.next_generation();
        let anchor = self.config.trust_anchors.identity();
        // Before the test, which loads what scanners will. Nothing names the sets of a rejected generation, and retention removes them.
        let scan_sets = self.put_scan_sets(bucket, published.verified_by(&anchor), &set, scratch).await?;
        let (proof, scan_sets) = self.prove(bucket, generation, &set, scan_sets, scratch).await?;
        let new = news(&set, published.verified_by(&anchor));
        let databases = set.databases().into_iter().cloned().collect();
        let custom = set.custom().into_iter().cloned().collect();
        let mut manifest = Manifest::new(generation, self.now, anchor, databases, proof).with_custom(custom);
        let before = published.verified_by(&manifest.trust_anchor);
        let diff = signatures::diff_signatures(self.store, before, generation, &set.parts, &set.custom).await?;
        (manifest.history, manifest.contexts) = (diff.history, diff.contexts);
        for (entry, bytes) in diff.bodies {
            bucket.put(&entry.object_key, bytes).await?;
        }
        manifest.scan_sets = scan_sets;
        self.put_bodies(bucket, published, &set).await?;
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
        Ok(Some(Update::Published { generation, databases: new, held: set.not_current }))
    }

    /// Tests the set by its scan sets, or whole; returns the proof, and the scan sets that are fit for use.
    async fn prove(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        generation: Generation,
        set: &NextSet,
        scan_sets: Vec<ScanSetEntry>,
        scratch: &Path,
    ) -> Result<(EngineProof, Vec<ScanSetEntry>), UpdateError> {
        let test = DatabaseTest {
            program: self.engine,
            scratch,
            store: self.store,
            canary_prefix: &self.config.canary_prefix,
            sandbox: self.config.sandbox,
            signed_by_clamav: self.config.trust_anchors.is_clamav(),
        };
        let by_scan_sets = self.config.by_scan_sets && !scan_sets.is_empty();
        if by_scan_sets {
            match test.run(&set.parts, &set.custom, &scan_sets).await {
                Ok(proof) => return Ok((proof, scan_sets)),
                // Whatever is wrong with the scan sets, or with their objects, keeps no definitions from being published.
                Err(error) => tracing::error!(
                    cause = error_chain(&error),
                    "the test by scan sets failed: whole databases are tested, and published without scan sets if they pass"
                ),
            }
        }
        let source = match test.run(&set.parts, &set.custom, &[]).await {
            Ok(proof) => return Ok((proof, if by_scan_sets { Vec::new() } else { scan_sets })),
            Err(source) => source,
        };
        let mut report = "the log".to_owned();
        if matches!(source, DatabaseTestError::Rejection(_)) {
            self.put_bodies(bucket, &Published::default(), set).await?;
            let cause = error_chain(&source);
            report = bucket.reject(generation, &set.databases(), &set.custom(), &cause, self.now).await?;
        }
        Err(UpdateError::Prove { set: set.label(), report, source })
    }

    /// Writes the scan sets that the published generation does not have. A set that cannot be built keeps no generation from being
    /// published: readers load the whole database.
    async fn put_scan_sets(
        &self,
        bucket: &Publisher<'_, Store, Announcements>,
        before: Option<&Manifest>,
        set: &NextSet,
        scratch: &Path,
    ) -> Result<Vec<ScanSetEntry>, UpdateError> {
        let mut entries = Vec::new();
        for part in &set.parts {
            if let Some(known) = before.and_then(|before| before.scan_set(&part.entry)) {
                entries.push(known.clone());
                continue;
            }
            match scan_sets::build(part, scratch) {
                Ok(None) => {}
                Ok(Some(built)) => {
                    bucket.put(&built.entry.filter.object_key, built.filter.clone()).await?;
                    for (entry, mut file) in [(&built.entry.body, built.body), (&built.entry.shards, built.shards)] {
                        let bytes = scan_sets::read_back(&mut file)
                            .map_err(|source| UpdateError::Disk { path: scratch.display().to_string(), source })?;
                        bucket.put(&entry.object_key, bytes).await?;
                    }
                    entries.push(built.entry);
                }
                Err(error) => tracing::error!(
                    database = %part.entry.name,
                    cause = error_chain(&error),
                    "no scan set could be built: cold starts load the whole database"
                ),
            }
        }
        Ok(entries)
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
}

/// What is new in a set and what was removed, in words; all of it where nothing was published before.
fn news(set: &NextSet, before: Option<&Manifest>) -> Vec<String> {
    let (databases, custom) = (set.databases(), set.custom());
    let (databases_before, custom_before) =
        before.map(|before| (before.databases.as_slice(), before.custom.as_slice())).unwrap_or_default();
    let mut news = Vec::new();
    for entry in &databases {
        if !databases_before.iter().any(|old| (&old.name, &old.sha256) == (&entry.name, &entry.sha256)) {
            news.push(labelled(entry));
        }
    }
    for entry in &custom {
        if !custom_before.iter().any(|old| (&old.name, &old.sha256) == (&entry.name, &entry.sha256)) {
            news.push(entry.name.clone());
        }
    }
    let removed = databases_before.iter().filter(|old| !databases.iter().any(|entry| entry.name == old.name));
    news.extend(removed.map(|old| format!("{} (removed)", old.name)));
    let removed = custom_before.iter().filter(|old| !custom.iter().any(|entry| entry.name == old.name));
    news.extend(removed.map(|old| format!("{} (removed)", old.name)));
    news
}
