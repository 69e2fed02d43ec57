//! What passes cost and how long they take, by a model whose inputs are reported with it. Pure.
//!
//! Prices are those of us-east-1, on demand, without any free tier, as AWS's pricing pages had them in 2025.

use serde::Serialize;

use crate::rescan::pass::{MAX_SEGMENTS, PassStats, Requested};

/// Dollars for a million read request units of DynamoDB: one for 4 KiB read with strong consistency, two of these without.
const DYNAMODB_READS: f64 = 0.125;
/// Dollars for a million write request units of DynamoDB: one for 1 KiB.
const DYNAMODB_WRITES: f64 = 0.625;
/// Dollars for a million GET, HEAD or tagging requests of S3.
const S3_READS: f64 = 0.40;
/// Dollars for a million messages published to SNS; their delivery to SQS is free.
const SNS_PUBLISHES: f64 = 0.50;
/// Dollars for a million requests of SQS.
const SQS_REQUESTS: f64 = 0.40;
/// Dollars for a GiB-second of Lambda on x86-64.
const LAMBDA_GIB_SECOND: f64 = 0.000_016_666_7;
/// Dollars for a million invocations of Lambda.
const LAMBDA_REQUESTS: f64 = 0.20;

/// Read request units that a table on demand serves in a second, unless AWS is asked for more: the default quota of a table.
const TABLE_READS_PER_SECOND: f64 = 40_000.0;

/// Bytes of a record of two or three layers.
const TYPICAL_RECORD_BYTES: u64 = 600;

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PassWork {
    /// Records that are read.
    pub records: u64,
    /// Bytes of a record, on average: about 400, and 76 for each layer.
    pub record_bytes: u64,
    /// Records that the rescanner reads in a second, of one segment.
    pub records_per_second: f64,
    /// Unaffected records whose generation is advanced.
    #[serde(rename = "renewed")]
    pub advanced: u64,
    /// Objects of delta scans.
    pub delta_objects: u64,
    /// Seconds for one of them.
    pub delta_seconds: f64,
    /// Objects of full scans.
    pub full_objects: u64,
    /// Seconds for one of them.
    pub full_seconds: f64,
    /// Objects that a message names, on average.
    pub objects_per_message: f64,
}

impl PassWork {
    /// A pass over so many records that requests nothing, at rates that are assumed where none was measured: pages of 1 MiB in
    /// about 80 ms, and scans as slow as waiting for S3 makes them.
    pub fn of(records: u64, record_bytes: u64) -> Self {
        Self {
            records,
            record_bytes,
            records_per_second: 20_000.0,
            advanced: 0,
            delta_objects: 0,
            delta_seconds: 0.03,
            full_objects: 0,
            full_seconds: 0.1,
            objects_per_message: 10.0,
        }
    }

    /// The work that a pass's statistics show. They do not have the records' size, for which a typical one is assumed.
    pub fn of_stats(stats: &PassStats) -> Self {
        let Requested { delta, full, .. } = stats.requested;
        let work = Self::of(stats.examined, TYPICAL_RECORD_BYTES);
        Self { advanced: stats.advanced, delta_objects: delta.objects, full_objects: full.objects, ..work }
    }

    /// Read request units: a page is charged by its bytes, eventually consistent, half a unit for 4 KiB.
    #[expect(clippy::cast_precision_loss, reason = "a model")]
    pub fn read_units(&self) -> f64 {
        self.records as f64 * self.record_bytes as f64 / 4096.0 / 2.0
    }

    /// Messages of rescan triggers.
    #[expect(clippy::cast_precision_loss, reason = "a model")]
    pub fn messages(&self) -> f64 {
        (self.delta_objects as f64 + self.full_objects as f64) / self.objects_per_message.max(1.0)
    }
}

/// Memory of the functions, in GiB: the template's defaults.
const RESCANNER_GIB: f64 = 0.5;
const DELTA_GIB: f64 = 0.5;
const FULL_GIB: f64 = 1.73;

/// Dollars, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PassCost {
    /// Reading the records, by the service that keeps them and the function that reads them.
    pub reading: f64,
    /// Advancing the generation of unaffected records.
    #[serde(rename = "renewing")]
    pub advancing: f64,
    /// Publishing rescan triggers, and noting in the records that they were.
    #[serde(rename = "asking")]
    pub requesting: f64,
    /// Delta scans: requests and the small function.
    pub delta: f64,
    /// Full scans: requests and the large function.
    pub full: f64,
}

impl PassCost {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.reading + self.advancing + self.requesting + self.delta + self.full
    }
}

