//! S3 Inventory: what its manifest names, and what a line of its files says. Pure.
//!
//! Source: S3 user guide, "Amazon S3 Inventory" and "Inventory manifest".

use nacre_core::object::ObjectId;
use percent_encoding::percent_decode_str;
use serde::Deserialize;

use super::Candidate;

/// What of a manifest is needed.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
pub(super) struct Manifest {
    /// The bucket that was listed.
    pub(super) source_bucket: String,
    /// ARN of the bucket that the files are in.
    destination_bucket: String,
    file_format: String,
    file_schema: String,
    /// The files, in their order.
    pub(super) files: Vec<File>,
}

/// One file of an inventory.
#[derive(Clone, Debug, Deserialize)]
pub(super) struct File {
    /// Its key in the destination bucket.
    pub(super) key: String,
    /// MD5 of its bytes, which are compressed, in hexadecimal.
    #[serde(rename = "MD5checksum")]
    pub(super) md5: String,
}

/// Why an inventory cannot be used.
#[derive(Debug, thiserror::Error)]
pub(crate) enum InventoryError {
    #[error("the manifest is not one of S3 Inventory: name its manifest.json")]
    Manifest(#[from] serde_json::Error),
    #[error("the inventory's files are {0}: have S3 write one in CSV")]
    Format(String),
    #[error("the inventory has no column {0}: {COLUMNS}")]
    Column(&'static str),
    #[error("the inventory is of the bucket {listed}, not of {requested}")]
    Bucket { listed: String, requested: String },
    #[error("the inventory's destination {0} is not the ARN of a bucket")]
    Destination(String),
    #[error("line {line} has {found} columns, and the manifest has {expected}")]
    Short { line: u64, found: usize, expected: usize },
    #[error("the key in line {line} is not URL-encoded UTF-8")]
    Key { line: u64 },
    #[error("the size in line {line} is not a number")]
    Size { line: u64 },
}

const COLUMNS: &str =
    "Bucket and Key are needed, VersionId, IsLatest and IsDeleteMarker where the bucket keeps versions";

/// Where a file's columns are.
#[derive(Clone, Copy, Debug)]
pub(super) struct Columns {
    number: usize,
    key: usize,
    version_id: Option<usize>,
    is_latest: Option<usize>,
    is_delete_marker: Option<usize>,
    size: Option<usize>,
    etag: Option<usize>,
    class: Option<usize>,
}

impl Manifest {
    /// Reads a manifest of this bucket's inventory; of any bucket's, where none is named.
    pub(super) fn parse(bytes: &[u8], bucket: Option<&str>) -> Result<Self, InventoryError> {
        let manifest: Self = serde_json::from_slice(bytes)?;
        if manifest.file_format != "CSV" {
            return Err(InventoryError::Format(manifest.file_format));
        }
        if let Some(bucket) = bucket.filter(|bucket| manifest.source_bucket != *bucket) {
            return Err(InventoryError::Bucket { listed: manifest.source_bucket, requested: bucket.to_owned() });
        }
        Ok(manifest)
    }

    /// The bucket that the files are in.
    pub(super) fn destination(&self) -> Result<&str, InventoryError> {
        let name = self.destination_bucket.rsplit(":::").next().filter(|name| !name.is_empty() && !name.contains(':'));
        name.ok_or_else(|| InventoryError::Destination(self.destination_bucket.clone()))
    }

    /// Where the columns are.
    pub(super) fn columns(&self) -> Result<Columns, InventoryError> {
        let names: Vec<&str> = self.file_schema.split(',').map(str::trim).collect();
        let at = |name: &str| names.iter().position(|column| *column == name);
        at("Bucket").ok_or(InventoryError::Column("Bucket"))?;
        Ok(Columns {
            number: names.len(),
            key: at("Key").ok_or(InventoryError::Column("Key"))?,
            version_id: at("VersionId"),
            is_latest: at("IsLatest"),
            is_delete_marker: at("IsDeleteMarker"),
            size: at("Size"),
            etag: at("ETag"),
            class: at("StorageClass"),
        })
    }
}

impl Columns {
    /// Whether objects have sizes.
    pub(super) fn has_sizes(self) -> bool {
        self.size.is_some()
    }

    /// The object of a line; `None` for a version that is not the latest, and for a delete marker.
    pub(super) fn candidate(
        self,
        bucket: &str,
        line: u64,
        fields: &csv::StringRecord,
    ) -> Result<Option<Candidate>, InventoryError> {
        if fields.len() < self.number {
            return Err(InventoryError::Short { line, found: fields.len(), expected: self.number });
        }
        let field = |at: Option<usize>| at.and_then(|at| fields.get(at)).unwrap_or_default();
        if field(self.is_latest) == "false" || field(self.is_delete_marker) == "true" {
            return Ok(None);
        }
        // By form rules: a plus that is meant is always written as %2B.
        let key = field(Some(self.key)).replace('+', " ");
        let key = percent_decode_str(&key).decode_utf8().map_err(|_| InventoryError::Key { line })?;
        let size = match field(self.size) {
            "" => 0,
            size => size.parse().map_err(|_| InventoryError::Size { line })?,
        };
        let version_id = Some(field(self.version_id)).filter(|id| !id.is_empty()).map(str::to_owned);
        let etag = Some(field(self.etag).trim_matches('"')).filter(|etag| !etag.is_empty()).map(str::to_owned);
        let class = Some(field(self.class)).filter(|class| !class.is_empty()).map(str::to_owned);
        Ok(Some(Candidate { object: ObjectId::new(bucket, key, version_id), etag, size, class }))
    }
}

#[cfg(test)]
mod tests {
    use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
    use proptest::prelude::*;

    use super::*;

    fn manifest(format: &str, schema: &str) -> Vec<u8> {
        serde_json::json!({
            "sourceBucket": "uploads", "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30",
            "creationTimestamp": "1763856000000", "fileFormat": format, "fileSchema": schema,
            "files": [{ "key": "a/data/1.csv.gz", "size": 3, "MD5checksum": "900150983cd24fb0d6963f7d28e17f72" }],
        })
        .to_string()
        .into_bytes()
    }

    fn parsed(schema: &str) -> Result<Columns, InventoryError> {
        Manifest::parse(&manifest("CSV", schema), Some("uploads")).unwrap().columns()
    }

    #[test]
    fn a_manifest_is_read_or_says_what_is_wrong() {
        let read = Manifest::parse(&manifest("CSV", "Bucket, Key"), Some("uploads")).unwrap();
        assert_eq!((read.destination().unwrap(), read.files[0].key.as_str()), ("inventories", "a/data/1.csv.gz"));
        for (bytes, bucket, expected) in [
            (manifest("Parquet", "message"), "uploads", "the inventory's files are Parquet: have S3 write one in CSV"),
            (manifest("CSV", "Bucket, Key"), "other", "the inventory is of the bucket uploads, not of other"),
            (b"{}".to_vec(), "uploads", "the manifest is not one of S3 Inventory: name its manifest.json"),
        ] {
            assert_eq!(Manifest::parse(&bytes, Some(bucket)).unwrap_err().to_string(), expected);
        }
        assert!(parsed("Bucket, Size").unwrap_err().to_string().starts_with("the inventory has no column Key: "));
    }

    #[test]
    fn older_versions_and_delete_markers_are_skipped() {
        let columns = parsed("Bucket, Key, VersionId, IsLatest, IsDeleteMarker, Size").unwrap();
        let read = |fields: [&str; 6]| columns.candidate("uploads", 1, &fields.to_vec().into()).unwrap();
        assert_eq!(read(["uploads", "k", "v1", "false", "false", "3"]), None);
        assert_eq!(read(["uploads", "k", "v2", "true", "true", ""]), None);
        let latest = read(["uploads", "k", "v3", "true", "false", "3"]).unwrap();
        assert_eq!((latest.object.version_id.as_deref(), latest.size), (Some("v3"), 3));
    }

    #[test]
    fn a_line_that_does_not_fit_is_named() {
        let columns = parsed("Bucket, Key, Size").unwrap();
        let error = |fields: &[&str]| columns.candidate("uploads", 7, &fields.to_vec().into()).unwrap_err().to_string();
        assert_eq!(error(&["uploads", "k"]), "line 7 has 2 columns, and the manifest has 3");
        assert_eq!(error(&["uploads", "%ff", "1"]), "the key in line 7 is not URL-encoded UTF-8");
        assert_eq!(error(&["uploads", "k", "x"]), "the size in line 7 is not a number");
    }

    proptest! {
        #[test]
        fn any_key_is_read_as_it_was(key in "\\PC{1,40}", plus: bool, size: u64) {
            let columns = parsed("Bucket, Key, Size, ETag, StorageClass").unwrap();
            let mut encoded = utf8_percent_encode(&key, NON_ALPHANUMERIC).to_string();
            if plus {
                encoded = encoded.replace("%20", "+");
            }
            let fields = vec!["uploads".to_owned(), encoded, size.to_string(), "\"e\"".to_owned(), "GLACIER_IR".to_owned()];
            let read = columns.candidate("uploads", 1, &fields.into()).unwrap().unwrap();
            prop_assert_eq!(read, Candidate { object: ObjectId::new("uploads", key, None), etag: Some("e".into()), size, class: Some("GLACIER_IR".into()) });
        }
    }
}
