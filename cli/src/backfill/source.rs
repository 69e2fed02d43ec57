//! The objects that a backfill goes through: a listing, or an inventory.

use std::{
    fs,
    io::{self, BufReader, Seek, Write},
    path::{Path, PathBuf},
};

use aws_config::SdkConfig;
use aws_sdk_s3::{
    Client,
    types::{EncodingType, ObjectVersion},
};
use flate2::read::MultiGzDecoder;
use md5::{Digest, Md5};
use nacre_core::object::{ObjectId, form_decoded};
use serde::{Deserialize, Serialize};

use super::{
    Candidate,
    inventory::{Columns, File, InventoryError, Manifest},
};

/// Objects of a page.
const PAGE: usize = 1000;

/// Largest manifest that is read: 100,000 files.
const MAX_MANIFEST_BYTES: u64 = 32 << 20;

/// One page of objects.
#[derive(Debug)]
pub(crate) struct Page {
    /// The latest version of each object.
    pub(crate) candidates: Vec<Candidate>,
    /// Where to continue; `None` at the end.
    pub(crate) next: Option<Cursor>,
}

/// Where a page ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Cursor {
    /// S3's own markers.
    Listing { key: String, version_id: Option<String> },
    /// Number of the file, and of its lines that were read.
    Inventory { file: usize, lines: u64 },
}

