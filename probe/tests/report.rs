//! The report of this machine.

use std::process::Command;

use serde_json::Value;

#[test]
fn a_report_says_what_is_allowed_and_no_value_of_the_environment() {
    let secret = "a value that nobody may see";
    let mut command = Command::new(env!("CARGO_BIN_EXE_nacre-probe"));
    let output = command.arg("--print").env("AWS_SECRET_ACCESS_KEY", secret).output().unwrap();
    let text = String::from_utf8(output.stdout).unwrap();
    let report: Value = serde_json::from_str(&text).unwrap();
    let fact = |name: &str| report["facts"][name].as_str().unwrap_or_else(|| panic!("{name}: {text}"));
    assert!(fact("kernel").starts_with("Linux") && fact("memory available").ends_with("kB"), "{text}");
    assert!(fact("C library").contains("version 2.") && fact("disk in /tmp").contains("MB are free"), "{text}");
    let calls = report["calls"].as_object().unwrap();
    assert!(calls.len() == 17 && calls["flock in /tmp"] == "allowed", "{text}");
    assert!(calls.values().all(|call| call.as_str().is_some_and(|call| !call.is_empty())), "{text}");
    assert_eq!(report["directories"]["/tmp"], "writable", "{text}");
    let names = report["environment"].as_array().unwrap();
    assert!(names.contains(&"AWS_SECRET_ACCESS_KEY".into()) && !text.contains(secret));
}

#[test]
fn what_is_no_attempt_is_refused() {
    let probe = |arguments: &[&str]| {
        let output = Command::new(env!("CARGO_BIN_EXE_nacre-probe")).args(arguments).output().unwrap();
        (output.status.code(), String::from_utf8(output.stdout).unwrap())
    };
    assert_eq!(probe(&["--attempt", "memfd_create"]), (Some(0), "allowed\n".to_owned()));
    for wrong in [&["--attempt", "nonsense"][..], &["--attempt"], &["nonsense"]] {
        assert_eq!(probe(wrong).0, Some(2), "{wrong:?}");
    }
}
