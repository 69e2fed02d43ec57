//! The scanned buckets: their events, their policies, their keys.

use serde_json::Value;

use super::{
    super::snapshot::{Bucket, Snapshot},
    Finding,
};

/// What the scanner must hear of, the events that are all of it together, and what is wrong where it does not.
const EVENTS: [(&str, &[&str], &str, &str); 3] = [
    (
        "s3:ObjectCreated:*",
        &[
            "s3:ObjectCreated:Put",
            "s3:ObjectCreated:Post",
            "s3:ObjectCreated:Copy",
            "s3:ObjectCreated:CompleteMultipartUpload",
        ],
        "uploads_unseen",
        "not all new objects are scanned",
    ),
    (
        "s3:ObjectRestore:Completed",
        &["s3:ObjectRestore:*"],
        "restores_unseen",
        "archived objects are not scanned when they are back",
    ),
    (
        "s3:ObjectRemoved:*",
        &["s3:ObjectRemoved:Delete", "s3:ObjectRemoved:DeleteMarkerCreated"],
        "removals_unseen",
        "records of removed objects stay, and are planned for",
    ),
];

/// A remedy.
const APPLY: &str = "run `nacre attach` for the bucket, or `nacre deploy` if the stack made it";

pub(super) fn buckets(found: &Snapshot, findings: &mut Vec<Finding>) {
    for bucket in &found.buckets {
        notifications(found, bucket, findings);
        policy(found, bucket, findings);
        encryption(found, bucket, findings);
    }
    // Those of other accounts are their owners' to check.
    if found.parameters.get("BucketOwnerAccounts").is_none_or(String::is_empty) {
        for (bucket, error) in &found.unreadable {
            let remedy = "let these credentials read it, or take it out of the stack: `nacre detach`";
            findings.push(Finding::new("bucket_unreadable", bucket, format!("it cannot be checked: {error}"), remedy));
        }
    }
}

fn notifications(found: &Snapshot, bucket: &Bucket, findings: &mut Vec<Finding>) {
    let ours: Vec<_> = bucket.notifications.iter().filter(|one| one.destination == found.scanner_trigger).collect();
    if bucket.by_event_bridge {
        if !bucket.sends_to_event_bridge {
            let cause =
                "it sends nothing to EventBridge, where the stack takes its events from: no new object is scanned";
            findings.push(Finding::new("uploads_unseen", &bucket.name, cause, APPLY));
        }
        if let Some(one) = ours.first() {
            let cause =
                format!("it sends {} by SNS besides EventBridge: objects are handled twice", one.events.join(", "));
            findings.push(Finding::new("events_twice", &bucket.name, cause, APPLY));
        }
        return;
    }
    for (event, parts, name, consequence) in EVENTS {
        let has = |event: &str| ours.iter().any(|one| one.events.iter().any(|given| given == event));
        if !has(event) && !parts.iter().all(|part| has(part)) {
            let cause = format!("it sends no {event} to {}: {consequence}", found.scanner_trigger);
            findings.push(Finding::new(name, &bucket.name, cause, APPLY));
        }
    }
    let created = |event: &String| event.starts_with("s3:ObjectCreated:");
    let filtered: Vec<_> = ours.iter().filter(|one| one.events.iter().any(created)).collect();
    // Of another bucket, `nacre attach` may have been asked for a part.
    let first = filtered.first().filter(|_| bucket.own);
    if let Some(only) = first.filter(|_| filtered.iter().all(|one| !one.filter.is_empty())) {
        let cause = format!("only keys with {} are scanned", only.filter.join(" and "));
        let remedy = "leave it if that is meant; otherwise take the filter out of the notification";
        findings.push(Finding::new("notification_filtered", &bucket.name, cause, remedy));
    }
}

