//! The hostile mirror is a mirror to a stock freshclam too.

use std::{fs, path::Path, process::Output};

use nacre_test_support::{Behaviour, HostileMirror};
use tokio::process::Command;

/// Debian's; a test without it says so and passes.
const FRESHCLAM: &str = "/usr/bin/freshclam";

/// Runs a stock freshclam for one custom database.
async fn freshclam(mirror: &HostileMirror, directory: &Path) -> Output {
    let config = directory.join("freshclam.conf");
    let owner = nix::unistd::User::from_uid(nix::unistd::Uid::current()).unwrap().unwrap().name;
    let text = format!(
        "DatabaseDirectory {}\nDatabaseOwner {owner}\nDatabaseMirror {url}\nDNSDatabaseInfo no\nTestDatabases no\n\
         DatabaseCustomURL {url}/ours.hdb\n",
        directory.display(),
        url = mirror.url(),
    );
    fs::write(&config, text).unwrap();
    let mut command = Command::new(FRESHCLAM);
    command.arg("--stdout").arg("--update-db=custom").arg(format!("--config-file={}", config.display()));
    for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
        command.env_remove(proxy);
    }
    command.kill_on_drop(true).output().await.unwrap()
}

#[tokio::test]
async fn a_stock_freshclam_takes_the_mirror_for_one() {
    if !Path::new(FRESHCLAM).exists() {
        println!("skipped: there is no {FRESHCLAM} here");
        return;
    }
    let mirror = HostileMirror::start().await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let line = format!("{}:100:Test.Ours\n", "0".repeat(32));
    mirror.put("ours.hdb", Behaviour::Bytes(line.clone().into_bytes()));
    for _ in 0..2 {
        let output = freshclam(&mirror, directory.path()).await;
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
        assert_eq!(fs::read_to_string(directory.path().join("ours.hdb")).unwrap(), line);
    }
    let requests = mirror.requests();
    assert!(requests[0].user_agent.as_deref().is_some_and(|agent| agent.starts_with("ClamAV/")), "{requests:?}");
    // The second run has the file, and learns so.
    assert!(requests.last().is_some_and(|request| request.if_modified_since.is_some()), "{requests:?}");
    assert_eq!(mirror.bytes_sent(), line.len() as u64);
}
