//! What `nacre deploy` and `nacre destroy` say is what is so: of a dry run, of a test that cannot be made, of what stays.

use std::{collections::BTreeSet, fs};

use nacre_test_support::deployed::World;
use serde_json::{Value, json};

use crate::deploy::{deploy, deploy_another, nacre, names};

async fn buckets(world: &World) -> BTreeSet<String> {
    let all = world.stack.s3().list_buckets().send().await.unwrap();
    all.buckets().iter().filter_map(|bucket| bucket.name().map(str::to_owned)).collect()
}

/// Adds a statement to the policy of a bucket, where it has one.
async fn deny(world: &World, bucket: &str, action: &str, resource: &str) {
    let s3 = world.stack.s3();
    let policy = s3.get_bucket_policy().bucket(bucket).send().await.ok();
    let policy = policy.and_then(|policy| policy.policy().map(str::to_owned));
    let mut policy: Value = policy.map_or_else(
        || json!({ "Version": "2012-10-17", "Statement": [] }),
        |policy| serde_json::from_str(&policy).unwrap(),
    );
    let statement = json!({ "Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource });
    policy["Statement"].as_array_mut().unwrap().push(statement);
    s3.put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await.unwrap();
}

#[tokio::test]
async fn a_dry_run_of_a_new_stack_changes_nothing() {
    let world = World::empty(&[]).await;
    let before = buckets(&world).await;
    let (code, report, printed) = deploy_another(&world, "new", &["--dry-run"]).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &json!("planned")), "{printed}");
    let resources: Vec<_> = report["changes"].as_array().unwrap().iter().map(|change| &change["resource"]).collect();
    assert!(resources.contains(&&json!("ScannerFunction")) && resources.contains(&&json!("ScanRecords")), "{printed}");
    assert_eq!(buckets(&world).await, before);
    let stacks = aws_sdk_cloudformation::Client::new(world.stack.sdk_config());
    assert!(stacks.describe_stacks().stack_name("new").send().await.is_err(), "not even an empty stack is left");

    // A template of one's own that no call takes: it is said that nothing is known.
    let long = world.stack.logs().with_file_name("long.yaml");
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")).unwrap();
    fs::write(&long, format!("# One of one's own.\n{template}")).unwrap();
    let long = ["--dry-run", "--template", long.to_str().unwrap()];
    let (code, _, printed) = deploy_another(&world, "new", &long).await;
    assert!(code == Some(2) && printed.contains("what would change is not known"), "{printed}");
    assert_eq!(buckets(&world).await, before);
    world.end().await;
}

#[tokio::test]
async fn a_stack_whose_test_cannot_be_made_is_deployed_and_untested() {
    let world = World::by_command(&[]).await;
    let bucket = world.stack.scanned_bucket();
    deny(&world, bucket, "s3:PutObject", &format!("arn:aws:s3:::{bucket}/nacre-self-test/*")).await;
    let (code, report, printed) = deploy(&world, &[]).await;
    assert_eq!(
        (code, &report["outcome"], &report["findings"]),
        (Some(3), &json!("unchanged"), &json!([])),
        "{printed}"
    );
    assert!(report["untested"].as_str().unwrap().contains("uploading under nacre-self-test/"), "{printed}");
    assert_eq!((&report["generation"], &report["outputs"]["ScannedBucket"]), (&json!(1), &json!(bucket)), "{printed}");
    // Nor when what is published cannot be read.
    let definitions = world.stack.output("DefinitionsBucket");
    deny(&world, definitions, "s3:GetObject", &format!("arn:aws:s3:::{definitions}/*")).await;
    let (code, report, printed) = deploy(&world, &[]).await;
    assert_eq!((code, &report["outcome"]), (Some(3), &json!("unchanged")), "{printed}");
    assert!(report["untested"].as_str().unwrap().contains("what is published cannot be read"), "{printed}");
    world.end().await;
}

#[tokio::test]
async fn what_a_deleted_stack_left_is_accounted_for_after_a_dry_run_too() {
    let world = World::by_command(&[]).await;
    // A bucket that may not be seen is not gone.
    let definitions = world.stack.output("DefinitionsBucket");
    deny(&world, definitions, "s3:ListBucket", &format!("arn:aws:s3:::{definitions}")).await;
    let (code, first, printed) = nacre(&world, &["destroy", "--yes"]).await;
    assert_eq!(code, Some(0), "{printed}");
    assert!(names(&first["kept"]).contains("DefinitionsBucket"), "{printed}");
    let (code, _, printed) = deploy(&world, &["--dry-run"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let (code, second, printed) = nacre(&world, &["destroy"]).await;
    assert_eq!((code, &second["kept"]), (Some(0), &first["kept"]), "{printed}");
    // A dry run that was killed leaves a stack of nothing in front of it.
    let stacks = aws_sdk_cloudformation::Client::new(world.stack.sdk_config());
    let template =
        "Parameters: {ScannerCodeKey: {Type: String, Default: x}}\nResources: {Queue: {Type: AWS::SQS::Queue}}\n";
    let change_set = stacks.create_change_set().stack_name("nacre").change_set_name("killed");
    let change_set = change_set.change_set_type(aws_sdk_cloudformation::types::ChangeSetType::Create);
    change_set.template_body(template).send().await.unwrap();
    let (code, third, printed) = nacre(&world, &["destroy"]).await;
    assert_eq!((code, &third["kept"]), (Some(0), &first["kept"]), "{printed}");
    let (code, fourth, printed) = nacre(&world, &["destroy", "--yes"]).await;
    assert_eq!((code, &fourth["kept"]), (Some(0), &first["kept"]), "{printed}");
    assert!(stacks.describe_stacks().stack_name("nacre").send().await.is_err(), "it is deleted");
    world.end().await;
}

#[tokio::test]
async fn what_a_template_of_ones_own_does_not_retain_is_accounted_as_lost() {
    let world = World::empty(&[]).await;
    let own = world.stack.logs().with_file_name("own.yaml");
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")).unwrap();
    let table = "    Type: AWS::DynamoDB::Table\n    DeletionPolicy: RetainExceptOnCreate\n";
    assert!(template.contains(table));
    fs::write(&own, template.replace(table, "    Type: AWS::DynamoDB::Table\n")).unwrap();
    let arguments = ["--template", own.to_str().unwrap(), "--parameter", "StartFirstUpdate=False"];
    let (code, report, printed) = deploy_another(&world, "own", &arguments).await;
    assert_eq!(code, Some(0), "{printed}");
    let table = report["outputs"]["ScanRecords"].as_str().unwrap();
    let (code, shown, printed) = nacre(&world, &["destroy", "--stack", "own"]).await;
    assert_eq!((code, names(&shown["lost"])), (Some(0), BTreeSet::from(["ScanRecords".to_owned()])), "{printed}");
    assert!(!names(&shown["kept"]).contains("ScanRecords"), "{printed}");
    let (code, _, printed) = nacre(&world, &["destroy", "--stack", "own", "--yes"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let tables = world.stack.dynamodb().list_tables().send().await.unwrap();
    assert!(!tables.table_names().iter().any(|name| name == table), "{tables:?}");
    world.end().await;
}
