//! The main job: definitions arrive, objects are scanned, a new signature finds the one that it should.

use nacre_shared::{testing::definitions::eicar, verdict::Verdict};
use nacre_stack::get_status;

use crate::support::{EVIL, PATIENCE, World, daily, published};

#[tokio::test]
async fn a_new_signature_finds_the_object_that_it_should_and_only_that() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let reader = stack.ordinary_user().await.unwrap();
    let virus = stack.put("eicar.com", eicar()).await.unwrap();
    let latent = stack.put("latent.txt", format!("{EVIL}\n")).await.unwrap();
    let harmless = stack.put("harmless.txt", "nothing to see here\n").await.unwrap();
    for object in [&virus, &latent, &harmless] {
        stack.await_settled(object, PATIENCE).await.unwrap();
    }
    assert_eq!(get_status(&reader, &virus).await.unwrap(), 403);
    assert_eq!(get_status(&reader, &latent).await.unwrap(), 200);
    assert_eq!(stack.tag(&latent, "av-status").await.unwrap().as_deref(), Some("CLEAN"));

    world.mirror.put("daily.cvd", daily(2, true));
    assert_eq!(published(&world.update().await), 2);
    let records = stack.await_records(PATIENCE, |records| {
        records.iter().filter(|record| record.generation.0 == 2 && record.reported).count() == 3
    });
    let records = records.await.unwrap();
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
    assert_eq!(stack.await_settled(&latent, PATIENCE).await.unwrap().verdict, Verdict::Clean);

    let rescanned = async |generation: u64| {
        assert_eq!(published(&world.update().await), generation);
        let records = stack.await_records(PATIENCE, |records| {
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
