//! The main job: definitions arrive, objects are scanned, a new signature finds the one that it should.

use nacre_clamav::{builder::eicar, signing::SigningKeys};
use nacre_core::verdict::Verdict;
use nacre_test_support::{get_status, programs_directory};
use nacre_testing::documented::assert_screen;

use nacre_test_support::deployed::{DEADLINE, EVIL, World, daily, published};

#[tokio::test]
async fn a_new_signature_finds_the_object_that_it_should_and_only_that() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let reader = stack.ordinary_user().await.unwrap();
    let virus = stack.put("eicar.com", eicar()).await.unwrap();
    let latent = stack.put("latent.txt", format!("{EVIL}\n")).await.unwrap();
    let harmless = stack.put("harmless.txt", "nothing to see here\n").await.unwrap();
    for object in [&virus, &latent, &harmless] {
        stack.await_settled(object, DEADLINE).await.unwrap();
    }
    assert_eq!(get_status(&reader, &virus).await.unwrap(), 403);
    assert_eq!(get_status(&reader, &latent).await.unwrap(), 200);
    assert_eq!(stack.tag(&latent, "av-status").await.unwrap().as_deref(), Some("CLEAN"));

    world.mirror.put("daily.cvd", daily(2, true));
    let updated = world.update().await;
    assert_eq!(published(&updated), 2);
    assert!(updated.logs.contains(r#""Stack":"nacre""#), "metrics are of their stack: {}", updated.logs);
    let records = stack.await_records(DEADLINE, |records| {
        records.iter().filter(|record| record.generation.0 == 2 && record.reported).count() == 2
    });
    let records = records.await.unwrap();
    let left_alone = records.iter().find(|record| record.object == virus).unwrap();
    assert_eq!(left_alone.generation.0, 1, "what convicted it stands");
    let infected: Vec<_> = records
        .iter()
        .filter(|record| matches!(record.verdict, Verdict::Infected { .. }))
        .map(|record| &record.object)
        .collect();
    assert_eq!(infected.len(), 2, "{infected:?}");
    assert!(infected.contains(&&latent) && infected.contains(&&virus));
    assert_eq!(get_status(&reader, &latent).await.unwrap(), 403);
    assert_eq!(get_status(&reader, &harmless).await.unwrap(), 200);
    world.end().await;
}

#[tokio::test]
async fn a_signature_of_the_operators_own_convicts_and_an_allow_list_of_theirs_clears() {
    let world = World::ready(&[]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    let put = async |name: &str, content: String| {
        let request = s3.put_object().bucket(stack.output("DefinitionsBucket")).key(format!("nacre/custom/{name}"));
        request.body(content.into_bytes().into()).send().await.unwrap();
    };
    let reader = stack.ordinary_user().await.unwrap();
    let latent = stack.put("latent.txt", format!("{EVIL}\n")).await.unwrap();
    assert_eq!(stack.await_settled(&latent, DEADLINE).await.unwrap().verdict, Verdict::Clean);

    let rescanned = async |generation: u64| {
        assert_eq!(published(&world.update().await), generation);
        let records = stack.await_records(DEADLINE, |records| {
            records.iter().all(|record| record.generation.0 == generation && record.reported)
        });
        records.await.unwrap().remove(0).verdict
    };
    put("local.ndb", format!("Our.Own:0:*:{}\n", hex::encode(EVIL))).await;
    let verdict = rescanned(2).await;
    assert!(
        matches!(&verdict, Verdict::Infected { signatures, .. } if signatures == &["Our.Own.UNOFFICIAL"]),
        "{verdict:?}"
    );
    assert_eq!(get_status(&reader, &latent).await.unwrap(), 403);

    put("local.ign2", "Our.Own\n".to_owned()).await;
    assert_eq!(rescanned(3).await, Verdict::Clean);
    assert_eq!(get_status(&reader, &latent).await.unwrap(), 200);
    world.end().await;
}

/// Runs the operator's command line on the definitions bucket; answers its exit status and what it printed.
async fn nacre(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("definitions").args(arguments).env_clear().envs(world.stack.operator_environment());
    let bucket = world.stack.output("DefinitionsBucket");
    let output = command.env("AV_DEFINITION_S3_BUCKET", bucket).kill_on_drop(true).output().await.unwrap();
    let printed = String::from_utf8(output.stdout).unwrap() + &String::from_utf8(output.stderr).unwrap();
    (output.status.code(), printed)
}

#[tokio::test]
async fn a_rollback_clears_what_the_bad_generation_convicted_and_stays_until_unpinned() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let reader = stack.ordinary_user().await.unwrap();
    let harmless = stack.put("harmless.txt", format!("{EVIL}, but not really\n")).await.unwrap();
    stack.await_settled(&harmless, DEADLINE).await.unwrap();
    let settled = async |generation: u64| {
        let records = stack.await_records(DEADLINE, |records| {
            records.iter().all(|record| record.generation.0 == generation && record.reported)
        });
        records.await.unwrap();
        get_status(&reader, &harmless).await.unwrap()
    };
    world.mirror.put("daily.cvd", daily(2, true));
    assert_eq!(published(&world.update().await), 2);
    assert_eq!(settled(2).await, 403, "a false positive");

    let (code, printed) = nacre(&world, &["list"]).await;
    assert!(code == Some(0) && printed.contains("daily 2, main 62  (published)"), "{printed}");
    assert_screen("cli-definitions.md", "nacre definitions list", &printed, &[]);
    let (code, printed) = nacre(&world, &["rollback"]).await;
    assert!(
        code == Some(0)
            && printed.contains("generation 3 is published and pinned: daily 1, main 62 (as in generation 1)"),
        "{printed}"
    );
    assert_screen("cli-definitions.md", "nacre definitions rollback", &printed, &[]);
    let pinned = world.update().await;
    assert_eq!((published(&pinned), &pinned.payload["outcome"]), (3, &serde_json::json!("pinned")));
    assert_eq!(settled(3).await, 200, "cleared");
    let (code, printed) = nacre(&world, &["status", "--staleness-limit", "1000000"]).await;
    assert!(
        code == Some(0) && printed.contains("pinned: updates wait") && !printed.contains("still to come"),
        "{printed}"
    );
    assert_screen("cli-definitions.md", "nacre definitions status", &printed, &[("test#", "ours#")]);
    let (code, printed) = nacre(&world, &["rollback", "9"]).await;
    assert!(code == Some(2) && printed.contains("there is no generation 9"), "{printed}");

    let (code, printed) = nacre(&world, &["unpin"]).await;
    assert!(code == Some(0) && printed.contains("generation 3 is not pinned any more"), "{printed}");
    assert_screen("cli-definitions.md", "nacre definitions unpin", &printed, &[]);
    world.mirror.put("daily.cvd", daily(3, false));
    assert_eq!(published(&world.update().await), 4);
    assert_eq!(settled(3).await, 200, "nothing changed that could concern it");
    // Files in the bucket are read and written as local ones are.
    let file = format!("s3://{}/clamav_defs/daily.cvd", stack.output("DefinitionsBucket"));
    let anchors = SigningKeys::fixed().trust_anchors().to_json();
    let (code, printed) = nacre(&world, &["verify", &file, "--keys", &anchors]).await;
    assert!(code == Some(0) && printed.contains("daily.cvd: OK version 3"), "{printed}");
    world.end().await;
}
