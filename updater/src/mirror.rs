//! The HTTP mirror that databases come from.

use std::time::Duration;

use nacre_shared::definitions::{
    cvd::{CvdHeader, HEADER_BYTES, HeaderError},
    database::DatabaseName,
};
use reqwest::{Client, StatusCode, header::RANGE};

/// Largest database that is taken: `main` had 163 MB at its largest.
const MAX_DATABASE_BYTES: usize = 512 << 20;

/// A mirror.
#[derive(Clone, Debug)]
pub struct Mirror {
    base: String,
    client: Client,
}

/// Why the mirror did not give what it was asked for.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// No answer, or the connection broke.
    #[error("{url} did not answer")]
    Connection {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: reqwest::Error,
    },
    /// An answer other than the file.
    #[error("{url} answered {status}")]
    Status {
        /// What was asked for.
        url: String,
        /// The answer.
        status: StatusCode,
    },
    /// More than any database has.
    #[error("{url} is larger than {limit} bytes")]
    TooLarge {
        /// What was asked for.
        url: String,
        /// How much is taken.
        limit: usize,
    },
    /// Not the beginning of a database.
    #[error("{url} does not begin with a database header")]
    Header {
        /// What was asked for.
        url: String,
        /// Why.
        #[source]
        source: HeaderError,
    },
}

impl Mirror {
    /// A mirror at `base`, which has no trailing slash.
    ///
    /// # Errors
    /// The HTTP client's, when TLS cannot be set up.
    pub fn new(base: &str) -> Result<Self, reqwest::Error> {
        let client = Client::builder()
            .user_agent(concat!("nacre/", env!("CARGO_PKG_VERSION")))
            .connect_timeout(Duration::from_secs(30))
            .read_timeout(Duration::from_mins(1))
            .redirect(reqwest::redirect::Policy::limited(3))
            .build()?;
        Ok(Self { base: base.to_owned(), client })
    }

    /// Reads just the header of a CVD: 512 bytes tell whether there is anything new.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn advertised(&self, database: &DatabaseName) -> Result<CvdHeader, MirrorError> {
        let url = self.url(database);
        let range = format!("bytes=0-{}", HEADER_BYTES - 1);
        let response = self.client.get(&url).header(RANGE, range).send().await.map_err(connection(&url))?;
        // A mirror that knows no ranges sends all of it; the rest is not read.
        let header = read(&url, response, HEADER_BYTES, Excess::Ignore).await?;
        CvdHeader::parse(&header).map_err(|source| MirrorError::Header { url, source })
    }

    /// Downloads a whole CVD.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn fetch(&self, database: &DatabaseName) -> Result<Vec<u8>, MirrorError> {
        let url = self.url(database);
        let response = self.client.get(&url).send().await.map_err(connection(&url))?;
        read(&url, response, MAX_DATABASE_BYTES, Excess::Refuse).await
    }

    fn url(&self, database: &DatabaseName) -> String {
        format!("{}/{}.cvd", self.base, database.as_str())
    }
}

/// What to do with bytes past the limit.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Excess {
    Ignore,
    Refuse,
}

/// Reads a successful answer, never holding more than `limit` bytes and one chunk: an endless body must end here.
async fn read(
    url: &str,
    mut response: reqwest::Response,
    limit: usize,
    excess: Excess,
) -> Result<Vec<u8>, MirrorError> {
    if !response.status().is_success() {
        return Err(MirrorError::Status { url: url.to_owned(), status: response.status() });
    }
    let mut body = Vec::new();
    while let Some(chunk) = response.chunk().await.map_err(connection(url))? {
        body.extend_from_slice(&chunk);
        if body.len() > limit && excess == Excess::Refuse {
            return Err(MirrorError::TooLarge { url: url.to_owned(), limit });
        }
        if body.len() >= limit && excess == Excess::Ignore {
            body.truncate(limit);
            break;
        }
    }
    Ok(body)
}

fn connection(url: &str) -> impl Fn(reqwest::Error) -> MirrorError {
    move |source| MirrorError::Connection { url: url.to_owned(), source: source.without_url() }
}
