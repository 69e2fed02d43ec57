//! Decides what one scan record needs under a new generation. Pure.

use crate::{definitions::manifest::Generation, scan_record::RecordSummary};

/// What a record needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum RescanPlan {
    /// It was concluded with these definitions or newer ones.
    UpToDate,
    /// It was concluded with older definitions, and nothing proves that it still holds: scan the object in full.
    FullScan,
}

/// Plans one record for the published generation.
pub fn plan_rescan(record: &RecordSummary, published: Generation) -> RescanPlan {
    if record.generation >= published { RescanPlan::UpToDate } else { RescanPlan::FullScan }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::object::ObjectId;

    fn summary(generation: u64) -> RecordSummary {
        let object = ObjectId::new("bucket", "key", None);
        RecordSummary { object, etag: "etag".into(), size: 1, generation: Generation(generation), sequencer: None }
    }

    proptest! {
        #[test]
        fn exactly_the_older_records_are_scanned(recorded in 0_u64..100, published in 0_u64..100) {
            let expected = if recorded < published { RescanPlan::FullScan } else { RescanPlan::UpToDate };
            prop_assert_eq!(plan_rescan(&summary(recorded), Generation(published)), expected);
        }

        #[test]
        fn planning_after_execution_plans_nothing(published: u64) {
            prop_assert_eq!(plan_rescan(&summary(published), Generation(published)), RescanPlan::UpToDate);
        }
    }
}
