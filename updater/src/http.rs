//! One GET at a time: bounded in bytes and in time, and tried again where that may help.
//!
//! A server is never trusted with our memory or our time: it may state any length, send for ever, or send nothing at all.
//! Responses are read as they are: no compression is requested, so that lengths and ranges are of the file's own bytes.

mod error;

use std::time::Duration;

use chrono::{DateTime, Utc};
use reqwest::{
    Certificate, Client, Response, StatusCode,
    header::{
        ACCEPT, AsHeaderName, CONTENT_RANGE, ETAG, HeaderMap, HeaderValue, IF_MODIFIED_SINCE, IF_NONE_MATCH,
        LAST_MODIFIED, RANGE,
    },
    redirect,
};
use tokio::time::{Instant, sleep, timeout};

pub use error::{HttpError, redacted};
use nacre_core::http_answer::{Part, http_date, http_date_text};

/// How many redirects are followed.
const MAX_REDIRECTS: usize = 3;

/// Longest entity tag that is kept, in bytes: it goes into our state.
const MAX_ETAG_BYTES: usize = 256;

/// How long and how often servers are asked, and as whom.
#[derive(Clone, Debug)]
pub struct HttpSettings {
    /// What we call ourselves.
    pub user_agent: String,
    /// How long a connection may take to come about, TLS included.
    pub connect_timeout: Duration,
    /// Longest silence of the server, before its response and between two parts of the body.
    pub idle_timeout: Duration,
    /// How long a body may come at any pace.
    pub grace: Duration,
    /// What a body must come to on average once the grace is over; 0 demands nothing. Against servers that send a byte at a time.
    pub least_bytes_per_second: u64,
    /// How often one GET is tried, the first time included.
    pub attempts: u32,
    /// The longest wait before the second attempt; doubled for each after it. The true wait is drawn between nothing and it.
    pub retry_delay: Duration,
    /// Certificates that are trusted besides the system's, as PEM: a mirror may have a private authority.
    pub extra_root: Option<Vec<u8>>,
    /// Whether requests go through proxies.
    pub proxies: Proxies,
}

impl HttpSettings {
    /// The settings for real mirrors: 30 s to connect, 60 s without a byte, 1024 bytes/s after 60 s, 3 attempts with delays of up to
    /// 1 and 2 s, proxies as the environment says.
    pub fn new(user_agent: impl Into<String>) -> Self {
        Self {
            user_agent: user_agent.into(),
            connect_timeout: Duration::from_secs(30),
            idle_timeout: Duration::from_mins(1),
            grace: Duration::from_mins(1),
            least_bytes_per_second: 1024,
            attempts: 3,
            retry_delay: Duration::from_secs(1),
            extra_root: None,
            proxies: Proxies::FromEnvironment,
        }
    }
}

/// Whether requests go through proxies.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Proxies {
    /// As `HTTPS_PROXY`, `HTTP_PROXY`, `ALL_PROXY` and `NO_PROXY` (or their lower-case names) say. reqwest reads them, once, when the
    /// client is made. Loopback is no exception, unless `NO_PROXY` names it.
    FromEnvironment,
    /// Never.
    None,
}

/// Why a client could not be made: one of its settings is wrong, or the system has no certificates.
#[derive(Debug, thiserror::Error)]
pub enum HttpClientError {
    /// The extra certificates are not PEM, or there is none.
    #[error("the extra certificates are not one or more certificates in PEM")]
    ExtraRoot(#[source] Option<reqwest::Error>),
    /// The user agent is no header, or TLS cannot be set up.
    #[error("the HTTP client could not be set up")]
    Setup(#[source] reqwest::Error),
}

/// A request.
#[derive(Clone, Copy, Debug)]
pub struct Get<'a> {
    /// Requests the first so many bytes only. A server without ranges sends all of it; the rest is not read.
    pub first_bytes: Option<usize>,
    /// Requests the file only when it was modified after this; whole seconds.
    pub if_modified_since: Option<DateTime<Utc>>,
    /// Requests the file only when its entity tag is another one.
    pub if_none_match: Option<&'a str>,
    /// How many bytes are taken at most.
    pub limit: usize,
}

impl Get<'_> {
    /// Requests a whole file of at most `limit` bytes.
    pub fn whole(limit: usize) -> Self {
        Self { first_bytes: None, if_modified_since: None, if_none_match: None, limit }
    }

