//! No server decides how much memory or time it gets.

use std::time::{Duration, Instant};

use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Get, HttpClient, HttpError, HttpSettings};

use crate::support::{FILE, LIMIT, body, file, get, impatient_settings, settings};

/// What the sockets of both sides may hold, by far.
const IN_FLIGHT: u64 = 32 << 20;

#[tokio::test]
async fn an_endless_file_ends_at_the_limit() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Endless);
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: LIMIT, .. }), "{error:?}");
    assert!(mirror.bytes_sent() < LIMIT as u64 + IN_FLIGHT, "{}", mirror.bytes_sent());
}

#[tokio::test]
async fn a_file_may_have_the_limit_and_not_a_byte_more() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(1000)));
    assert_eq!(body(get(&mirror, &Get::whole(1000)).await).bytes, file(1000));
    let error = get(&mirror, &Get::whole(999)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { limit: 999, .. }), "{error:?}");
}

#[tokio::test]
async fn an_announced_length_reserves_nothing() {
    let mirror = HostileMirror::start().await.unwrap();
    // More than this machine has; if it were believed, the allocation would abort us.
    let announced = 1 << 50;
    mirror.put(FILE, Behaviour::LyingLength { bytes: file(1000), announced });
    let limit = usize::try_from(announced).unwrap();
    let error = get(&mirror, &Get::whole(limit)).await.unwrap_err();
    assert!(matches!(error, HttpError::Truncated { got: 1000, .. }), "{error:?}");
    let error = get(&mirror, &Get::whole(limit - 1)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooLarge { .. }), "{error:?}");
}

#[tokio::test]
async fn fewer_bytes_than_announced_are_no_file() {
    let mirror = HostileMirror::start().await.unwrap();
    for (behaviour, announced, came) in [
        (Behaviour::Truncated(file(1000)), 1000, 500),
        (Behaviour::Truncated(file(500_000)), 500_000, 250_000),
        (Behaviour::LyingLength { bytes: file(1000), announced: 1001 }, 1001, 1000),
        (Behaviour::LyingLength { bytes: Vec::new(), announced: 1 }, 1, 0),
    ] {
        mirror.put(FILE, behaviour);
        let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
        let cut = matches!(error, HttpError::Truncated { expected, got, .. } if (expected, got) == (announced, came));
        assert!(cut, "{error:?}");
    }
    // The beginning of a cut file may be there all the same.
    mirror.put(FILE, Behaviour::Truncated(file(2000)));
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, file(512));
    mirror.put(FILE, Behaviour::Truncated(file(600)));
    let error = get(&mirror, &Get::first(512)).await.unwrap_err();
    assert!(matches!(error, HttpError::Truncated { expected: 512, got: 300, .. }), "{error:?}");
}

#[tokio::test]
async fn more_bytes_than_announced_are_not_taken() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::LyingLength { bytes: file(1000), announced: 10 });
    assert_eq!(body(get(&mirror, &Get::whole(LIMIT)).await).bytes, file(10));
}

#[tokio::test]
async fn a_slow_loris_ends_after_the_grace() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::SlowLoris);
    // A byte every 200 ms: never silent for long, so only the average can end it.
    let one = HttpSettings { attempts: 1, grace: Duration::from_millis(600), ..settings() };
    for request in [Get::whole(2 << 20), Get::first(512)] {
        let client = HttpClient::new(one.clone()).unwrap();
        let started = Instant::now();
        let error = client.get(&format!("{}/{FILE}", mirror.url()), &request).await.unwrap_err();
        assert!(matches!(error, HttpError::TooSlow { .. }), "{error:?}");
        assert!(started.elapsed() >= one.grace, "{:?}", started.elapsed());
    }
    // Who demands nothing takes them at any pace, the grace over or not.
    let undemanding = HttpSettings { least_bytes_per_second: 0, ..one };
    let client = HttpClient::new(undemanding).unwrap();
    let url = format!("{}/{FILE}", mirror.url());
    assert_eq!(body(client.get(&url, &Get::first(5)).await).bytes, [0; 5]);
}

#[tokio::test]
async fn silence_ends_and_is_distinguished_from_no_connection() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Silence);
    let settings = HttpSettings { attempts: 1, ..impatient_settings() };
    let client = HttpClient::new(settings).unwrap();
    let error = client.get(&format!("{}/{FILE}", mirror.url()), &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::TooSlow { .. }), "{error:?}");
}

#[tokio::test]
async fn a_reset_is_a_broken_connection() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Reset);
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connection { .. }), "{error:?}");
}
