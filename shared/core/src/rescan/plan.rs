//! What a recorded object needs when another generation is published. Pure.
//!
//! The plan rests on what the record says of the scan: which matchers ran, and which layers they ran on. An object in which nothing
//! was found holds nothing that only *removed* signatures found, and nothing of added ones where their matcher had nothing to run
//! on. Where a link of that argument is missing, the plan is the more careful one.

use std::cmp::Ordering;

use chrono::{DateTime, Utc};
use nacre_engine_protocol::Limits;
use serde::{Deserialize, Serialize};

use crate::{
    generation::Generation,
    rescan::delta_summary::{DeltaSummary, LoadedBy},
    scan_record::{EngineVersion, LayerDigest, RecordSummary, RecordView},
    verdict::{Reason, Verdict},
};

/// What an object needs.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum RescanPlan {
    /// It was scanned with that generation.
    UpToDate,
    /// A scan would conclude the same again.
    Unaffected(Unaffected),
    /// A delta scan decides as a full scan would.
    DeltaScan,
    /// Only a full scan can decide.
    FullScan(FullScan),
    /// A scan would conclude the same again, but tags and result of the last one are missing: they have to be written.
    Unreported,
}

/// Why a scan would conclude the same again.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unaffected {
    /// Nothing that was added can match it.
    NothingMatches,
    /// A signature that convicted it is unchanged, and what is reported of its digests.
    StillInfected,
    /// It is not scanned, whatever the definitions: too large, archived, or encrypted with its owner's key.
    #[serde(rename = "unseen")]
    NeverScanned,
    /// It was scanned, and is archived by now: its verdict stands until it is restored.
    Archived,
}

/// Why only a full scan can decide.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum FullScan {
    /// The record is of another format.
    UnknownRecord,
    /// It was scanned with a generation that is above the published one: of a definitions bucket that was emptied or replaced.
    UnknownGeneration,
    /// It was refused for its size, and the limit was raised.
    LimitRaised,
    /// Another engine scanned it.
    Engine,
    /// A delta on the way is not kept any more.
    DeltaNotKept,
    /// Too much changed for a delta scan.
    DeltaTooLarge,
    /// It changed how signatures work.
    Context,
    /// Several signatures of one digest were added: only all of them together show which name is reported.
    Ambiguous,
    /// It changed whether a part of the object is trusted.
    Trust,
    /// The signatures that convicted it were removed or changed.
    #[serde(rename = "healing")]
    SignatureRemoved,
    /// It could not be scanned for a reason that may have passed.
    #[serde(rename = "may_be_made_good")]
    RetryTransient,
    /// It could not be scanned, and may match what was added, or be scanned without what was removed.
    Unscannable,
}

/// What changed from a record's generation to the published one.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Change {
    /// These lines.
    Known(DeltaSummary),
    /// A delta on the way is not kept any more.
    NotKept,
    /// Too many lines for a delta scan.
    TooLarge,
}

/// The signatures that the engine loads at its functionality level.
pub fn loaded_by(engine: &EngineVersion) -> LoadedBy {
    LoadedBy { functionality_level: engine.functionality_level, pua: false }
}

/// Plans the rescan of a recorded object for the generation `published` and the engine that will scan. `change` leads from the
/// record's generation to that one.
pub fn plan_rescan(
    record: &RecordSummary,
    published: Generation,
    engine: &EngineVersion,
    change: &Change,
) -> RescanPlan {
    let Some(view) = &record.view else { return RescanPlan::FullScan(FullScan::UnknownRecord) };
    match record.generation.cmp(&published) {
        Ordering::Less => {}
        Ordering::Equal => return RescanPlan::UpToDate,
        Ordering::Greater => return RescanPlan::FullScan(FullScan::UnknownGeneration),
    }
    if view.verdict.reason().is_some_and(is_never_scanned) {
        return RescanPlan::Unaffected(Unaffected::NeverScanned);
    }
    if view.engine != *engine {
        return RescanPlan::FullScan(FullScan::Engine);
    }
    let delta = match change {
        Change::Known(delta) => delta,
        Change::NotKept => return RescanPlan::FullScan(FullScan::DeltaNotKept),
        Change::TooLarge => return RescanPlan::FullScan(FullScan::DeltaTooLarge),
    };
    let changes_scan = delta.changes_phishing_check(view.targets) || delta.interferes(view.targets);
    if delta.requires_full_scan.is_some() || changes_scan {
        return RescanPlan::FullScan(FullScan::Context);
    }
    if delta.changes_trust(view.layers.as_deref()) {
        return RescanPlan::FullScan(FullScan::Trust);
    }
    by_verdict(view, delta)
}

