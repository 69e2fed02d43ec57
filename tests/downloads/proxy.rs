//! Proxies come from the environment, which only a process of its own can have set for a test.

use std::{env, process::Stdio};

use nacre_test_support::{Behaviour, HostileMirror};
use nacre_updater::http::{Get, HttpClient, HttpSettings, Proxies};
use tokio::process::Command;

use crate::support::{FILE, LIMIT, body, file, settings};

/// Where [`the_child_asks`] finds its orders.
const ORDERS: &str = "NACRE_TEST_PROXIED_URL";

/// Runs [`the_child_asks`] with just these variables about proxies.
async fn ask_in_a_child(url: &str, variables: &[(&str, &str)]) {
    let mut child = Command::new(env::current_exe().unwrap());
    child.args(["--exact", "proxy::the_child_asks"]).env(ORDERS, url).stdout(Stdio::null()).kill_on_drop(true);
    for name in ["HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY", "REQUEST_METHOD"] {
        child.env_remove(name).env_remove(name.to_lowercase());
    }
    assert!(child.envs(variables.iter().copied()).status().await.unwrap().success());
}

/// Not a test of its own: without orders there is nothing to do.
#[tokio::test]
#[expect(clippy::disallowed_methods, reason = "the orders come by the environment, like the proxies")]
async fn the_child_asks() {
    let Ok(url) = env::var(ORDERS) else { return };
    let client = HttpClient::new(HttpSettings { proxies: Proxies::FromEnvironment, ..settings() }).unwrap();
    assert_eq!(body(client.get(&url, &Get::whole(LIMIT)).await).bytes, file(100));
}

#[tokio::test]
async fn a_proxy_named_by_the_environment_is_used() {
    let proxy = HostileMirror::start().await.unwrap();
    proxy.put(FILE, Behaviour::Bytes(file(100)));
    // This name is nowhere: the proxy alone can know it.
    let url = format!("http://mirror.invalid/{FILE}");
    for variable in ["HTTP_PROXY", "http_proxy", "ALL_PROXY"] {
        let before = proxy.requests().len();
        ask_in_a_child(&url, &[(variable, proxy.url())]).await;
        assert_eq!(proxy.requests().len() - before, 1, "{variable}");
        assert_eq!(proxy.requests()[before].headers["host"], "mirror.invalid");
    }
}

#[tokio::test]
async fn a_proxy_is_passed_by_where_the_environment_says_so() {
    let (proxy, mirror) = (HostileMirror::start().await.unwrap(), HostileMirror::start().await.unwrap());
    for server in [&proxy, &mirror] {
        server.put(FILE, Behaviour::Bytes(file(100)));
    }
    let url = format!("{}/{FILE}", mirror.url());
    ask_in_a_child(&url, &[("HTTP_PROXY", proxy.url()), ("NO_PROXY", "127.0.0.1")]).await;
    assert_eq!((proxy.requests().len(), mirror.requests().len()), (0, 1));
    // Loopback is passed by only when it is named.
    ask_in_a_child(&url, &[("HTTP_PROXY", proxy.url())]).await;
    assert_eq!((proxy.requests().len(), mirror.requests().len()), (1, 1));
}
