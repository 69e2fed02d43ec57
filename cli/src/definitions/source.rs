//! Where files come from and go to: local paths, and objects in S3.

use std::{
    convert::Infallible,
    fmt,
    fs::{self, File},
    io::{self, Read, Write},
    os::unix::fs::PermissionsExt,
    path::{Path, PathBuf},
    str::FromStr,
};

use aws_sdk_s3::{Client, operation::get_object::GetObjectError, primitives::ByteStream};
use nacre_aws::sdk_config;
use tokio::sync::OnceCell;

/// Most bytes of a file that is read into memory.
const MAX_BYTES: u64 = 1 << 30;

const SCHEME: &str = "s3://";

/// A local path, or `s3://bucket/key`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Location {
    Local(PathBuf),
    Object { bucket: String, key: String },
}

impl FromStr for Location {
    type Err = Infallible;

    /// Never fails: what is no URL of an object with a key is a path.
    fn from_str(text: &str) -> Result<Self, Infallible> {
        let object = text.strip_prefix(SCHEME).and_then(|object| object.split_once('/'));
        Ok(match object.filter(|(bucket, key)| !bucket.is_empty() && !key.is_empty()) {
            Some((bucket, key)) => Self::Object { bucket: bucket.to_owned(), key: key.to_owned() },
            None => Self::Local(text.into()),
        })
    }
}

impl fmt::Display for Location {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Local(path) => path.display().fmt(f),
            Self::Object { bucket, key } => write!(f, "{SCHEME}{bucket}/{key}"),
        }
    }
}

impl Location {
    /// The file's own name, empty when it has none.
    pub(super) fn file_name(&self) -> &str {
        match self {
            Self::Local(path) => path.file_name().and_then(|name| name.to_str()).unwrap_or_default(),
            Self::Object { key, .. } => key.rsplit('/').next().unwrap_or_default(),
        }
    }

    /// Another file in the same place.
    pub(super) fn beside(&self, name: &str) -> Self {
        match self {
            Self::Local(path) => Self::Local(path.with_file_name(name)),
            Self::Object { bucket, key } => {
                let place = key.rsplit_once('/').map(|(place, _)| format!("{place}/")).unwrap_or_default();
                Self::Object { bucket: bucket.clone(), key: place + name }
            }
        }
    }
}

/// Why a file cannot be read or written.
#[derive(Debug, thiserror::Error)]
pub(crate) enum SourceError {
    #[error("there is no such file")]
    NotFound,
    #[error("there is no such directory: make it first")]
    NoDirectory,
    #[error("the file has more than 1 GiB")]
    TooLarge,
    #[error("the file cannot be read or written")]
    Local(#[source] io::Error),
    #[error("S3 refused or did not respond")]
    Object(#[source] Box<dyn std::error::Error + Send + Sync>),
}

impl From<io::Error> for SourceError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::NotFound { Self::NotFound } else { Self::Local(error) }
    }
}

/// Reads and writes files wherever they are.
#[derive(Debug, Default)]
pub(crate) struct Files {
    /// Made when the first object is read or written: local files need no configuration.
    client: OnceCell<Client>,
}

impl Files {
    /// Reads a whole file.
    ///
    /// # Errors
    /// [`SourceError`]; [`SourceError::NotFound`] only when it is known not to be there.
    pub(super) async fn read(&self, location: &Location) -> Result<Vec<u8>, SourceError> {
        match location {
            Location::Local(path) => read_local(path),
            Location::Object { bucket, key } => self.read_object(bucket, key).await,
        }
    }

    /// Writes a whole file, in one step: a part of it is never visible.
    pub(super) async fn write(&self, location: &Location, bytes: Vec<u8>) -> Result<(), SourceError> {
        match location {
            Location::Local(path) => write_local(path, &bytes),
            Location::Object { bucket, key } => {
                let request = self.client().await.put_object().bucket(bucket).key(key);
                let sent = request.body(ByteStream::from(bytes)).send().await;
                sent.map(drop).map_err(|error| SourceError::Object(error.into()))
            }
        }
    }

    async fn client(&self) -> &Client {
        self.client.get_or_init(async || Client::new(&sdk_config().await)).await
    }

