//! What leads from an event to its scan: topics, queues, functions.

use serde_json::Value;

use super::{
    super::snapshot::{Queue, Snapshot},
    Finding,
};

/// What takes a deployment back to its template.
const DEPLOY: &str = "run `nacre deploy`, which sets it again where the template changed; otherwise set it by hand, as \
                      CloudFormation's drift detection shows it";

/// Topics with the queue of each that must get their messages, by the outputs' names.
const DELIVERIES: [(&str, &str); 3] =
    [("ScannerTrigger", "ScanQueue"), ("RescanTrigger", "RescanQueue"), ("RescanTrigger", "FullRescanQueue")];

/// Queues with their dead-letter queues.
const DEAD_LETTERS: [(&str, &str); 4] = [
    ("ScanQueue", "ScanDeadLetters"),
    ("RescanQueue", "RescanDeadLetters"),
    ("FullRescanQueue", "RescanDeadLetters"),
    ("PassQueue", "PassDeadLetters"),
];

/// Queues with the functions that they invoke.
const SOURCES: [(&str, &str); 4] = [
    ("ScanQueue", "ScannerFunction"),
    ("FullRescanQueue", "ScannerFunction"),
    ("RescanQueue", "RescanFunction"),
    ("PassQueue", "RescannerFunction"),
];

/// Variables of the functions, and the parts that they name.
fn expected_environment(found: &Snapshot) -> [(&'static str, &'static str, &str); 3] {
    let table = found.table.name.as_str();
    [
        ("ScannerFunction", "NACRE_RECORDS_TABLE", table),
        ("RescanFunction", "NACRE_RECORDS_TABLE", table),
        ("RescannerFunction", "NACRE_RECORDS_TABLE", table),
    ]
}

fn queue<'a>(found: &'a Snapshot, name: &str) -> Option<&'a Queue> {
    found.queues.iter().find(|queue| queue.name == name)
}

pub(super) fn topics(found: &Snapshot, findings: &mut Vec<Finding>) {
    for (topic_name, queue_name) in DELIVERIES {
        let topic = found.topics.iter().find(|topic| topic.name == topic_name);
        let (Some(topic), Some(queue)) = (topic, queue(found, queue_name)) else { continue };
        if !topic.endpoints.contains(&queue.arn) {
            let cause = format!("{queue_name} is not subscribed to it: what is published reaches nobody");
            findings.push(Finding::new("subscription_missing", topic_name, cause, DEPLOY));
        }
        if !allows(queue.policy.as_ref(), "sqs:SendMessage", "sns.amazonaws.com") {
            let cause = format!("its policy does not let {topic_name} send: messages are lost or given up on");
            findings.push(Finding::new("queue_refuses_topic", queue_name, cause, DEPLOY));
        }
    }
    let trigger = found.topics.iter().find(|topic| topic.name == "ScannerTrigger");
    if trigger.is_some_and(|trigger| !allows(trigger.policy.as_ref(), "sns:Publish", "s3.amazonaws.com")) {
        let cause = "its policy does not let S3 publish: events of objects are lost";
        findings.push(Finding::new("topic_refuses_s3", "ScannerTrigger", cause, DEPLOY));
    }
}

/// Whether a policy has a statement that lets a service do something.
fn allows(policy: Option<&Value>, action: &str, service: &str) -> bool {
    let is = |value: Option<&Value>, wanted: &str| match value {
        Some(Value::Array(all)) => {
            all.iter().any(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case(wanted)))
        }
        Some(Value::String(one)) => one.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    let allows = |statement: &Value| {
        is(statement.get("Effect"), "Allow")
            && is(statement.get("Action"), action)
            && is(statement.pointer("/Principal/Service"), service)
    };
    policy.and_then(|policy| policy.get("Statement")?.as_array()).is_some_and(|all| all.iter().any(allows))
}

pub(super) fn queues(found: &Snapshot, findings: &mut Vec<Finding>) {
    for (name, dead_name) in DEAD_LETTERS {
        let (Some(source), Some(dead)) = (queue(found, name), queue(found, dead_name)) else { continue };
        if source.dead_letters.as_ref() != Some(&dead.arn) {
            let cause =
                format!("it does not give up to {dead_name}: a message that always fails comes back until it expires");
            findings.push(Finding::new("redrive_missing", name, cause, DEPLOY));
        }
        if dead.retention_seconds <= source.retention_seconds {
            let cause = format!(
                "it keeps messages no longer than {name}, counted from when they were first sent: they vanish soon after they arrive"
            );
            findings.push(Finding::new("retention_too_short", dead_name, cause, DEPLOY));
        }
    }
}

pub(super) fn functions(found: &Snapshot, findings: &mut Vec<Finding>) {
    for function in &found.functions {
        let mut push = |name, cause: String| findings.push(Finding::new(name, function.name, cause, DEPLOY));
        if function.state == "Failed" || function.last_update == "Failed" {
            push(
                "function_failed",
                format!("its state is {}, its last update {}", function.state, function.last_update),
            );
        }
        if function.reserved == Some(0) {
            push("function_stopped", "its reserved concurrency is 0: it is never invoked".to_owned());
        }
        for (of, variable, expected) in expected_environment(found) {
            let actual = function.environment.get(variable).map_or("", String::as_str);
            if of == function.name && actual != expected {
                push("environment_changed", format!("its {variable} is {actual:?} and not {expected:?}"));
            }
        }
    }
    let local = found.parameters.get("LocalVisibilityTimeout").is_some_and(|seconds| !seconds.is_empty());
    for (queue_name, function_name) in SOURCES {
        let function = found.functions.iter().find(|function| function.name == function_name);
        let (Some(queue), Some(function)) = (queue(found, queue_name), function) else { continue };
        let mut push = |name, cause: String| findings.push(Finding::new(name, queue_name, cause, DEPLOY));
        match function.sources.iter().find(|source| source.queue_arn == queue.arn) {
            None => push("source_missing", format!("it invokes no function: it should invoke {function_name}")),
            Some(source) if !source.enabled => {
                push(
                    "source_disabled",
                    format!("its event source mapping of {function_name} is disabled: messages wait"),
                );
            }
            Some(source) if !source.reports_failures => {
                push(
                    "source_fails_whole_batches",
                    format!("its event source mapping of {function_name} takes no failures one by one"),
                );
            }
            Some(_) => {}
        }
        if !local && queue.visibility_seconds < function.timeout_seconds {
            let (visible, timeout) = (queue.visibility_seconds, function.timeout_seconds);
            push(
                "visibility_too_short",
                format!(
                    "messages come back after {visible} s, while {function_name} may work for {timeout} s: they are done twice"
                ),
            );
        }
    }
}
