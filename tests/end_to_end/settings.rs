//! A function with a missing or malformed setting refuses to start and names the variable.

use std::process::Command;

use nacre_test_support::programs_directory;

/// Runs a function's program with just these settings and answers what it said; it must not start.
fn refusal(program: &str, settings: &[(&str, &str)]) -> String {
    let mut command = Command::new(programs_directory().unwrap().join(program));
    let output = command.env_clear().envs(settings.iter().copied()).output().unwrap();
    assert!(!output.status.success(), "{program} starts with {settings:?}");
    String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned()
}

#[test]
fn a_missing_setting_is_named() {
    for (program, variable) in [
        ("nacre-updater", "AV_DEFINITION_S3_BUCKET"),
        ("nacre-rescanner", "AV_DEFINITION_S3_BUCKET"),
        ("nacre-scanner", "AV_DEFINITION_S3_BUCKET"),
    ] {
        assert!(refusal(program, &[]).contains(&format!("{variable} is not set")), "{program}");
    }
    let bucket = ("AV_DEFINITION_S3_BUCKET", "definitions");
    assert!(refusal("nacre-updater", &[bucket]).contains("NACRE_DEFINITIONS_TOPIC_ARN is not set"));
    assert!(refusal("nacre-rescanner", &[bucket]).contains("NACRE_RECORDS_TABLE is not set"));
    assert!(refusal("nacre-scanner", &[bucket]).contains("NACRE_RECORDS_TABLE is not set"));
}

#[test]
fn a_malformed_setting_is_named_with_what_it_should_be() {
    let scanner =
        [("AV_DEFINITION_S3_BUCKET", "d"), ("NACRE_RECORDS_TABLE", "r"), ("AV_STATUS_SNS_PUBLISH_CLEAN", "perhaps")];
    let said = refusal("nacre-scanner", &scanner);
    assert!(said.contains("AV_STATUS_SNS_PUBLISH_CLEAN is set to"), "{said}");
    assert!(said.contains("set it to True or False"), "{said}");
}

#[test]
fn a_setting_of_the_predecessors_that_is_not_taken_is_refused_with_its_reason() {
    let scanner = [("AV_DEFINITION_S3_BUCKET", "d"), ("NACRE_RECORDS_TABLE", "r"), ("AV_UPDATE_METADATA", "True")];
    let said = refusal("nacre-scanner", &scanner);
    assert!(said.contains("AV_UPDATE_METADATA is set, and Nacre does not take it: rewriting"), "{said}");
}
