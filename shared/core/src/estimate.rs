//! What a bucket would cost to scan: the first scan, a night, a year; beside what others charge. Pure.
//!
//! Usage is counted by what is charged for, as docs/scale.md's model has it with all that docs/costs.md adds; prices come after, so that
//! both can be shown and changed. Nothing here was measured on a bill.

mod corpus;
mod others;
mod prices;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use self::{
    corpus::{Amount, Class, Corpus},
    others::{Other, others},
    prices::{Item, Price, Prices, UnknownPrice},
};

/// Bytes of a GB, as AWS charges them.
const GB: f64 = 1_073_741_824.0;

/// What is assumed where nothing was measured; each may be set.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Assumptions {
    /// Seconds for a full scan, most of which is waiting for S3.
    pub full_seconds: f64,
    /// Seconds for a delta scan.
    pub delta_seconds: f64,
    /// Bytes that are downloaded and scanned in a second, beyond these.
    pub bytes_per_second: f64,
    /// Objects that a night's change concerns, of one.
    pub concerned: f64,
    /// Records that a night's pass renews, of one.
    pub renewed: f64,
    /// Bytes of a record.
    pub record_bytes: f64,
    /// Objects that a message of rescans names.
    pub objects_per_message: f64,
    /// HEAD requests for a scan: one where a bucket keeps versions, two where it keeps none.
    pub head_requests: f64,
    /// Tags that a clean object has.
    pub tags: f64,
    /// Bytes of logs for an object.
    pub log_bytes: f64,
    /// Environments that are started, at most.
    pub environments: f64,
    /// Seconds that one of them loads definitions.
    pub init_seconds: f64,
    /// Scans of everything in a year, beside the first: new engines, changes of context.
    pub full_rescans: f64,
}

impl Default for Assumptions {
    fn default() -> Self {
        Self {
            full_seconds: 0.1,
            delta_seconds: 0.03,
            bytes_per_second: 50e6,
            concerned: 0.01,
            renewed: 1.0 / 45.0,
            record_bytes: 600.0,
            objects_per_message: 10.0,
            head_requests: 2.0,
            tags: 3.0,
            log_bytes: 650.0,
            environments: 10.0,
            init_seconds: 3.0,
            full_rescans: 1.0,
        }
    }
}

/// Memory of the functions, in GiB: the template's defaults.
const FULL_GIB: f64 = 1.73;
const SMALL_GIB: f64 = 0.5;

/// Records that the rescanner reads in a second, of one segment.
const RECORDS_PER_SECOND: f64 = 20_000.0;

/// Requests of S3 for a scan, beside GET and HEAD: tags read. Where tags change, they are written too.
const TAGS_READ: f64 = 1.0;

/// What is used, by what is charged for.
#[derive(Clone, Debug, Default, PartialEq, Serialize)]
#[serde(transparent)]
pub struct Usage(BTreeMap<Item, f64>);

impl Usage {
    /// So much of something.
    pub fn of(&self, item: Item) -> f64 {
        self.0.get(&item).copied().unwrap_or_default()
    }

    /// Each that is used.
    pub fn items(&self) -> impl Iterator<Item = (Item, f64)> {
        self.0.iter().map(|(item, amount)| (*item, *amount))
    }

    /// What it costs.
    pub fn dollars(&self, prices: &Prices) -> f64 {
        self.items().map(|(item, amount)| prices.cost(item, amount)).sum()
    }

    fn add(&mut self, item: Item, amount: f64) {
        if amount > 0.0 {
            *self.0.entry(item).or_default() += amount;
        }
    }

    fn times(&self, number: f64, of: &Self) -> Self {
        let mut sum = self.clone();
        for (item, amount) in of.items() {
            sum.add(item, amount * number);
        }
        sum
    }
}

/// An estimate.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Estimate {
    /// Of everything, requested by `nacre backfill`.
    pub first_scan: Usage,
    /// A pass over the records, and the scans that it requests.
    pub night: Usage,
    /// The first scan, 365 nights, the full rescans that are assumed, and what twelve months of tags, records and a deployment are.
    pub year: Usage,
}

/// Which objects a scan is of.
#[derive(Clone, Copy)]
enum Scan {
    /// Whole databases, tags written.
    First,
    /// The same, and tags are as they were.
    Full,
    /// By what was added, with unchanged tags.
    Delta,
}

/// Estimates what a bucket's objects would use.
pub fn estimate(corpus: &Corpus, assumed: &Assumptions) -> Estimate {
    let first_scan = scans(corpus, assumed, 1.0, Scan::First);
    let mut night = scans(corpus, assumed, assumed.concerned, Scan::Delta);
    let records = count(corpus.all().objects);
    night.add(Item::RecordRead, records * assumed.record_bytes / 4096.0 / 2.0);
    night.add(Item::GibSecond, records / RECORDS_PER_SECOND * SMALL_GIB);
    night.add(Item::RecordWrite, records * assumed.renewed * units(assumed));

    let full = scans(corpus, assumed, 1.0, Scan::Full);
    let mut year = first_scan.times(365.0, &night).times(assumed.full_rescans, &full);
    year.add(Item::TagMonth, count(corpus.readable().objects) * assumed.tags * 12.0);
    year.add(Item::RecordGbMonth, records * (assumed.record_bytes + 100.0) / GB * 12.0);
    year.add(Item::DeploymentMonth, 12.0);
    Estimate { first_scan, night, year }
}

