//! What each answer is taken for, and what is sent to get it.

use chrono::{DateTime, TimeDelta, Utc};
use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Answer, Get, HttpClient, HttpError, HttpSettings};

use crate::support::{FILE, LIMIT, body, file, get, settings};

#[tokio::test]
async fn a_file_comes_whole_with_its_validators() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(300_000)));
    let fetched = body(get(&mirror, &Get::whole(LIMIT)).await);
    assert_eq!(fetched.bytes, file(300_000));
    assert_eq!(fetched.last_modified.unwrap().timestamp(), 20_779 * 86_400 + 1);
    assert!(fetched.etag.unwrap().starts_with('"'));
    assert_eq!(mirror.requests_for(FILE), 1);
}

#[tokio::test]
async fn the_server_learns_who_asks_and_no_more_than_it_needs() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(10)));
    body(get(&mirror, &Get::whole(LIMIT)).await);
    let request = &mirror.requests()[0];
    assert_eq!(request.user_agent.as_deref(), Some("nacre/test (0123)"));
    assert_eq!((&request.range, &request.if_modified_since, &request.if_none_match), (&None, &None, &None));
    // In particular no `Accept-Encoding`: a compressed range would be a range of something else.
    assert_eq!(request.headers.keys().collect::<Vec<_>>(), ["accept", "host", "user-agent"]);
}

#[tokio::test]
async fn a_file_without_bytes_is_an_answer() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(Vec::new()));
    assert!(body(get(&mirror, &Get::whole(LIMIT)).await).bytes.is_empty());
}

#[tokio::test]
async fn what_the_client_has_is_not_sent_again() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(100)));
    let known = body(get(&mirror, &Get::whole(LIMIT)).await);
    let by_tag = Get { if_none_match: known.etag.as_deref(), ..Get::whole(LIMIT) };
    let by_date = Get { if_modified_since: known.last_modified, ..Get::first(10) };
    for request in [by_tag, by_date] {
        assert_eq!(get(&mirror, &request).await.unwrap(), Answer::NotModified);
    }
    mirror.put(FILE, Behaviour::Bytes(file(101)));
    assert_eq!(body(get(&mirror, &by_tag).await).bytes, file(101));
    assert_eq!(body(get(&mirror, &by_date).await).bytes, file(10));
    let date = known.last_modified.unwrap() - TimeDelta::days(1);
    mirror.set_last_modified(FILE, date);
    assert_eq!(get(&mirror, &by_date).await.unwrap(), Answer::NotModified);
}

#[tokio::test]
async fn nothing_new_is_no_answer_to_one_who_has_nothing() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::status(304));
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Status { status, .. } if status == 304), "{error:?}");
}

#[tokio::test]
async fn a_range_request_returns_only_the_beginning() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(100_000)));
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, file(512));
    assert_eq!(mirror.requests()[0].range.as_deref(), Some("bytes=0-511"));
    assert_eq!(mirror.bytes_sent(), 512);
    // A file that has no more is still its own beginning.
    mirror.put(FILE, Behaviour::Bytes(file(100)));
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, file(100));
    // The limit is the limit.
    assert_eq!(body(get(&mirror, &Get { limit: 64, ..Get::first(512) }).await).bytes, file(64));
}

#[tokio::test]
async fn a_mirror_without_ranges_is_read_at_its_beginning_only() {
    let mirror = HostileMirror::start().await.unwrap();
    let size = 64 << 20;
    mirror.put(FILE, Behaviour::WithoutRanges(vec![7; size]));
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, [7; 512]);
    // The rest is stopped by what the two sockets hold at most.
    assert!(mirror.bytes_sent() < (size / 2) as u64, "{}", mirror.bytes_sent());
    mirror.put(FILE, Behaviour::Endless);
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, [0; 512]);
    mirror.put(FILE, Behaviour::WithoutRanges(file(100)));
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, file(100));
}

