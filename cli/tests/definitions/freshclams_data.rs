//! The files that freshclam's own test suite updates by, signed with ClamAV's keys; where they are not, each test says so.

use nacre_clamav::builder::shared_data;

use crate::world::World;

/// Their paths, or a remark that they are not there.
fn data(files: &[&str]) -> Option<Vec<String>> {
    files.iter().map(|file| Some(shared_data(file)?.to_str()?.to_owned())).collect()
}

#[test]
fn they_verify_with_their_detached_signatures_under_clamavs_test_root() {
    let files =
        ["test-1.cvd", "test-2.cvd", "test-3.cvd", "test-2.cdiff", "test-3.cdiff"].map(|f| format!("freshclam/{f}"));
    let names: Vec<&str> = files.iter().map(String::as_str).chain(["certs/clamav-test-root.crt"]).collect();
    let Some(mut paths) = data(&names) else { return };
    let root = paths.pop().unwrap();
    let arguments: Vec<&str> =
        ["verify", "--at", "2026-01-01", "--root", &root].into_iter().chain(paths.iter().map(String::as_str)).collect();
    let outcome = World::new().nacre(&arguments);
    assert_eq!((outcome.status, outcome.stdout.lines().count()), (Some(0), 5), "{outcome:?}");
    assert!(outcome.stdout.lines().all(|line| line.contains("signed by clamav, .sign by ClamAV TEST")), "{outcome:?}");
    // Under ClamAV's real root they are worth nothing.
    let outcome = World::new().nacre(&["verify", "--at", "2026-01-01", &paths[0]]);
    assert_eq!(outcome.status, Some(1), "{outcome:?}");
}

#[test]
fn base_and_cdiffs_are_the_next_cvds_payload() {
    let Some(paths) =
        data(&["freshclam/test-1.cvd", "freshclam/test-2.cdiff", "freshclam/test-3.cdiff", "freshclam/test-3.cvd"])
    else {
        return;
    };
    let [base, second, third, whole] = &paths[..] else { panic!("{paths:?}") };
    let world = World::new();
    let outcome = world.nacre(&["apply", "--to", "test.cld", base, second, third]);
    assert_eq!(outcome.status, Some(0), "{outcome:?}");
    let outcome = world.nacre(&["diff", "--json", "test.cld", whole]);
    let comparison: serde_json::Value = serde_json::from_str(&outcome.stdout).unwrap();
    assert_eq!((&comparison["members"], &comparison["new"]["version"]), (&serde_json::json!({}), &3.into()));
    let known = |database: &str| -> Option<String> {
        let scan = world.clamav("clamscan", &["-d", database, "test.cld"])?;
        assert!(matches!(scan.status, Some(0 | 1)), "it loads: {scan:?}");
        scan.stdout.lines().find(|line| line.starts_with("Known viruses: ")).map(str::to_owned)
    };
    let Some(ours) = known("test.cld") else { return };
    assert!(ours != "Known viruses: 0" && Some(ours) == known(whole));
}
