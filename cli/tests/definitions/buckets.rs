//! What the commands about the definitions bucket say before they reach it, and when they cannot.

use crate::world::World;

/// Credentials of no account, and an endpoint without a listener.
const NOWHERE: [(&str, &str); 6] = [
    ("AWS_ACCESS_KEY_ID", "x"),
    ("AWS_SECRET_ACCESS_KEY", "x"),
    ("AWS_REGION", "eu-west-1"),
    ("AWS_ENDPOINT_URL", "http://127.0.0.1:9"),
    ("AWS_EC2_METADATA_DISABLED", "true"),
    ("AWS_MAX_ATTEMPTS", "1"),
];

#[test]
fn a_bucket_is_named_or_the_stacks() {
    let world = World::new();
    for command in ["list", "status", "rollback", "unpin"] {
        let outcome = world.nacre(&[command]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{command}: {outcome:?}");
        assert!(outcome.stderr.contains("no AWS region is set: set AWS_REGION"), "{outcome:?}");
        // Without a bucket it is the stack's.
        let outcome = world.nacre_with(&NOWHERE, &[command, "--stack", "prod"]);
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{command}: {outcome:?}");
        assert!(outcome.stderr.contains("AWS cannot be reached") && outcome.stderr.contains("prod"), "{outcome:?}");
    }
    // As CloudFormation and shells leave what was meant to be set.
    let outcome = world.nacre_with(&[("AV_DEFINITION_S3_BUCKET", "")], &["list"]);
    assert!(outcome.status == Some(2) && outcome.stderr.contains("--bucket <NAME>"), "{outcome:?}");
    let outcome = world.nacre(&["rollback", "--bucket", "b", "last"]);
    assert!(outcome.status == Some(2) && outcome.stderr.contains("GENERATION"), "{outcome:?}");
}

#[test]
fn a_bucket_that_does_not_respond_is_an_error_named_by_the_request() {
    let world = World::new();
    let variables = [&NOWHERE[..], &[("AV_DEFINITION_S3_BUCKET", "definitions")]].concat();
    for command in ["list", "status", "rollback", "unpin"] {
        let outcome = world.nacre_with(&variables, &[command]);
        // 1 would say that definitions are stale.
        assert_eq!((outcome.status, outcome.stdout.as_str()), (Some(2), ""), "{command}: {outcome:?}");
        assert!(outcome.stderr.contains("GetObject of s3://definitions/nacre/current.json"), "{outcome:?}");
    }
    let outcome = world.nacre_with(&NOWHERE, &["verify", "s3://bucket/test.cvd"]);
    assert_eq!(outcome.status, Some(1));
    assert!(outcome.stdout.starts_with("s3://bucket/test.cvd: FAILED it cannot be read: S3 refused"), "{outcome:?}");
}