    /// Requests the first `count` bytes of a file.
    pub fn first(count: usize) -> Self {
        Self { first_bytes: Some(count), ..Self::whole(count) }
    }

    fn is_conditional(&self) -> bool {
        self.if_modified_since.is_some() || self.if_none_match.is_some()
    }
}

/// What a server answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Answer {
    /// The file, or its requested part.
    Body(Fetched),
    /// The file is still the one that the condition names. Only a conditional GET is answered so.
    NotModified,
}

/// A file, or its beginning.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fetched {
    /// The bytes; at most the limit.
    pub bytes: Vec<u8>,
    /// The entity tag, quotes included; none when longer than 256 bytes.
    pub etag: Option<String>,
    /// When the server says that the file was modified.
    pub last_modified: Option<DateTime<Utc>>,
}

/// Asks servers for files; connections are kept for the next GET.
#[derive(Clone, Debug)]
pub struct HttpClient {
    settings: HttpSettings,
    client: Client,
}

impl HttpClient {
    /// A client with these settings.
    ///
    /// # Errors
    /// [`HttpClientError`].
    pub fn new(settings: HttpSettings) -> Result<Self, HttpClientError> {
        let mut builder = Client::builder()
            .user_agent(settings.user_agent.as_str())
            .connect_timeout(settings.connect_timeout)
            // A `Referer` would show the next server our address of the file, and with it any token in there.
            .referer(false)
            // Attempts are counted here.
            .retry(reqwest::retry::never())
            .redirect(redirect::Policy::custom(follow));
        if settings.proxies == Proxies::None {
            builder = builder.no_proxy();
        }
        if let Some(pem) = &settings.extra_root {
            let roots = Certificate::from_pem_bundle(pem).map_err(|source| HttpClientError::ExtraRoot(Some(source)))?;
            if roots.is_empty() {
                return Err(HttpClientError::ExtraRoot(None));
            }
            builder = builder.tls_certs_merge(roots);
        }
        let client = builder.build().map_err(HttpClientError::Setup)?;
        Ok(Self { settings, client })
    }

    /// Gets a file from an `http://` or `https://` address, which may carry `user:password@`.
    ///
    /// At most 3 redirects are followed, never from https to http. What [`HttpError::is_transient`] is tried again, as often and as
    /// late as the settings say; anything else is final.
    ///
    /// # Errors
    /// [`HttpError`], of the last attempt.
    pub async fn get(&self, url: &str, request: &Get<'_>) -> Result<Answer, HttpError> {
        let mut attempt = 1;
        loop {
            match self.get_once(url, request).await {
                Err(error) if error.is_transient() && attempt < self.settings.attempts => {}
                settled => return settled,
            }
            sleep(jittered(delay_after(attempt, self.settings.retry_delay))).await;
            attempt += 1;
        }
    }

