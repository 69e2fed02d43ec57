//! The mirrors that databases come from, asked in order, and left alone for as long as they want.

use std::{
    collections::BTreeMap,
    sync::{Mutex, PoisonError},
};

use chrono::{DateTime, TimeDelta, Utc};
use nacre_clamav::{
    cvd::{CvdHeader, HEADER_BYTES, HeaderError},
    database::{ContainerKind, DatabaseName, DatabaseVersion},
};
use nacre_core::port::{DefinitionsStore, StoreError};
use reqwest::{StatusCode, Url};

use crate::{
    http::{Answer, Get, HttpClient, HttpError},
    state::UpdaterState,
};

/// How long a mirror is left alone that answered 403 and did not say for how long; as freshclam.
pub(crate) const FORBIDDEN_COOL_DOWN: TimeDelta = TimeDelta::hours(24);

/// How long a mirror is left alone that answered 429 and did not say for how long; as freshclam.
const TOO_MANY_COOL_DOWN: TimeDelta = TimeDelta::hours(4);

/// Where databases come from.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Mirror {
    /// An HTTP server, without a slash at the end.
    Http(String),
    /// A prefix of the definitions bucket that a stock freshclam or cvdupdate fills, without slashes at its ends.
    Bucket(String),
}

impl Mirror {
    /// The name by which the mirror's cool-down is remembered.
    pub fn name(&self) -> String {
        match self {
            Self::Http(base) => crate::http::redacted(base),
            Self::Bucket(prefix) => format!("s3:{prefix}"),
        }
    }

    /// Whether it is one of ClamAV's own, for which ClamAV's DNS record speaks.
    pub fn is_clamav(&self) -> bool {
        let Self::Http(base) = self else { return false };
        let Ok(url) = Url::parse(base) else { return false };
        url.host_str().is_some_and(|host| host == "clamav.net" || host.ends_with(".clamav.net"))
    }
}

/// Most bytes of a database in the bucket that is read: larger ones are not taken either.
const MAX_HEAD_BYTES: u64 = 1 << 30;

/// Why no mirror gave a file.
#[derive(Debug, thiserror::Error)]
pub enum MirrorError {
    /// None has it.
    #[error("no mirror has {file}")]
    Missing {
        /// The file.
        file: String,
    },
    /// All want to be left alone.
    #[error("all mirrors are rate-limiting us until {until}")]
    CoolingDown {
        /// Until when the first of them does.
        until: DateTime<Utc>,
    },
    /// A server failed.
    #[error("{file} could not be downloaded")]
    Http {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: HttpError,
    },
    /// The definitions bucket could not be read or written.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// Not the beginning of a database.
    #[error("{file} does not begin with a database header")]
    Header {
        /// The file.
        file: String,
        /// Why.
        #[source]
        source: HeaderError,
    },
}

/// What a mirror has of a database, by the first bytes of its file.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Advertised {
    /// The newest version.
    pub version: DatabaseVersion,
    /// The file that has it.
    pub kind: ContainerKind,
}

/// The mirrors of one run.
#[derive(Debug)]
pub struct Mirrors<'a, Store> {
    /// The mirrors, in the order in which they are asked.
    pub mirrors: &'a [Mirror],
    /// Whether they may have CLDs, which are newer than their CVDs, as private mirrors have.
    pub private: bool,
    /// Client of the HTTP mirrors.
    pub http: &'a HttpClient,
    /// Store of the mirrors in the definitions bucket.
    pub store: &'a Store,
    /// The time of the run.
    pub now: DateTime<Utc>,
    /// Until when each mirror wants to be left alone, as remembered and as learnt in this run.
    cool_downs: Mutex<BTreeMap<String, DateTime<Utc>>>,
}

impl<'a, Store: DefinitionsStore> Mirrors<'a, Store> {
    /// Mirrors that were left in this state by earlier runs.
    pub fn new(
        mirrors: &'a [Mirror],
        private: bool,
        http: &'a HttpClient,
        store: &'a Store,
        now: DateTime<Utc>,
        state: &UpdaterState,
    ) -> Self {
        let cooling = mirrors.iter().filter_map(|mirror| Some((mirror.name(), state.cooling(&mirror.name(), now)?)));
        Self { mirrors, private, http, store, now, cool_downs: Mutex::new(cooling.collect()) }
    }

