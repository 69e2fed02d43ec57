//! A run that ends at any call to the outside leaves readers a whole generation, and the next run the rest.

use nacre_test_support::Behaviour;
use nacre_testing::failing::{Failing, Plan, When};
use nacre_updater::update::Update;

use crate::world::{World, whole};

#[tokio::test]
async fn a_run_killed_before_any_call_converges_with_the_next() {
    killed(When::Before).await;
}

#[tokio::test]
async fn a_run_killed_after_any_call_converges_with_the_next() {
    killed(When::After).await;
}

async fn killed(when: When) {
    for nth in 1.. {
        let world = World::with(1, &[("NACRE_SERVE_CVDS", "True")]).await;
        world.advertise(2, Behaviour::Bytes(whole(2)));
        world.serve_cdiffs([2]);
        let plan = &Plan::new(nth, when);
        let (store, topic) = (Failing { port: &world.store, plan }, Failing { port: &world.topic, plan });
        let killed = world.run_on(&store, &topic, None).await;
        let seen = world.published().await;
        assert!(matches!((seen.0, seen.1), (1, 1) | (2, 2)), "{seen:?} after {when:?} {nth}: {killed:?}");

        world.run().await.unwrap();
        let (generation, version, _) = world.published().await;
        assert_eq!((generation, version), (2, 2), "{when:?} {nth}");
        let keys = world.store.keys();
        for file in ["test.cld", "test.cvd", "test-2.cdiff"] {
            assert!(keys.contains(&format!("clamav_defs/{file}")), "{file} is missing after {when:?} {nth}");
        }
        assert_eq!(world.state().await.flat["test.cvd"].version, 2, "{when:?} {nth}");
        let announced: Vec<_> = world.topic.messages().into_iter().filter_map(|message| message.subject).collect();
        assert!(announced.iter().any(|subject| subject.contains("generation 2 ")), "{when:?} {nth}");
        let again = world.run().await.unwrap();
        assert!(matches!(again, Update::UpToDate { .. }), "{when:?} {nth}: {again:?}");
        if !plan.was_reached() {
            assert!(nth > 20, "the run has {nth} calls only");
            break;
        }
    }
}
