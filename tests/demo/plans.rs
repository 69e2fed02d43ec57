//! What the published change means for each record, worked out as the rescanner does.

use std::{collections::BTreeMap, sync::Arc};

use nacre_aws::S3Definitions;
use nacre_core::{
    generation::published::{Published, PublishedError},
    rescan::{
        plan::{RescanPlan, Unaffected},
        planner::RescanPlanner,
    },
    scan_record::{RecordSummary, ScanRecord},
};
use nacre_test_support::Stack;

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
    let mut planner = RescanPlanner::new(manifest);
    let mut plans = Plans::new();
    for record in records {
        let plan = planner.plan(&store, &RecordSummary::from(record)).await?;
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
        RescanPlan::Unaffected(Unaffected::NeverScanned) => "not fetched: never scanned, whatever the definitions",
        RescanPlan::Unaffected(Unaffected::Archived) => "archived since its scan",
        RescanPlan::Unreported => "tags and result written again",
        RescanPlan::DeltaScan => "scanned with the new signature only",
        RescanPlan::FullScan(_) => "full scan",
    }
}
