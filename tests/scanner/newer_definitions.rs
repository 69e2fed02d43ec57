//! What happens between one generation and the next.

use std::time::Duration;

use nacre_core::{generation::Generation, verdict::Verdict};

use crate::world::{World, announce, signature};

#[tokio::test]
async fn an_upload_does_not_wait_for_newer_definitions_and_is_judged_by_them_too() {
    let world = World::new();
    let scanner = world.scanner();
    world.publish(&[("first.ndb", &signature("Test.Old", "wicked of old"))]).await;
    let first = world.objects.put("versioned", "first", "harmless");
    announce(&scanner, &[&first]).await;

    world.publish(&[("second.ndb", &signature("Test.New", "wicked anew"))]).await;
    world.definitions.set_open(false);
    let newer = world.objects.put("versioned", "newer", "this is wicked anew");
    let older = world.objects.put("versioned", "older", "this is wicked of old");
    let judged_early = async {
        while world.records.records().len() < 3 {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
        assert_eq!(world.records.records().iter().map(|record| record.generation.0).max(), Some(1));
    };
    let both = [&newer, &older];
    let at_once = tokio::time::timeout(Duration::from_mins(10), judged_early);
    let (handled, judged) = tokio::join!(announce(&scanner, &both), async {
        let judged = at_once.await;
        world.definitions.set_open(true);
        judged
    });
    judged.expect("judged while the newer definitions were held back");

    assert_eq!(handled.response["batchItemFailures"].as_array().map(Vec::len), Some(0));
    assert_eq!(world.status(&newer).await.as_deref(), Some("INFECTED"), "the newer definitions know it");
    assert_eq!(world.status(&older).await.as_deref(), Some("CLEAN"), "they know no more of what the older knew");
    for record in world.records.records().iter().filter(|record| record.object.key != "first") {
        assert_eq!(record.generation, Generation(2), "{}", record.object);
    }
}

#[tokio::test]
async fn definitions_that_do_not_load_leave_messages_in_the_queue_and_warm_ones_at_work() {
    let world = World::new();
    let scanner = world.scanner();
    world.publish(&[("first.ndb", &signature("Test.Old", "wicked of old"))]).await;
    announce(&scanner, &[&world.objects.put("versioned", "first", "harmless")]).await;

    world.publish(&[("second.ndb", "nonsense\n")]).await;
    let object = world.objects.put("versioned", "object", "this is wicked of old");
    for _ in 0..2 {
        let handled = announce(&scanner, &[&object]).await;
        assert_eq!(handled.response["batchItemFailures"].as_array().map(Vec::len), Some(1), "it comes again");
        assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"), "nobody may have it meanwhile");
    }

    world.publish(&[("third.ndb", &signature("Test.Old", "wicked of old"))]).await;
    let handled = announce(&scanner, &[&object]).await;
    assert_eq!(handled.response["batchItemFailures"].as_array().map(Vec::len), Some(0));
    let records = world.records.records();
    let record = records.iter().find(|record| record.object == object).unwrap();
    assert_eq!(record.generation, Generation(3));
    assert!(matches!(record.verdict, Verdict::Infected { .. }));
}
