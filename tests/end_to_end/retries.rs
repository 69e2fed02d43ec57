//! A scan that fails for a moment is made good after a moment.

use nacre_core::verdict::Verdict;
use nacre_test_support::deployed::{DEADLINE, World, daily, main_database, published};

#[tokio::test]
async fn an_upload_that_failed_is_scanned_long_before_its_queue_would_bring_it_back() {
    // Half a day, which no test waits.
    let world = World::empty(&[("LocalVisibilityTimeout", "43200")]).await;
    let object = world.stack.put("early.txt", "nothing to see here\n").await.unwrap();
    let log = world.stack.logs().join(format!("{}.log", world.stack.output("ScannerFunction")));
    let deadline = tokio::time::Instant::now() + DEADLINE;
    while !std::fs::read_to_string(&log).unwrap_or_default().contains("record failed and will be retried") {
        assert!(tokio::time::Instant::now() < deadline, "no scan failed: {}", log.display());
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    world.mirror.put("main.cvd", main_database());
    world.mirror.put("daily.cvd", daily(1, false));
    assert_eq!(published(&world.update().await), 1);
    assert_eq!(world.stack.await_settled(&object, DEADLINE).await.unwrap().verdict, Verdict::Clean);
    world.end().await;
}
