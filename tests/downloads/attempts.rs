//! How often a file is requested.

use std::time::Duration;

use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Get, HttpClient, HttpError, HttpSettings};

use crate::support::{FILE, LIMIT, body, file, get, impatient_settings, settings};

#[tokio::test]
async fn what_may_pass_is_asked_for_three_times() {
    let mirror = HostileMirror::start().await.unwrap();
    for behaviour in [
        Behaviour::status(408),
        Behaviour::status(500),
        Behaviour::status(503),
        Behaviour::status(522),
        Behaviour::Truncated(file(1000)),
        Behaviour::Reset,
        Behaviour::Silence,
        Behaviour::SlowLoris,
    ] {
        let before = mirror.requests_for(FILE);
        mirror.put(FILE, behaviour.clone());
        let stalls = matches!(behaviour, Behaviour::Silence | Behaviour::SlowLoris);
        let settings = if stalls { impatient_settings() } else { settings() };
        let client = HttpClient::new(settings).unwrap();
        let error = client.get(&format!("{}/{FILE}", mirror.url()), &Get::whole(LIMIT)).await.unwrap_err();
        assert!(error.is_transient(), "{behaviour:?}: {error:?}");
        assert_eq!(mirror.requests_for(FILE) - before, 3, "{behaviour:?}: {error:?}");
    }
}

#[tokio::test]
async fn what_will_not_pass_is_asked_for_once() {
    let mirror = HostileMirror::start().await.unwrap();
    for behaviour in [
        Behaviour::status(400),
        Behaviour::status(401),
        Behaviour::status(403),
        Behaviour::status(404),
        Behaviour::status(410),
        Behaviour::status(416),
        Behaviour::status(429),
        Behaviour::Endless,
    ] {
        let before = mirror.requests_for(FILE);
        mirror.put(FILE, behaviour.clone());
        let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
        assert!(!error.is_transient(), "{behaviour:?}: {error:?}");
        assert_eq!(mirror.requests_for(FILE) - before, 1, "{behaviour:?}: {error:?}");
    }
}

#[tokio::test]
async fn a_second_attempt_may_succeed() {
    let mirror = HostileMirror::start().await.unwrap();
    let good = Behaviour::Bytes(file(1000));
    for trouble in [Behaviour::status(503), Behaviour::Truncated(file(1000)), Behaviour::Reset, Behaviour::Silence] {
        let before = mirror.requests_for(FILE);
        // The second attempt has twice this limit, as the silence of the first has: far more than it needs.
        let stall_limit = Duration::from_secs(if matches!(trouble, Behaviour::Silence) { 2 } else { 300 });
        let settings = HttpSettings { connect_timeout: stall_limit, idle_timeout: stall_limit, ..settings() };
        let client = HttpClient::new(settings).unwrap();
        mirror.put(FILE, Behaviour::Sequence(vec![trouble, good.clone()]));
        let answer = client.get(&format!("{}/{FILE}", mirror.url()), &Get::whole(LIMIT)).await;
        assert_eq!(body(answer).bytes, file(1000));
        assert_eq!(mirror.requests_for(FILE) - before, 2);
    }
}

#[tokio::test]
async fn the_last_attempt_has_the_last_word() {
    let mirror = HostileMirror::start().await.unwrap();
    let troubles = [503, 502, 404].map(Behaviour::status).to_vec();
    mirror.put(FILE, Behaviour::Sequence(troubles.clone()));
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Missing { .. }), "{error:?}");
    mirror.put(FILE, Behaviour::Sequence(troubles));
    let two = HttpClient::new(HttpSettings { attempts: 2, ..settings() }).unwrap();
    let error = two.get(&format!("{}/{FILE}", mirror.url()), &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Status { status, .. } if status == 502), "{error:?}");
    assert_eq!(mirror.requests_for(FILE), 5);
}

#[tokio::test]
async fn attempts_that_wait_in_between_end_too() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::status(503));
    let client = HttpClient::new(HttpSettings { retry_delay: Duration::from_millis(200), ..settings() }).unwrap();
    let error = client.get(&format!("{}/{FILE}", mirror.url()), &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Status { status, .. } if status == 503), "{error:?}");
    assert_eq!(mirror.requests_for(FILE), 3);
}

#[tokio::test]
async fn nobody_there_is_no_connection() {
    let address = format!("http://127.0.0.1:1/{FILE}");
    let error = crate::support::client().get(&address, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connection { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_mirror_that_goes_away_takes_its_connections_along() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Silence);
    let patient = HttpSettings { attempts: 1, ..settings() };
    let url = format!("{}/{FILE}", mirror.url());
    let waiting = tokio::spawn(async move { HttpClient::new(patient).unwrap().get(&url, &Get::whole(LIMIT)).await });
    while mirror.requests().is_empty() {
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
    drop(mirror);
    let error = waiting.await.unwrap().unwrap_err();
    assert!(matches!(error, HttpError::Connection { .. }), "{error:?}");
}
