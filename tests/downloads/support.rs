//! Clients, and their files.

use std::time::Duration;

use nacre_test_support::HostileMirror;
use nacre_updater::http::{Answer, Fetched, Get, HttpClient, HttpError, HttpSettings, Proxies};

/// What is requested, mostly.
pub(crate) const FILE: &str = "daily.cvd";

/// More than any file here has.
pub(crate) const LIMIT: usize = 1 << 20;

/// Settings that end no download that makes progress, however busy the machine is. No proxy: these tests stay on loopback.
pub(crate) fn settings() -> HttpSettings {
    HttpSettings {
        connect_timeout: Duration::from_mins(5),
        idle_timeout: Duration::from_mins(5),
        grace: Duration::from_mins(5),
        retry_delay: Duration::from_millis(1),
        proxies: Proxies::None,
        ..HttpSettings::new("nacre/test (0123)")
    }
}

/// Settings that end soon what never gets further. Only for servers that stall: a busy machine may stall any other for as long.
pub(crate) fn impatient_settings() -> HttpSettings {
    HttpSettings {
        connect_timeout: Duration::from_millis(500),
        idle_timeout: Duration::from_millis(500),
        grace: Duration::from_millis(600),
        ..settings()
    }
}

/// A client with [`settings`].
pub(crate) fn client() -> HttpClient {
    HttpClient::new(settings()).unwrap()
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
