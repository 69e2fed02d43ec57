//! An object's bytes, fetched in parts at a time into a file.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use aws_sdk_s3::Client;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_core::{
    object::ObjectId,
    port::{ObjectHead, StoreError},
};
use tokio::{fs::OpenOptions, task::spawn_blocking};

use crate::{
    quoted_etag,
    store_error::{store_error, unexpected},
};

/// Bytes of one part; smaller objects come in one.
pub(super) const PART_BYTES: u64 = 16 << 20;

/// Parts that are fetched at once: one connection to S3 carries less than a function's network does.
const PARALLEL_PARTS: usize = 4;

/// Writes the object's bytes to a new file, each part on condition of the ETag, so that they are of one version of it.
///
/// # Errors
/// As [`ObjectStore::download`](nacre_core::port::ObjectStore::download).
pub(super) async fn download(
    client: &Client,
    object: &ObjectId,
    head: &ObjectHead,
    path: &Path,
) -> Result<(), StoreError> {
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await.map_err(local)?;
    let file = Arc::new(file.into_std().await);
    let parts = head.size.div_ceil(PART_BYTES).max(1);
    let fetching = stream::iter(0..parts).map(|part| fetch(client, object, head, &file, part * PART_BYTES));
    let fetched = fetching.buffer_unordered(PARALLEL_PARTS).try_collect().await;
    if fetched.is_err() {
        // Half an object is of use to nobody; what cannot be removed goes with the private directory.
        let _ = tokio::fs::remove_file(path).await;
    }
    fetched
}

/// Fetches the part that begins at `start`; an object of one part is asked for whole, which an empty one can be.
async fn fetch(
    client: &Client,
    object: &ObjectId,
    head: &ObjectHead,
    file: &Arc<File>,
    start: u64,
) -> Result<(), StoreError> {
    let ObjectId { bucket, key, version_id } = object;
    let end = head.size.min(start + PART_BYTES);
    let request = client.get_object().bucket(bucket).key(key).set_version_id(version_id.clone());
    let range = (head.size > PART_BYTES).then(|| format!("bytes={start}-{}", end - 1));
    let request = request.if_match(quoted_etag(&head.etag)).set_range(range);
    let response = request.send().await.map_err(store_error)?;
    let (mut body, mut at) = (response.body, start);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| StoreError::Unavailable(error.into()))?;
        let next = at + chunk.len() as u64;
        // A body without end must not fill the disk.
        if next > end {
            return Err(unexpected(format!("the body has more than the {} bytes that HEAD told", head.size)));
        }
        let file = Arc::clone(file);
        let written = spawn_blocking(move || file.write_all_at(&chunk, at)).await;
        written.map_err(|error| local(io::Error::other(error)))?.map_err(local)?;
        at = next;
    }
    if at < end {
        return Err(unexpected(format!("the body ended at {at} of {} bytes", head.size)));
    }
    Ok(())
}

/// A full disk is nothing that the object could help, and may be over with the next one.
fn local(error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Unavailable(error.into()),
        _ => StoreError::Unexpected(error.into()),
    }
}
