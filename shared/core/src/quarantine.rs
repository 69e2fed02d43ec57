//! Where infected objects are kept away from everybody, and what is remembered of where they came from.

use chrono::{DateTime, Utc};
use nacre_clamav::digest::Sha256Digest;
use serde::{Deserialize, Serialize};

use crate::{generation::Generation, object::ObjectId, scan_record::ScanRecord};

/// Under this is everything in quarantine, a folder for each object version.
pub const QUARANTINE_PREFIX: &str = "nacre-quarantine/";

/// Version of the provenance's format.
const FORMAT: u32 = 1;

/// The two keys of one object version in quarantine.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct QuarantinePlace {
    /// The folder's name: what people call it by.
    pub id: String,
    /// Its bytes.
    pub content: ObjectId,
    /// Where it came from, and why.
    pub provenance: ObjectId,
}

/// The place of an object version in a quarantine bucket: always the same.
///
/// No part of it derives from the key in a way that its uploader could choose: keys may be 1,024 bytes long and full of tricks.
pub fn quarantined(bucket: &str, object: &ObjectId, etag: &str) -> QuarantinePlace {
    let version = object.version_id.as_deref().unwrap_or_default();
    // No part holds a NUL, so that no two objects are written alike.
    let id = Sha256Digest::of([&object.bucket, &object.key, version, etag].join("\0").as_bytes());
    let id: String = id.to_string().chars().take(32).collect();
    place(bucket, &id)
}

/// The place of this id in a quarantine bucket.
pub fn place(bucket: &str, id: &str) -> QuarantinePlace {
    let at = |name: &str| ObjectId::new(bucket, format!("{QUARANTINE_PREFIX}{id}/{name}"), None);
    QuarantinePlace { id: id.to_owned(), content: at("content"), provenance: at("provenance.json") }
}

/// Where an object in quarantine came from, and why it is there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Provenance {
    format: u32,
    /// Its bucket.
    pub bucket: String,
    /// Its key.
    pub key: String,
    /// Its version; `None` where none was kept.
    pub version_id: Option<String>,
    /// Its ETag.
    pub etag: String,
    /// Bytes.
    pub size: u64,
    /// What was found in it.
    pub signatures: Vec<String>,
    /// By which generation of definitions.
    pub generation: Generation,
    /// When.
    pub scanned_at: DateTime<Utc>,
}

impl Provenance {
    /// The provenance of a recorded infected object.
    pub fn of(record: &ScanRecord) -> Self {
        Self {
            format: FORMAT,
            bucket: record.object.bucket.clone(),
            key: record.object.key.clone(),
            version_id: record.object.version_id.clone(),
            etag: record.etag.clone(),
            size: record.size,
            signatures: record.verdict.signatures().to_vec(),
            generation: record.generation,
            scanned_at: record.scanned_at,
        }
    }

    /// As it is stored.
    pub fn to_bytes(&self) -> Vec<u8> {
        // Serialising to memory cannot fail: keys are strings and numbers finite.
        serde_json::to_vec_pretty(self).unwrap_or_default()
    }

    /// Reads what is stored.
    ///
    /// # Errors
    /// When it is no provenance of this format.
    pub fn parse(bytes: &[u8]) -> Result<Self, serde_json::Error> {
        let provenance: Self = serde_json::from_slice(bytes)?;
        if provenance.format == FORMAT {
            return Ok(provenance);
        }
        Err(serde::de::Error::custom(format!("format {} is not {FORMAT}", provenance.format)))
    }
}