#[tokio::test]
async fn a_part_of_another_place_or_length_is_not_what_was_asked_for() {
    let mirror = HostileMirror::start().await.unwrap();
    for (size, content_range, got) in
        [(512, "bytes 100-611/9000", 0), (100, "bytes 0-99/9000", 100), (100, "nonsense", 100)]
    {
        mirror.put(FILE, Behaviour::Part { bytes: file(size), content_range: content_range.into() });
        let error = get(&mirror, &Get::first(512)).await.unwrap_err();
        let wrong = matches!(error, HttpError::Truncated { expected: 512, got: announced, .. } if announced == got);
        assert!(wrong, "{content_range}: {error:?}");
    }
    // Without a range requested, no part may pass for the whole.
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Status { status, .. } if status == 206), "{error:?}");
}

#[tokio::test]
async fn the_header_and_the_file_may_differ() {
    let mirror = HostileMirror::start().await.unwrap();
    let served = Box::new(Behaviour::Bytes(vec![2; 1000]));
    mirror.put(FILE, Behaviour::Advertised { header: vec![1; 1000], served });
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, [1; 512]);
    assert_eq!(body(get(&mirror, &Get::whole(LIMIT)).await).bytes, [2; 1000]);
}

#[tokio::test]
async fn each_status_has_its_own_meaning() {
    let mirror = HostileMirror::start().await.unwrap();
    for (code, is_missing, is_cool_down) in [
        (404, true, false),
        (410, true, false),
        (403, false, true),
        (429, false, true),
        (204, false, false),
        (400, false, false),
        (416, false, false),
        (503, false, false),
        (522, false, false),
    ] {
        mirror.put(FILE, Behaviour::status(code));
        let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
        assert_eq!(matches!(error, HttpError::Missing { .. }), is_missing, "{code}: {error:?}");
        assert_eq!(matches!(error, HttpError::CoolDown { .. }), is_cool_down, "{code}: {error:?}");
        assert_eq!(matches!(error, HttpError::Status { .. }), !(is_missing || is_cool_down), "{code}: {error:?}");
    }
}

#[tokio::test]
async fn a_server_says_how_long_to_leave_it_alone() {
    let mirror = HostileMirror::start().await.unwrap();
    let date = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let text = |date: DateTime<Utc>| date.format("%a, %d %b %Y %H:%M:%S GMT").to_string();
    let later = text(date + TimeDelta::hours(4));
    for (headers, seconds) in [
        (vec![], None),
        (vec![("Retry-After", "120".to_owned())], Some(120)),
        (vec![("Retry-After", "99999999".to_owned())], Some(7 * 24 * 3600)),
        (vec![("Retry-After", later.clone()), ("Date", text(date))], Some(4 * 3600)),
        (vec![("Retry-After", later)], None),
    ] {
        let headers = headers.into_iter().map(|(name, value)| (name.to_owned(), value)).collect();
        mirror.put(FILE, Behaviour::Status { code: 429, headers });
        match get(&mirror, &Get::whole(LIMIT)).await.unwrap_err() {
            HttpError::CoolDown { retry_after, .. } => {
                assert_eq!(retry_after.map(|wait| wait.as_secs()), seconds);
            }
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn the_address_may_carry_secrets_that_no_error_shows() {
    let mirror = HostileMirror::start().await.unwrap();
    let client = HttpClient::new(HttpSettings { attempts: 1, ..settings() }).unwrap();
    let address = mirror.url().replace("http://", "http://me:secret@");
    let address = format!("{address}/{FILE}?key=secret");
    for behaviour in [Behaviour::status(404), Behaviour::status(403), Behaviour::Reset, Behaviour::RedirectLoop] {
        mirror.put(FILE, behaviour);
        let error = client.get(&address, &Get::whole(LIMIT)).await.unwrap_err();
        let shown = format!("{error:?} {}", nacre_core::telemetry::error_chain(&error));
        assert!(!shown.contains("secret"), "{shown}");
    }
    // The mirror gets them all the same.
    let request = &mirror.requests()[0];
    assert_eq!(request.headers["authorization"], "Basic bWU6c2VjcmV0");
    assert_eq!(request.query.as_deref(), Some("key=secret"));
}

#[tokio::test]
async fn only_http_is_spoken() {
    for address in ["ftp://127.0.0.1/daily.cvd", "file:///etc/passwd", "daily.cvd", ""] {
        let error = crate::support::client().get(address, &Get::whole(LIMIT)).await.unwrap_err();
        assert!(matches!(error, HttpError::Connection { .. }) && !error.is_transient(), "{address}: {error:?}");
    }
}
