//! A stack from `nacre deploy` to `nacre destroy`, with nothing left but what the account lists.

use std::{collections::BTreeSet, fs, process::Output};

use nacre_test_support::{
    Packages,
    deployed::{World, daily, main_database},
    programs_directory,
};
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::{Value, json};

async fn run(world: &World, arguments: &[&str]) -> Output {
    let environment = world.stack.administrator_environment().await.unwrap();
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.args(arguments).env_clear().envs(environment).kill_on_drop(true).output().await.unwrap()
}

/// Runs `nacre` as an administrator; answers what a terminal shows of it.
pub(crate) async fn screen(world: &World, arguments: &[&str]) -> String {
    let output = run(world, arguments).await;
    assert!(output.status.success(), "nacre {arguments:?}: {output:?}");
    String::from_utf8(output.stderr).unwrap() + &String::from_utf8(output.stdout).unwrap()
}

/// Runs `nacre` as an administrator; answers its exit status, its JSON, and all that it printed.
pub(crate) async fn nacre(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let output = run(world, &[arguments, &["--json"]].concat()).await;
    let json = serde_json::from_slice(&output.stdout).unwrap_or_default();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_as_schema(&[arguments, &["--json"]].concat(), &stdout);
    let printed = stdout + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), json, printed)
}

pub(crate) async fn deploy(world: &World, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let packages = world.stack.packages();
    let packages = packages.to_str().unwrap();
    nacre(world, &[&["deploy", "--packages", packages], arguments].concat()).await
}

/// The environment of a function without variables of its own: Lambda's, and the address of the local AWS.
const VARIABLES: [&str; 21] = [
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_ENDPOINT_URL",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
    "LANG",
    "LD_LIBRARY_PATH",
    "PATH",
    "PWD",
    "TZ",
    "_HANDLER",
];

pub(crate) fn names(kept: &Value) -> BTreeSet<String> {
    kept.as_array().unwrap().iter().map(|kept| kept["resource"].as_str().unwrap().to_owned()).collect()
}

