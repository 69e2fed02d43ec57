//! A definitions mirror on loopback, as clients of `ClamAV`'s network know it.

use std::{
    collections::BTreeMap,
    net::Ipv4Addr,
    sync::{Arc, Mutex, PoisonError},
};

use axum::{
    Router,
    body::{Body, Bytes},
    extract::State,
    http::{
        HeaderMap, HeaderName, Method, Response, StatusCode, Uri,
        header::{ACCEPT_RANGES, CONTENT_RANGE, IF_MODIFIED_SINCE, LAST_MODIFIED, RANGE},
    },
};
use chrono::{DateTime, SubsecRound, TimeDelta, Utc};
use nacre_aws::SystemClock;
use nacre_core::port::Clock;
use tokio::{net::TcpListener, task::JoinHandle};

use crate::error::{StackError, system};

/// A mirror whose files may change while it runs; stopped when dropped.
#[derive(Debug)]
pub struct Mirror {
    url: String,
    files: Arc<Mutex<Files>>,
    server: JoinHandle<()>,
}

#[derive(Debug, Default)]
struct Files {
    by_name: BTreeMap<String, File>,
    requests: BTreeMap<String, u64>,
    bytes_sent: u64,
    changes: u32,
}

#[derive(Clone, Debug)]
struct File {
    bytes: Bytes,
    modified: DateTime<Utc>,
}

impl Mirror {
    /// Starts an empty mirror on a free port.
    ///
    /// # Errors
    /// [`StackError::System`].
    pub async fn start() -> Result<Self, StackError> {
        let listener =
            TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await.map_err(system("opening the mirror's port"))?;
        let address = listener.local_addr().map_err(system("asking for the mirror's port"))?;
        let files = Arc::new(Mutex::new(Files::default()));
        let router = Router::new().fallback(answer).with_state(Arc::clone(&files));
        let server = tokio::spawn(async move {
            // It ends with us only; a connection that fails is that client's matter.
            let _ = axum::serve(listener, router).await;
        });
        Ok(Self { url: format!("http://{address}"), files, server })
    }

    /// Its address, without a slash at the end.
    pub fn url(&self) -> &str {
        &self.url
    }

    /// Adds a file, or replaces it.
    pub fn put(&self, name: &str, bytes: impl Into<Bytes>) {
        let mut files = lock(&self.files);
        files.changes += 1;
        // Never before what is in the file was built, and two changes within one second must not seem one to
        // `If-Modified-Since`.
        let modified = SystemClock.now().trunc_subsecs(0) + TimeDelta::seconds(files.changes.into());
        files.by_name.insert(name.to_owned(), File { bytes: bytes.into(), modified });
    }

    /// Removes a file; nothing happens when there is none.
    pub fn remove(&self, name: &str) {
        lock(&self.files).by_name.remove(name);
    }

    /// How many bytes of bodies it has answered with so far; a client may have read fewer.
    pub fn bytes_sent(&self) -> u64 {
        lock(&self.files).bytes_sent
    }

    /// How often a file was requested, whatever the answer.
    pub fn requests(&self, name: &str) -> u64 {
        lock(&self.files).requests.get(name).copied().unwrap_or_default()
    }
}

impl Drop for Mirror {
    fn drop(&mut self) {
        self.server.abort();
    }
}

fn lock(files: &Mutex<Files>) -> std::sync::MutexGuard<'_, Files> {
    files.lock().unwrap_or_else(PoisonError::into_inner)
}

async fn answer(
    State(files): State<Arc<Mutex<Files>>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
) -> Response<Body> {
    let name = uri.path().trim_start_matches('/');
    let file = {
        let mut files = lock(&files);
        *files.requests.entry(name.to_owned()).or_default() += 1;
        files.by_name.get(name).cloned()
    };
    if method != Method::GET && method != Method::HEAD {
        return bare(StatusCode::METHOD_NOT_ALLOWED);
    }
    let Some(file) = file else { return bare(StatusCode::NOT_FOUND) };
    let text = |name: HeaderName| headers.get(name).and_then(|value| value.to_str().ok());
    let since = text(IF_MODIFIED_SINCE).and_then(|date| DateTime::parse_from_rfc2822(date).ok());
    if since.is_some_and(|since| file.modified <= since) {
        return bare(StatusCode::NOT_MODIFIED);
    }
    let size = file.bytes.len();
    let answer = Response::builder()
        .header(ACCEPT_RANGES, "bytes")
        .header(LAST_MODIFIED, file.modified.format("%a, %d %b %Y %H:%M:%S GMT").to_string());
    let range = text(RANGE).map_or(RequestedRange::Whole, |range| parse_range(range, size));
    lock(&files).bytes_sent += match range {
        RequestedRange::Whole => size as u64,
        RequestedRange::Part(first, last) => (last - first) as u64 + 1,
        RequestedRange::Beyond => 0,
    };
    let answer = match range {
        RequestedRange::Whole => answer.body(Body::from(file.bytes)),
        RequestedRange::Part(first, last) => answer
            .status(StatusCode::PARTIAL_CONTENT)
            .header(CONTENT_RANGE, format!("bytes {first}-{last}/{size}"))
            .body(Body::from(file.bytes.slice(first..=last))),
        RequestedRange::Beyond => answer
            .status(StatusCode::RANGE_NOT_SATISFIABLE)
            .header(CONTENT_RANGE, format!("bytes */{size}"))
            .body(Body::empty()),
    };
    answer.unwrap_or_else(|_| bare(StatusCode::INTERNAL_SERVER_ERROR))
}

