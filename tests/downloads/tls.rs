//! Whom the client believes.

use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Get, HttpClient, HttpError, HttpSettings};

use crate::support::{FILE, LIMIT, body, file, settings};

fn trusting(authority: Option<&str>) -> HttpClient {
    HttpClient::new(HttpSettings { extra_root: authority.map(Into::into), ..settings() }).unwrap()
}

#[tokio::test]
async fn a_private_authority_is_believed_when_it_is_named() {
    let mirror = HostileMirror::start_tls().await.unwrap();
    mirror.put(FILE, Behaviour::Bytes(file(300_000)));
    let client = trusting(mirror.authority());
    let url = format!("{}/{FILE}", mirror.url());
    assert_eq!(body(client.get(&url, &Get::whole(LIMIT)).await).bytes, file(300_000));
    mirror.put(FILE, Behaviour::Truncated(file(1000)));
    let error = client.get(&url, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Truncated { expected: 1000, got: 500, .. }), "{error:?}");
    mirror.put(FILE, Behaviour::Reset);
    let error = client.get(&url, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connection { .. }) && error.is_transient(), "{error:?}");
}

#[tokio::test]
async fn a_stranger_is_not_believed_and_not_asked_again() {
    let (mirror, other) = (HostileMirror::start_tls().await.unwrap(), HostileMirror::start_tls().await.unwrap());
    mirror.put(FILE, Behaviour::Bytes(file(10)));
    for authority in [None, other.authority()] {
        let url = format!("{}/{FILE}", mirror.url());
        let error = trusting(authority).get(&url, &Get::whole(LIMIT)).await.unwrap_err();
        assert!(matches!(error, HttpError::Connection { .. }), "{error:?}");
        assert!(!error.is_transient(), "{error:?}");
    }
    assert_eq!(mirror.requests(), []);
}

#[tokio::test]
async fn a_certificate_for_another_name_is_none() {
    let mirror = HostileMirror::start_tls().await.unwrap();
    let url = format!("{}/{FILE}", mirror.url().replace("127.0.0.1", "localhost"));
    let error = trusting(mirror.authority()).get(&url, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(error, HttpError::Connection { .. }) && !error.is_transient(), "{error:?}");
}
