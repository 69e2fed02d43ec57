//! A stack from `nacre deploy` to `nacre destroy`, with nothing left but what the account lists.

use std::collections::BTreeSet;

use nacre_stack::{deployed::World, programs_directory};
use serde_json::{Value, json};

/// Runs `nacre` as an administrator; answers its exit status, its JSON, and all that it printed.
async fn nacre(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let environment = world.stack.administrator_environment().await.unwrap();
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.args(arguments).arg("--json").env_clear().envs(environment);
    let output = command.kill_on_drop(true).output().await.unwrap();
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), json, printed)
}

async fn deploy(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let packages = world.stack.packages();
    let packages = packages.to_str().unwrap();
    nacre(world, &[&["deploy", "--packages", packages], arguments].concat()).await
}

fn names(kept: &Value) -> BTreeSet<String> {
    kept.as_array().unwrap().iter().map(|kept| kept["resource"].as_str().unwrap().to_owned()).collect()
}

async fn bucket_exists(world: &World, name: &str) -> bool {
    world.stack.s3().head_bucket().bucket(name).send().await.is_ok()
}

async fn has_function(world: &World, name: &str) -> bool {
    world.stack.lambda().get_function().function_name(name).send().await.is_ok()
}

#[tokio::test]
async fn a_stack_is_deployed_updated_in_place_and_destroyed_with_an_account_of_what_is_left() {
    let world = World::by_command(&[]).await;
    let stack = &world.stack;
    assert!(stack.output("FirstUpdate").starts_with("published generation 1: "), "{}", stack.output("FirstUpdate"));

    // Again: nothing changes, and it is shown to work.
    let (code, report, printed) = deploy(&world, &[]).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_eq!((&report["outcome"], &report["generation"]), (&json!("unchanged"), &json!(1)), "{printed}");
    let test = json!({
        "infected": { "verdict": "INFECTED", "status": 403 }, "clean": { "verdict": "CLEAN", "status": 200 }, "left": [],
    });
    assert_eq!(report["self_test"], test, "{printed}");
    let versions = stack.s3().list_object_versions().bucket(stack.scanned_bucket()).send().await.unwrap();
    assert!(versions.versions().is_empty() && versions.delete_markers().is_empty(), "{versions:?}");
    assert_eq!(stack.records().await.unwrap(), []);

    // One parameter, first only shown, then in place; the others keep their values.
    let change = ["--parameter", "StalenessLimitHours=48"];
    let (code, report, printed) = deploy(&world, &[&change[..], &["--dry-run"]].concat()).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &json!("planned")), "{printed}");
    assert!(report["changes"].as_array().is_some_and(|changes| !changes.is_empty()), "{printed}");
    let (code, report, printed) = deploy(&world, &[&change[..], &["--no-self-test"]].concat()).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &json!("updated")), "{printed}");
    assert!(report["changes"].as_array().unwrap().iter().all(|change| change["replaced"] == false), "{printed}");
    assert_eq!(report["outputs"]["ScannedBucket"], stack.output("ScannedBucket"));
    let environment = stack.lambda().get_function_configuration().function_name(stack.output("UpdaterFunction"));
    let environment = environment.send().await.unwrap().environment.unwrap().variables.unwrap();
    assert_eq!(environment["NACRE_UPDATE_STALENESS_LIMIT_HOURS"], "48");
    assert_eq!(environment["NACRE_DEFINITIONS_MIRROR"], world.mirror.url());
    let (code, _, printed) = deploy(&world, &["--parameter", "StalenesLimitHours=48"]).await;
    assert!(code == Some(2) && printed.contains("no parameter StalenesLimitHours"), "{printed}");

    destroy(&world).await;
    world.end().await;
}

async fn destroy(world: &World) {
    let stack = &world.stack;
    stack.put("kept.txt", "an object of the operator's\n").await.unwrap();
    let [scanned, definitions, records, updater] =
        ["ScannedBucket", "DefinitionsBucket", "ScanRecords", "UpdaterFunction"].map(|name| stack.output(name));
    let kept = ["CodeBucket", "DefinitionsBucket", "ScanRecords", "ScannedBucket", "ScannedBucketPolicy"];
    let kept: BTreeSet<_> = kept.map(str::to_owned).into();

    // Neither without --yes, nor when something is named that the stack did not make.
    let (code, account, printed) = nacre(world, &["destroy"]).await;
    assert_eq!((code, names(&account["kept"])), (Some(0), kept.clone()), "{printed}");
    stack.create_bucket("somebody-elses").await.unwrap();
    let (code, _, printed) = nacre(world, &["destroy", "--yes", "--remove-data", "somebody-elses"]).await;
    assert!(code == Some(2) && printed.contains("somebody-elses is nothing that"), "{printed}");
    assert!(has_function(world, updater).await);

    let (code, account, printed) = nacre(world, &["destroy", "--yes", "--remove-data", definitions]).await;
    assert_eq!((code, &account["removed"]), (Some(0), &json!([definitions])), "{printed}");
    let rest: BTreeSet<_> = kept.iter().filter(|name| *name != "DefinitionsBucket").cloned().collect();
    assert_eq!(names(&account["kept"]), rest, "{printed}");
    assert!(!has_function(world, updater).await && !bucket_exists(world, definitions).await);
    let objects = stack.s3().list_objects_v2().bucket(scanned).send().await.unwrap();
    assert_eq!(objects.contents().len(), 1, "the operator's objects are none of our business");

    // The stack is gone, and the account of it is not.
    let packages = account["kept"].as_array().unwrap().iter().find(|kept| kept["resource"] == "CodeBucket").unwrap();
    let packages = packages["name"].as_str().unwrap();
    let named = ["--remove-data", scanned, "--remove-data", records, "--remove-data", packages];
    let (code, account, printed) = nacre(world, &[&["destroy", "--yes"], &named[..]].concat()).await;
    assert_eq!((code, &account["kept"]), (Some(0), &json!([])), "{printed}");
    for bucket in [scanned, packages] {
        assert!(!bucket_exists(world, bucket).await, "{bucket}");
    }
    let tables = stack.dynamodb().list_tables().send().await.unwrap();
    assert_eq!(tables.table_names(), [] as [String; 0]);
    assert!(bucket_exists(world, "somebody-elses").await);
}