/// Why objects cannot be listed.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("{0} cannot be listed: s3:ListBucketVersions is needed")]
    List(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} cannot be read")]
    Get(String, #[source] Box<dyn std::error::Error + Send + Sync>),
    #[error("{0} cannot be read")]
    File(String, #[source] io::Error),
    #[error("{0} has another MD5 than the manifest says: have S3 write the inventory anew")]
    Damaged(String),
    #[error("{0} cannot be used")]
    Inventory(String, #[source] InventoryError),
    #[error("{0} is not CSV")]
    Csv(String, #[source] csv::Error),
    #[error("the progress is of another source: --restart starts anew")]
    Cursor,
}

/// Where objects are listed.
pub(crate) trait Source {
    /// Reads the page after this place, of about a thousand objects.
    async fn page(&mut self, after: Option<Cursor>) -> Result<Page, SourceError>;
}

/// All objects under a prefix, as S3 lists them.
pub(crate) struct Listing {
    client: Client,
    bucket: String,
    prefix: String,
}

impl Listing {
    pub(crate) fn new(sdk: &SdkConfig, bucket: &str, prefix: &str) -> Self {
        Self { client: Client::new(sdk), bucket: bucket.to_owned(), prefix: prefix.to_owned() }
    }

    /// A record is of a version, so versions are listed; where a bucket keeps none, each object is one, named `null`.
    fn candidate(&self, version: &ObjectVersion, encoded: bool) -> Option<Candidate> {
        let key = plain(version.key()?, encoded);
        let object = ObjectId::new(&self.bucket, &key, version.version_id().map(str::to_owned));
        let etag = version.e_tag().map(|etag| etag.trim_matches('"').to_owned());
        let class = version.storage_class().map(|class| class.as_str().to_owned());
        let size = version.size().and_then(|size| u64::try_from(size).ok()).unwrap_or_default();
        (version.is_latest() == Some(true)).then_some(Candidate { object, etag, size, class })
    }
}

/// A key of a listing, as it is. Listed plainly, a control character in one key would end the backfill: XML cannot hold it.
/// Keys are UTF-8 by S3's definition, so each can be decoded.
fn plain(key: &str, encoded: bool) -> String {
    Some(key).filter(|_| encoded).and_then(form_decoded).unwrap_or_else(|| key.to_owned())
}

impl Source for Listing {
    async fn page(&mut self, after: Option<Cursor>) -> Result<Page, SourceError> {
        let (key, version_id) = match after {
            None => (None, None),
            Some(Cursor::Listing { key, version_id }) => (Some(key), version_id),
            Some(Cursor::Inventory { .. }) => return Err(SourceError::Cursor),
        };
        let request = self.client.list_object_versions().bucket(&self.bucket).prefix(&self.prefix);
        let request = request.set_key_marker(key).set_version_id_marker(version_id).encoding_type(EncodingType::Url);
        let listed = request.send().await.map_err(|error| SourceError::List(self.bucket.clone(), error.into()))?;
        let encoded = listed.encoding_type() == Some(&EncodingType::Url);
        let candidates = listed.versions().iter().filter_map(|version| self.candidate(version, encoded)).collect();
        let next = listed.next_key_marker().filter(|_| listed.is_truncated() == Some(true));
        let next = next.map(|key| Cursor::Listing {
            key: plain(key, encoded),
            version_id: listed.next_version_id_marker().filter(|id| !id.is_empty()).map(str::to_owned),
        });
        Ok(Page { candidates, next })
    }
}

/// All objects of an inventory, as far as they are under a prefix. One of its files at a time is on the disk, compressed.
pub(crate) struct Inventory {
    client: Client,
    prefix: String,
    manifest: Manifest,
    columns: Columns,
    /// The directory of a manifest that is no object; its files may be there, too.
    beside: Option<PathBuf>,
    open: Option<Open>,
}

/// The file that is being read.
struct Open {
    file: usize,
    lines: u64,
    reader: csv::Reader<MultiGzDecoder<BufReader<fs::File>>>,
}

impl Inventory {
    /// Reads the manifest at `s3://bucket/key`, or at a path.
    pub(crate) async fn open(
        sdk: &SdkConfig,
        at: &str,
        bucket: Option<&str>,
        prefix: &str,
    ) -> Result<Self, SourceError> {
        let client = Client::new(sdk);
        let in_s3 = at.strip_prefix("s3://").and_then(|rest| rest.split_once('/'));
        let (bytes, beside) = if let Some((bucket, key)) = in_s3 {
            let mut bytes = Vec::new();
            fetch(&client, bucket, key, MAX_MANIFEST_BYTES, &mut bytes).await?;
            (bytes, None)
        } else {
            let bytes = fs::read(at).map_err(|error| SourceError::File(at.to_owned(), error))?;
            (bytes, Path::new(at).parent().map(Path::to_owned))
        };
        let unusable = |error| SourceError::Inventory(at.to_owned(), error);
        let manifest = Manifest::parse(&bytes, bucket).map_err(unusable)?;
        let columns = manifest.columns().map_err(unusable)?;
        Ok(Self { client, prefix: prefix.to_owned(), manifest, columns, beside, open: None })
    }

    /// Whether it has the objects' sizes.
    pub(crate) fn has_sizes(&self) -> bool {
        self.columns.has_sizes()
    }

    /// Number of its files.
    pub(super) fn files(&self) -> usize {
        self.manifest.files.len()
    }

    /// Where a file would be that was downloaded with its manifest: by the last part of its key, which leads to no other directory.
    fn beside(&self, key: &str) -> Option<PathBuf> {
        let name = key.rsplit('/').next().filter(|name| !["", ".", ".."].contains(name))?;
        Some(self.beside.as_ref()?.join(name))
    }

    /// The file of this number, read as far as so many lines; its content is used only when its MD5 is the one in the
    /// manifest.
    async fn file(&mut self, file: usize, lines: u64) -> Result<Option<&mut Open>, SourceError> {
        if self.open.as_ref().is_none_or(|open| (open.file, open.lines) != (file, lines)) {
            let Some(File { key, md5 }) = self.manifest.files.get(file).cloned() else { return Ok(None) };
            let unreadable = |error| SourceError::File(key.clone(), error);
            let destination = self.manifest.destination();
            let destination = destination.map_err(|error| SourceError::Inventory(key.clone(), error))?;
            let mut kept = Digesting { file: tempfile::tempfile().map_err(unreadable)?, md5: Md5::new() };
            match self.beside(&key).map(fs::File::open) {
                Some(Ok(mut beside)) => io::copy(&mut beside, &mut kept).map(|_| ()).map_err(unreadable)?,
                _ => fetch(&self.client, destination, &key, u64::MAX, &mut kept).await?,
            }
            if !md5.eq_ignore_ascii_case(&hex::encode(kept.md5.finalize())) {
                return Err(SourceError::Damaged(key));
            }
            kept.file.rewind().map_err(unreadable)?;
            let unpacked = MultiGzDecoder::new(BufReader::new(kept.file));
            let mut reader = csv::ReaderBuilder::new().has_headers(false).flexible(true).from_reader(unpacked);
            let mut passed = csv::StringRecord::new();
            for _ in 0..lines {
                reader.read_record(&mut passed).map_err(|error| SourceError::Csv(key.clone(), error))?;
            }
            self.open = Some(Open { file, lines, reader });
        }
        Ok(self.open.as_mut())
    }
}

impl Source for Inventory {
    async fn page(&mut self, after: Option<Cursor>) -> Result<Page, SourceError> {
        let (file, lines) = match after {
            None => (0, 0),
            Some(Cursor::Inventory { file, lines }) => (file, lines),
            Some(Cursor::Listing { .. }) => return Err(SourceError::Cursor),
        };
        let (columns, bucket) = (self.columns, self.manifest.source_bucket.clone());
        let (prefix, key) = (self.prefix.clone(), self.manifest.files.get(file).map(|file| file.key.clone()));
        let Some(open) = self.file(file, lines).await? else {
            return Ok(Page { candidates: Vec::new(), next: None });
        };
        let key = || key.clone().unwrap_or_default();
        let (mut candidates, mut fields) = (Vec::new(), csv::StringRecord::new());
        for _ in 0..PAGE {
            if !open.reader.read_record(&mut fields).map_err(|error| SourceError::Csv(key(), error))? {
                let next = Cursor::Inventory { file: file + 1, lines: 0 };
                return Ok(Page { candidates, next: (file + 1 < self.files()).then_some(next) });
            }
            open.lines += 1;
            let candidate = columns.candidate(&bucket, open.lines, &fields);
            let candidate = candidate.map_err(|error| SourceError::Inventory(key(), error))?;
            candidates.extend(candidate.filter(|candidate| candidate.object.key.starts_with(&prefix)));
        }
        Ok(Page { candidates, next: Some(Cursor::Inventory { file, lines: open.lines }) })
    }
}

/// A file that is digested as it is written.
struct Digesting {
    file: fs::File,
    md5: Md5,
}

impl Write for Digesting {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.file.write(bytes)?;
        self.md5.update(bytes.get(..written).unwrap_or_default());
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}

/// Writes an object's bytes to `to`; more than `limit` are an error.
async fn fetch(client: &Client, bucket: &str, key: &str, limit: u64, to: &mut impl Write) -> Result<(), SourceError> {
    let name = || format!("s3://{bucket}/{key}");
    let response = client.get_object().bucket(bucket).key(key).send().await;
    let mut body = response.map_err(|error| SourceError::Get(name(), error.into()))?.body;
    let mut read = 0;
    while let Some(bytes) = body.next().await {
        let bytes = bytes.map_err(|error| SourceError::Get(name(), error.into()))?;
        read += bytes.len() as u64;
        if read > limit {
            return Err(SourceError::Get(name(), format!("it has more than {limit} bytes").into()));
        }
        to.write_all(&bytes).map_err(|error| SourceError::File(name(), error))?;
    }
    Ok(())
}

/// Objects that are at hand, three a page.
#[cfg(test)]
pub(super) struct AtHand(pub(super) Vec<Candidate>);

#[cfg(test)]
impl Source for AtHand {
    async fn page(&mut self, after: Option<Cursor>) -> Result<Page, SourceError> {
        let done = match after {
            None => 0,
            Some(Cursor::Inventory { lines, .. }) => lines,
            Some(Cursor::Listing { .. }) => return Err(SourceError::Cursor),
        };
        let left = || self.0.iter().skip(usize::try_from(done).unwrap_or(usize::MAX)).cloned();
        let next = (left().count() > 3).then_some(Cursor::Inventory { file: 0, lines: done + 3 });
        Ok(Page { candidates: left().take(3).collect(), next })
    }
}
