//! The definitions bucket, as the commands on what is published read it.

use nacre_core::{
    bucket_keys::MANIFESTS_PREFIX,
    generation::{
        Generation,
        manifest::Manifest,
        published::{Published, PublishedError},
    },
    port::{DefinitionsStore, StoreError},
    telemetry::error_chain,
};

use crate::{deployment::DeploymentError, printable::printable};

/// Most generations that are listed; retention keeps far fewer.
const MAX_GENERATIONS: usize = 10_000;

/// Largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Why what is published is not known.
#[derive(Debug, thiserror::Error)]
pub(crate) enum BucketError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error(transparent)]
    Store(#[from] StoreError),
    // S3 returns the same error for a missing key and for a missing bucket.
    #[error("nothing is published there yet: run the updater, unless the bucket has another name")]
    Nothing,
}

/// What is published, which must be something.
pub(super) async fn current(store: &impl DefinitionsStore) -> Result<(Published, Manifest), BucketError> {
    let published = Published::read(store).await?;
    let manifest = published.manifest.clone().ok_or(BucketError::Nothing)?;
    Ok((published, manifest))
}

/// The manifests that are kept, newest first; none above `newest`, which a run may be about to publish.
pub(super) async fn kept(store: &impl DefinitionsStore, newest: Generation) -> Result<Vec<Manifest>, BucketError> {
    let listed = store.list(MANIFESTS_PREFIX, MAX_GENERATIONS).await?;
    let mut manifests = Vec::new();
    for key in listed.into_iter().map(|listed| listed.key) {
        let stored = match store.read(&key, MAX_MANIFEST_BYTES).await {
            Ok(stored) => stored,
            // Removed by the updater's retention a moment ago.
            Err(StoreError::NotFound(_)) => continue,
            Err(error) => return Err(error.into()),
        };
        match Manifest::parse(&stored.bytes) {
            Ok(manifest) if manifest.generation <= newest => manifests.push(manifest),
            Ok(_) => {}
            // Of a newer format, as after a downgrade of ours, when going back matters most.
            Err(error) => eprintln!("nacre definitions: {key} is skipped: {}", printable(&error_chain(&error))),
        }
    }
    manifests.sort_by_key(|manifest| std::cmp::Reverse(manifest.generation));
    Ok(manifests)
}

/// What a generation consists of, such as `daily 27780, main 62, local.ign2`.
pub(crate) fn contents(manifest: &Manifest) -> String {
    let databases = manifest.databases.iter().map(|entry| format!("{} {}", entry.name, entry.version.0));
    databases.chain(manifest.custom.iter().map(|entry| entry.name.clone())).collect::<Vec<_>>().join(", ")
}
