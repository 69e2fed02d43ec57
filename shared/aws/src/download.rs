//! Download of an object into a file, several parts at a time.

use std::{fs::File, io, os::unix::fs::FileExt, path::Path, sync::Arc};

use aws_sdk_s3::Client;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_core::{
    object::ObjectId,
    port::{Call, ObjectHead, StoreError},
};
use tokio::{fs::OpenOptions, task::spawn_blocking};

use crate::{
    quoted_etag,
    store_error::{failed, unexpected},
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
    let local = |error| local(Call::new("GetObject", object.to_string()), error);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).await.map_err(local)?;
    let file = Arc::new(file.into_std().await);
    let parts = head.size.div_ceil(PART_BYTES).max(1);
    let fetching = stream::iter(0..parts).map(|part| fetch(client, object, head, &file, part * PART_BYTES));
    let fetched = fetching.buffer_unordered(PARALLEL_PARTS).try_collect().await;
    if fetched.is_err() {
        // A partial object is useless; what cannot be removed goes with the private directory.
        let _ = tokio::fs::remove_file(path).await;
    }
    fetched
}

/// Fetches the part that begins at `start`. An object of one part is requested without a range, which an empty one does not allow.
async fn fetch(
    client: &Client,
    object: &ObjectId,
    head: &ObjectHead,
    file: &Arc<File>,
    start: u64,
) -> Result<(), StoreError> {
    let ObjectId { bucket, key, version_id } = object;
    let call = Call::new("GetObject", object.to_string());
    let local = |error| local(call.clone(), error);
    let end = head.size.min(start + PART_BYTES);
    let request = client.get_object().bucket(bucket).key(key).set_version_id(version_id.clone());
    let range = (head.size > PART_BYTES).then(|| format!("bytes={start}-{}", end - 1));
    let request = request.if_match(quoted_etag(&head.etag)).set_range(range);
    let response = request.send().await.map_err(failed(call.clone()))?;
    let (mut body, mut at) = (response.body, start);
    while let Some(chunk) = body.next().await {
        let chunk = chunk.map_err(|error| StoreError::Unavailable(call.clone(), error.into()))?;
        let next = at + chunk.len() as u64;
        // A body without end must not fill the disk.
        if next > end {
            return Err(unexpected(&call, format!("the body has more than the {} bytes of HEAD", head.size)));
        }
        let file = Arc::clone(file);
        let written = spawn_blocking(move || file.write_all_at(&chunk, at)).await;
        written.map_err(|error| local(io::Error::other(error)))?.map_err(local)?;
        at = next;
    }
    if at < end {
        return Err(unexpected(&call, format!("the body ended at {at} of {} bytes", head.size)));
    }
    Ok(())
}

/// A full disk is not the object's fault, and may have room for the next one.
fn local(call: Call, error: io::Error) -> StoreError {
    match error.kind() {
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => StoreError::Unavailable(call, error.into()),
        _ => StoreError::Unexpected(call, error.into()),
    }
}
