//! An invocation that ends at any call to the outside is made good by the next, whether the call took effect or not.

use nacre_core::rescan::pass::{Cause, State};
use nacre_testing::failing::{Plan, When};

use crate::world::{World, affected};

#[tokio::test]
async fn a_pass_killed_at_any_call_asks_for_all_that_is_affected_and_for_nothing_else() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let world = World::changed(3).await;
            let plan = Plan::new(nth, when);
            if world.cold(&plan).start(Cause::Announced).await.is_err() {
                // Lambda delivers a failed announcement again.
                world.start(Cause::Announced).await.unwrap();
            }
            world.drain(&plan).await;
            let id = world.start(Cause::Announced).await.unwrap().id;
            let progress = world.progress(id).await;
            assert_eq!(world.asked(2), affected(), "{when:?} {nth}");
            assert_eq!(progress.state, State::Finished, "{when:?} {nth}");
            let stats = progress.stats;
            assert_eq!((stats.examined, stats.requested.delta.objects), (30, 10), "{when:?} {nth}");
            if !plan.was_reached() {
                assert!(nth > 50, "the pass has {nth} calls only");
                break;
            }
        }
    }
}

#[tokio::test]
async fn a_pass_with_a_budget_that_is_killed_at_any_call_has_an_end_and_asks_for_nothing_else() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let mut world = World::changed(2).await;
            world.settings.daily_budget.objects = Some(4);
            let plan = Plan::new(nth, when);
            if world.cold(&plan).start(Cause::Announced).await.is_err() {
                world.start(Cause::Announced).await.unwrap();
            }
            world.drain(&plan).await;
            let id = world.start(Cause::Announced).await.unwrap().id;
            let stats = world.progress(id).await.stats;
            assert!(world.asked(2).is_subset(&affected()), "{when:?} {nth}");
            assert_eq!(stats.requested.delta.objects + stats.over_budget.objects, 10, "{when:?} {nth}");
            if !plan.was_reached() {
                break;
            }
        }
    }
}
