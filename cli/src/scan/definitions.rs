//! The definitions of a scan: a directory of databases, or what is published in a bucket.

use std::{
    cell::Cell,
    convert::Infallible,
    env, fmt, fs,
    path::{Path, PathBuf},
    str::FromStr,
    time::Duration,
};

use nacre_aws::{S3Definitions, sdk_config};
use nacre_clamav::trust_anchor::TrustAnchors;
use nacre_core::{generation::follower::PublishedDefinitions, verdict::Verdict};
use nacre_engine_client::{
    EnginePool, Examination, ExamineError,
    local_definitions::{DefinitionsError, LocalDefinitions, LocalDisk},
    protocol::{Limits, Report},
};

use super::{ScanError, reason_of};

/// Longest scan of one file.
const SCAN_TIMEOUT: Duration = Duration::from_mins(2);

/// Where definitions are.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) enum Place {
    Directory(PathBuf),
    Bucket(String),
}

impl FromStr for Place {
    type Err = Infallible;

    /// Never fails: what is no URL of a bucket is a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let bucket = text.strip_prefix("s3://").map(|rest| rest.strip_suffix('/').unwrap_or(rest));
        let bucket = bucket.filter(|bucket| !bucket.is_empty() && !bucket.contains('/'));
        Ok(bucket.map_or_else(|| Self::Directory(text.into()), |bucket| Self::Bucket(bucket.to_owned())))
    }
}

impl fmt::Display for Place {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Directory(path) => path.display().fmt(f),
            Self::Bucket(bucket) => write!(f, "s3://{bucket}"),
        }
    }
}

/// Definitions that an engine can load.
pub(super) struct Definitions {
    directory: PathBuf,
    published: Option<Published>,
}

/// Those of a bucket.
struct Published {
    store: S3Definitions,
    local: LocalDefinitions,
    /// Removes them once dropped.
    _disk: LocalDisk,
}

impl Definitions {
    /// Those at a place; what is published in a bucket is downloaded, by scan sets where it has any.
    pub(super) async fn at(place: &Place, anchors: TrustAnchors) -> Result<Self, ScanError> {
        let bucket = match place {
            Place::Directory(path) => {
                let directory = fs::canonicalize(path).map_err(|error| ScanError::Definitions(path.clone(), error))?;
                return Ok(Self { directory, published: None });
            }
            Place::Bucket(bucket) => bucket,
        };
        let failed = |error: DefinitionsError| ScanError::Published(bucket.clone(), error);
        let store = S3Definitions::new(&sdk_config().await, bucket);
        let manifest = PublishedDefinitions::default().refresh(&store).await.map_err(|error| failed(error.into()))?;
        let manifest = manifest.ok_or_else(|| failed(DefinitionsError::NonePublished))?;
        let trusted = anchors.identity();
        if manifest.trust_anchor != trusted {
            return Err(ScanError::Untrusted { found: manifest.trust_anchor.clone(), trusted });
        }
        let mut disk = LocalDisk::new(&env::temp_dir(), anchors).map_err(failed)?.with_scan_sets(true);
        let local = disk.definitions(&store, &manifest).await.map_err(failed)?;
        Ok(Self { directory: local.directory.clone(), published: Some(Published { store, local, _disk: disk }) })
    }

    /// The directory that an engine loads.
    pub(super) fn directory(&self) -> &Path {
        &self.directory
    }

    /// Scans one file. There is a report if the scan came to its end.
    pub(super) async fn scan(&self, pool: &EnginePool, path: &Path) -> Result<(Verdict, Option<Report>), ScanError> {
        let (size, has_unrar) = (Cell::new(0), Cell::new(false));
        // The engine gets a copy: it may write in its private directory, and must never be able to write to the file itself.
        let copy = async |to: &Path| fs::copy(path, to).map(|copied| size.set(copied));
        let scan = async |directory: &Path| -> Result<Result<Report, Verdict>, ScanError> {
            match pool.examine(directory, copy, Limits::default(), || SCAN_TIMEOUT).await {
                Ok(Examination::Seen { report, unrar }) => {
                    has_unrar.set(unrar);
                    Ok(Ok(report))
                }
                Ok(stopped) => Ok(Err(stopped.verdict(size.get()))),
                Err(ExamineError::Fetch(error)) => Ok(Err(Verdict::Unscannable { reason: reason_of(&error) })),
                Err(ExamineError::Engine(error)) => Err(error.into()),
            }
        };
        let scanned = match (scan(&self.directory).await?, &self.published) {
            (Ok(report), Some(Published { store, local, .. })) => match &local.scan_sets {
                Some(sets) => sets.decide(store, pool, report, scan).await?,
                None => Ok(report),
            },
            (scanned, _) => scanned,
        };
        Ok(match scanned {
            Ok(report) => {
                let examination = Examination::Seen { report: report.clone(), unrar: has_unrar.get() };
                (examination.verdict(size.get()), Some(report))
            }
            Err(verdict) => (verdict, None),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_bucket_is_distinguished_from_a_directory() {
        for (text, bucket) in [
            ("s3://definitions", Some("definitions")),
            ("s3://definitions/", Some("definitions")),
            ("s3://definitions/nacre", None),
            ("s3://", None),
            ("/var/lib/clamav", None),
        ] {
            let place: Place = text.parse().unwrap();
            assert_eq!(
                place,
                bucket.map_or_else(|| Place::Directory(text.into()), |bucket| Place::Bucket(bucket.into()))
            );
        }
    }
}
