//! Infected objects that are moved away, and those that cannot be.

use std::time::Duration;

use aws_sdk_s3::types::{
    DefaultRetention, ObjectLockConfiguration, ObjectLockEnabled, ObjectLockRetentionMode, ObjectLockRule,
};
use nacre_clamav::builder::eicar;
use nacre_core::{object::ObjectId, verdict::Verdict};
use nacre_test_support::{
    deployed::{DEADLINE, World},
    get_status, programs_directory,
};
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::{Value, json};

use crate::objects::await_quiet;

#[tokio::test]
async fn an_infected_object_that_is_locked_is_refused_copied_and_done_with() {
    let world = World::ready(&[("InfectedObjects", "quarantine")]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    let (bucket, quarantine) = (stack.scanned_bucket(), stack.output("QuarantineBucket"));
    let retention = DefaultRetention::builder().mode(ObjectLockRetentionMode::Governance).days(1).build();
    let rule = ObjectLockRule::builder().default_retention(retention).build();
    let enabled = ObjectLockConfiguration::builder().object_lock_enabled(ObjectLockEnabled::Enabled).rule(rule);
    let lock = s3.put_object_lock_configuration().bucket(bucket).object_lock_configuration(enabled.build());
    lock.send().await.unwrap();
    let reader = stack.ordinary_user().await.unwrap();
    let virus = stack.put("eicar.com", eicar()).await.unwrap();
    assert!(stack.await_settled(&virus, DEADLINE).await.unwrap().verdict.is_infected());
    await_quiet(stack).await;
    assert_eq!(get_status(&reader, &virus).await.unwrap(), 403);
    let copied = s3.list_objects_v2().bucket(quarantine).send().await.unwrap();
    let copy = copied.contents().iter().find(|object| object.key().unwrap().ends_with("/content")).unwrap();
    assert_eq!(copied.key_count(), Some(2));

    // Whoever may read everything else may not read that.
    let copy = ObjectId::new(quarantine, copy.key().unwrap(), None);
    let user = stack.user_of(quarantine).await.unwrap();
    assert_eq!(get_status(&user, &copy).await.unwrap(), 403);
    world.end().await;
}

#[tokio::test]
async fn an_infected_object_is_moved_to_quarantine_and_what_is_clean_stays() {
    let world = World::ready(&[("InfectedObjects", "quarantine"), ("ResultDialects", "predecessor,guardduty")]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    let clean = stack.put("clean.txt", "harmless\n").await.unwrap();
    let settled = stack.await_settled(&clean, DEADLINE).await.unwrap();
    assert_eq!(settled.verdict, Verdict::Clean);
    assert_eq!(stack.tag(&clean, "GuardDutyMalwareScanStatus").await.unwrap().as_deref(), Some("NO_THREATS_FOUND"));

    stack.put("a b/../eicar.com", eicar()).await.unwrap();
    let quarantine = stack.output("QuarantineBucket");
    let deadline = tokio::time::Instant::now() + DEADLINE;
    let there = loop {
        let listed = s3.list_objects_v2().bucket(quarantine).send().await.unwrap();
        let remaining = s3.list_objects_v2().bucket(stack.scanned_bucket()).send().await.unwrap();
        let keys: Vec<String> = listed.contents().iter().filter_map(|object| object.key().map(str::to_owned)).collect();
        if keys.len() == 2 && remaining.key_count() == Some(1) {
            break keys;
        }
        assert!(tokio::time::Instant::now() < deadline, "{keys:?}");
        tokio::time::sleep(Duration::from_millis(200)).await;
    };
    let provenance = there.iter().find(|key| key.ends_with("/provenance.json")).unwrap();
    let stored = s3.get_object().bucket(quarantine).key(provenance).send().await.unwrap();
    let printed: Value = serde_json::from_slice(&stored.body.collect().await.unwrap().to_vec()).unwrap();
    assert_eq!((&printed["key"], &printed["bucket"]), (&json!("a b/../eicar.com"), &json!(stack.scanned_bucket())));
    let content = provenance.replace("provenance.json", "content");
    let stored = s3.get_object().bucket(quarantine).key(content).send().await.unwrap();
    assert_eq!(stored.body.collect().await.unwrap().to_vec(), eicar());
    await_quiet(stack).await;

    // What is released is scanned like any upload: what still matches does not stay.
    let nacre = async |arguments: &[&str]| {
        let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
        command.arg("quarantine").args(arguments).env_clear().envs(stack.operator_environment());
        let output = command.env("NACRE_QUARANTINE_BUCKET", quarantine).kill_on_drop(true).output().await.unwrap();
        let stdout = String::from_utf8(output.stdout).unwrap();
        assert_as_schema(&[&["quarantine"], arguments].concat(), &stdout);
        (output.status.code(), stdout + &String::from_utf8(output.stderr).unwrap())
    };
    let id = provenance.split('/').nth(1).unwrap();
    let (code, printed) = nacre(&["list"]).await;
    assert!(code == Some(0) && printed.starts_with(id) && printed.contains("Eicar-Test-Signature"), "{printed}");
    let names = [(stack.scanned_bucket(), "uploads"), ("a b/../eicar.com", "in/eicar.com")];
    assert_screen("deploy.md", "nacre quarantine list", &printed, &names);
    let (code, printed) = nacre(&["list", "--json"]).await;
    assert!(code == Some(0) && printed.contains(&format!("\"id\":\"{id}\"")), "{printed}");
    let (code, printed) = nacre(&["release", id]).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_screen("deploy.md", "nacre quarantine release 0f3c6a1be2d94c7f8a5b6c7d8e9f0a1b", &printed, &names);
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while s3.list_objects_v2().bucket(quarantine).send().await.unwrap().key_count() != Some(2) {
        assert!(tokio::time::Instant::now() < deadline, "what still matches stays where it is");
        tokio::time::sleep(Duration::from_millis(200)).await;
    }
    await_quiet(stack).await;
    // Released, it was another version, and is another entry.
    let (_, listed) = nacre(&["list"]).await;
    let (code, printed) = nacre(&["delete", listed.split_whitespace().next().unwrap()]).await;
    assert_eq!(code, Some(0), "{printed}");
    assert_screen("deploy.md", "nacre quarantine delete 5d1f6a1be2d94c7f8a5b6c7d8e9f0a1b", &printed, &names);
    let left = s3.list_object_versions().bucket(quarantine).send().await.unwrap();
    assert_eq!((left.versions().len(), left.delete_markers().len()), (0, 0), "versions before it are gone, too");
    let (code, printed) = nacre(&["delete", "../../etc"]).await;
    assert!(code == Some(2) && printed.contains("32 hexadecimal digits"), "{printed}");
    world.end().await;
}
