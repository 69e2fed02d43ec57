//! The demo, as the README shows it.

use std::process::Command;

use nacre_test_support::programs_directory;
use nacre_testing::documented::assert_screen;

#[test]
fn the_readme_shows_what_the_demo_prints() {
    let scratch = tempfile::tempdir().unwrap();
    let mut demo = Command::new(programs_directory().unwrap().join("nacre-demo"));
    let output = demo.arg("--directory").arg(scratch.path()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    let printed = String::from_utf8(output.stdout).unwrap();
    assert_screen("../README.md", "make demo", &printed, &[(scratch.path().to_str().unwrap(), "target/demo")]);
    assert!(scratch.path().join("report.html").is_file() && scratch.path().join("records.csv").is_file());
}
