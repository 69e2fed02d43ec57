//! The plan over a million records, and over ten: how long it takes, and whether memory grows with their number.

use std::{
    io::{self, Write},
    sync::Arc,
    time::{Duration, Instant},
};

use nacre_core::rescan::{pass::PassStats, planner::RescanPlanner};
use nacre_testing::memory_definitions::MemoryDefinitions;
use serde::{Deserialize, Serialize};

use crate::{
    made_up::{engine, history, record},
    processes::{ourselves, own_peak_kib},
};
use nacre_test_support::bench::Outcome;

/// Records in memory at a time, about as many as DynamoDB has on a page.
const PAGE: u64 = 1000;

/// What is planned: so many records, of so many generations.
const ROWS: [(u64, u64); 5] = [(1_000_000, 1), (1_000_000, 10), (1_000_000, 60), (10_000_000, 10), (10_000_000, 60)];

/// What planning took.
#[derive(Clone, Debug, Serialize, Deserialize)]
pub(crate) struct Planned {
    pub(crate) records: u64,
    pub(crate) generations: u64,
    /// Microseconds on one core: reading and adding up deltas, and deciding; making the records is not in it.
    pub(crate) wall_us: u64,
    /// Most memory of the process, in KiB.
    pub(crate) peak_kib: u64,
    pub(crate) unaffected: u64,
    pub(crate) delta: u64,
    pub(crate) full: u64,
}

/// Plans all of it, each in a process of its own.
pub(crate) fn rows() -> Outcome<Vec<Planned>> {
    ROWS.iter()
        .map(|(records, generations)| ourselves(&["plan", &records.to_string(), &generations.to_string()]))
        .collect()
}

/// Plans so many records of so many generations, and writes what it took.
#[tokio::main(flavor = "current_thread")]
pub(crate) async fn row(records: &str, generations: &str) -> Outcome<()> {
    let planned = plan(records.parse()?, generations.parse()?).await?;
    let out = &mut io::stdout().lock();
    serde_json::to_writer(&mut *out, &planned)?;
    Ok(out.flush()?)
}

async fn plan(records: u64, generations: u64) -> Outcome<Planned> {
    let store = MemoryDefinitions::default();
    let manifest = Arc::new(history(&store, generations + 1).await?);
    let mut planner = RescanPlanner::for_engine(manifest, engine());
    let (mut tally, mut took) = (PassStats::default(), Duration::ZERO);
    let mut page = Vec::new();
    for first in (0..records).step_by(usize::try_from(PAGE)?) {
        page.clear();
        page.extend((first..records.min(first + PAGE)).map(|number| record(number, generations)));
        let started = Instant::now();
        for record in &page {
            tally.count(planner.plan(&store, record).await?, record.size);
        }
        took += started.elapsed();
    }
    Ok(Planned {
        records,
        generations,
        wall_us: u64::try_from(took.as_micros())?,
        peak_kib: own_peak_kib(),
        unaffected: tally.unaffected.values().sum(),
        delta: tally.delta.objects,
        full: tally.full_total().objects,
    })
}
