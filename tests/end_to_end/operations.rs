//! The commands by which a deployment is operated, found by the name of its stack alone.

use std::time::Duration;

use nacre_clamav::builder::eicar;
use nacre_core::object::ObjectId;
use nacre_test_support::{
    Stack,
    deployed::{DEADLINE, World},
    programs_directory,
};
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::{Value, json};

/// Runs `nacre` as an operator who has credentials, a region, and the name of the stack by default; its exit status and what it
/// printed.
pub(crate) async fn nacre(stack: &Stack, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.args(arguments).env_clear().envs(stack.operator_environment()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_as_schema(arguments, &stdout);
    (output.status.code(), stdout + &String::from_utf8(output.stderr).unwrap())
}

/// Runs it until it ends and prints as it should.
pub(crate) async fn until(stack: &Stack, arguments: &[&str], expected: impl Fn(Option<i32>, &str) -> bool) -> String {
    let deadline = tokio::time::Instant::now() + DEADLINE;
    loop {
        let (code, printed) = nacre(stack, arguments).await;
        if expected(code, &printed) {
            return printed;
        }
        assert!(tokio::time::Instant::now() < deadline, "nacre {arguments:?}: {code:?}: {printed}");
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}

/// Refuses an action to everybody whom policies bind; `None` takes that back.
async fn deny(stack: &Stack, denied: Option<(&str, &str)>) {
    let (s3, bucket) = (stack.s3(), stack.scanned_bucket());
    let policy = s3.get_bucket_policy().bucket(bucket).send().await.unwrap();
    let mut policy: Value = serde_json::from_str(policy.policy().unwrap()).unwrap();
    let statements = policy["Statement"].as_array_mut().unwrap();
    statements.retain(|statement| statement["Sid"] != "Own");
    statements.extend(denied.map(|(action, prefix)| {
        let resource = format!("arn:aws:s3:::{bucket}/{prefix}*");
        json!({ "Sid": "Own", "Effect": "Deny", "Principal": "*", "Action": action, "Resource": resource })
    }));
    s3.put_bucket_policy().bucket(bucket).policy(policy.to_string()).send().await.unwrap();
}

/// The message of an upload, as a dead letter.
async fn give_up(stack: &Stack, object: &ObjectId) {
    let record = json!({ "eventSource": "aws:s3", "eventName": "ObjectCreated:Put", "s3": {
        "bucket": { "name": object.bucket }, "object": { "key": object.key, "versionId": object.version_id } } });
    let send = stack.sqs().send_message().queue_url(stack.output("ScanDeadLetters"));
    send.message_body(json!({ "Records": [record] }).to_string()).send().await.unwrap();
}

#[tokio::test]
async fn a_deployment_is_operated_by_the_name_of_its_stack() {
    let world = World::ready(&[("StalenessLimitHours", "10000000")]).await;
    let stack = &world.stack;
    let clean = stack.put("in/clean \u{1b}[31m.txt", b"nothing".to_vec()).await.unwrap();
    let infected = stack.put("in/eicar.com", eicar()).await.unwrap();
    // `openssl enc`.
    stack.put("in/locked.bin", format!("Salted__12345678{}", "\u{1}\u{2}\u{3}\u{4}".repeat(64))).await.unwrap();
    let names = [(stack.scanned_bucket(), "uploads")];
    stack
        .await_records(DEADLINE, |records| records.iter().filter(|record| record.reported).count() == 3)
        .await
        .unwrap();

    // What is there is found without any name; another stack is not.
    let (code, printed) = nacre(stack, &["definitions", "list"]).await;
    assert!(code == Some(0) && printed.contains("(published)"), "{printed}");
    for command in ["list", "status"] {
        let (code, printed) = nacre(stack, &["definitions", command, "--json"]).await;
        assert!(code.is_some_and(|code| code < 2) && printed.contains("\"generation\":1"), "{printed}");
    }
    let (code, printed) = nacre(stack, &["rescan", "plan"]).await;
    assert!(code == Some(0) && printed.starts_with("3 records"), "{printed}");
    assert_screen("passes.md", "nacre rescan plan", &printed, &[]);
    let (code, printed) = nacre(stack, &["quarantine", "list"]).await;
    assert!(code == Some(2) && printed.contains("InfectedObjects=quarantine"), "{printed}");
    let (code, printed) = nacre(stack, &["rescan", "start", "--stack", "nowhere"]).await;
    assert!(code == Some(2) && printed.contains("has no stack nowhere in"), "{printed}");

    // Verdicts.
    let (code, printed) = nacre(stack, &["infected"]).await;
    assert!(
        code == Some(1) && printed.contains("  Eicar-Test-Signature") && printed.contains("in/eicar.com"),
        "{printed}"
    );
    assert_screen("operations.md", "nacre infected", &printed, &names);
    let (code, printed) =
        nacre(stack, &["infected", "--csv", "--under", &format!("s3://{}/in/", infected.bucket)]).await;
    assert!(code == Some(1) && printed.lines().count() == 2 && printed.contains(r#","in/eicar.com","#), "{printed}");
    let (code, printed) = nacre(stack, &["infected", "--under", "s3://other/"]).await;
    assert_eq!((code, printed.as_str()), (Some(0), ""));
    let (code, printed) = nacre(stack, &["infected", "--json"]).await;
    assert!(code == Some(1) && printed.lines().count() == 1, "{printed}");
    let (code, printed) = nacre(stack, &["unscannable"]).await;
    assert_eq!(code, Some(1), "{printed}");
    assert_screen("operations.md", "nacre unscannable", &printed, &names);
    let (code, printed) = nacre(stack, &["unscannable", "--reason", "encrypted", "--json"]).await;
    assert!(code == Some(1) && printed.lines().count() == 1, "{printed}");
    let (code, printed) = nacre(stack, &["unscannable", "--csv", "--reason", "too_large"]).await;
    assert!(code == Some(0) && printed.lines().count() == 1, "{printed}");

    let (code, printed) = nacre(stack, &["object", &infected.to_string(), "--json"]).await;
    let known: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &known["record"]["verdict"], &known["reader"]), (Some(0), &json!("infected"), &json!("refused")));
    assert_eq!((&known["findings"], &known["published"]), (&json!([]), &json!(1)), "{printed}");
    let url = clean.to_string();
    let (code, printed) = nacre(stack, &["object", &url]).await;
    assert!(code == Some(0) && printed.contains("record     clean\n") && printed.contains("\\u{1b}[31m"), "{printed}");
    assert!(!printed.contains('\u{1b}'), "{printed}");
    let printed = until(stack, &["logs", "--object", &url], |_, printed| printed.contains("object scanned")).await;
    assert!(!printed.contains("eicar"), "{printed}");
    let url_of_infected = format!("s3://{}/in/eicar.com", infected.bucket);
    let of_infected = ["logs", "--object", &url_of_infected, "--since", "14d"];
    let (code, printed) = nacre(stack, &of_infected).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_screen("operations.md", "nacre logs --object s3://uploads/in/eicar.com --since 14d", &printed, &names);
    let (code, printed) = nacre(stack, &[&of_infected[..], &["--function", "scanner", "--json"]].concat()).await;
    assert!(code == Some(0) && printed.contains("object scanned"), "{printed}");

    // An object without a record is requested again.
    stack
        .dynamodb()
        .delete_item()
        .table_name(stack.output("ScanRecords"))
        .key("object", aws_sdk_dynamodb::types::AttributeValue::S(clean.partition_key()))
        .key("version_id", aws_sdk_dynamodb::types::AttributeValue::S(clean.sort_key().to_owned()))
        .send()
        .await
        .unwrap();
    let (code, printed) = nacre(stack, &["object", &url]).await;
    assert!(code == Some(1) && printed.contains("`nacre trigger`"), "{printed}");
    let (code, printed) = nacre(stack, &["trigger", &url]).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_screen("operations.md", "nacre trigger s3://uploads/in/eicar.com", &printed, &[]);
    let (code, printed) = nacre(stack, &["trigger", &url, "--json"]).await;
    assert_eq!((code, printed.as_str()), (Some(0), "{\"requested\":1}\n"));
    until(stack, &["object", &url], |code, printed| code == Some(0) && printed.contains("record     clean\n")).await;

    // All is well, until it is not.
    let printed = until(stack, &["status"], |code, _| code == Some(0)).await;
    assert!(printed.contains("generation 1") && printed.contains("1 infected, 1 unscannable"), "{printed}");
    assert!(printed.contains("of 4 layers"), "{printed}");
    let (code, printed) = nacre(stack, &["doctor"]).await;
    assert_eq!((code, printed.as_str()), (Some(0), "no fault is found\n"));
    let disable = stack.s3().put_bucket_notification_configuration().bucket(stack.scanned_bucket());
    let none = aws_sdk_s3::types::NotificationConfiguration::builder().build();
    disable.notification_configuration(none).send().await.unwrap();
    stack.s3().delete_bucket_policy().bucket(stack.scanned_bucket()).send().await.unwrap();
    let (code, printed) = nacre(stack, &["doctor", "--json"]).await;
    let faults: Vec<Value> =
        printed.lines().map(|line| serde_json::from_str::<Value>(line).unwrap()["name"].clone()).collect();
    let expected = [
        "uploads_unseen",
        "restores_unseen",
        "removals_unseen",
        "reading_not_denied",
        "retagging_not_denied",
        "forgery_not_denied",
    ];
    assert_eq!((code, faults), (Some(1), expected.map(Value::from).to_vec()), "{printed}");
    world.end().await;
}

#[tokio::test]
async fn what_was_given_up_on_is_explained_and_done_after_its_repair() {
    let world = World::ready(&[("StalenessLimitHours", "10000000")]).await;
    let stack = &world.stack;
    deny(stack, Some(("s3:PutObject*Tagging", "poison/"))).await;
    let poison = stack.put("poison/a.txt", b"nothing".to_vec()).await.unwrap();
    until(stack, &["logs", "--object", &poison.to_string()], |_, printed| printed.contains("cause=")).await;
    give_up(stack, &poison).await;
    let other = ObjectId::new(stack.scanned_bucket(), "never-there.txt", Some("1".into()));
    give_up(stack, &other).await;

    let (code, printed) = nacre(stack, &["dlq", "list"]).await;
    assert!(code == Some(1) && printed.starts_with("scan               2"), "{printed}");
    assert_screen("operations.md", "nacre dlq list", &printed, &[]);
    let (code, printed) = nacre(stack, &["status"]).await;
    assert!(code == Some(1) && printed.contains("2 messages are in the dead-letter queue scan"), "{printed}");
    assert!(printed.contains("scanner logged"), "{printed}");
    // Failures count from when the message was sent.
    let explained = |_, printed: &str| printed.contains("access denied");
    let printed = until(stack, &["dlq", "show", "scan"], explained).await;
    let (code, _) = nacre(stack, &["dlq", "show", "scan"]).await;
    assert!(code == Some(1) && printed.contains("access denied") && printed.contains(&poison.to_string()), "{printed}");
    assert!(printed.contains("no failure is logged"), "{printed}");
    assert_screen("operations.md", "nacre dlq show scan", &printed, &[(stack.scanned_bucket(), "uploads")]);
    let (code, printed) = nacre(stack, &["doctor"]).await;
    assert!(code == Some(1) && printed.contains("(access_denied)") && printed.contains("(dead_letters)"), "{printed}");
    // What was shown is there for the next reader at once.
    let denied = ["--cause", "access denied"];
    let (code, printed) = nacre(stack, &[&["dlq", "drop", "scan"], &denied[..]].concat()).await;
    assert!(code == Some(0) && printed.starts_with("1 messages would be deleted"), "{printed}");

    deny(stack, None).await;
    let (code, printed) = nacre(stack, &[&["dlq", "redrive", "scan", "--rate", "10"], &denied[..]].concat()).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_screen("operations.md", "nacre dlq redrive scan --cause 'access denied' --rate 10", &printed, &[]);
    let tagged = |_, printed: &str| printed.contains("av-status=CLEAN");
    until(stack, &["object", &poison.to_string()], tagged).await;
    let (code, printed) = nacre(stack, &["dlq", "show", "scan", "--json"]).await;
    let left: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((code, &left["objects"]), (Some(1), &json!([other.to_string()])), "{printed}");
    let (code, printed) = nacre(stack, &["dlq", "drop", "scan", "--object", &other.to_string(), "--yes"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let command = "nacre dlq drop scan --object s3://uploads/never-there.txt?versionId=1 --yes";
    assert_screen("operations.md", command, &printed, &[]);
    let (code, printed) = nacre(stack, &["dlq", "list", "--json"]).await;
    assert!(code == Some(0) && printed.lines().count() == 4, "{printed}");
    world.end().await;
}