    /// Until when each mirror wants to be left alone that does.
    pub fn cool_downs(&self) -> BTreeMap<String, DateTime<Utc>> {
        self.cool_downs.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// Until when all mirrors want to be left alone; `None` when one may be asked.
    pub fn cooling(&self) -> Option<DateTime<Utc>> {
        let cool_downs = self.cool_downs();
        let until: Option<Vec<_>> = self.mirrors.iter().map(|mirror| cool_downs.get(&mirror.name()).copied()).collect();
        until?.into_iter().min()
    }

    /// Leaves all mirrors alone until then: freshclam does not distinguish them.
    pub fn leave_alone(&self, until: DateTime<Utc>) {
        let mut cool_downs = self.cool_downs.lock().unwrap_or_else(PoisonError::into_inner);
        for mirror in self.mirrors {
            tracing::warn!(mirror = mirror.name(), %until, "freshclam was asked to leave the mirrors alone");
            cool_downs.insert(mirror.name(), until);
        }
    }

    /// What the mirrors have of a database. Of several mirrors, one that has more than `published` is enough.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn advertised(
        &self,
        database: &DatabaseName,
        published: Option<(DatabaseVersion, DateTime<Utc>)>,
    ) -> Result<Advertised, MirrorError> {
        let (mut best, mut failure): (Option<Advertised>, _) = (None, None);
        for mirror in self.mirrors {
            match self.head(mirror, database, published).await {
                Ok(found) => {
                    best = best.filter(|best| best.version >= found.version).or(Some(found));
                    // One that is as new as ours settles it; an older one may be behind the next mirror.
                    if published.is_none_or(|(version, _)| found.version >= version) {
                        break;
                    }
                }
                Err(error) => failure = Some(worse(failure, error)),
            }
        }
        best.ok_or_else(|| failure.unwrap_or_else(|| self.none_left(format!("{database}.cvd"))))
    }

