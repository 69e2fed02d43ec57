//! A pass holds one page at a time, however many there are.

use std::{fs, marker::PhantomData, time::Instant};

use nacre_core::{
    builder::record,
    generation::Generation,
    port::{Page, RecordPages, Segment, StoreError, TableExtent, Topic, TopicMessage},
    rescan::{pass::Cause, request_mark::RequestMark},
    scan_record::{RecordSummary, ScanRecord},
    targets::Targets,
};
use nacre_rescanner::{Ports, Rescanner, Services, segment::Limits};
use nacre_testing::{
    failing::{Failing, Plan},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_queue::MemoryQueue,
};

use crate::world::World;

/// The services of a pass over a large table.
struct Large<'a>(PhantomData<&'a World>);

impl<'a> Services for Large<'a> {
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Records = Endless;
    type Triggers = Forgetful;
    type Queue = Failing<'a, MemoryQueue>;
    type Clock = FixedClock;
}

/// Pages of a thousand records, each of which is affected.
struct Endless;

impl RecordPages for Endless {
    type Cursor = u64;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        Ok(TableExtent::default())
    }

    async fn advance_generation(&self, _: &RecordSummary, _: Generation) -> Result<(), StoreError> {
        Ok(())
    }

    async fn mark_requested(&self, _: &RecordSummary, _: RequestMark) -> Result<(), StoreError> {
        Ok(())
    }

    async fn page(&self, _: Segment, after: Option<u64>) -> Result<Page<u64>, StoreError> {
        let page = after.unwrap_or(0);
        let record = |n: u64| {
            let key = format!("{page}/{n}/{}", "x".repeat(100));
            RecordSummary::from(&ScanRecord { targets: Targets::of(1), ..record("uploads", &key) })
        };
        Ok(Page { records: (0..1000).map(record).collect(), unreadable: 0, next: Some(page + 1) })
    }
}

/// A topic that forgets.
struct Forgetful;

impl Topic for Forgetful {
    async fn publish(&self, _: &TopicMessage) -> Result<(), StoreError> {
        Ok(())
    }

    async fn publish_all(&self, _: &[TopicMessage]) -> Result<Vec<usize>, StoreError> {
        Ok(Vec::new())
    }
}

/// KiB of this process that are in memory.
fn resident() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:")).unwrap();
    line.trim().trim_end_matches(" kB").parse().unwrap()
}

/// The variable that the measuring process has.
const MEASURING: &str = "NACRE_TEST_MEASURING";

/// Measured in a process of its own: tests that run beside it take memory, too.
#[tokio::test]
async fn memory_does_not_grow_with_pages() {
    if std::env::var_os(MEASURING).is_none() {
        let program = std::env::current_exe().unwrap();
        let arguments = ["--exact", "memory::memory_does_not_grow_with_pages", "--nocapture"];
        let output = std::process::Command::new(program).args(arguments).env(MEASURING, "1").output().unwrap();
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(
            output.status.success() && said.contains("1 passed"),
            "{said}{}",
            String::from_utf8_lossy(&output.stderr)
        );
        return;
    }
    let world = World::new(1);
    world.publish(2, &[1]).await;
    world.start(Cause::Announced).await.unwrap();
    let plan = Plan::never();
    let ports = Ports::<Large<'_>> {
        definitions: Failing { port: &world.definitions, plan: &plan },
        records: Endless,
        triggers: Forgetful,
        queue: Failing { port: &world.queue, plan: &plan },
        clock: FixedClock(world.now),
    };
    let rescanner = Rescanner::new(ports, world.settings.clone());
    let (mut sizes, started) = (Vec::new(), Instant::now());
    for pages in [20, 200] {
        let body = world.queue.take().remove(0);
        let limits = Limits { pages, until: Instant::now() + std::time::Duration::from_mins(30) };
        Box::pin(rescanner.work(&body, limits)).await.unwrap();
        sizes.push(resident());
    }
    let records = 220_000.0 / started.elapsed().as_secs_f64();
    println!("{sizes:?} KiB after 20 and 220 pages of 1,000 affected records, {records:.0} records/s, this build");
    // Less than the records of 200 pages take, of which each holds 100 bytes of key alone.
    assert!(sizes[1].saturating_sub(sizes[0]) < 10_000, "{sizes:?}");
}
