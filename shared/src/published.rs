//! Reads what is published, trusting nothing on the way but the pointer: each step is checked by the digest of the one before.

use crate::{
    definitions::manifest::{CustomEntry, DatabaseEntry, Manifest, ManifestError, POINTER_KEY, Pointer, sha256_hex},
    port::{DefinitionsStore, StoreError},
};

/// Largest pointer or manifest that is read.
const MAX_JSON_BYTES: u64 = 4 << 20;

/// Why something published cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum PublishedError {
    /// The definitions bucket could not be read.
    #[error("{key} could not be read from the definitions bucket")]
    Store {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: StoreError,
    },
    /// The pointer or a manifest is not what it should be.
    #[error("{key} is not valid")]
    Invalid {
        /// The key.
        key: String,
        /// Why.
        #[source]
        source: ManifestError,
    },
    /// Not what was published under this digest.
    #[error("{key} does not have the SHA-256 that it is published with")]
    Altered {
        /// The key.
        key: String,
    },
}

/// What the pointer says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum PointerRead {
    /// Nothing was ever published.
    Missing,
    /// The same as when it had the known ETag.
    Unchanged,
    /// This.
    Read {
        /// The pointer.
        pointer: Pointer,
        /// Its ETag, by which it may be moved on.
        etag: String,
    },
}

/// Reads the pointer, unless it still has the known ETag: one conditional GET.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_pointer(store: &impl DefinitionsStore, known: Option<&str>) -> Result<PointerRead, PublishedError> {
    match store.read_changed(POINTER_KEY, known, MAX_JSON_BYTES).await {
        Ok(Some(stored)) => {
            let pointer = Pointer::parse(&stored.bytes)
                .map_err(|source| PublishedError::Invalid { key: POINTER_KEY.into(), source })?;
            Ok(PointerRead::Read { pointer, etag: stored.etag })
        }
        Ok(None) => Ok(PointerRead::Unchanged),
        Err(StoreError::NotFound) => Ok(PointerRead::Missing),
        Err(source) => Err(PublishedError::Store { key: POINTER_KEY.into(), source }),
    }
}

/// Reads the manifest that a pointer names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_manifest(store: &impl DefinitionsStore, pointer: &Pointer) -> Result<Manifest, PublishedError> {
    let key = &pointer.manifest_key;
    let bytes = read_checked(store, key, MAX_JSON_BYTES, &pointer.manifest_sha256).await?;
    Manifest::parse(&bytes).map_err(|source| PublishedError::Invalid { key: key.clone(), source })
}

/// Reads the body of a database that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_body(store: &impl DefinitionsStore, database: &DatabaseEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &database.object_key, database.size, &database.sha256).await
}

/// Reads the body of a loose signature file that a manifest names.
///
/// # Errors
/// [`PublishedError`].
pub async fn read_custom(store: &impl DefinitionsStore, custom: &CustomEntry) -> Result<Vec<u8>, PublishedError> {
    read_checked(store, &custom.object_key, custom.size, &custom.sha256).await
}

async fn read_checked(
    store: &impl DefinitionsStore,
    key: &str,
    limit: u64,
    sha256: &str,
) -> Result<Vec<u8>, PublishedError> {
    let stored = store.read(key, limit).await;
    let bytes = stored.map_err(|source| PublishedError::Store { key: key.to_owned(), source })?.bytes;
    if sha256_hex(&bytes) == sha256 { Ok(bytes) } else { Err(PublishedError::Altered { key: key.to_owned() }) }
}
