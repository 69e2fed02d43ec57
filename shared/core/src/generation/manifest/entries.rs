//! What a generation consists of, entry by entry: each names its body by the body's own digest.

use crate::bucket_keys::{BODIES_PREFIX, DELTAS_PREFIX, SCAN_SETS_PREFIX};
use crate::generation::Generation;
use nacre_clamav::{
    cvd::{VerifiedCvd, VerifiedMember},
    database::{ContainerKind, DatabaseName, DatabaseVersion, FunctionalityLevel},
    digest::Sha256Digest,
};
use serde::{Deserialize, Serialize};

/// One database of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseEntry {
    /// Which.
    pub name: DatabaseName,
    /// How it is packed.
    pub kind: ContainerKind,
    /// Its version.
    pub version: DatabaseVersion,
    /// When its makers built it, in seconds since the Unix epoch.
    pub built: u64,
    /// The functionality level that it was made for.
    pub functionality_level: FunctionalityLevel,
    /// Number of signatures.
    pub signatures: u32,
    /// Who built it.
    pub builder: String,
    /// Bytes of the whole file.
    pub size: u64,
    /// MD5 of the whole file, lower-case hexadecimal: the predecessor's `md5` tag.
    pub md5: String,
    /// SHA-256 of the whole file.
    pub sha256: Sha256Digest,
    /// Where its body is: always the address that its SHA-256 implies.
    pub object_key: String,
    /// Its signed members.
    pub members: Vec<VerifiedMember>,
}

impl DatabaseEntry {
    /// Describes a verified database.
    pub fn of(cvd: &VerifiedCvd) -> Self {
        Self {
            name: cvd.name.clone(),
            kind: cvd.kind,
            version: cvd.header.version,
            built: cvd.header.stime,
            functionality_level: cvd.header.functionality_level,
            signatures: cvd.header.signatures,
            builder: cvd.header.builder.clone(),
            size: cvd.size,
            md5: cvd.md5.clone(),
            sha256: cvd.sha256,
            object_key: body_object_key(cvd.sha256),
            members: cvd.members.clone(),
        }
    }

    /// The file name on mirrors and in the flat prefix, such as `daily.cvd`.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.kind.extension())
    }

    /// Whether both are the same version with the same members, however they are packed.
    pub fn same_content(&self, other: &Self) -> bool {
        (&self.name, self.version, &self.members) == (&other.name, other.version, &other.members)
    }
}

/// A loose signature file of a generation, such as `local.ign2`. Nobody signed it but the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomEntry {
    /// Plain file name; its extension gives the kind of its signatures.
    pub name: String,
    /// Where it came from, without credentials or query.
    pub source: String,
    /// The ETag that it had there, for a conditional request.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// Where its body is: always the address that its SHA-256 implies.
    pub object_key: String,
}

impl CustomEntry {
    /// Describes a loose file that came from `source`.
    pub fn of(name: String, source: String, etag: Option<String>, bytes: &[u8]) -> Self {
        let sha256 = Sha256Digest::of(bytes);
        let object_key = body_object_key(sha256);
        Self { name, source, etag, size: bytes.len() as u64, sha256, object_key }
    }
}

/// A body of no name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyEntry {
    /// Bytes.
    pub size: u64,
    /// Its SHA-256.
    pub sha256: Sha256Digest,
    /// Where it is: always the address that its SHA-256 implies, for a delta with the generations that it is between.
    pub object_key: String,
}

/// The members of one database that change how an engine scans, packed by themselves ([`nacre_clamav::context`]).
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextEntry {
    /// The database.
    pub database: DatabaseName,
    /// Of the database's body that they are of, SHA-256.
    pub of: Sha256Digest,
    /// The archive.
    pub body: BodyEntry,
}

/// What a cold start loads of one database instead of its body. A database without one is loaded whole.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScanSetEntry {
    /// The database.
    pub database: DatabaseName,
    /// Of the database's body that it is of, SHA-256.
    pub of: Sha256Digest,
    /// What libclamav loads.
    pub body: BodyEntry,
    /// What rules digests out.
    pub filter: BodyEntry,
    /// The lines behind the filter, read in parts.
    pub shards: BodyEntry,
    /// Number of these lines.
    pub lines: u64,
}

impl ScanSetEntry {
    /// Its three bodies.
    pub fn bodies(&self) -> [&BodyEntry; 3] {
        [&self.body, &self.filter, &self.shards]
    }
}

impl BodyEntry {
    /// Describes a body.
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = Sha256Digest::of(bytes);
        let object_key = body_object_key(sha256);
        Self { size: bytes.len() as u64, sha256, object_key }
    }

    /// Describes the delta that leads to a generation from the one before.
    pub fn of_delta(to: Generation, bytes: &[u8]) -> Self {
        let body = Self::of(bytes);
        Self { object_key: delta_object_key(to, body.sha256), ..body }
    }

    /// Describes a part of a scan set.
    pub fn of_scan_set(bytes: &[u8]) -> Self {
        let body = Self::of(bytes);
        Self { object_key: scan_set_object_key(body.sha256), ..body }
    }

    pub(super) fn is_of_scan_set(&self) -> bool {
        self.object_key == scan_set_object_key(self.sha256)
    }

    pub(super) fn is_addressed(&self) -> bool {
        self.object_key == body_object_key(self.sha256)
    }

    /// Whether it is where the delta to this generation is.
    pub(in crate::generation) fn is_delta_to(&self, to: Generation) -> bool {
        self.object_key == delta_object_key(to, self.sha256)
    }
}

/// Key of the delta with this SHA-256 that leads to a generation.
fn delta_object_key(to: Generation, sha256: Sha256Digest) -> String {
    format!("{DELTAS_PREFIX}{}-{}/{sha256}", to.0.saturating_sub(1), to.0)
}

/// Key of the part of a scan set with this SHA-256.
fn scan_set_object_key(sha256: Sha256Digest) -> String {
    format!("{SCAN_SETS_PREFIX}{sha256}")
}

/// Key of a body with this SHA-256.
pub(super) fn body_object_key(sha256: Sha256Digest) -> String {
    format!("{BODIES_PREFIX}{sha256}")
}
