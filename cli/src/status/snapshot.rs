//! What was read of a deployment at one moment, and what is wrong with it. Pure.

use std::collections::BTreeMap;

use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use nacre_core::{generation::Generation, rescan::pass::State};
use serde::Serialize;
use serde_json::{Value, json};

/// How long a pass that is under way may report nothing: more than a killed invocation and its retries cost.
const LONGEST_SILENCE: TimeDelta = TimeDelta::hours(2);

/// How long the hourly self-test may be silent.
const LONGEST_WITHOUT_TEST: TimeDelta = TimeDelta::hours(3);

/// Layers of the engine's sandbox where all are allowed.
const ALL_LAYERS: u64 = 4;

/// The alarm that is no fault: infected objects are what Nacre is for.
const INFECTED: &str = "InfectedAlarm";

/// A deployment at one moment, as `--json` prints it.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Snapshot {
    pub(super) at: DateTime<Utc>,
    /// `null` when nothing is published.
    pub(super) definitions: Option<Definitions>,
    /// Of the published generation.
    pub(super) pass: Option<PassState>,
    pub(super) queues: Vec<Waiting>,
    pub(super) dead_letters: BTreeMap<&'static str, u64>,
    /// Errors that each function logged in the last hour.
    pub(super) errors: BTreeMap<&'static str, u64>,
    /// Of the last engine that was started within a week.
    pub(super) sandbox_layers: Option<u64>,
    /// By bucket, the newest of a day; a bucket in which none was made is missing.
    pub(super) self_tests: BTreeMap<String, SelfTest>,
    /// By bucket.
    pub(super) attention: BTreeMap<String, Attention>,
    /// What rings, by CloudWatch.
    pub(super) alarms: Vec<Alarm>,
}

/// An alarm of the stack that rings.
#[derive(Clone, Debug, Serialize)]
pub(super) struct Alarm {
    /// As the template and the runbook have it.
    pub(super) name: String,
    pub(super) since: Option<DateTime<Utc>>,
}

/// The newest scheduled self-test.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SelfTest {
    pub(super) at: DateTime<Utc>,
    /// What was not as it should be.
    pub(super) failure: Option<String>,
}

/// All buckets are tested at once, for as long as the rescanner may run.
const LENGTH_OF_RUN: TimeDelta = TimeDelta::minutes(5);

