//! `nacre rescan plan`: a dry run over the records.

use std::{collections::BTreeMap, sync::Arc};

use chrono::{DateTime, Utc};
use clap::Args;
use futures::{StreamExt, TryStreamExt, stream};
use nacre_aws::{DynamoRecords, S3Definitions, SystemClock};
use nacre_core::{
    generation::{
        Generation,
        manifest::{Manifest, ManifestError},
        published::Published,
    },
    port::{Clock, DefinitionsStore, RecordPages, Segment, StoreError},
    rescan::{
        cost::{PassWork, cost},
        pass::PassStats,
        plan::Change,
        planner::{Planned, RescanPlanner},
    },
};
use serde_json::json;

use super::{RescanError, status};
use crate::{
    args::{BucketArgument, TableArgument},
    deployment::StackArgument,
    output::{print_json, print_lines},
};

/// Segments that are read at once.
const SEGMENTS: u32 = 8;

/// Largest manifest that is read.
const MAX_MANIFEST_BYTES: u64 = 4 << 20;

/// Show what a pass would request, and about what it would cost; requests nothing.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    #[command(flatten)]
    stack: StackArgument,
    #[command(flatten)]
    bucket: BucketArgument,
    #[command(flatten)]
    table: TableArgument,
    /// Plan every record as if it were of this generation
    #[arg(long, value_name = "G")]
    from: Option<u64>,
    /// The generation to plan for [default: the published one]
    #[arg(long, value_name = "G")]
    to: Option<u64>,
    /// Print one JSON object
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: &Arguments) -> Result<(), RescanError> {
    let deployment = arguments.stack.open().await?;
    let store = &arguments.bucket.store(&deployment).await?;
    let manifest = Arc::new(manifest(store, arguments.to).await?);
    let records = arguments.table.records(&deployment).await?;
    let (from, now) = (arguments.from.map(Generation), SystemClock.now());
    let limit = deployment.size_limit().await;
    let segments = (0..SEGMENTS).map(|index| {
        let planner = RescanPlanner::new(Arc::clone(&manifest)).with_size_limit(limit);
        plan_segment(&records, store, planner, Segment { index, total: SEGMENTS }, from, now)
    });
    let parts: Vec<Sum> = stream::iter(segments).buffer_unordered(SEGMENTS as usize).try_collect().await?;
    let all = parts.iter().fold(Sum::default(), Sum::plus);
    let counts = match from {
        Some(from) => counts(store, &manifest, from).await?,
        None => BTreeMap::new(),
    };
    let report = Report { from, to: manifest.generation, all, counts };
    if arguments.json { Ok(print_json(&report.json())?) } else { Ok(print_lines(&report.lines().join("\n"))?) }
}

/// The manifest to plan for: the published one, or a kept one.
async fn manifest(store: &impl DefinitionsStore, to: Option<u64>) -> Result<Manifest, RescanError> {
    let published = Published::read(store).await?.manifest.ok_or(RescanError::Nothing)?;
    let Some(to) = to.filter(|to| *to != published.generation.0) else { return Ok(published) };
    let key = Manifest::object_key(Generation(to));
    let stored = match store.read(&key, MAX_MANIFEST_BYTES).await {
        Ok(stored) => stored,
        Err(StoreError::NotFound(_)) => return Err(RescanError::NotKept(to)),
        Err(source) => return Err(RescanError::Manifest { key, source }),
    };
    Manifest::parse(&stored.bytes).map_err(|source| match source {
        ManifestError::Format { .. } => RescanError::ManifestFormat { key, source },
        _ => RescanError::ManifestInvalid { key, source },
    })
}

/// Plans one segment.
async fn plan_segment(
    records: &DynamoRecords,
    store: &S3Definitions,
    mut planner: RescanPlanner,
    segment: Segment,
    from: Option<Generation>,
    now: DateTime<Utc>,
) -> Result<Sum, RescanError> {
    let (mut all, mut cursor) = (Sum::default(), None);
    loop {
        let page = records.page(segment, cursor).await.map_err(RescanError::Records)?;
        for mut record in page.records {
            record.generation = from.unwrap_or(record.generation);
            let Planned { plan, .. } = planner.plan_in_pass(store, &record, now).await?;
            all.tally.count(plan, record.size);
            all.bytes = all.bytes.saturating_add(record.size);
            all.layers += record.view.and_then(|view| view.layers).map_or(0, |layers| layers.len() as u64);
        }
        all.tally.unreadable += page.unreadable;
        cursor = page.next;
        if cursor.is_none() {
            return Ok(all);
        }
    }
}

