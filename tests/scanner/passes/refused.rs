//! What was refused, or could not be shown, and is made good by a pass of the same generation.

use chrono::TimeDelta;
use nacre_core::{
    rescan::pass::Cause,
    verdict::{Reason, Verdict},
};
use nacre_test_support::messages::uploads;

use super::{Passes, assert_as_a_full_scan, publish, takes};
use crate::world::{World, announce};

/// The name of the setting.
const LIMIT: &str = "AV_SCAN_MAX_FILE_SIZE_BYTES";

#[tokio::test]
async fn a_limit_that_is_raised_reaches_the_records_that_it_refused_and_no_others() {
    let world = World::new();
    publish(&world, &["wicked"]).await;
    let put = |key: &str, content: String| world.objects.put("versioned", key, content);
    let small = put("small", "harmless".into());
    let refused = [put("infected", format!("{}wicked", "x".repeat(50))), put("clean", "x".repeat(60))];
    let larger = put("larger", "x".repeat(200));
    let all = [&small, &refused[0], &refused[1], &larger];
    announce(&world.scanner_with(&[(LIMIT, "40")]), &all).await;
    let too_large = Verdict::Skipped { reason: Reason::TooLarge };
    assert!(all[1..].iter().all(|object| world.record(object).verdict == too_large));

    let mut passes = Passes::over(&world);
    passes.skip_larger_than = Some(40);
    passes.pass(Cause::Announced).await;
    assert!(passes.requests().is_empty(), "the limit is as it was");

    passes.skip_larger_than = Some(100);
    let scanner = world.scanner_with(&[(LIMIT, "100")]);
    passes.pass(Cause::Scheduled).await;
    assert_eq!(passes.rescan(&scanner).await, 1, "two objects share a message");
    assert_as_a_full_scan(&world, &["wicked"], &[&small, &refused[0], &refused[1]]).await;
    assert_eq!(world.record(&larger).verdict, too_large);
    assert_eq!(passes.next_day(&scanner).await, 0, "each is requested once");
}

/// A policy keeps the scanner from tagging until S3's event is given up on, and until the first pass's requests are, too.
#[tokio::test]
async fn what_could_not_be_tagged_for_a_while_is_tagged_by_a_pass_without_a_scan() {
    let world = World::new();
    publish(&world, &["wicked"]).await;
    let infected = world.objects.put("versioned", "infected", "this is wicked");
    let clean = world.objects.put("versioned", "clean", "this is not");
    let (scanner, objects) = (world.scanner(), [infected.clone(), clean.clone()]);
    world.objects.deny_tagging(true);
    for _ in 0..2 {
        assert!(!takes(&scanner, &uploads(&objects)).await, "it comes again");
    }
    assert!(world.record(&infected).verdict.is_infected() && !world.record(&infected).reported);
    assert_eq!(world.status(&infected).await, None);

    let mut passes = Passes::over(&world);
    passes.pass(Cause::Announced).await;
    assert!(passes.requests().is_empty(), "it has an hour");
    passes.now += TimeDelta::hours(2);
    passes.pass(Cause::Scheduled).await;
    let requests = passes.requests();
    assert_eq!(requests.len(), 1);
    assert!(!takes(&scanner, &requests[0]).await, "still denied");

    world.objects.deny_tagging(false);
    let downloads = world.objects.downloads();
    assert_eq!(passes.next_day(&scanner).await, 1);
    assert_eq!(world.objects.downloads(), downloads, "the record says it");
    assert_as_a_full_scan(&world, &["wicked"], &[&infected, &clean]).await;
    assert_eq!(passes.next_day(&scanner).await, 0);
}
