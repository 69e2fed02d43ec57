//! Where a mirror may send its clients.

use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Get, HttpClient, HttpError, HttpSettings};

use crate::support::{FILE, LIMIT, body, file, get, settings};

#[tokio::test]
async fn three_redirects_are_followed_and_no_fourth() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put("end", Behaviour::Bytes(file(1000)));
    for (from, to) in [("c", "end"), ("b", "c"), (FILE, "b"), ("a", FILE)] {
        mirror.put(from, Behaviour::Redirect(format!("/{to}")));
    }
    assert_eq!(body(get(&mirror, &Get::first(512)).await).bytes, file(512));
    let ranges: Vec<_> = mirror.requests().into_iter().map(|request| request.range.unwrap()).collect();
    assert_eq!(ranges, ["bytes=0-511"; 4]);

    let address = format!("{}/a", mirror.url());
    let error = crate::support::client().get(&address, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(&error, HttpError::Connection { source, .. } if source.is_redirect()), "{error:?}");
    assert_eq!(mirror.requests_for("end"), 1);
}

#[tokio::test]
async fn a_loop_is_left_and_not_tried_again() {
    let mirror = HostileMirror::start().await.unwrap();
    mirror.put(FILE, Behaviour::RedirectLoop);
    let error = get(&mirror, &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(&error, HttpError::Connection { source, .. } if source.is_redirect()), "{error:?}");
    assert!(!error.is_transient());
    assert_eq!(mirror.requests_for(FILE), 4);
}

#[tokio::test]
async fn https_is_never_left_for_http() {
    let (safe, unsafe_) = (HostileMirror::start_tls().await.unwrap(), HostileMirror::start().await.unwrap());
    unsafe_.put(FILE, Behaviour::Bytes(file(10)));
    safe.put(FILE, Behaviour::Redirect(format!("{}/{FILE}", unsafe_.url())));
    let extra_root = safe.authority().map(|pem| pem.as_bytes().to_vec());
    let client = HttpClient::new(HttpSettings { extra_root, ..settings() }).unwrap();
    let error = client.get(&format!("{}/{FILE}", safe.url()), &Get::whole(LIMIT)).await.unwrap_err();
    assert!(matches!(&error, HttpError::Connection { source, .. } if source.is_redirect()), "{error:?}");
    assert_eq!((safe.requests().len(), unsafe_.requests().len()), (1, 0));
    // The other way is welcome.
    safe.put(FILE, Behaviour::Bytes(file(20)));
    unsafe_.put(FILE, Behaviour::Redirect(format!("{}/{FILE}", safe.url())));
    let answer = client.get(&format!("{}/{FILE}", unsafe_.url()), &Get::whole(LIMIT)).await;
    assert_eq!(body(answer).bytes, file(20));
}

#[tokio::test]
async fn the_next_server_learns_nothing_of_the_first_ones_address() {
    let (first, next) = (HostileMirror::start().await.unwrap(), HostileMirror::start().await.unwrap());
    next.put(FILE, Behaviour::Bytes(file(10)));
    first.put(FILE, Behaviour::Redirect(format!("{}/{FILE}", next.url())));
    let address = format!("{}/{FILE}?key=secret", first.url().replace("http://", "http://me:secret@"));
    body(crate::support::client().get(&address, &Get::whole(LIMIT)).await);
    assert_eq!(next.requests()[0].headers.keys().collect::<Vec<_>>(), ["accept", "host", "user-agent"]);
}