    async fn read_object(&self, bucket: &str, key: &str) -> Result<Vec<u8>, SourceError> {
        let response = self.client().await.get_object().bucket(bucket).key(key).send().await;
        let response = response.map_err(|error| {
            let absent = error.as_service_error().is_some_and(GetObjectError::is_no_such_key);
            if absent { SourceError::NotFound } else { SourceError::Object(error.into()) }
        })?;
        let (mut body, mut bytes) = (response.body, Vec::new());
        while let Some(chunk) = body.next().await {
            bytes.extend_from_slice(&chunk.map_err(|error| SourceError::Object(error.into()))?);
            if bytes.len() as u64 > MAX_BYTES {
                return Err(SourceError::TooLarge);
            }
        }
        let announced = response.content_length.and_then(|length| usize::try_from(length).ok());
        if announced.is_some_and(|announced| announced != bytes.len()) {
            return Err(SourceError::Object("the response ended too early".into()));
        }
        Ok(bytes)
    }
}

fn read_local(path: &Path) -> Result<Vec<u8>, SourceError> {
    let file = File::open(path)?;
    let size = file.metadata()?.len();
    if size > MAX_BYTES {
        return Err(SourceError::TooLarge);
    }
    let mut bytes = Vec::with_capacity(usize::try_from(size).unwrap_or_default());
    // What is no regular file has no size.
    file.take(MAX_BYTES + 1).read_to_end(&mut bytes)?;
    if bytes.len() as u64 > MAX_BYTES { Err(SourceError::TooLarge) } else { Ok(bytes) }
}

fn write_local(path: &Path, bytes: &[u8]) -> Result<(), SourceError> {
    let mut builder = tempfile::Builder::new();
    // The process's mask takes from these what it takes from every new file.
    let builder = builder.prefix(".nacre-").permissions(fs::Permissions::from_mode(0o666));
    let mut file = builder.tempfile_in(directory_of(path)).map_err(of_directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist(path).map_err(|error| error.error)?;
    Ok(())
}

/// Writes a local file that only its owner may read, and that was not there before.
///
/// # Errors
/// [`SourceError::Local`] with [`io::ErrorKind::AlreadyExists`] when it is there already.
pub(super) fn write_secret(path: &Path, bytes: &[u8]) -> Result<(), SourceError> {
    // Temporary files are for their owner alone.
    let mut file = tempfile::Builder::new().prefix(".nacre-").tempfile_in(directory_of(path)).map_err(of_directory)?;
    file.write_all(bytes)?;
    file.as_file().sync_all()?;
    file.persist_noclobber(path).map_err(|error| error.error)?;
    Ok(())
}

fn of_directory(error: io::Error) -> SourceError {
    if error.kind() == io::ErrorKind::NotFound { SourceError::NoDirectory } else { SourceError::Local(error) }
}

fn directory_of(path: &Path) -> &Path {
    path.parent().filter(|directory| !directory.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_location_is_written_as_it_was_read() {
        for (text, name, beside) in [
            ("daily.cvd", "daily.cvd", "x"),
            ("/a/b/daily.cvd", "daily.cvd", "/a/b/x"),
            ("s3://bucket/daily.cvd", "daily.cvd", "s3://bucket/x"),
            ("s3://bucket/a/b/daily.cvd", "daily.cvd", "s3://bucket/a/b/x"),
        ] {
            let location: Location = text.parse().unwrap();
            assert_eq!((location.to_string().as_str(), location.file_name()), (text, name));
            assert_eq!(location.beside("x").to_string(), beside);
        }
        assert_eq!("s3://bucket".parse(), Ok(Location::Local("s3://bucket".into())));
        assert_eq!("s3:///key".parse(), Ok(Location::Local("s3:///key".into())));
    }

    #[test]
    fn no_more_than_1_gib_is_read() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("large");
        File::create(&path).unwrap().set_len(MAX_BYTES + 1).unwrap();
        assert!(matches!(read_local(&path), Err(SourceError::TooLarge)));
        assert!(matches!(read_local(Path::new("/dev/zero")), Err(SourceError::TooLarge)), "without a size of its own");
    }

    #[test]
    fn a_secret_is_its_owners_and_never_overwritten() {
        let directory = tempfile::tempdir().unwrap();
        let path = directory.path().join("key");
        write_secret(&path, b"one").unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        assert!(
            matches!(write_secret(&path, b"two"), Err(SourceError::Local(error)) if error.kind() == io::ErrorKind::AlreadyExists)
        );
        assert_eq!(fs::read(&path).unwrap(), b"one");
        write_local(&path, b"three").unwrap();
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 1, "no temporary file is left");
    }
}
