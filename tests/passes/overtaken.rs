//! A newer generation that is published while a page of an older one's pass is worked on, under one budget.

use std::{
    marker::PhantomData,
    sync::atomic::{AtomicUsize, Ordering},
};

use nacre_core::{
    generation::Generation,
    port::{Page, RecordPages, Segment, StoreError, TableExtent},
    rescan::{
        pass::{Budget, Cause, State, cancel},
        request_mark::RequestMark,
    },
    scan_record::RecordSummary,
};
use nacre_rescanner::{Ports, Rescanner, Services};
use nacre_testing::{
    failing::{Failing, Plan},
    fixed_clock::FixedClock,
    memory_definitions::MemoryDefinitions,
    memory_queue::MemoryQueue,
    memory_topic::MemoryTopic,
};

use crate::world::{World, deliver, is_done};

/// What happens while a page is read.
#[derive(Clone, Copy, Debug)]
enum Event {
    Published,
    Cancelled,
}

/// A table during one of whose pages something happens: the pointer was read before, and the requests come after.
struct Eventful<'a> {
    world: &'a World,
    event: Event,
    /// Pages until then.
    pages: &'a AtomicUsize,
}

impl RecordPages for Eventful<'_> {
    type Cursor = usize;

    async fn extent(&self) -> Result<TableExtent, StoreError> {
        self.world.records.extent().await
    }

    async fn advance_generation(&self, record: &RecordSummary, published: Generation) -> Result<(), StoreError> {
        self.world.records.advance_generation(record, published).await
    }

    async fn mark_requested(&self, record: &RecordSummary, mark: RequestMark) -> Result<(), StoreError> {
        self.world.records.mark_requested(record, mark).await
    }

    async fn page(&self, segment: Segment, after: Option<usize>) -> Result<Page<usize>, StoreError> {
        let page = self.world.records.page(segment, after).await;
        if self.pages.fetch_sub(1, Ordering::SeqCst) == 1 {
            match self.event {
                Event::Published => self.world.publish(3, &[1, 1]).await,
                Event::Cancelled => {
                    let id = self.world.start(Cause::Announced).await.unwrap().id;
                    cancel(&self.world.definitions, id, self.world.now).await.unwrap();
                }
            }
        }
        page
    }
}

struct Fakes<'a>(PhantomData<&'a World>);

impl<'a> Services for Fakes<'a> {
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Records = Eventful<'a>;
    type Triggers = Failing<'a, MemoryTopic>;
    type Queue = Failing<'a, MemoryQueue>;
    type Clock = FixedClock;
}

#[tokio::test]
async fn whichever_page_is_interrupted_all_passes_of_the_day_request_its_budget_and_no_more() {
    // Twelve records are four pages, read twice.
    for (event, page) in (1..=9).flat_map(|page| [(Event::Published, page), (Event::Cancelled, page)]) {
        let mut world = World::new(1);
        world.settings.daily_budget = Budget { objects: Some(5), bytes: None };
        for n in 0..12 {
            world.record(&format!("key/{n:02}"), 1, 1).await;
        }
        world.publish(2, &[1]).await;
        let id = world.start(Cause::Announced).await.unwrap().id;
        let (pages, plan) = (AtomicUsize::new(page), Plan::never());
        loop {
            let messages = world.queue.take();
            if messages.is_empty() {
                break;
            }
            for body in messages {
                let ports = Ports::<Fakes<'_>> {
                    definitions: Failing { port: &world.definitions, plan: &plan },
                    records: Eventful { world: &world, event, pages: &pages },
                    triggers: Failing { port: &world.topic, plan: &plan },
                    queue: Failing { port: &world.queue, plan: &plan },
                    clock: FixedClock(world.now),
                };
                let rescanner = Rescanner::new(ports, world.settings.clone());
                assert!(is_done(&deliver(&rescanner, &body).await.unwrap()));
            }
        }
        let first = world.requests_after(0).len();
        let state = world.progress(id).await.state;
        let ended = match event {
            Event::Published => State::Overtaken,
            Event::Cancelled => State::Cancelled,
        };
        // Two readings are eight pages.
        assert!(page > 8 || state == ended || first == 5, "{event:?} {page}: {state:?}, {first} requested");
        world.pass(Cause::Manual).await;
        assert_eq!(world.requests_after(0).len(), 5, "{event:?} {page}: {first} of them by the first");
    }
}
