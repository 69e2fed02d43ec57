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
    /// The newest of a day; `null` when none was made.
    pub(super) self_test: Option<SelfTest>,
    /// By bucket.
    pub(super) attention: BTreeMap<String, Attention>,
}

/// The newest scheduled self-test.
#[derive(Clone, Debug, Serialize)]
pub(super) struct SelfTest {
    pub(super) at: DateTime<Utc>,
    /// What was not as it should be.
    pub(super) failure: Option<String>,
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
        if let Some(test) = &self.self_test {
            let silence = self.at - test.at;
            if let Some(failure) = &test.failure {
                wrong.push(format!(
                    "the last self-test failed: {failure}: `nacre logs --function rescanner --since 3h`"
                ));
            } else if silence > LONGEST_WITHOUT_TEST {
                let hours = silence.num_hours();
                wrong.push(format!(
                    "the hourly self-test was last made {hours} hours ago: see `nacre logs --function rescanner`"
                ));
            }
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
        let time = |time: Option<DateTime<Utc>>| {
            time.map_or_else(|| "never".to_owned(), |time| time.to_rfc3339_opts(SecondsFormat::Secs, true))
        };
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
                    time(found.last_success),
                    time(found.last_check)
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
                    time(Some(pass.updated))
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
        lines.push(match &self.self_test {
            None => "self-test     none was made within a day".to_owned(),
            Some(test) => {
                let outcome = if test.failure.is_none() { "passed" } else { "failed" };
                format!("self-test     {outcome} {}", time(Some(test.at)))
            }
        });
        if self.attention.is_empty() {
            lines.push("verdicts      none that needs attention".to_owned());
        }
        lines.extend(self.attention.iter().map(|(bucket, found)| {
            format!("verdicts      {bucket}: {} infected, {} unscannable", found.infected, found.unscannable)
        }));
        if wrong.is_empty() {
            lines.push("well          nothing is wrong".to_owned());
        }
        lines.extend(wrong.iter().map(|finding| format!("WRONG         {finding}")));
        lines
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn healthy() -> Snapshot {
        let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
        let definitions = Definitions {
            generation: Generation(7),
            age_hours: 5,
            limit_hours: 72,
            pinned: false,
            last_check: Some(at),
            last_success: None,
        };
        let pass = PassState {
            attempt: 1,
            state: State::Working,
            segments_done: 3,
            segments: 4,
            updated: at - TimeDelta::hours(1),
        };
        Snapshot {
            at,
            definitions: Some(definitions),
            pass: Some(pass),
            queues: vec![Waiting {
                name: "new objects",
                messages: 12,
                in_flight: 3,
                stalled: false,
                source: Some("Enabled".into()),
            }],
            dead_letters: ["scan", "rescan"].map(|name| (name, 0)).into(),
            errors: BTreeMap::new(),
            sandbox_layers: Some(2),
            self_test: Some(SelfTest { at: at - TimeDelta::minutes(20), failure: None }),
            attention: [("uploads".to_owned(), Attention { infected: 2, unscannable: 1 })].into(),
        }
    }

    fn wrong(change: impl FnOnce(&mut Snapshot)) -> String {
        let mut snapshot = healthy();
        change(&mut snapshot);
        let wrong = snapshot.wrong();
        assert_eq!(wrong.len(), 1, "{wrong:?}");
        wrong.concat()
    }

    #[test]
    fn a_deployment_that_is_well_is_one_screen() {
        let snapshot = healthy();
        assert_eq!(snapshot.wrong(), Vec::<String>::new());
        assert_eq!(
            snapshot.lines(&[]),
            [
                "definitions   generation 7, 5 hours old, of 72 allowed",
                "updater       last success never, last check 2024-10-04T00:00:00Z",
                "pass          under way, 3 of 4 segments done, last report 2024-10-03T23:00:00Z",
                "backlog       new objects: 12 waiting, 3 in flight",
                "dead letters  rescan 0, scan 0",
                "errors        none (last hour)",
                "sandbox       2 of 4 layers",
                "self-test     passed 2024-10-03T23:40:00Z",
                "verdicts      uploads: 2 infected, 1 unscannable",
                "well          nothing is wrong",
            ]
        );
        let json = snapshot.with_findings(&[]);
        assert_eq!((&json["definitions"]["generation"], &json["wrong"]), (&json!(7), &json!([])));
    }

    #[test]
    fn each_fault_is_named_with_its_remedy() {
        assert!(wrong(|it| it.definitions = None).contains("nacre logs --function updater"));
        let age = |hours| move |it: &mut Snapshot| it.definitions.as_mut().unwrap().age_hours = hours;
        assert!(wrong(age(73)).contains("73 hours old, of 72 allowed"));
        let pinned = wrong(|it| {
            age(73)(it);
            it.definitions.as_mut().unwrap().pinned = true;
        });
        assert!(pinned.contains("unpin"));
        assert!(wrong(|it| *it.dead_letters.get_mut("scan").unwrap() = 4).contains("nacre dlq show scan"));
        let stuck = wrong(|it| it.pass.as_mut().unwrap().updated -= TimeDelta::hours(9));
        assert!(stuck.contains("for 10 hours") && stuck.contains("nacre rescan start"));
        let disabled = wrong(|it| it.queues[0].source = Some("Disabled".into()));
        assert!(disabled.contains("nothing takes new objects") && disabled.contains("where 12 wait"));
        assert!(wrong(|it| it.queues[0].source = None).contains("mapping is missing"));
        assert!(wrong(|it| it.queues[0].stalled = true).contains("12 messages wait and none is in flight"));
        let test = |minutes, failure: Option<&str>| {
            let failure = failure.map(str::to_owned);
            move |it: &mut Snapshot| it.self_test = Some(SelfTest { at: it.at - TimeDelta::minutes(minutes), failure })
        };
        assert!(wrong(test(20, Some("EICAR is readable (200)"))).contains("EICAR is readable"));
        assert!(wrong(test(300, None)).contains("last made 5 hours ago"));
        let error = wrong(|it| {
            it.errors.insert("scanner", 2);
        });
        assert!(error.contains("scanner logged 2 errors"));
        let mut finished = healthy();
        let pass = finished.pass.as_mut().unwrap();
        (pass.state, pass.updated) = (State::Finished, DateTime::UNIX_EPOCH);
        assert!(finished.wrong().is_empty());
    }
}