/// What a pass costs.
#[expect(clippy::cast_precision_loss, reason = "dollars of a model")]
pub fn cost(work: PassWork) -> PassCost {
    let million = 1_000_000.0;
    let reader_seconds = work.records as f64 / work.records_per_second.max(1.0);
    // HEAD, GET, tags read; the record read and written twice.
    let requests = S3_READS * 3.0 + DYNAMODB_READS + DYNAMODB_WRITES * 2.0;
    let scans = |objects: u64, seconds: f64, gib: f64| {
        objects as f64 * (requests / million + seconds * gib * LAMBDA_GIB_SECOND + LAMBDA_REQUESTS / million)
    };
    // Each record notes that its rescan was requested.
    let requested = work.delta_objects as f64 + work.full_objects as f64;
    let units_of_a_record = work.record_bytes.div_ceil(1024) as f64;
    PassCost {
        reading: work.read_units() * DYNAMODB_READS / million + reader_seconds * RESCANNER_GIB * LAMBDA_GIB_SECOND,
        advancing: work.advanced as f64 * units_of_a_record * DYNAMODB_WRITES / million,
        requesting: work.messages() * (SNS_PUBLISHES + 3.0 * SQS_REQUESTS) / million
            + requested * units_of_a_record * DYNAMODB_WRITES / million,
        delta: scans(work.delta_objects, work.delta_seconds, DELTA_GIB),
        full: scans(work.full_objects, work.full_seconds, FULL_GIB),
    }
}

/// How many of each kind work on a pass at once: the template's `PassConcurrency` and `RescanConcurrency`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Concurrency {
    /// Segments that are read.
    pub segments: u32,
    /// Scans, of each of the two kinds.
    pub scans: u32,
}

/// Seconds that the parts of a pass take; all of them go on at once.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PassTime {
    /// Reading the records.
    pub reading: f64,
    /// Delta scans.
    pub delta: f64,
    /// Full scans.
    pub full: f64,
}

impl PassTime {
    /// The longest of them.
    pub fn total(&self) -> f64 {
        self.reading.max(self.delta).max(self.full)
    }
}

/// How long a pass takes. Reading is bound by segments read at once, or by what the table serves.
#[expect(clippy::cast_precision_loss, reason = "seconds of a model")]
pub fn time(work: PassWork, at_once: Concurrency) -> PassTime {
    let segments = f64::from(at_once.segments.clamp(1, MAX_SEGMENTS));
    let by_readers = work.records as f64 / work.records_per_second.max(1.0) / segments;
    let scans = f64::from(at_once.scans.max(1));
    PassTime {
        reading: by_readers.max(work.read_units() / TABLE_READS_PER_SECOND),
        delta: work.delta_objects as f64 * work.delta_seconds / scans,
        full: work.full_objects as f64 * work.full_seconds / scans,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pass_that_concerns_nothing_costs_its_reading_alone() {
        let cost = cost(PassWork::of(1_000_000, 600));
        assert_eq!((cost.requesting, cost.delta, cost.full), (0.0, 0.0, 0.0));
        assert!((0.005..0.02).contains(&cost.total()), "{cost:?}");
    }

    #[test]
    fn full_scans_of_all_cost_far_more_than_delta_scans_of_a_hundredth() {
        let everything = cost(PassWork { full_objects: 1_000_000, ..PassWork::of(1_000_000, 600) }).total();
        let hundredth = cost(PassWork { delta_objects: 10_000, ..PassWork::of(1_000_000, 600) }).total();
        assert!(everything > 50.0 * hundredth, "{everything} {hundredth}");
    }

    #[test]
    fn statistics_cost_what_was_requested_not_what_was_left() {
        let mut stats = PassStats { examined: 1_000_000, ..PassStats::default() };
        stats.over_budget.objects = 500;
        assert_eq!(cost(PassWork::of_stats(&stats)), cost(PassWork::of(1_000_000, 600)));
        (stats.requested.delta.objects, stats.requested.full.objects, stats.advanced) = (10, 1, 7);
        let asked = cost(PassWork::of_stats(&stats));
        assert!(asked.delta > 0.0 && asked.full > 0.0 && asked.advancing > 0.0, "{asked:?}");
    }

    #[test]
    fn more_readers_help_until_the_table_is_the_bound() {
        let work = PassWork::of(1_000_000_000, 600);
        let reading = |segments| time(work, Concurrency { segments, scans: 1 }).reading;
        assert!((reading(10) - reading(20) * 2.0).abs() < 1.0);
        assert!((reading(100) - work.read_units() / TABLE_READS_PER_SECOND).abs() < 1.0);
        assert!((reading(100) - reading(256)).abs() < 1.0);
    }

    #[test]
    fn a_pass_takes_as_long_as_its_slowest_part() {
        let work = PassWork { delta_objects: 1000, full_objects: 10, ..PassWork::of(20_000, 600) };
        let time = time(work, Concurrency { segments: 1, scans: 2 });
        assert!(
            (time.reading - 1.0).abs() < 0.01 && (time.delta - 15.0).abs() < 0.01 && (time.full - 0.5).abs() < 0.01
        );
        assert!((time.total() - 15.0).abs() < 0.01, "{time:?}");
    }
}