/// A scan of a share of the objects.
fn scans(corpus: &Corpus, assumed: &Assumptions, share: f64, scan: Scan) -> Usage {
    let mut used = Usage::default();
    let (seconds, gib) = match scan {
        Scan::First | Scan::Full => (assumed.full_seconds, FULL_GIB),
        Scan::Delta => (assumed.delta_seconds, SMALL_GIB),
    };
    for (class, amount) in corpus.classes() {
        let (objects, bytes) = (count(amount.objects) * share, count(amount.bytes) * share);
        if class == Class::Archived {
            // A HEAD shows it; there is a record that says so, and nothing to rescan until it is restored.
            if matches!(scan, Scan::First) {
                used.add(class.request(), objects * 3.0);
                used.add(Item::RecordRead, objects);
                used.add(Item::RecordWrite, objects * 2.0);
            }
            continue;
        }
        let written = if matches!(scan, Scan::First) { 1.0 } else { 0.0 };
        used.add(
            class.request(),
            objects * (assumed.head_requests + TAGS_READ + written) + count(amount.parts) * share,
        );
        if let Some(retrieval) = class.retrieval() {
            used.add(retrieval, bytes / GB);
        }
        used.add(Item::RecordRead, objects);
        used.add(Item::RecordWrite, objects * 2.0);
        used.add(Item::GibSecond, (objects * seconds + bytes / assumed.bytes_per_second.max(1.0)) * gib);
        used.add(Item::Invocation, objects);
        used.add(Item::LogGb, objects * assumed.log_bytes / GB);
    }
    let objects = count(corpus.readable().objects) * share;
    let messages = objects / assumed.objects_per_message.max(1.0);
    used.add(Item::TopicMessage, messages);
    used.add(Item::QueueRequest, messages * 3.0);
    // Each record notes that its rescan was requested; at the first scan there is none yet.
    if !matches!(scan, Scan::First) {
        used.add(Item::RecordWrite, objects * units(assumed));
    }
    used.add(Item::GibSecond, assumed.environments.min(objects) * assumed.init_seconds * gib);
    used
}

/// Write units of a record.
fn units(assumed: &Assumptions) -> f64 {
    (assumed.record_bytes / 1024.0).ceil()
}

#[expect(clippy::cast_precision_loss, reason = "a model")]
fn count(number: u64) -> f64 {
    number as f64
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::rescan::cost::{PassWork, cost};

    fn standard(objects: u64, size: u64) -> Corpus {
        let mut corpus = Corpus::default();
        for n in 0..objects {
            corpus.add(Some("STANDARD"), &format!("{n}.txt"), size);
        }
        corpus
    }

    #[test]
    fn a_night_is_what_the_model_of_passes_says_and_logs_and_loading() {
        let corpus = standard(10_000, 0);
        let assumed = Assumptions { log_bytes: 0.0, init_seconds: 0.0, head_requests: 1.0, ..Assumptions::default() };
        let ours = estimate(&corpus, &assumed).night.dollars(&Prices::default());
        let work = PassWork { delta_objects: 100, advanced: 222, ..PassWork::of(10_000, 600) };
        let theirs = cost(work).total();
        assert!((ours - theirs).abs() < theirs * 0.01, "{ours} {theirs}");
    }

    #[test]
    fn what_is_archived_is_neither_read_nor_retrieved() {
        let mut corpus = Corpus::default();
        corpus.add(Some("DEEP_ARCHIVE"), "a", 1 << 40);
        let Estimate { first_scan, night, .. } = estimate(&corpus, &Assumptions::default());
        assert_eq!((first_scan.of(Item::GibSecond), first_scan.of(Item::RecordWrite)), (0.0, 2.0));
        assert!(night.dollars(&Prices::default()) < 0.000_01);
    }

    #[test]
    fn colder_classes_pay_for_being_read() {
        let of = |class| {
            let mut corpus = Corpus::default();
            corpus.add(Some(class), "a", 10 << 30);
            estimate(&corpus, &Assumptions::default()).first_scan.dollars(&Prices::default())
        };
        let (warm, cold, colder) = (of("STANDARD"), of("STANDARD_IA"), of("GLACIER_IR"));
        assert!((cold - warm - 0.10).abs() < 0.01 && (colder - warm - 0.30).abs() < 0.02, "{warm} {cold} {colder}");
    }

    proptest! {
        #[test]
        fn more_objects_never_cost_less(sizes in prop::collection::vec((0_usize..6, 0_u64..1 << 34), 0..12), more: u32) {
            let classes = ["STANDARD", "STANDARD_IA", "GLACIER_IR", "GLACIER", "INTELLIGENT_TIERING", "?"];
            let mut corpus = Corpus::default();
            for (class, size) in &sizes {
                corpus.add(classes.get(*class).copied(), "a.pdf", *size);
            }
            let prices = Prices::default();
            let dollars = |corpus: &Corpus| {
                let Estimate { first_scan, night, year } = estimate(corpus, &Assumptions::default());
                [first_scan, night, year].map(|used| used.dollars(&prices))
            };
            let before = dollars(&corpus);
            prop_assert!(before.iter().all(|dollars| dollars.is_finite() && *dollars >= 0.0));
            prop_assert!(before[2] >= before[0] + 365.0 * before[1]);
            corpus.add(Some("STANDARD"), "b", more.into());
            prop_assert!(dollars(&corpus).iter().zip(before).all(|(after, before)| *after >= before));
        }
    }
}