/// Plans one record of a pass that reads it at `now`.
///
/// As [`plan_rescan`], but a record whose tags and result are overdue is never skipped. Its message may have been given up
/// on, for example while tagging was denied; the object then still has the tags of its previous verdict, and is readable by them. What is
/// archived is not requested: it could not be read.
pub fn plan_in_pass(
    record: &RecordSummary,
    published: Generation,
    engine: &EngineVersion,
    change: &Change,
    now: DateTime<Utc>,
) -> RescanPlan {
    unless_moot(record, plan_rescan(record, published, engine, change), now)
}

/// The plan in a pass: what needs no scan, or cannot be scanned, may still have to be reported.
pub(crate) fn unless_moot(record: &RecordSummary, plan: RescanPlan, now: DateTime<Utc>) -> RescanPlan {
    let plan = match plan {
        RescanPlan::DeltaScan | RescanPlan::FullScan(_) if record.is_archived(now) => {
            RescanPlan::Unaffected(Unaffected::Archived)
        }
        plan => plan,
    };
    match plan {
        RescanPlan::UpToDate | RescanPlan::Unaffected(_) if record.is_report_overdue(now) => RescanPlan::Unreported,
        plan => plan,
    }
}

/// The largest object that is scanned, in bytes: the engine's limit, or the operator's where that is less.
pub fn size_limit(skip_larger_than: Option<u64>) -> u64 {
    let engine = Limits::default().max_file_size;
    skip_larger_than.map_or(engine, |limit| limit.min(engine))
}

/// Whether the object was refused for its size, and is not larger than `limit`.
pub fn is_limit_raised(verdict: &Verdict, size: u64, limit: u64) -> bool {
    verdict.reason() == Some(Reason::TooLarge) && size <= limit
}

fn by_verdict(view: &RecordView, delta: &DeltaSummary) -> RescanPlan {
    let layers: Option<&[LayerDigest]> = view.layers.as_deref();
    match &view.verdict {
        Verdict::Infected { signatures }
            if signatures.iter().any(|name| delta.is_unchanged(name)) && !delta.renames(view.targets, layers) =>
        {
            RescanPlan::Unaffected(Unaffected::StillInfected)
        }
        Verdict::Infected { .. } => RescanPlan::FullScan(FullScan::SignatureRemoved),
        Verdict::Unscannable { reason } | Verdict::Skipped { reason } if reason.is_transient() => {
            RescanPlan::FullScan(FullScan::RetryTransient)
        }
        Verdict::Unscannable { reason } if delta.removes_regex() && may_be_of_a_signature(*reason) => {
            RescanPlan::FullScan(FullScan::Unscannable)
        }
        _ if !delta.may_match(view) => RescanPlan::Unaffected(Unaffected::NothingMatches),
        Verdict::Clean if delta.is_ambiguous(view.targets, layers) => RescanPlan::FullScan(FullScan::Ambiguous),
        Verdict::Clean => RescanPlan::DeltaScan,
        Verdict::Unscannable { .. } | Verdict::Skipped { .. } => RescanPlan::FullScan(FullScan::Unscannable),
    }
}

/// Whether the record may be said to be of the published generation without another scan: its object is unaffected, and so are all
/// conclusions that may be drawn from the record later.
///
/// A record that names several signatures is one of those only while all of them are unchanged. If one of them was removed, and the
/// other in a later generation, the delta from the advanced record would show the other alone, and an object that nothing convicts any
/// more would stay convicted. What is never scanned need not be advanced: it is not judged by what changed.
pub fn may_advance_generation(record: &RecordSummary, plan: RescanPlan, change: &Change) -> bool {
    let (Change::Known(delta), Some(view)) = (change, &record.view) else { return false };
    match plan {
        RescanPlan::Unaffected(Unaffected::NothingMatches) => true,
        RescanPlan::Unaffected(Unaffected::StillInfected) => match &view.verdict {
            Verdict::Infected { signatures } => signatures.iter().all(|name| delta.is_unchanged(name)),
            _ => false,
        },
        _ => false,
    }
}

/// Whether the object is not scanned, whatever the definitions.
fn is_never_scanned(reason: Reason) -> bool {
    matches!(reason, Reason::TooLarge | Reason::Archived | Reason::CustomerKey)
}

/// Whether it may have been a signature that failed, so that a scan succeeds without it: a regular expression in text that is no UTF-8, or
/// one that takes too long.
fn may_be_of_a_signature(reason: Reason) -> bool {
    matches!(reason, Reason::EngineError | Reason::EngineLimit | Reason::TimeLimit)
}

#[cfg(test)]
mod tests;
