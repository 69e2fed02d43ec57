//! What leads from an event to its scan: topics, queues, functions.

use nacre_core::event::{PLAN_ATTRIBUTE, RescanKind};
use serde_json::{Value, json};

use super::{
    super::snapshot::{Queue, Snapshot},
    Finding,
};

/// What takes a deployment back to its template.
const DEPLOY: &str = "run `nacre deploy`, which sets it again where the template changed; otherwise set it by hand, as \
                      CloudFormation's drift detection shows it";

/// Topics with the queue of each that must get their messages, by the outputs' names; all of them, or those of a kind of rescan.
const DELIVERIES: [(&str, &str, Option<RescanKind>); 3] = [
    ("ScannerTrigger", "ScanQueue", None),
    ("RescanTrigger", "RescanQueue", Some(RescanKind::Delta)),
    ("RescanTrigger", "FullRescanQueue", Some(RescanKind::Full)),
];

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

fn queue<'a>(found: &'a Snapshot, name: &str) -> Option<&'a Queue> {
    found.queues.iter().find(|queue| queue.name == name)
}

pub(super) fn topics(found: &Snapshot, findings: &mut Vec<Finding>) {
    for (topic_name, queue_name, kind) in DELIVERIES {
        let topic = found.topics.iter().find(|topic| topic.name == topic_name);
        let (Some(topic), Some(queue)) = (topic, queue(found, queue_name)) else { continue };
        let wanted = kind.map(|kind| json!({ PLAN_ATTRIBUTE: [kind.name()] }));
        match topic.endpoints.get(&queue.arn) {
            None => {
                let cause = format!("{queue_name} is not subscribed to it: what is published reaches nobody");
                findings.push(Finding::new("subscription_missing", topic_name, cause, DEPLOY));
            }
            Some(filter) if *filter != wanted => {
                let words =
                    |filter: &Option<Value>| filter.as_ref().map_or_else(|| "none".to_owned(), Value::to_string);
                let (has, wanted) = (words(filter), words(&wanted));
                let cause = format!(
                    "the filter policy of {queue_name}'s subscription is {has} and not {wanted}: it gets other messages"
                );
                findings.push(Finding::new("subscription_filtered", topic_name, cause, DEPLOY));
            }
            Some(_) => {}
        }
        match allowance(queue.policy.as_ref(), "sqs:SendMessage", "sns.amazonaws.com", &topic.arn) {
            Allowance::None => {
                let cause = format!("its policy does not let {topic_name} send: messages are lost or given up on");
                findings.push(Finding::new("queue_refuses_topic", queue_name, cause, DEPLOY));
            }
            Allowance::Anybody => {
                let cause = "its policy lets every topic of every account send: the condition aws:SourceArn is missing";
                findings.push(Finding::new("queue_open", queue_name, cause, DEPLOY));
            }
            Allowance::Bound => {}
        }
    }
    let Some(trigger) = found.topics.iter().find(|topic| topic.name == "ScannerTrigger") else { return };
    match allowance(trigger.policy.as_ref(), "sns:Publish", "s3.amazonaws.com", "") {
        Allowance::None => {
            let cause = "its policy does not let S3 publish: events of objects are lost";
            findings.push(Finding::new("topic_refuses_s3", "ScannerTrigger", cause, DEPLOY));
        }
        Allowance::Anybody => {
            let cause = "its policy lets buckets of every account publish: the condition aws:SourceAccount is missing";
            findings.push(Finding::new("topic_open", "ScannerTrigger", cause, DEPLOY));
        }
        Allowance::Bound => {}
    }
    keys(found, findings);
}

/// AWS's own keys for SQS and SNS let no other service in, and nobody can change their policies.
fn keys(found: &Snapshot, findings: &mut Vec<Finding>) {
    let queues = found.queues.iter().map(|queue| (queue.name, &queue.kms_key));
    let topics = found.topics.iter().map(|topic| (topic.name, &topic.kms_key));
    for (name, key) in queues.chain(topics) {
        if let Some(key) = key.as_ref().filter(|key| key.contains("alias/aws/")) {
            let cause =
                format!("it is encrypted with {key}, which no other service can use: what S3 or SNS send is lost");
            findings.push(Finding::new("key_of_aws", name, cause, DEPLOY));
        }
    }
}

/// What a policy lets a service do.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Allowance {
    /// Nothing, or only for others.
    None,
    /// For this resource or account.
    Bound,
    /// For whomever it acts.
    Anybody,
}

/// What the statements of a policy let a service do for a resource, or, where none is named, for an account.
fn allowance(policy: Option<&Value>, action: &str, service: &str, source: &str) -> Allowance {
    let is = |value: Option<&Value>, wanted: &str| match value {
        Some(Value::Array(all)) => {
            all.iter().any(|one| one.as_str().is_some_and(|one| one.eq_ignore_ascii_case(wanted)))
        }
        Some(Value::String(one)) => one.eq_ignore_ascii_case(wanted),
        _ => false,
    };
    let of_statement = |statement: &Value| {
        let allows = is(statement.get("Effect"), "Allow")
            && is(statement.get("Action"), action)
            && is(statement.pointer("/Principal/Service"), service);
        if !allows {
            return Allowance::None;
        }
        let operators = statement.get("Condition").and_then(Value::as_object).into_iter().flatten();
        let conditions: Vec<_> = operators.filter_map(|(_, keys)| keys.as_object()).flatten().collect();
        let named =
            |key: &str| conditions.iter().find(|(name, _)| name.eq_ignore_ascii_case(key)).map(|(_, value)| *value);
        match (named("aws:SourceArn"), named("aws:SourceAccount")) {
            (Some(arns), _) if !source.is_empty() && !is(Some(arns), source) => Allowance::None,
            (None, None) => Allowance::Anybody,
            _ => Allowance::Bound,
        }
    };
    let statements = policy.and_then(|policy| policy.get("Statement")?.as_array()).into_iter().flatten();
    statements.map(of_statement).max().unwrap_or(Allowance::None)
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
        for expected in found.expected.iter().filter(|expected| expected.function == function.name) {
            let (variable, wanted) = (expected.variable, &expected.value);
            let actual = function.environment.get(variable).map_or("", String::as_str);
            if actual != wanted {
                push("environment_changed", format!("its {variable} is {actual:?} and not {wanted:?}"));
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
