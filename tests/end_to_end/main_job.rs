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