fn bare(status: StatusCode) -> Response<Body> {
    let mut response = Response::new(Body::empty());
    *response.status_mut() = status;
    response
}

#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RequestedRange {
    Whole,
    /// First and last byte, both within the file.
    Part(usize, usize),
    Beyond,
}

/// Reads `bytes=<first>-<last>`, `bytes=<first>-` or `bytes=-<count>`; what it does not understand it ignores, as RFC 9110 says.
pub(crate) fn parse_range(range: &str, size: usize) -> RequestedRange {
    let Some((first, last)) = range.strip_prefix("bytes=").and_then(|range| range.split_once('-')) else {
        return RequestedRange::Whole;
    };
    let end = size.saturating_sub(1);
    let (first, last) = match (first.parse::<usize>(), last.parse::<usize>()) {
        (Ok(first), Ok(last)) if first <= last => (first, last.min(end)),
        (Ok(first), Err(_)) if last.is_empty() => (first, end),
        (Err(_), Ok(count)) if first.is_empty() => (if count == 0 { size } else { size.saturating_sub(count) }, end),
        _ => return RequestedRange::Whole,
    };
    if first < size { RequestedRange::Part(first, last) } else { RequestedRange::Beyond }
}

#[cfg(test)]
mod tests {
    use super::*;

    async fn get(mirror: &Mirror, name: &str, headers: &[(HeaderName, &str)]) -> (StatusCode, Vec<u8>) {
        let headers = headers.iter().map(|(name, value)| (name.clone(), value.parse().unwrap())).collect();
        let uri = format!("/{name}").parse().unwrap();
        let response = answer(State(Arc::clone(&mirror.files)), Method::GET, uri, headers).await;
        let status = response.status();
        (status, axum::body::to_bytes(response.into_body(), 1 << 20).await.unwrap().to_vec())
    }

    #[tokio::test]
    async fn files_come_change_and_go_while_it_runs() {
        let mirror = Mirror::start().await.unwrap();
        assert_eq!(get(&mirror, "daily.cvd", &[]).await.0, StatusCode::NOT_FOUND);
        mirror.put("daily.cvd", "one");
        assert_eq!(get(&mirror, "daily.cvd", &[]).await, (StatusCode::OK, b"one".to_vec()));
        mirror.put("daily.cvd", "two");
        assert_eq!(get(&mirror, "daily.cvd", &[]).await, (StatusCode::OK, b"two".to_vec()));
        mirror.remove("daily.cvd");
        assert_eq!(get(&mirror, "daily.cvd", &[]).await.0, StatusCode::NOT_FOUND);
        assert_eq!(mirror.requests("daily.cvd"), 4);
    }

    #[tokio::test]
    async fn a_change_within_the_same_second_is_seen_by_a_conditional_get() {
        let mirror = Mirror::start().await.unwrap();
        mirror.put("daily.cvd", "one");
        let modified = lock(&mirror.files).by_name["daily.cvd"].modified.to_rfc2822();
        let condition = [(IF_MODIFIED_SINCE, modified.as_str())];
        assert_eq!(get(&mirror, "daily.cvd", &condition).await.0, StatusCode::NOT_MODIFIED);
        mirror.put("daily.cvd", "two");
        assert_eq!(get(&mirror, "daily.cvd", &condition).await, (StatusCode::OK, b"two".to_vec()));
    }

    #[tokio::test]
    async fn a_range_is_answered_with_that_part() {
        let mirror = Mirror::start().await.unwrap();
        mirror.put("daily.cvd", "0123456789");
        let part = async |range: &str| get(&mirror, "daily.cvd", &[(RANGE, range)]).await;
        assert_eq!(part("bytes=0-3").await, (StatusCode::PARTIAL_CONTENT, b"0123".to_vec()));
        assert_eq!(mirror.bytes_sent(), 4);
        assert_eq!(part("bytes=8-99").await, (StatusCode::PARTIAL_CONTENT, b"89".to_vec()));
        assert_eq!(part("bytes=7-").await, (StatusCode::PARTIAL_CONTENT, b"789".to_vec()));
        assert_eq!(part("bytes=-2").await, (StatusCode::PARTIAL_CONTENT, b"89".to_vec()));
        assert_eq!(part("bytes=10-").await, (StatusCode::RANGE_NOT_SATISFIABLE, Vec::new()));
        assert_eq!(part("lines=1-2").await.0, StatusCode::OK);
    }
}
