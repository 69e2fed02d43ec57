//! What the published change means for each record, worked out as the rescanner does.

use std::{collections::BTreeMap, sync::Arc};

use nacre_aws::S3Definitions;
use nacre_core::{
    generation::published::{Published, PublishedError},
    rescan::{
        changes::Changes,
        plan::{RescanPlan, Unaffected, plan_rescan},
    },
    scan_record::{EngineVersion, RecordSummary, ScanRecord},
};
use nacre_stack::Stack;

/// Why the plans are not known.
#[derive(Debug, thiserror::Error)]
pub(super) enum PlanError {
    #[error("what is published cannot be read")]
    Published(#[from] PublishedError),
    #[error("nothing is published")]
    NonePublished,
}

/// Numbers of records by what they need.
pub(super) type Plans = BTreeMap<RescanPlan, usize>;

/// Plans the records as they were before the change.
pub(super) async fn plans(stack: &Stack, records: &[ScanRecord]) -> Result<Plans, PlanError> {
    let store = S3Definitions::new(stack.sdk_config(), stack.output("DefinitionsBucket"));
    let manifest = Arc::new(Published::read(&store).await?.manifest.ok_or(PlanError::NonePublished)?);
    let (version, level) = (manifest.engine.clamav_version.clone(), manifest.engine.functionality_level);
    let engine = EngineVersion { version, functionality_level: level };
    let mut changes = Changes::new(Arc::clone(&manifest), engine.clone());
    let mut plans = Plans::new();
    for record in records {
        let change = changes.since(&store, record.generation).await?;
        let plan = plan_rescan(&RecordSummary::from(record), manifest.generation, &engine, &change);
        *plans.entry(plan).or_default() += 1;
    }
    Ok(plans)
}

/// A plan in words, and why it is safe.
pub(super) fn in_words(plan: RescanPlan) -> &'static str {
    match plan {
        RescanPlan::UpToDate => "judged by this generation already",
        RescanPlan::Unaffected(Unaffected::NothingMatches) => {
            "not fetched: no layer of theirs has the new digest, and no matcher that ran on them has a new signature"
        }
        RescanPlan::Unaffected(Unaffected::StillInfected) => "not fetched: the signature that matched it is unchanged",
        RescanPlan::Unaffected(Unaffected::Unseen) => "not fetched: not scanned, whatever the definitions",
        RescanPlan::Unreported => "tags and result written again",
        RescanPlan::DeltaScan => "scanned with the new signature only",
        RescanPlan::FullScan(_) => "full scan",
    }
}