/// Lines added and removed since a generation, by kind.
async fn counts(
    store: &S3Definitions,
    manifest: &Arc<Manifest>,
    from: Generation,
) -> Result<BTreeMap<String, (u64, u64)>, RescanError> {
    let mut planner = RescanPlanner::new(Arc::clone(manifest));
    Ok(match planner.change_since(store, from).await?.as_ref() {
        Change::Known(delta) => {
            delta.counts.iter().map(|(kind, changed)| (kind.clone(), (changed.added, changed.removed))).collect()
        }
        Change::NotKept | Change::TooLarge => BTreeMap::new(),
    })
}

/// What is planned of some records.
#[derive(Debug, Default)]
struct Sum {
    tally: PassStats,
    /// Of their objects, whatever is planned.
    bytes: u64,
    /// Their layers.
    layers: u64,
}

impl Sum {
    fn plus(mut self, other: &Self) -> Self {
        self.tally.add(&other.tally);
        self.bytes = self.bytes.saturating_add(other.bytes);
        self.layers += other.layers;
        self
    }
}

/// What is printed.
struct Report {
    from: Option<Generation>,
    to: Generation,
    all: Sum,
    /// Lines added and removed since `from`, by kind.
    counts: BTreeMap<String, (u64, u64)>,
}

impl Report {
    /// What is done, and what a scan of every object takes.
    fn work(&self) -> (PassWork, PassWork) {
        let tally = &self.all.tally;
        let all = PassWork::of(tally.examined, 400 + 76 * self.all.layers / tally.examined.max(1));
        let (delta_objects, full_objects) = (tally.delta.objects, tally.full_total().objects);
        (PassWork { delta_objects, full_objects, ..all }, PassWork { full_objects: tally.examined, ..all })
    }

    /// Shares of the records that are unaffected, and that need a delta scan and a full one.
    fn shares(&self) -> [f64; 3] {
        let tally = &self.all.tally;
        let (delta, full) = (tally.delta.objects, tally.full_total().objects);
        let unaffected = tally.examined.saturating_sub(delta + full);
        #[expect(clippy::cast_precision_loss, reason = "shares to be read")]
        [unaffected, delta, full].map(|count| count as f64 / tally.examined.max(1) as f64)
    }

    /// Bytes that are read for scans.
    fn bytes_read(&self) -> u64 {
        self.all.tally.delta.plus(self.all.tally.full_total()).bytes
    }

    fn json(&self) -> serde_json::Value {
        let (work, everything) = self.work();
        let (ours, full_scans, [unaffected, delta, full]) = (cost(work), cost(everything), self.shares());
        json!({
            "from": self.from, "to": self.to, "tally": self.all.tally, "changed": self.counts, "inputs": work,
            "shares": { "unaffected": unaffected, "delta": delta, "full": full },
            "bytes": self.bytes_read(), "bytes_full": self.all.bytes,
            "dollars": ours, "dollars_total": ours.total(), "dollars_full": full_scans.total(),
        })
    }

    fn lines(&self) -> Vec<String> {
        let tally = &self.all.tally;
        let mut lines = vec![format!("{} records, to generation {}", tally.examined, self.to.0)];
        let counts = self.counts.iter();
        lines.extend(counts.map(|(kind, (added, removed))| format!("  {kind}: {added} added, {removed} removed")));
        lines.extend(status::planned(tally));
        lines.extend(self.table());
        lines
    }

