//! What rescans cost in dollars, by a model whose inputs are told with it. Pure.
//!
//! Prices are those of us-east-1, on demand, without any free tier, as AWS's pricing pages had them in 2025.

use serde::Serialize;

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

/// What a pass does.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct PassWork {
    /// Records that are read.
    pub records: u64,
    /// Bytes of a record, on average: about 400, and 76 for each layer.
    pub record_bytes: u64,
    /// Records that the rescanner reads in a second.
    pub records_per_second: f64,
    /// Objects that are looked at for what was added.
    pub delta_objects: u64,
    /// Seconds for one of them.
    pub delta_seconds: f64,
    /// Objects that are scanned with everything.
    pub full_objects: u64,
    /// Seconds for one of them.
    pub full_seconds: f64,
    /// Objects that a message names, on average.
    pub objects_per_message: f64,
}

/// Memory of the functions, in GiB: the template's defaults.
const RESCANNER_GIB: f64 = 0.5;
const DELTA_GIB: f64 = 0.5;
const FULL_GIB: f64 = 3.0;

/// Dollars, by what they are for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct PassCost {
    /// Reading the records, by the service that keeps them and the function that reads them.
    pub reading: f64,
    /// Asking for objects.
    pub asking: f64,
    /// Looking for what was added: requests and the small function.
    pub delta: f64,
    /// Scanning with everything: requests and the large function.
    pub full: f64,
}

impl PassCost {
    /// All of it.
    pub fn total(&self) -> f64 {
        self.reading + self.asking + self.delta + self.full
    }
}

/// What a pass costs.
#[expect(clippy::cast_precision_loss, reason = "dollars of a model")]
pub fn cost(work: PassWork) -> PassCost {
    let million = 1_000_000.0;
    let records = work.records as f64;
    // A page is charged by its bytes, eventually consistent: half a unit for 4 KiB.
    let units = records * work.record_bytes as f64 / 4096.0 / 2.0;
    let reader_seconds = records / work.records_per_second.max(1.0);
    let objects = work.delta_objects as f64 + work.full_objects as f64;
    let messages = objects / work.objects_per_message.max(1.0);
    // HEAD, GET, tags read; the record read and written twice.
    let requests = S3_READS * 3.0 + DYNAMODB_READS + DYNAMODB_WRITES * 2.0;
    let scans = |objects: f64, seconds: f64, gib: f64| {
        objects * (requests / million + seconds * gib * LAMBDA_GIB_SECOND + LAMBDA_REQUESTS / million)
    };
    PassCost {
        reading: units * DYNAMODB_READS / million + reader_seconds * RESCANNER_GIB * LAMBDA_GIB_SECOND,
        asking: messages * (SNS_PUBLISHES + 3.0 * SQS_REQUESTS) / million,
        delta: scans(work.delta_objects as f64, work.delta_seconds, DELTA_GIB),
        full: scans(work.full_objects as f64, work.full_seconds, FULL_GIB),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOTHING: PassWork = PassWork {
        records: 1_000_000,
        record_bytes: 600,
        records_per_second: 20_000.0,
        delta_objects: 0,
        delta_seconds: 0.02,
        full_objects: 0,
        full_seconds: 0.05,
        objects_per_message: 10.0,
    };

    #[test]
    fn a_pass_that_concerns_nothing_costs_its_reading_alone() {
        let cost = cost(NOTHING);
        assert_eq!((cost.asking, cost.delta, cost.full), (0.0, 0.0, 0.0));
        assert!((0.005..0.02).contains(&cost.total()), "{cost:?}");
    }

    #[test]
    fn looking_at_everything_costs_far_more_than_at_a_hundredth() {
        let everything = cost(PassWork { full_objects: 1_000_000, ..NOTHING }).total();
        let hundredth = cost(PassWork { delta_objects: 10_000, ..NOTHING }).total();
        assert!(everything > 50.0 * hundredth, "{everything} {hundredth}");
    }
}
