//! A scanner that loads scan sets, as the template has it by default.

use md5::{Digest, Md5};
use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    signing::SigningKeys,
};
use nacre_core::{bucket_keys::BODIES_PREFIX, verdict::Verdict};
use nacre_test_support::{
    deployed::{DEADLINE, EVIL, World, daily_builder, published},
    programs_directory,
};

/// What only a digest knows.
const KNOWN: &str = "known by its digest alone";

#[tokio::test]
async fn the_scanner_and_the_command_need_no_whole_database_where_there_are_scan_sets() {
    let world = World::empty(&[]).await;
    let stack = &world.stack;
    let hdb = format!("{}:{}:Test.Digest\n", hex::encode(Md5::digest(KNOWN)), KNOWN.len());
    let main = CvdBuilder::new("main").version(62).member("main.ndb", eicar_signature());
    world.mirror.put(
        "main.cvd",
        main.member("main.hdb", format!("{}:7:Test.Other\n", "1".repeat(32))).build(SigningKeys::fixed()),
    );
    world.mirror.put("daily.cvd", daily_builder(1, true).member("daily.hdb", hdb).build(SigningKeys::fixed()));
    assert_eq!(published(&world.update().await), 1);
    // What is left is the scan sets.
    let (s3, bucket) = (stack.s3(), stack.output("DefinitionsBucket"));
    for prefix in [BODIES_PREFIX, "clamav_defs/"] {
        let listed = s3.list_objects_v2().bucket(bucket).prefix(prefix).send().await.unwrap();
        assert!(!listed.contents().is_empty(), "{prefix}");
        for object in listed.contents() {
            s3.delete_object().bucket(bucket).key(object.key().unwrap()).send().await.unwrap();
        }
    }
    for (name, content, infected) in
        [("known.bin", KNOWN, true), ("evil.txt", EVIL, true), ("harmless.txt", "nothing knows this", false)]
    {
        let object = stack.put(name, content).await.unwrap();
        let verdict = stack.await_settled(&object, DEADLINE).await.unwrap().verdict;
        assert_eq!(verdict.is_infected(), infected, "{name}: {verdict:?}");
        assert!(infected || verdict == Verdict::Clean, "{name}: {verdict:?}");
    }

    let directory = tempfile::tempdir().unwrap();
    let file = directory.path().join("known.bin");
    std::fs::write(&file, KNOWN).unwrap();
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("scan").arg("--definitions").arg(format!("s3://{bucket}")).arg(&file);
    command.arg("--keys").arg(SigningKeys::fixed().trust_anchors().to_json());
    command.env_clear().envs(stack.operator_environment()).kill_on_drop(true);
    let output = command.output().await.unwrap();
    let printed = String::from_utf8_lossy(&[output.stdout, output.stderr].concat()).into_owned();
    assert!(output.status.code() == Some(1) && printed.contains("known.bin: INFECTED Test.Digest"), "{printed}");
    world.end().await;
}
