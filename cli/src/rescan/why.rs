//! The reasons of plans, in words.

use nacre_core::rescan::plan::{FullScan, Unaffected};

pub(crate) fn unaffected(why: Unaffected) -> &'static str {
    match why {
        Unaffected::NothingMatches => "nothing that was added can match them",
        Unaffected::StillInfected => "a signature that convicted them is unchanged",
        Unaffected::Archived => "archived since their scan, which stands until they are restored",
        Unaffected::NeverScanned => "never scanned: too large, archived, or encrypted with the owner's key",
    }
}

pub(crate) fn full(why: FullScan) -> &'static str {
    match why {
        FullScan::UnknownRecord => "recorded by another version of Nacre",
        FullScan::UnknownGeneration => "scanned with a generation that the definitions bucket does not know",
        FullScan::LimitRaised => "refused for their size, which the limit allows by now",
        FullScan::Engine => "scanned by another engine",
        FullScan::DeltaNotKept => "a delta since their generation is not kept any more",
        FullScan::DeltaTooLarge => "too much changed for a delta scan",
        FullScan::Context => "a file that changes how signatures work was changed",
        FullScan::Ambiguous => "several signatures of one digest were added",
        FullScan::Trust => "the trust in a part of them changed",
        FullScan::SignatureRemoved => "the signatures that convicted them were removed or changed",
        FullScan::RetryTransient => "the reason why they could not be scanned may have passed",
        FullScan::Unscannable => "not scannable, and something added may match",
    }
}
