//! A bucket that had objects before Nacre came.

use std::{collections::BTreeMap, io::Write};

use flate2::{Compression, write::GzEncoder};
use md5::{Digest, Md5};
use nacre_clamav::builder::eicar;
use nacre_core::object::ObjectId;
use nacre_test_support::programs_directory;
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::{Value, json};

use nacre_test_support::deployed::{DEADLINE, World};

const BUCKET: &str = "here-before-us";

/// Runs `nacre backfill`; answers its exit status and what it printed.
async fn nacre(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("backfill").args(arguments).env_clear().envs(world.stack.operator_environment());
    for (variable, output) in [
        ("AV_DEFINITION_S3_BUCKET", "DefinitionsBucket"),
        ("NACRE_RECORDS_TABLE", "ScanRecords"),
        ("NACRE_TRIGGER_TOPIC_ARN", "RescanTrigger"),
    ] {
        command.env(variable, world.stack.output(output));
    }
    let output = command.kill_on_drop(true).output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_as_schema(&[&["backfill"], arguments].concat(), &stdout);
    (output.status.code(), stdout + &String::from_utf8(output.stderr).unwrap())
}

/// What `--json` prints of a run that went to its end.
async fn printed(world: &World, arguments: &[&str]) -> (u64, u64, u64) {
    let (code, printed) = nacre(world, &[arguments, &["--json"]].concat()).await;
    assert_eq!(code, Some(0), "{printed}");
    let printed: Value = serde_json::from_str(&printed).unwrap();
    let number = |name: &str| printed[name].as_u64().unwrap();
    (number("objects"), number("recorded"), number("asked"))
}

/// Writes an inventory of these keys, as S3 does, and answers where its manifest is.
async fn inventory(world: &World, keys: &[&str], md5: Option<&str>) -> String {
    let lines = keys.iter().map(|key| format!("\"{BUCKET}\",\"{key}\",\"7\"\n")).collect::<Vec<_>>().concat();
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(lines.as_bytes()).unwrap();
    let file = encoder.finish().unwrap();
    let md5 = md5.map_or_else(|| hex::encode(Md5::digest(&file)), str::to_owned);
    let manifest = json!({
        "sourceBucket": BUCKET, "destinationBucket": "arn:aws:s3:::inventories", "version": "2016-11-30",
        "fileFormat": "CSV", "fileSchema": "Bucket, Key, Size",
        "files": [{ "key": "data/1.csv.gz", "size": file.len(), "MD5checksum": md5 }],
    });
    let put =
        |key: &str, bytes: Vec<u8>| world.stack.s3().put_object().bucket("inventories").key(key).body(bytes.into());
    put("data/1.csv.gz", file).send().await.unwrap();
    put("manifest.json", manifest.to_string().into_bytes()).send().await.unwrap();
    "s3://inventories/manifest.json".to_owned()
}

/// What `nacre estimate --json` prints.
async fn estimate(world: &World, arguments: &[&str]) -> Value {
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("estimate").args(arguments).arg("--json").env_clear().envs(world.stack.operator_environment());
    let output = command.kill_on_drop(true).output().await.unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_as_schema(&["estimate", "--json"], std::str::from_utf8(&output.stdout).unwrap());
    serde_json::from_slice(&output.stdout).unwrap()
}

/// Compares what a first scan would be charged for with the calls of the functions that did it.
fn holds_within_15_percent(estimated: &Value, calls: &[(String, String)]) {
    let scanner = |(_, caller): &&(String, String)| caller.contains("ScannerRole");
    let mut counted = BTreeMap::from([("s3_requests", 0.0), ("record_reads", 0.0), ("record_writes", 0.0)]);
    for (action, _) in calls.iter().filter(scanner) {
        let item = match action.as_str() {
            // Definitions are read without a version.
            "s3:GetObjectVersion" | "s3:GetObjectVersionTagging" | "s3:PutObjectVersionTagging" => "s3_requests",
            "dynamodb:GetItem" => "record_reads",
            "dynamodb:PutItem" | "dynamodb:UpdateItem" => "record_writes",
            _ => continue,
        };
        *counted.entry(item).or_default() += 1.0;
    }
    for (item, counted) in counted {
        let expected = estimated["first_scan"]["usage"][item].as_f64().unwrap();
        assert!(
            (expected - counted).abs() <= 0.15 * counted,
            "{item}: {expected} estimated, {counted} counted: {calls:?}"
        );
    }
}