/// The statements by which verdicts are kept, what each must deny, and what holds no longer without it.
const STATEMENTS: [(&str, &[&str], &str, &str); 3] = [
    ("DenyReading", &["s3:GetObject", "s3:GetObjectVersion"], "reading_not_denied", "infected objects can be read"),
    (
        "DenyRetaggingInfectedObjects",
        &[
            "s3:PutObjectTagging",
            "s3:PutObjectVersionTagging",
            "s3:DeleteObjectTagging",
            "s3:DeleteObjectVersionTagging",
        ],
        "retagging_not_denied",
        "whoever may tag can lift the ban on an infected object",
    ),
    (
        "DenyForgedVerdicts",
        &["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"],
        "forgery_not_denied",
        "an uploader can bring a verdict along, and whoever may tag can give one",
    ),
];

fn policy(found: &Snapshot, bucket: &Bucket, findings: &mut Vec<Finding>) {
    let statements = bucket.policy.as_ref().and_then(|policy| policy.get("Statement")).and_then(Value::as_array);
    for (sid, actions, name, consequence) in STATEMENTS {
        let has_sid = |statement: &&Value| statement.get("Sid").and_then(Value::as_str) == Some(sid);
        let statement = statements.and_then(|all| all.iter().find(has_sid));
        let Some(statement) = statement.filter(|statement| is_deny_of_all(statement, actions, &bucket.name)) else {
            let cause =
                format!("its policy has no statement {sid} that denies {} to all: {consequence}", actions.join(", "));
            findings.push(Finding::new(name, &bucket.name, cause, APPLY));
            continue;
        };
        let exempt = statement.pointer("/Condition/ArnNotLike/aws:PrincipalArn");
        if !exempt.is_some_and(|exempt| strings(exempt).any(|arn| arn == found.scanner_role)) {
            let cause = format!("the statement {sid} of its policy does not exempt {}", found.scanner_role);
            let remedy = "name the scanner's role of this stack in it: the scanner cannot rescan what it convicted";
            findings.push(Finding::new("scanner_not_exempt", &bucket.name, cause, remedy));
        }
    }
}

/// Whether a statement denies these actions to everybody but those that it names, in the whole bucket.
fn is_deny_of_all(statement: &Value, actions: &[&str], bucket: &str) -> bool {
    let denied = |action: &&str| {
        statement.get("Action").is_some_and(|given| strings(given).any(|given| [*action, "s3:*", "*"].contains(&given)))
    };
    let exempt = statement.pointer("/Condition/ArnNotLike/aws:PrincipalArn");
    let exempts_all = exempt.is_some_and(|exempt| strings(exempt).any(|arn| arn == "*"));
    let principal = statement.get("Principal");
    let is_all =
        principal.is_some_and(|it| it == "*" || it.get("AWS").is_some_and(|it| strings(it).any(|it| it == "*")));
    let suffix = format!(":{bucket}/*");
    let covers = |resource: &Value| strings(resource).any(|resource| resource.ends_with(&suffix));
    statement.get("Effect").is_some_and(|effect| effect == "Deny")
        && is_all
        && !exempts_all
        && actions.iter().all(denied)
        && statement.get("Resource").is_some_and(covers)
}

/// One string or a list of them.
fn strings(value: &Value) -> impl Iterator<Item = &str> {
    let one = value.as_str();
    one.into_iter().chain(value.as_array().into_iter().flatten().filter_map(Value::as_str))
}

fn encryption(found: &Snapshot, bucket: &Bucket, findings: &mut Vec<Finding>) {
    let Some(key) = &bucket.kms_key else { return };
    // The account's own key for S3 lets in whoever may read the object.
    if key.contains("alias/aws/s3") {
        return;
    }
    let known = found.parameters.get("KmsKeyArns").is_some_and(|keys| keys.split(',').any(|one| one.trim() == key));
    if !known {
        let cause = format!("it encrypts with {key}, which the scanner may not use: its objects are UNSCANNABLE");
        let remedy = "run `nacre deploy --parameter KmsKeyArns=…` with its ARN, and let the scanner's role use it in the \
                      key's policy: docs/encryption.md";
        findings.push(Finding::new("key_not_allowed", &bucket.name, cause, remedy));
    }
}
