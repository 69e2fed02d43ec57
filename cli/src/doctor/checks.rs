//! What is wrong with a deployment, by what was found of it. Pure.

mod bucket;
mod flow;
mod key;

use serde::Serialize;

use super::snapshot::Snapshot;
use crate::deploy::wanted_concurrency;

/// A fault: what it is, what it causes, what to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    /// A name that stays, for programs.
    pub(super) name: &'static str,
    /// Resource that has it.
    pub(super) resource: String,
    pub(super) cause: String,
    pub(super) remedy: String,
}

impl Finding {
    fn new(
        name: &'static str,
        resource: impl Into<String>,
        cause: impl Into<String>,
        remedy: impl Into<String>,
    ) -> Self {
        Self { name, resource: resource.into(), cause: cause.into(), remedy: remedy.into() }
    }

    pub(super) fn lines(&self) -> [String; 3] {
        let Self { name, resource, cause, remedy } = self;
        [format!("{resource} ({name})"), format!("  cause   {cause}"), format!("  remedy  {remedy}")]
    }
}

/// Every fault, what is nearest to the source first.
pub(super) fn findings(found: &Snapshot) -> Vec<Finding> {
    let mut findings = Vec::new();
    stack(found, &mut findings);
    definitions(found, &mut findings);
    bucket::buckets(found, &mut findings);
    key::keys(found, &mut findings);
    flow::topics(found, &mut findings);
    flow::queues(found, &mut findings);
    flow::functions(found, &mut findings);
    table(found, &mut findings);
    outcomes(found, &mut findings);
    surroundings(found, &mut findings);
    findings
}

fn stack(found: &Snapshot, findings: &mut Vec<Finding>) {
    let status = found.stack_status.as_str();
    if status.contains("FAILED") || status == "ROLLBACK_COMPLETE" {
        let cause = format!("its last operation ended with {status}");
        findings.push(Finding::new("stack_failed", &found.stack, cause, "run `nacre deploy` again, which says why"));
    } else if status.ends_with("_IN_PROGRESS") {
        let cause = format!("an operation is under way: {status}");
        findings.push(Finding::new("stack_busy", &found.stack, cause, "run this again when it has ended"));
    }
}

fn definitions(found: &Snapshot, findings: &mut Vec<Finding>) {
    let limit = found.parameters.get("StalenessLimitHours").and_then(|limit| limit.parse().ok()).unwrap_or(72);
    let mut push = |name, cause: String, remedy: &str| findings.push(Finding::new(name, "definitions", cause, remedy));
    let read_log = "see `nacre definitions status` and `nacre logs --function updater`";
    match (&found.definitions.unreadable, found.definitions.age_hours) {
        (Some(error), _) => {
            let remedy = "publish an older generation again: `nacre definitions rollback`";
            push("definitions_unreadable", format!("what is published cannot be read: {error}"), remedy);
        }
        (None, None) => push("definitions_missing", "nothing is published, so nothing is scanned".into(), read_log),
        (None, Some(age)) if age > limit => {
            let remedy = if found.definitions.pinned { "unpin them: `nacre definitions unpin`" } else { read_log };
            push("definitions_stale", format!("they are {age} hours old, of {limit} allowed"), remedy);
        }
        (None, Some(_)) => {}
    }
}

/// The index that `nacre infected` and `nacre unscannable` read.
const INDEX: &str = "attention";

fn table(found: &Snapshot, findings: &mut Vec<Finding>) {
    let table = &found.table;
    if table.status != "ACTIVE" {
        let cause = format!("the table is {}", table.status);
        findings.push(Finding::new("table_not_active", &table.name, cause, "wait, or restore it: docs/teardown.md"));
    }
    match table.indexes.get(INDEX).map(String::as_str) {
        Some("ACTIVE") => {}
        Some(status) => {
            let cause = format!("its index {INDEX} is {status}");
            findings.push(Finding::new("index_not_active", &table.name, cause, "wait until it is ACTIVE"));
        }
        None => {
            let cause = format!("it has no index {INDEX}: infected and unscannable objects cannot be listed");
            findings.push(Finding::new("index_missing", &table.name, cause, "run `nacre deploy`"));
        }
    }
}

/// What functions were refused and gave up on, whatever its cause.
fn outcomes(found: &Snapshot, findings: &mut Vec<Finding>) {
    for (call, times) in &found.refused {
        let cause = format!("functions were refused {call} {times} times in the last day");
        let remedy = "let the scanner's role through in the policies of bucket, key and organization";
        findings.push(Finding::new("access_denied", call, cause, remedy));
    }
    for (call, times) in &found.throttled {
        let cause = format!("functions were throttled at {call} {times} times in the last day");
        let remedy = "raise the throughput of the table or topic, or lower ScanConcurrency and RescanConcurrency";
        findings.push(Finding::new("throttled", call, cause, remedy));
    }
    for (queue, messages) in found.messages_given_up.iter().filter(|(_, messages)| **messages > 0) {
        let cause = format!("{messages} messages were given up on");
        let remedy = format!("`nacre dlq show {queue}` says why, `nacre dlq redrive {queue}` sends them back");
        findings.push(Finding::new("dead_letters", *queue, cause, remedy));
    }
}

/// How far the clock of this machine may be from that of AWS, which refuses what is five minutes off.
const LARGEST_SKEW_SECONDS: u64 = 60;

/// The account's quota of functions, and this machine's clock.
fn surroundings(found: &Snapshot, findings: &mut Vec<Finding>) {
    let wanted = wanted_concurrency(&found.parameters);
    if wanted > found.concurrency {
        let cause =
            format!("the account runs {} functions at a time, and the stack may want {wanted}", found.concurrency);
        let remedy =
            "request a higher quota (L-B99A9384), or lower ScanConcurrency, RescanConcurrency and PassConcurrency";
        findings.push(Finding::new("concurrency_low", "AWS Lambda", cause, remedy));
    }
    if let Some(ahead) = found.ahead_seconds.filter(|ahead| ahead.unsigned_abs() > LARGEST_SKEW_SECONDS) {
        let where_to = if ahead > 0 { "ahead of" } else { "behind" };
        let seconds = ahead.unsigned_abs();
        let cause = format!(
            "its clock is {seconds} seconds {where_to} AWS's: ages are wrong, and from 5 minutes on calls are refused"
        );
        findings.push(Finding::new("clock_skewed", "this machine", cause, "set the clock, as by NTP"));
    }
}

#[cfg(test)]
mod tests;