    async fn get_once(&self, url: &str, request: &Get<'_>) -> Result<Answer, HttpError> {
        let response = self.ask(url, request).await?;
        let headers = response.headers();
        let (take, expected) = match (response.status(), request.first_bytes) {
            (StatusCode::NOT_MODIFIED, _) if request.is_conditional() => return Ok(Answer::NotModified),
            (StatusCode::OK, None) => (Take::Whole { limit: request.limit }, response.content_length()),
            (StatusCode::OK, Some(count)) => {
                let count = count.min(request.limit);
                (Take::First { count }, response.content_length().map(|length| length.min(bytes(count))))
            }
            (StatusCode::PARTIAL_CONTENT, Some(asked)) => {
                let count = asked.min(request.limit);
                let part = Part::parse(text(headers, CONTENT_RANGE));
                let expected = part.map_or(bytes(count), |part| part.beginning_within(bytes(count)));
                if part.is_some_and(|part| part.first != 0) {
                    return Err(HttpError::Truncated { url: redacted(url), expected, got: 0 });
                }
                (Take::First { count }, Some(expected))
            }
            // Also a part that was not requested: it must never be taken for the whole.
            (status, _) => return Err(HttpError::of_status(url, status, headers)),
        };
        let etag = text(headers, ETAG).filter(|etag| etag.len() <= MAX_ETAG_BYTES).map(str::to_owned);
        let last_modified = text(headers, LAST_MODIFIED).and_then(http_date);
        let bytes = self.read(url, response, take, expected).await?;
        Ok(Answer::Body(Fetched { bytes, etag, last_modified }))
    }

    /// Sends the request and waits for the head of the response.
    async fn ask(&self, url: &str, request: &Get<'_>) -> Result<Response, HttpError> {
        let mut builder = self.client.get(url).header(ACCEPT, HeaderValue::from_static("*/*"));
        if let Some(count) = request.first_bytes {
            builder = builder.header(RANGE, format!("bytes=0-{}", count.saturating_sub(1)));
        }
        if let Some(since) = request.if_modified_since.and_then(http_date_text) {
            builder = builder.header(IF_MODIFIED_SINCE, since);
        }
        if let Some(etag) = request.if_none_match {
            builder = builder.header(IF_NONE_MATCH, etag);
        }
        // The connection has its own bound, so that the two can be distinguished; this one is for all redirects together.
        let connect_limit = self.settings.connect_timeout.saturating_add(self.settings.idle_timeout);
        match timeout(connect_limit, builder.send()).await {
            Ok(response) => response.map_err(|source| HttpError::connection(url, source)),
            Err(_) => Err(HttpError::TooSlow { url: redacted(url) }),
        }
    }

    /// Reads a body, holding no more than its bound and one chunk.
    async fn read(
        &self,
        url: &str,
        mut response: Response,
        take: Take,
        expected: Option<u64>,
    ) -> Result<Vec<u8>, HttpError> {
        let bound = take.bound();
        if matches!(take, Take::Whole { .. }) && expected.is_some_and(|length| length > bytes(bound)) {
            return Err(HttpError::TooLarge { url: redacted(url), limit: bound });
        }
        let mut body = Vec::new();
        let started = Instant::now();
        while !take.is_complete(&body) {
            let remaining = self.time_limit(bytes(body.len())).saturating_sub(started.elapsed());
            let chunk = match timeout(remaining.min(self.settings.idle_timeout), response.chunk()).await {
                Ok(Ok(Some(chunk))) => chunk,
                Ok(Ok(None)) => break,
                Ok(Err(source)) => return Err(HttpError::broken_body(url, source, expected, bytes(body.len()))),
                Err(_) => return Err(HttpError::TooSlow { url: redacted(url) }),
            };
            let room = bound - body.len();
            if chunk.len() > room && matches!(take, Take::Whole { .. }) {
                return Err(HttpError::TooLarge { url: redacted(url), limit: bound });
            }
            append(&mut body, chunk.get(..room).unwrap_or(&chunk), bound);
        }
        let got = bytes(body.len());
        match expected {
            Some(expected) if got < expected => Err(HttpError::Truncated { url: redacted(url), expected, got }),
            _ => Ok(body),
        }
    }

    /// How long after its start a body may stand at `got` bytes.
    fn time_limit(&self, got: u64) -> Duration {
        let millis = got.saturating_mul(1000).checked_div(self.settings.least_bytes_per_second);
        millis.map_or(Duration::MAX, |millis| self.settings.grace.max(Duration::from_millis(millis)))
    }
}