/// Of tests in the order of their times the last of each bucket in the last run: a bucket that was detached is not in it.
pub(super) fn of_last_run(tests: Vec<(String, SelfTest)>) -> BTreeMap<String, SelfTest> {
    let begin = tests.iter().map(|(_, test)| test.at - LENGTH_OF_RUN).max();
    tests.into_iter().filter(|(_, test)| Some(test.at) >= begin).collect()
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Definitions {
    pub(super) generation: Generation,
    pub(super) age_hours: i64,
    pub(super) limit_hours: u32,
    pub(super) pinned: bool,
    pub(super) last_check: Option<DateTime<Utc>>,
    pub(super) last_success: Option<DateTime<Utc>>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct PassState {
    pub(super) attempt: u32,
    pub(super) state: State,
    pub(super) segments_done: u64,
    pub(super) segments: u64,
    pub(super) updated: DateTime<Utc>,
}

#[derive(Clone, Debug, Serialize)]
pub(super) struct Waiting {
    pub(super) name: &'static str,
    pub(super) messages: u64,
    pub(super) in_flight: u64,
    /// Whether messages wait and no function has any.
    pub(super) stalled: bool,
    /// State of the event source mapping by which a function takes them; `null` when there is none.
    pub(super) source: Option<String>,
}

impl Waiting {
    /// Whether a function takes the messages, or will in a moment.
    fn is_taken(&self) -> bool {
        self.source.as_ref().is_some_and(|state| !state.starts_with("Disabl") && state != "Deleting")
    }
}

#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub(super) struct Attention {
    pub(super) infected: u64,
    pub(super) unscannable: u64,
}

impl Snapshot {
    /// What is wrong, each with its remedy. Infected objects are findings of a deployment that is well.
    pub(super) fn wrong(&self) -> Vec<String> {
        let mut wrong = Vec::new();
        match &self.definitions {
            None => wrong.push(
                "nothing is published, so nothing is scanned: run the updater, and see `nacre logs --function updater`"
                    .to_owned(),
            ),
            Some(definitions) if definitions.age_hours > definitions.limit_hours.into() => {
                let (age, limit) = (definitions.age_hours, definitions.limit_hours);
                let remedy = if definitions.pinned {
                    "they are pinned: `nacre definitions unpin`"
                } else {
                    "see `nacre definitions status` and `nacre logs --function updater`"
                };
                wrong.push(format!("the definitions are {age} hours old, of {limit} allowed: {remedy}"));
            }
            Some(_) => {}
        }
        for (queue, messages) in self.dead_letters.iter().filter(|(_, messages)| **messages > 0) {
            wrong.push(format!(
                "{messages} messages are in the dead-letter queue {queue}: `nacre dlq show {queue}` shows why"
            ));
        }
        if let Some(pass) = &self.pass {
            let silence = self.at - pass.updated;
            if pass.state == State::Working && silence > LONGEST_SILENCE {
                let hours = silence.num_hours();
                wrong.push(format!(
                    "the pass has reported nothing for {hours} hours: `nacre rescan start` continues it, `nacre dlq show pass` may show why"
                ));
            }
        }
        for queue in self.queues.iter().filter(|queue| !queue.is_taken()) {
            let state = queue.source.as_deref().unwrap_or("missing");
            wrong.push(format!(
                "nothing takes {} from their queue, where {} wait: the event source mapping is {state}: `nacre doctor` has the remedy",
                queue.name, queue.messages
            ));
        }
        for queue in self.queues.iter().filter(|queue| queue.stalled && queue.is_taken()) {
            wrong.push(format!(
                "{}: {} messages wait and none is in flight: the function is throttled, or cannot be invoked: `nacre doctor`",
                queue.name, queue.messages
            ));
        }
        for (bucket, test) in &self.self_tests {
            if let Some(failure) = &test.failure {
                wrong.push(format!(
                    "the last self-test in {bucket} failed: {failure}: `nacre logs --function rescanner --since 3h`"
                ));
            }
        }
        if let Some(newest) = self.self_tests.values().map(|test| test.at).max() {
            let silence = self.at - newest;
            if silence > LONGEST_WITHOUT_TEST {
                let hours = silence.num_hours();
                wrong.push(format!(
                    "the hourly self-test was last made {hours} hours ago: see `nacre logs --function rescanner`"
                ));
            }
        }
        for alarm in self.alarms.iter().filter(|alarm| alarm.name != INFECTED) {
            let since = alarm.since.map_or_else(String::new, |since| format!(" since {}", time(since)));
            wrong.push(format!("{} rings{since}: see docs/runbook.md#{}", alarm.name, alarm.name.to_ascii_lowercase()));
        }
        for (function, errors) in &self.errors {
            wrong.push(format!(
                "{function} logged {errors} errors in the last hour: `nacre logs --function {function} --since 1h`"
            ));
        }
        wrong
    }

    pub(super) fn with_findings(&self, wrong: &[String]) -> Value {
        let mut value = json!(self);
        if let Value::Object(value) = &mut value {
            value.insert("wrong".into(), json!(wrong));
        }
        value
    }

    pub(super) fn lines(&self, wrong: &[String]) -> Vec<String> {
        let or_never = |at: Option<DateTime<Utc>>| at.map_or_else(|| "never".to_owned(), time);
        let mut lines = Vec::new();
        match &self.definitions {
            None => lines.push("definitions   none".to_owned()),
            Some(found) => {
                let pinned = if found.pinned { ", pinned" } else { "" };
                let (generation, age, limit) = (found.generation.0, found.age_hours, found.limit_hours);
                lines.push(format!(
                    "definitions   generation {generation}, {age} hours old, of {limit} allowed{pinned}"
                ));
                lines.push(format!(
                    "updater       last success {}, last check {}",
                    or_never(found.last_success),
                    or_never(found.last_check)
                ));
            }
        }
        lines.push(match &self.pass {
            None => "pass          none for this generation".to_owned(),
            Some(pass) => {
                let state = match pass.state {
                    State::Working => "under way",
                    State::Finished => "finished",
                    State::Overtaken => "overtaken by a newer generation",
                    State::Cancelled => "cancelled",
                };
                format!(
                    "pass          {state}, {} of {} segments done, last report {}",
                    pass.segments_done,
                    pass.segments,
                    time(pass.updated)
                )
            }
        });
        for queue in &self.queues {
            lines.push(format!(
                "backlog       {}: {} waiting, {} in flight",
                queue.name, queue.messages, queue.in_flight
            ));
        }
        let dead: Vec<_> = self.dead_letters.iter().map(|(name, messages)| format!("{name} {messages}")).collect();
        lines.push(format!("dead letters  {}", dead.join(", ")));
        let errors: Vec<_> = self.errors.iter().map(|(function, errors)| format!("{function} {errors}")).collect();
        lines.push(format!(
            "errors        {} (last hour)",
            if errors.is_empty() { "none".to_owned() } else { errors.join(", ") }
        ));
        lines.push(match self.sandbox_layers {
            Some(layers) => format!("sandbox       {layers} of {ALL_LAYERS} layers"),
            None => "sandbox       not known: no engine was started within a week".to_owned(),
        });
        if self.self_tests.is_empty() {
            lines.push("self-test     none was made within a day".to_owned());
        }
        lines.extend(self.self_tests.iter().map(|(bucket, test)| {
            let outcome = if test.failure.is_none() { "passed" } else { "failed" };
            format!("self-test     {bucket}: {outcome} {}", time(test.at))
        }));
        if self.attention.is_empty() {
            lines.push("verdicts      none that needs attention".to_owned());
        }
        lines.extend(self.attention.iter().map(|(bucket, found)| {
            format!("verdicts      {bucket}: {} infected, {} unscannable", found.infected, found.unscannable)
        }));
        let ringing: Vec<_> = self.alarms.iter().map(|alarm| alarm.name.as_str()).collect();
        lines.push(format!(
            "alarms        {}",
            if ringing.is_empty() { "none rings".to_owned() } else { ringing.join(", ") }
        ));
        if wrong.is_empty() {
            lines.push("well          nothing is wrong".to_owned());
        }
        lines.extend(wrong.iter().map(|finding| format!("WRONG         {finding}")));
        lines
    }
}

fn time(at: DateTime<Utc>) -> String {
    at.to_rfc3339_opts(SecondsFormat::Secs, true)
}

#[cfg(test)]
mod tests;
