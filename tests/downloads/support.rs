//! A client in a hurry, and its files.

use std::time::Duration;

use nacre_stack::HostileMirror;
use nacre_updater::http::{Answer, Fetched, Get, HttpClient, HttpError, HttpSettings, Proxies};

/// What is asked for, mostly.
pub(crate) const FILE: &str = "daily.cvd";

/// More than any file here has.
pub(crate) const LIMIT: usize = 1 << 20;

/// Settings that lose no time: 400 ms of silence, 600 ms of grace, 3 attempts, no proxy, since these tests stay on loopback.
pub(crate) fn hurried() -> HttpSettings {
    HttpSettings {
        connect_timeout: Duration::from_secs(5),
        idle_timeout: Duration::from_millis(400),
        grace: Duration::from_millis(600),
        retry_delay: Duration::from_millis(1),
        proxies: Proxies::None,
        ..HttpSettings::new("nacre/test (0123)")
    }
}

/// A client in a hurry.
pub(crate) fn client() -> HttpClient {
    HttpClient::new(hurried()).unwrap()
}

/// Asks for [`FILE`].
pub(crate) async fn get(mirror: &HostileMirror, request: &Get<'_>) -> Result<Answer, HttpError> {
    client().get(&format!("{}/{FILE}", mirror.url()), request).await
}

/// What came, which must be a body.
pub(crate) fn body(answer: Result<Answer, HttpError>) -> Fetched {
    match answer {
        Ok(Answer::Body(fetched)) => fetched,
        other => panic!("{other:?}"),
    }
}

/// A file whose every part is known by its bytes.
pub(crate) fn file(size: usize) -> Vec<u8> {
    (0..size).map(|place| u8::try_from(place % 251).unwrap()).collect()
}