    /// Downloads a file of at most `limit` bytes from the first mirror that has it.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn fetch(&self, file: &str, limit: usize) -> Result<Vec<u8>, MirrorError> {
        let mut failure = None;
        for mirror in 0..self.mirrors.len() {
            match self.fetch_from(mirror, file, limit).await {
                Ok(bytes) => return Ok(bytes),
                // A file that a responding mirror lacks is missing, whatever keeps another from responding: the plan has a next step then.
                Err(error @ MirrorError::Missing { .. }) => failure = Some(error),
                Err(_) if matches!(failure, Some(MirrorError::Missing { .. })) => {}
                Err(error) => failure = Some(worse(failure, error)),
            }
        }
        Err(failure.unwrap_or_else(|| self.none_left(file.to_owned())))
    }

    /// Number of mirrors.
    pub fn count(&self) -> usize {
        self.mirrors.len()
    }

    /// Downloads a file of at most `limit` bytes from one mirror, by its place in the order.
    ///
    /// # Errors
    /// [`MirrorError`].
    pub async fn fetch_from(&self, mirror: usize, file: &str, limit: usize) -> Result<Vec<u8>, MirrorError> {
        let Some(mirror) = self.mirrors.get(mirror) else { return Err(self.none_left(file.to_owned())) };
        let found = self.get(mirror, file, &Get::whole(limit)).await?;
        found.ok_or_else(|| self.none_left(file.to_owned()))
    }

    /// Downloads an optional file. Servers without listings respond with 403 to requests for missing files:
    /// here that is no reason to leave the mirror alone, which just gave the file that this one goes with.
    ///
    /// # Errors
    /// [`MirrorError`], but for a missing or forbidden file.
    pub async fn fetch_optional(&self, file: &str, limit: usize) -> Result<Option<Vec<u8>>, MirrorError> {
        let (mut missing, mut failure) = (false, None);
        for mirror in self.mirrors.iter().filter(|mirror| !self.is_cooling(mirror)) {
            match self.ask(mirror, file, &Get::whole(limit)).await {
                Ok(bytes) => return Ok(bytes),
                Err(MirrorError::Missing { .. } | MirrorError::Http { source: HttpError::CoolDown { .. }, .. }) => {
                    missing = true;
                }
                Err(error) => failure = Some(error),
            }
        }
        failure.filter(|_| !missing).map_or(Ok(None), Err)
    }

    async fn head(
        &self,
        mirror: &Mirror,
        database: &DatabaseName,
        published: Option<(DatabaseVersion, DateTime<Utc>)>,
    ) -> Result<Advertised, MirrorError> {
        let kinds: &[_] = if self.private || matches!(mirror, Mirror::Bucket(_)) {
            &[ContainerKind::Cld, ContainerKind::Cvd]
        } else {
            &[ContainerKind::Cvd]
        };
        let (mut best, mut failure): (Option<Advertised>, _) = (None, None);
        for &kind in kinds {
            let file = format!("{database}.{}", kind.extension());
            let since = published.map(|(_, built)| built);
            match self.get(mirror, &file, &Get { if_modified_since: since, ..Get::first(HEADER_BYTES) }).await {
                Ok(Some(header)) => match CvdHeader::parse(&header) {
                    Ok(header) => {
                        let found = Advertised { version: header.version, kind };
                        best = best.filter(|best| best.version >= found.version).or(Some(found));
                    }
                    Err(source) => failure = Some(worse(failure, MirrorError::Header { file, source })),
                },
                // Not modified since what we have was built.
                Ok(None) => best = best.or_else(|| Some(Advertised { version: published?.0, kind })),
                Err(error) => failure = Some(worse(failure, error)),
            }
        }
        best.ok_or_else(|| failure.unwrap_or_else(|| self.none_left(format!("{database}.cvd"))))
    }

    /// Asks one mirror, unless it wants to be left alone; `None` is "not modified".
    async fn get(&self, mirror: &Mirror, file: &str, get: &Get<'_>) -> Result<Option<Vec<u8>>, MirrorError> {
        if let Some(until) = self.cool_downs().get(&mirror.name()) {
            return Err(MirrorError::CoolingDown { until: *until });
        }
        match self.ask(mirror, file, get).await {
            Err(MirrorError::Http { source: HttpError::CoolDown { status, retry_after, .. }, .. }) => {
                let default =
                    if status == StatusCode::TOO_MANY_REQUESTS { TOO_MANY_COOL_DOWN } else { FORBIDDEN_COOL_DOWN };
                let stated = retry_after.and_then(|after| TimeDelta::from_std(after).ok());
                let until = self.now + stated.unwrap_or(default);
                tracing::warn!(mirror = mirror.name(), file, %status, %until, "mirror wants to be left alone");
                self.cool_downs.lock().unwrap_or_else(PoisonError::into_inner).insert(mirror.name(), until);
                Err(MirrorError::CoolingDown { until })
            }
            response => response,
        }
    }

    async fn ask(&self, mirror: &Mirror, file: &str, get: &Get<'_>) -> Result<Option<Vec<u8>>, MirrorError> {
        match mirror {
            Mirror::Http(base) => match self.http.get(&format!("{base}/{file}"), get).await {
                Ok(Answer::Body(fetched)) => Ok(Some(fetched.bytes)),
                Ok(Answer::NotModified) => Ok(None),
                Err(HttpError::Missing { .. }) => Err(MirrorError::Missing { file: file.to_owned() }),
                Err(source) => Err(MirrorError::Http { file: file.to_owned(), source }),
            },
            Mirror::Bucket(prefix) => {
                let key = format!("{prefix}/{file}");
                // The first bytes of an object in a bucket cost as much as all of it, but for the time.
                let limit = if get.first_bytes.is_some() { MAX_HEAD_BYTES } else { get.limit as u64 };
                match self.store.read(&key, limit).await {
                    Ok(mut stored) => {
                        stored.bytes.truncate(get.first_bytes.unwrap_or(usize::MAX));
                        Ok(Some(stored.bytes))
                    }
                    Err(StoreError::NotFound(_)) => Err(MirrorError::Missing { file: file.to_owned() }),
                    Err(error) => Err(error.into()),
                }
            }
        }
    }

    fn is_cooling(&self, mirror: &Mirror) -> bool {
        self.cool_downs().contains_key(&mirror.name())
    }

    fn none_left(&self, file: String) -> MirrorError {
        self.cooling().map_or(MirrorError::Missing { file }, |until| MirrorError::CoolingDown { until })
    }
}

/// Of two failures the one that says more, or the later: a server that failed may have what another has not, and one that is left
/// alone too.
fn worse(one: Option<MirrorError>, other: MirrorError) -> MirrorError {
    let rank = |error: &MirrorError| match error {
        MirrorError::Missing { .. } => 0,
        MirrorError::CoolingDown { .. } => 1,
        MirrorError::Header { .. } | MirrorError::Http { .. } | MirrorError::Store(_) => 2,
    };
    match one {
        Some(one) if rank(&one) > rank(&other) => one,
        _ => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clamavs_own_mirrors_are_known_by_their_host() {
        let is_clamav = |base: &str| Mirror::Http(base.into()).is_clamav();
        for base in [
            "https://database.clamav.net",
            "https://DATABASE.clamav.net:443/",
            "http://clamav.net/path",
            "https://user:pw@database.clamav.net",
        ] {
            assert!(is_clamav(base), "{base}");
        }
        for base in [
            "https://mirror.example/database.clamav.net",
            "https://database.clamav.net@mirror.example",
            "https://notclamav.net",
            "https://clamav.net.example",
            "database.clamav.net",
        ] {
            assert!(!is_clamav(base), "{base}");
        }
        assert!(!Mirror::Bucket("clamav.net".into()).is_clamav());
    }
}
