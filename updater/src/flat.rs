//! The flat prefix, which the predecessor's scanner and stock freshclam clients read.
//!
//! Beside the published databases it has the signed files that freshclam updates by: CDIFFs and detached signatures, and, on
//! demand, whole CVDs, which only their makers can build.

use nacre_clamav::database::{ContainerKind, DatabaseName};
use nacre_core::{
    generation::{
        manifest::{DatabaseEntry, Manifest},
        published::{PublishedError, check_body},
    },
    port::{DefinitionsStore, Listed, StoreError, WriteCondition},
    tag_policy::Tag,
};

use crate::state::{FlatFile, UpdaterState};

/// Most files under the prefix that are listed: a year of CDIFFs of ten databases, with their signatures.
const MAX_FILES: usize = 10_000;

/// The flat prefix of a definitions bucket.
#[derive(Clone, Copy, Debug)]
pub struct Flat<'a, Store> {
    /// The definitions bucket.
    pub store: &'a Store,
    /// The prefix, without slashes at its ends.
    pub prefix: &'a str,
    /// How many CDIFFs of each database are kept.
    pub keep_cdiffs: u32,
    /// Whether CVDs are kept beside the CLDs that took their place, for clients that do not know CLDs.
    pub keep_cvds: bool,
}

impl<Store: DefinitionsStore> Flat<'_, Store> {
    /// The key of a file.
    pub fn key(&self, file: &str) -> String {
        format!("{}/{file}", self.prefix)
    }

    /// Adds a signed file, which never changes.
    ///
    /// # Errors
    /// The store's.
    pub async fn add(&self, file: &str, bytes: Vec<u8>) -> Result<(), StoreError> {
        match self.store.write(&self.key(file), bytes, &[], WriteCondition::Absent).await {
            Ok(_) | Err(StoreError::PreconditionFailed(_)) => Ok(()),
            Err(error) => Err(error),
        }
    }

    /// Copies the published body of a database, with the predecessor's `md5` tag; returns the state to remember. S3 makes the copy
    /// itself, of exactly the bytes that were checked.
    ///
    /// # Errors
    /// [`PublishedError::Altered`] when the body is damaged: a client must never get it.
    pub async fn copy(&self, entry: &DatabaseEntry) -> Result<FlatFile, PublishedError> {
        let tags = [Tag::new("md5", &entry.md5)];
        let checked = check_body(self.store, entry).await?;
        let etag = self.store.copy(&entry.object_key, &checked, &self.key(&entry.file_name()), &tags).await?;
        Ok(FlatFile { sha256: entry.sha256, etag, version: entry.version.0 })
    }

    /// Writes a database, with the predecessor's `md5` tag; returns the state to remember.
    ///
    /// # Errors
    /// The store's.
    pub async fn write(&self, entry: &DatabaseEntry, bytes: Vec<u8>) -> Result<FlatFile, StoreError> {
        let tags = [Tag::new("md5", &entry.md5)];
        let etag = self.store.write(&self.key(&entry.file_name()), bytes, &tags, WriteCondition::Always).await?;
        Ok(FlatFile { sha256: entry.sha256, etag, version: entry.version.0 })
    }

    /// Lists the files under the prefix.
    ///
    /// # Errors
    /// The store's.
    pub async fn list(&self) -> Result<Vec<Listed>, StoreError> {
        self.store.list(&self.key(""), MAX_FILES).await
    }

    /// Removes files.
    ///
    /// # Errors
    /// The store's.
    pub async fn remove(&self, keys: &[String]) -> Result<(), StoreError> {
        for key in keys {
            self.store.remove(key).await?;
        }
        Ok(())
    }
}

/// The databases of a generation that the prefix does not have, by its listing and the state of our writes: a file that another run
/// wrote since has another ETag.
pub fn missing<'m>(
    manifest: &'m Manifest,
    prefix: &str,
    there: &[Listed],
    state: &UpdaterState,
) -> Vec<&'m DatabaseEntry> {
    let is_there = |entry: &&DatabaseEntry| {
        let (name, written) = (entry.file_name(), state.flat.get(&entry.file_name()));
        written.is_some_and(|written| {
            let same = |listed: &Listed| listed.key == format!("{prefix}/{name}") && listed.etag == written.etag;
            written.sha256 == entry.sha256 && there.iter().any(same)
        })
    };
    manifest.databases.iter().filter(|entry| !is_there(entry)).collect()
}

/// The outdated keys under the prefix: databases that others replaced, and CDIFFs and signatures of versions that no client needs
/// any more.
pub fn outdated(manifest: &Manifest, prefix: &str, there: &[Listed], keep_cdiffs: u32, keep_cvds: bool) -> Vec<String> {
    let is_outdated = |file: &str| {
        manifest.databases.iter().any(|entry| match FlatName::of(file, &entry.name) {
            Some(FlatName::Database(ContainerKind::Cvd)) => entry.kind == ContainerKind::Cld && !keep_cvds,
            Some(FlatName::Database(ContainerKind::Cld)) => entry.kind == ContainerKind::Cvd,
            Some(FlatName::Versioned(version)) => version.saturating_add(keep_cdiffs) <= entry.version.0,
            Some(FlatName::Database(ContainerKind::Cud)) | None => false,
        })
    };
    let file = |key: &str| key.strip_prefix(prefix).and_then(|rest| rest.strip_prefix('/')).map(str::to_owned);
    there
        .iter()
        .filter(|listed| file(&listed.key).is_some_and(|file| is_outdated(&file)))
        .map(|l| l.key.clone())
        .collect()
}

/// The kind of a database's file.
#[derive(Debug, PartialEq, Eq)]
enum FlatName {
    /// `<db>.cvd` or `<db>.cld`.
    Database(ContainerKind),
    /// `<db>-<version>.cdiff`, or a detached signature of that version.
    Versioned(u32),
}

impl FlatName {
    fn of(file: &str, database: &DatabaseName) -> Option<Self> {
        let rest = file.strip_prefix(database.as_str())?;
        if rest == ".cvd" || rest == ".cld" {
            return ContainerKind::of_file(file).map(Self::Database);
        }
        let (version, kind) = rest.strip_prefix('-')?.split_once('.')?;
        let digits = version.bytes().all(|byte| byte.is_ascii_digit());
        let known = matches!(kind, "cdiff" | "cdiff.sign" | "cvd.sign");
        version.parse().ok().filter(|_| digits && known).map(Self::Versioned)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_are_recognised_by_their_names() {
        let daily = DatabaseName::new("daily").unwrap();
        for (file, expected) in [
            ("daily.cvd", Some(FlatName::Database(ContainerKind::Cvd))),
            ("daily.cld", Some(FlatName::Database(ContainerKind::Cld))),
            ("daily-101.cdiff", Some(FlatName::Versioned(101))),
            ("daily-101.cdiff.sign", Some(FlatName::Versioned(101))),
            ("daily-101.cvd.sign", Some(FlatName::Versioned(101))),
            ("daily-x.cdiff", None),
            ("daily-+1.cdiff", None),
            ("daily-101.txt", None),
            ("dailyx.cvd", None),
            ("main.cvd", None),
            ("local.ndb", None),
        ] {
            assert_eq!(FlatName::of(file, &daily), expected, "{file}");
        }
    }
}
