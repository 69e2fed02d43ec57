//! What a deployment came to, and what to do next.

use std::{collections::BTreeMap, io};

use serde::Serialize;

use super::{plan::Change, self_test::SelfTest};
use crate::output::{print, print_json};

/// What was done with the stack.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(crate) enum Outcome {
    Created,
    Updated,
    Unchanged,
    /// Nothing: the run was a dry one.
    Planned,
}

/// What a deployment came to.
#[derive(Clone, Debug, Serialize)]
pub(crate) struct Report {
    pub(crate) stack: String,
    pub(crate) outcome: Outcome,
    pub(crate) changes: Vec<Change>,
    pub(crate) warnings: Vec<String>,
    pub(crate) outputs: BTreeMap<String, String>,
    /// The published generation.
    pub(crate) generation: Option<u64>,
    pub(crate) self_test: Option<SelfTest>,
    /// Why the stack does not work yet.
    pub(crate) findings: Vec<String>,
    /// Why it is not known whether the stack works.
    pub(crate) untested: Option<String>,
    pub(crate) next: Vec<String>,
}

impl Report {
    pub(crate) fn new(stack: &str, outcome: Outcome, changes: Vec<Change>) -> Self {
        Self {
            stack: stack.to_owned(),
            outcome,
            changes,
            warnings: Vec::new(),
            outputs: BTreeMap::new(),
            generation: None,
            self_test: None,
            findings: Vec::new(),
            untested: None,
            next: Vec::new(),
        }
    }

    pub(crate) fn print(&self, json: bool) -> io::Result<()> {
        if json { print_json(self) } else { self.in_words().iter().try_for_each(|line| print(line)) }
    }

    fn in_words(&self) -> Vec<String> {
        let what = match self.outcome {
            Outcome::Created => "is created",
            Outcome::Updated => "is updated",
            Outcome::Unchanged => "is as it should be",
            Outcome::Planned => "would change as shown; nothing was changed",
        };
        let mut lines = vec![format!("the stack {} {what}", self.stack)];
        // Later it is old news.
        let has_run = matches!(self.outcome, Outcome::Created | Outcome::Updated) || self.generation.is_none();
        let own = self.outputs.get("FirstUpdate").filter(|_| has_run);
        lines.extend(own.map(|outcome| format!("the stack's own update: {outcome}")));
        lines.extend(self.generation.map(|generation| format!("generation {generation} of definitions is published")));
        if let Some(SelfTest { infected, clean, .. }) = &self.self_test {
            for (name, seen) in [("EICAR", infected), ("a clean file", clean)] {
                let verdict = seen.verdict.as_deref().unwrap_or("without a verdict");
                lines.push(format!("{name}: {verdict}, GET returns {}", seen.status));
            }
        }
        lines.extend(self.findings.iter().map(|finding| format!("NOT RIGHT: {finding}")));
        lines.extend(self.untested.iter().map(|reason| format!("NOT TESTED: {reason}")));
        lines.extend(self.next.iter().map(|step| format!("next: {step}")));
        lines
    }
}

/// What an operator does after a deployment. Pure.
pub(crate) fn next_steps(
    outputs: &BTreeMap<String, String>,
    parameters: &BTreeMap<String, String>,
    has_definitions: bool,
    has_notification: bool,
) -> Vec<String> {
    let output = |name: &str| outputs.get(name).map_or("?", String::as_str);
    let mut steps = Vec::new();
    let bucket = output("ScannedBucket");
    if !has_notification {
        steps.push(format!(
            "have the events of {bucket} come: nacre attach s3://{bucket}. Until then nothing in it is scanned or refused. Then run \
             this again"
        ));
    }
    if !has_definitions {
        steps.push(
            "find a source of definitions that serves you: docs/definitions.md, \"three ways\". Then run this again"
                .into(),
        );
    }
    if parameters.get("AlarmTopic").is_none_or(String::is_empty) {
        steps.push("have yourself notified of alarms: nacre deploy --parameter AlarmTopic=ARN-OF-YOUR-TOPIC".into());
    }
    steps.push(format!("upload: aws s3 cp FILE s3://{bucket}/"));
    if outputs.contains_key("ScannedBucketNotification") {
        steps.push(format!(
            "scan what is there already: nacre backfill s3://{bucket} --bucket {} --table {} --topic {}",
            output("DefinitionsBucket"),
            output("ScanRecords"),
            output("RescanTrigger")
        ));
    }
    steps.push(format!("see what is published: nacre definitions status --bucket {}", output("DefinitionsBucket")));
    steps
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::deploy::self_test::Seen;

    #[test]
    fn a_report_says_what_was_seen_and_what_to_do() {
        let outputs = [("ScannedBucket", "uploads"), ("DefinitionsBucket", "definitions")];
        let outputs: BTreeMap<_, _> = outputs.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let seen = |verdict: &str, status| Seen { verdict: Some(verdict.to_owned()), status };
        let self_test = SelfTest { infected: seen("INFECTED", 403), clean: seen("CLEAN", 200), left: Vec::new() };
        let next = next_steps(&outputs, &BTreeMap::new(), true, true);
        let report = Report {
            outputs,
            self_test: Some(self_test),
            generation: Some(1),
            next,
            ..Report::new("nacre", Outcome::Created, Vec::new())
        };
        let words = report.in_words().join("\n");
        assert_eq!(
            words,
            "the stack nacre is created\ngeneration 1 of definitions is published\nEICAR: INFECTED, GET returns 403\n\
             a clean file: CLEAN, GET returns 200\n\
             next: have yourself notified of alarms: nacre deploy --parameter AlarmTopic=ARN-OF-YOUR-TOPIC\n\
             next: upload: aws s3 cp FILE s3://uploads/\n\
             next: see what is published: nacre definitions status --bucket definitions"
        );
    }

    #[test]
    fn a_given_bucket_is_not_scanned_by_itself() {
        let outputs = BTreeMap::from([("ScannedBucketNotification".to_owned(), "{}".to_owned())]);
        let alarms = BTreeMap::from([("AlarmTopic".to_owned(), "arn".to_owned())]);
        let next = next_steps(&outputs, &alarms, false, false);
        assert!(next[0].contains("nothing in it is scanned") && next[1].contains("three ways"), "{next:?}");
        assert!(next.iter().any(|step| step.contains("nacre backfill")) && !next.join(" ").contains("AlarmTopic"));
    }
}