pub(crate) async fn bucket_exists(world: &World, name: &str) -> bool {
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
    let packages = stack.packages();
    let dry_run = [&["deploy", "--packages", packages.to_str().unwrap()], &change[..], &["--dry-run"]].concat();
    let command = "nacre deploy --parameter StalenessLimitHours=48 --dry-run";
    assert_screen("deploy.md", command, &screen(&world, &dry_run).await, &[]);
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
    let code_bucket = account["kept"].as_array().unwrap().iter().find(|kept| kept["resource"] == "CodeBucket").unwrap();
    let shown_as = [
        (scanned, "uploads"),
        (definitions, "definitions"),
        (records, "records"),
        (code_bucket["name"].as_str().unwrap(), "packages"),
    ];
    assert_screen("deploy.md", "nacre destroy", &screen(world, &["destroy"]).await, &shown_as);
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

/// A stack beside that of the world: its own calls deployed that one, so the packages are written here.
pub(crate) async fn deploy_another(world: &World, name: &str, arguments: &[&str]) -> (Option<i32>, Value, String) {
    let packages = tempfile::tempdir().unwrap();
    Packages::of_built_programs().unwrap().write(packages.path()).unwrap();
    let common = ["deploy", "--stack", name, "--packages", packages.path().to_str().unwrap()];
    nacre(world, &[&common[..], arguments].concat()).await
}

#[tokio::test]
async fn a_failed_update_is_reported_and_a_failed_creation_is_repeated() {
    let world = World::empty(&[]).await;
    let nowhere = ["--parameter", "DefinitionsMirror=http://127.0.0.1:9"];
    let (code, report, printed) = deploy_another(&world, "silent", &nowhere).await;
    assert_eq!(
        (code, &report["outcome"], &report["self_test"]),
        (Some(1), &json!("created"), &Value::Null),
        "{printed}"
    );
    assert!(report["findings"][0].as_str().unwrap().starts_with("no definitions are published"), "{printed}");
    let own = report["outputs"]["FirstUpdate"].as_str().unwrap();
    assert!(own.starts_with("failed, and is tried again on schedule: ") && own.contains("127.0.0.1:9"), "{own}");

    // No function is there to run the first update.
    let broken = world.stack.logs().with_file_name("broken.yaml");
    let template = fs::read_to_string(concat!(env!("CARGO_MANIFEST_DIR"), "/../infra/template.yaml")).unwrap();
    let nobody = "ServiceToken: arn:aws:lambda:eu-west-1:210987654321:function:nobody";
    let template = template.replace("ServiceToken: !GetAtt UpdaterFunction.Arn", nobody);
    fs::write(&broken, template).unwrap();
    let (code, _, printed) = deploy_another(&world, "again", &["--template", broken.to_str().unwrap()]).await;
    assert!(
        code == Some(2) && printed.contains("CloudFormation took it back") && printed.contains("FirstUpdate"),
        "{printed}"
    );
    let (code, _, printed) = deploy_another(&world, "again", &["--dry-run"]).await;
    assert!(code == Some(2) && printed.contains("could not be created the last time"), "{printed}");
    let (code, report, printed) = deploy_another(&world, "again", &["--parameter", "StartFirstUpdate=False"]).await;
    assert_eq!((code, &report["outcome"]), (Some(0), &json!("created")), "{printed}");
    let buckets = world.stack.s3().list_buckets().send().await.unwrap();
    let of_this = buckets.buckets().iter().filter(|bucket| bucket.name().unwrap().starts_with("again-")).count();
    assert_eq!(of_this, 2, "the creation that failed left nothing: {buckets:?}");
    world.end().await;
}

#[tokio::test]
async fn a_bucket_that_exists_is_attached_with_its_stack() {
    let world = World::empty(&[]).await;
    world.mirror.put("main.cvd", main_database());
    world.mirror.put("daily.cvd", daily(1, false));
    let s3 = world.stack.s3();
    world.stack.create_bucket("given").await.unwrap();
    let updater =
        world.stack.lambda().get_function_configuration().function_name(world.stack.output("UpdaterFunction"));
    let settings = updater.send().await.unwrap().environment.unwrap().variables.unwrap();
    let parameters = [
        format!("DefinitionsMirror={}", world.mirror.url()),
        format!("TrustAnchors={}", settings["NACRE_TRUST_ANCHORS"]),
        "Databases=main,daily".to_owned(),
        "PrivateMirror=True".to_owned(),
        "ScanStalenessLimitHours=10000000".to_owned(),
        "InfectedObjects=delete".to_owned(),
    ];
    let parameters = parameters.iter().flat_map(|parameter| ["--parameter", parameter]).collect::<Vec<_>>();
    let (code, report, printed) =
        deploy_another(&world, "given", &[&["--bucket", "given"], &parameters[..]].concat()).await;
    assert_eq!((code, &report["generation"]), (Some(0), &json!(1)), "{printed}");
    assert_eq!(report["self_test"]["infected"]["status"], json!(404), "deleted: {printed}");
    let notification = s3.get_bucket_notification_configuration().bucket("given").send().await.unwrap();
    assert_eq!(
        notification.topic_configurations()[0].topic_arn(),
        report["outputs"]["ScannerTrigger"].as_str().unwrap()
    );
    let policy = s3.get_bucket_policy().bucket("given").send().await.unwrap();
    let of_output: Value = serde_json::from_str(report["outputs"]["ScannedBucketPolicy"].as_str().unwrap()).unwrap();
    assert_eq!(serde_json::from_str::<Value>(policy.policy().unwrap()).unwrap(), of_output);

    let (code, account, printed) = nacre(&world, &["destroy", "--stack", "given", "--yes"]).await;
    let kept: BTreeSet<_> = ["CodeBucket", "DefinitionsBucket", "ScanRecords"].map(str::to_owned).into();
    assert_eq!((code, names(&account["kept"])), (Some(0), kept), "{printed}");
    let (code, _, printed) = nacre(&world, &["destroy", "--stack", "given", "--yes", "--remove-data", "given"]).await;
    assert_eq!(code, Some(2), "the stack did not make it: {printed}");
    assert!(bucket_exists(&world, "given").await);
    world.end().await;
}

/// What a function of the local stack finds and may do is what AWS documents of Lambda, or less: docs/lambda.md.
#[tokio::test]
async fn the_probe_reports_what_is_refused_and_leaves_nothing() {
    let world = World::empty(&[]).await;
    let packages = tempfile::tempdir().unwrap();
    Packages::of_built_programs().unwrap().write(packages.path()).unwrap();
    let probe = ["deploy", "--probe", "--packages", packages.path().to_str().unwrap()];
    let (code, report, printed) = nacre(&world, &probe).await;
    assert_eq!(code, Some(0), "{printed}");
    let (calls, facts, directories) = (&report["calls"], &report["facts"], &report["directories"]);
    let denied = [
        "prctl PR_SET_DUMPABLE",
        "prctl PR_SET_NAME",
        "prctl PR_SET_NO_NEW_PRIVS",
        "prctl PR_SET_PDEATHSIG",
        "ptrace PTRACE_TRACEME",
        "unshare CLONE_NEWNET",
        "unshare CLONE_NEWNS",
        "unshare CLONE_NEWPID",
        "unshare CLONE_NEWUSER",
    ];
    for call in denied {
        assert!(calls[call].as_str().unwrap().contains("EPERM"), "{call}: {printed}");
    }
    assert!(calls["seccomp filter"].as_str().unwrap().starts_with("refused: "), "{printed}");
    assert!(calls["landlock"].as_str().unwrap().starts_with("refused: "), "{printed}");
    assert_eq!(calls["flock in /tmp"], json!("allowed"));
    for (directory, found) in directories.as_object().unwrap() {
        let expected = if directory == "/tmp" { "writable" } else { "refused: " };
        let found = found.as_str().unwrap();
        assert!(found.starts_with(expected) || (directory != "/tmp" && found == "absent"), "{directory}: {printed}");
    }
    assert_eq!((&directories["/dev/shm"], &facts["capabilities"]), (&json!("absent"), &json!("0000000000000000")));
    assert_eq!((&facts["user"], &facts["limit of open files"]), (&json!("993 993 993 993"), &json!("1024 1024 files")));
    assert_eq!(facts["disk in /tmp"], json!("4096 of 4096 MB are free"));
    let variables: Vec<&str> = report["environment"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert_eq!(variables, VARIABLES, "{printed}");
    let stacks = aws_sdk_cloudformation::Client::new(world.stack.sdk_config());
    assert!(stacks.describe_stacks().stack_name("nacre-probe").send().await.is_err(), "it is deleted");
    world.end().await;
}
