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
    let tallies: Vec<(PassStats, u64)> =
        stream::iter(segments).buffer_unordered(SEGMENTS as usize).try_collect().await?;
    let (mut tally, mut layers) = (PassStats::default(), 0);
    for (part, of_part) in &tallies {
        tally.add(part);
        layers += of_part;
    }
    let counts = match from {
        Some(from) => counts(store, &manifest, from).await?,
        None => BTreeMap::new(),
    };
    print_report(arguments.json, &manifest, &tally, layers, &counts)
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

/// Plans one segment. Returns its tally, and how many layers its records have.
async fn plan_segment(
    records: &DynamoRecords,
    store: &S3Definitions,
    mut planner: RescanPlanner,
    segment: Segment,
    from: Option<Generation>,
    now: DateTime<Utc>,
) -> Result<(PassStats, u64), RescanError> {
    let (mut tally, mut layers, mut cursor) = (PassStats::default(), 0, None);
    loop {
        let page = records.page(segment, cursor).await.map_err(RescanError::Records)?;
        for mut record in page.records {
            record.generation = from.unwrap_or(record.generation);
            let Planned { plan, .. } = planner.plan_in_pass(store, &record, now).await?;
            tally.count(plan, record.size);
            layers += record.view.and_then(|view| view.layers).map_or(0, |layers| layers.len() as u64);
        }
        tally.unreadable += page.unreadable;
        cursor = page.next;
        if cursor.is_none() {
            return Ok((tally, layers));
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

fn print_report(
    as_json: bool,
    manifest: &Manifest,
    tally: &PassStats,
    layers: u64,
    counts: &BTreeMap<String, (u64, u64)>,
) -> Result<(), RescanError> {
    let full = tally.full_total();
    let record_bytes = 400 + 76 * layers / tally.examined.max(1);
    let all = PassWork::of(tally.examined, record_bytes);
    let work = PassWork { delta_objects: tally.delta.objects, full_objects: full.objects, ..all };
    let (ours, full_scans) = (cost(work), cost(PassWork { full_objects: tally.examined, ..all }));
    if as_json {
        let report = json!({
            "to": manifest.generation, "tally": tally, "changed": counts, "inputs": work, "dollars": ours,
            "dollars_total": ours.total(), "dollars_full": full_scans.total(),
        });
        return Ok(print_json(&report)?);
    }
    let mut lines = vec![format!("{} records, to generation {}", tally.examined, manifest.generation.0)];
    lines.extend(counts.iter().map(|(kind, (added, removed))| format!("  {kind}: {added} added, {removed} removed")));
    lines.extend(status::planned(tally));
    lines.push(format!(
        "about ${:.4}, beside ${:.4} for full scans of all (docs/scale.md has the model)",
        ours.total(),
        full_scans.total()
    ));
    Ok(print_lines(&lines.join("\n"))?)
}

#[cfg(test)]
mod tests {
    use nacre_core::{port::WriteCondition, telemetry::error_chain};
    use nacre_testing::failing::{Failing, Plan, When};

    use super::*;
    use crate::definitions::generations_of_tests::published;

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