    /// As `make bench-year` prints a day, beside a scan of every object.
    fn table(&self) -> [String; 4] {
        let (work, everything) = self.work();
        let [unaffected, delta, full] = self.shares().map(|share| share * 100.0);
        #[expect(clippy::cast_precision_loss, reason = "figures to be read")]
        let gigabytes = |bytes: u64| bytes as f64 / 1e9;
        let steps = match self.from {
            Some(from) => format!("{} to {}", from.0, self.to.0),
            None => format!("to {}", self.to.0),
        };
        [
            format!(
                "{:<14} {:>10} {:>7} {:>7} {:>10} {:>9}",
                "generations", "unaffected", "delta", "full", "GB read", "dollars"
            ),
            format!(
                "{steps:<14} {unaffected:>9.2}% {delta:>6.2}% {full:>6.2}% {:>10.1} {:>9.3}",
                gigabytes(self.bytes_read()),
                cost(work).total()
            ),
            format!(
                "{:<14} {:>10} {:>7} {:>6.2}% {:>10.1} {:>9.3}",
                "every object",
                "",
                "",
                100.0,
                gigabytes(self.all.bytes),
                cost(everything).total()
            ),
            "docs/scale.md has the model of the dollars".into(),
        ]
    }
}

#[cfg(test)]
mod tests {
    use nacre_core::{
        port::WriteCondition,
        rescan::plan::{FullScan, RescanPlan, Unaffected},
        telemetry::error_chain,
    };
    use nacre_testing::failing::{Failing, Plan, When};

    use super::*;
    use crate::definitions::generations_of_tests::published;

    /// The row that `make bench-year` prints of a day, for real generations.
    #[test]
    fn the_table_has_shares_bytes_and_dollars_beside_a_scan_of_everything() {
        let mut all = Sum { bytes: 30_000_000_000, layers: 300, ..Sum::default() };
        for n in 0..200 {
            all.tally.count(
                match n {
                    0 => RescanPlan::FullScan(FullScan::Context),
                    1..=9 => RescanPlan::DeltaScan,
                    10..=19 => RescanPlan::UpToDate,
                    _ => RescanPlan::Unaffected(Unaffected::NothingMatches),
                },
                1_000_000_000,
            );
        }
        let report = Report { from: Some(Generation(7)), to: Generation(9), all, counts: BTreeMap::new() };
        let [_, ours, everything, _] = report.table();
        assert!(ours.starts_with("7 to 9             95.00%   4.50%   0.50%       10.0 "), "{ours}");
        assert!(everything.starts_with("every object                      100.00%       30.0 "), "{everything}");
        let json = report.json();
        assert_eq!((json["shares"]["unaffected"].as_f64(), json["bytes"].as_u64()), (Some(0.95), Some(10_000_000_000)));
        assert!(json["dollars_full"].as_f64() > json["dollars_total"].as_f64(), "{json}");
    }

    const KEY: &str = "nacre/manifests/1.json";

    #[tokio::test]
    async fn a_kept_generation_is_read_and_one_that_is_not_kept_is_named() {
        let store = published(&[100, 101]).await;
        assert_eq!(manifest(&store, None).await.unwrap().generation, Generation(2));
        assert_eq!(manifest(&store, Some(1)).await.unwrap().generation, Generation(1));
        assert!(matches!(manifest(&store, Some(7)).await, Err(RescanError::NotKept(7))));
    }

    #[tokio::test]
    async fn a_manifest_that_cannot_be_read_is_no_fault_of_the_table() {
        let store = published(&[100, 101]).await;
        // After the pointer, the published manifest, and what passes noted.
        let plan = Plan::new(4, When::Before);
        let error = manifest(&Failing { port: &store, plan: &plan }, Some(1)).await.unwrap_err();
        assert!(matches!(error, RescanError::Manifest { .. }), "{error:?}");
        let message = error_chain(&error);
        assert!(message.contains(KEY) && message.contains("check that the credentials may read it"), "{message}");
        assert!(message.ends_with("injected failure"), "{message}");
    }

    #[tokio::test]
    async fn a_manifest_of_another_format_or_form_is_named_with_the_remedy() {
        let store = published(&[100, 101]).await;
        for (bytes, remedy) in [
            (r#"{"format":2,"anything":true}"#, "install the version that is deployed"),
            (r#"{"format":1}"#, "give another generation with --to"),
        ] {
            store.write(KEY, bytes.into(), &[], WriteCondition::Always).await.unwrap();
            let error = manifest(&store, Some(1)).await.unwrap_err();
            assert!(!matches!(error, RescanError::NotKept(_)), "{error:?}");
            let message = error_chain(&error);
            assert!(message.contains(KEY) && message.contains(remedy), "{message}");
        }
    }
}