#[tokio::test]
async fn objects_that_were_there_before_are_scanned_once() {
    // A message that is delivered again is counted again: an engine may take longer to start than the other tests' timeout.
    let world = World::ready(&[("ScannedBucketName", BUCKET), ("LocalVisibilityTimeout", "600")]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    for bucket in [BUCKET, "inventories"] {
        stack.create_bucket(bucket).await.unwrap();
    }
    let eicar = eicar();
    let keys = ["old/a b+c.txt", "old/ünï.txt", "old/sub/eicar.com", "elsewhere.txt"];
    for key in keys {
        let content = if key.contains("eicar") { eicar.clone() } else { b"nothing".to_vec() };
        s3.put_object().bucket(BUCKET).key(key).body(content.into()).send().await.unwrap();
    }

    let place = format!("s3://{BUCKET}/old/");
    assert_eq!(printed(&world, &[&place, "--dry-run"]).await, (3, 0, 3));
    assert!(stack.records().await.unwrap().is_empty(), "a dry run asks for nothing");
    let estimated = estimate(&world, &["--bucket", &place]).await;
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.args(["estimate", "--bucket", &place]).env_clear().envs(stack.operator_environment());
    let screen = String::from_utf8(command.output().await.unwrap().stdout).unwrap();
    assert_screen("costs.md", "nacre estimate --bucket s3://uploads/old/", &screen, &[(BUCKET, "uploads")]);
    let (code, text) = nacre(&world, &[&place]).await;
    assert!(code == Some(0) && text.contains("3 objects, 0 recorded, 3 requested"), "{text}");
    assert_screen("operations.md", "nacre backfill s3://uploads/old/", &text, &[]);
    let three = stack.await_records(DEADLINE, |records| records.iter().filter(|record| record.reported).count() == 3);
    three.await.unwrap();
    holds_within_15_percent(&estimated, &stack.calls().unwrap());
    let status = async |key: &str| stack.tag(&ObjectId::new(BUCKET, key, None), "av-status").await.unwrap();
    assert_eq!(status("old/sub/eicar.com").await.as_deref(), Some("INFECTED"));
    assert_eq!(status("old/a b+c.txt").await.as_deref(), Some("CLEAN"));
    assert_eq!(status("elsewhere.txt").await, None);
    assert_eq!(printed(&world, &[&place]).await, (3, 3, 0), "again, nothing is requested");

    // The rest by an inventory, which lists one that is gone by now.
    let manifest = inventory(&world, &["old/a+b%2Bc.txt", "elsewhere.txt", "gone.txt"], None).await;
    let place = format!("s3://{BUCKET}");
    assert_eq!(printed(&world, &[&place, "--inventory", &manifest]).await, (3, 1, 2));
    let listed = estimate(&world, &["--inventory", &manifest]).await;
    assert_eq!((&listed["objects"], &listed["bytes"]), (&json!(3), &json!(21)));
    let four = stack.await_records(DEADLINE, |records| records.iter().filter(|record| record.reported).count() == 4);
    four.await.unwrap();
    assert_eq!(status("elsewhere.txt").await.as_deref(), Some("CLEAN"));

    let manifest = inventory(&world, &["elsewhere.txt"], Some("00000000000000000000000000000000")).await;
    let (code, text) = nacre(&world, &[&place, "--inventory", &manifest]).await;
    assert!(code == Some(2) && text.contains("data/1.csv.gz has another MD5 than the manifest says"), "{text}");
    let (code, text) = nacre(&world, &["s3://no-such-bucket-here"]).await;
    assert!(code == Some(2) && text.contains("no-such-bucket-here cannot be listed"), "{text}");
    world.end().await;
}