/// How much of a body is taken.
#[derive(Clone, Copy, Debug)]
enum Take {
    /// All of it, which must be within the limit.
    Whole { limit: usize },
    /// Its beginning; what follows is not read.
    First { count: usize },
}

impl Take {
    fn bound(self) -> usize {
        let (Self::Whole { limit: bound } | Self::First { count: bound }) = self;
        bound
    }

    /// Whether nothing more needs to be read; the end of a whole body is known to the server alone.
    fn is_complete(self, body: &[u8]) -> bool {
        matches!(self, Self::First { count } if body.len() >= count)
    }
}

/// Appends a chunk. Room grows with what has come, whatever length was stated, and not past the bound.
fn append(body: &mut Vec<u8>, chunk: &[u8], bound: usize) {
    let needed = body.len() + chunk.len();
    if needed > body.capacity() {
        let room = body.capacity().saturating_mul(2).min(bound).max(needed);
        body.reserve_exact(room - body.len());
    }
    body.extend_from_slice(chunk);
}

fn follow(attempt: redirect::Attempt) -> redirect::Action {
    let leaves_https = attempt.url().scheme() != "https"
        && attempt.previous().last().is_some_and(|previous| previous.scheme() == "https");
    if attempt.previous().len() > MAX_REDIRECTS {
        attempt.error("more than 3 redirects")
    } else if leaves_https {
        attempt.error("a redirect from https to something less")
    } else {
        attempt.follow()
    }
}

/// The longest wait after so many attempts.
fn delay_after(attempts: u32, first: Duration) -> Duration {
    first.saturating_mul(2_u32.saturating_pow(attempts.saturating_sub(1)))
}

/// Draws a wait between nothing and `longest`, so that clients which failed together do not come back together.
fn jittered(longest: Duration) -> Duration {
    // Without randomness the longest wait is as good as any.
    let part = u128::from(getrandom::u32().unwrap_or(u32::MAX));
    let nanos = longest.as_nanos().saturating_mul(part) / u128::from(u32::MAX);
    Duration::from_nanos(u64::try_from(nanos).unwrap_or(u64::MAX))
}

/// A count of bytes as HTTP counts them.
fn bytes(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}

/// A header as text; none when it is not visible ASCII.
fn text(headers: &HeaderMap, name: impl AsHeaderName) -> Option<&str> {
    headers.get(name).and_then(|value| value.to_str().ok())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_wait_doubles_and_never_exceeds_its_bound() {
        let first = Duration::from_secs(1);
        assert_eq!([1, 2, 3].map(|attempts| delay_after(attempts, first).as_secs()), [1, 2, 4]);
        assert!(delay_after(u32::MAX, first) >= delay_after(31, first));
        for _ in 0..1000 {
            assert!(jittered(first) <= first);
        }
        jittered(Duration::MAX);
    }

    #[test]
    fn settings_that_are_none_make_no_client() {
        let with_root = |pem: &str| {
            HttpClient::new(HttpSettings { extra_root: Some(pem.into()), ..HttpSettings::new("nacre") }).unwrap_err()
        };
        assert!(matches!(with_root("no certificate"), HttpClientError::ExtraRoot(None)));
        let broken = "-----BEGIN CERTIFICATE-----\nAA!A\n-----END CERTIFICATE-----\n";
        assert!(matches!(with_root(broken), HttpClientError::ExtraRoot(Some(_))));
        let error = HttpClient::new(HttpSettings::new("two\nlines")).unwrap_err();
        assert!(matches!(error, HttpClientError::Setup(_)));
    }

    proptest! {
        #[test]
        fn room_grows_with_the_bytes_and_not_past_the_bound(chunks in prop::collection::vec(1_usize..5000, 1..50)) {
            let bound = chunks.iter().sum::<usize>();
            let mut body = Vec::new();
            for chunk in chunks {
                append(&mut body, &vec![1; chunk], bound);
                prop_assert!(body.capacity() <= bound.min(body.len() * 2));
            }
            prop_assert_eq!(body.len(), bound);
        }
    }
}
