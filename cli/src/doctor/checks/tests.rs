use std::collections::BTreeMap;

use serde_json::{Value, json};

use super::{super::snapshot::*, *};

const ROLE: &str = "arn:aws:iam::1:role/scanner";

fn queue(name: &'static str, dead_letters: Option<&str>, retention_seconds: u64) -> Queue {
    let topics = ["arn:trigger", "arn:rescans"];
    let allow = json!({ "Statement": [{ "Effect": "Allow", "Principal": { "Service": "sns.amazonaws.com" },
        "Action": "sqs:SendMessage", "Condition": { "ArnEquals": { "aws:SourceArn": topics } } }] });
    let dead_letters = dead_letters.map(|name| format!("arn:{name}"));
    let arn = format!("arn:{name}");
    Queue { name, arn, visibility_seconds: 5400, retention_seconds, dead_letters, policy: Some(allow), kms_key: None }
}

fn function(name: &'static str, queues: &[&str]) -> Function {
    let source = |queue: &&str| Source { queue_arn: format!("arn:{queue}"), enabled: true, reports_failures: true };
    Function {
        name,
        state: "Active".into(),
        last_update: "Successful".into(),
        role: format!("arn:aws:iam::1:role/{name}"),
        timeout_seconds: 900,
        reserved: None,
        environment: [("NACRE_RECORDS_TABLE".to_owned(), "records".to_owned())].into(),
        sources: queues.iter().map(source).collect(),
    }
}

fn deny(sid: &str, bucket: &str) -> Value {
    let actions: &[&str] = match sid {
        "DenyReading" => &["s3:GetObject", "s3:GetObjectVersion"],
        "DenyForgedVerdicts" => &["s3:PutObject", "s3:PutObjectTagging", "s3:PutObjectVersionTagging"],
        _ => &[
            "s3:PutObjectTagging",
            "s3:PutObjectVersionTagging",
            "s3:DeleteObjectTagging",
            "s3:DeleteObjectVersionTagging",
        ],
    };
    json!({ "Sid": sid, "Effect": "Deny", "Principal": "*", "Action": actions, "Resource": format!("arn:aws:s3:::{bucket}/*"),
        "Condition": { "ArnNotLike": { "aws:PrincipalArn": [ROLE, "arn:aws:sts::1:assumed-role/scanner/*"] } } })
}

#[expect(clippy::too_many_lines, reason = "one value")]
fn healthy() -> Snapshot {
    let (four_days, fourteen) = (345_600, 1_209_600);
    let statements = |bucket: &str| {
        let names = ["DenyReading", "DenyRetaggingInfectedObjects", "DenyForgedVerdicts"];
        names.into_iter().map(|sid| deny(sid, bucket)).collect::<Vec<_>>()
    };
    let s3 = json!({ "Statement": [{ "Effect": "Allow", "Principal": { "Service": "s3.amazonaws.com" },
        "Action": ["sns:Publish"], "Condition": { "StringEquals": { "aws:SourceAccount": "1" } } }] });
    let events = ["s3:ObjectCreated:*", "s3:ObjectRestore:Completed", "s3:ObjectRemoved:*"];
    Snapshot {
        stack: "nacre".into(),
        stack_status: "UPDATE_COMPLETE".into(),
        parameters: [
            ("StalenessLimitHours", "72"),
            ("ScanConcurrency", "50"),
            ("RescanConcurrency", "10"),
            ("PassConcurrency", "10"),
        ]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into(),
        scanner_role: ROLE.into(),
        scanner_trigger: "arn:trigger".into(),
        buckets: vec![
            Bucket {
                name: "uploads".into(),
                own: true,
                by_event_bridge: false,
                sends_to_event_bridge: false,
                notifications: events
                    .iter()
                    .map(|event| Notification {
                        destination: "arn:trigger".into(),
                        events: vec![(*event).to_owned()],
                        filter: Vec::new(),
                    })
                    .collect(),
                policy: Some(json!({ "Statement": statements("uploads") })),
                kms_key: None,
            },
            Bucket {
                name: "invoices".into(),
                own: false,
                by_event_bridge: true,
                sends_to_event_bridge: true,
                notifications: Vec::new(),
                policy: Some(json!({ "Statement": statements("invoices") })),
                kms_key: None,
            },
        ],
        unreadable: BTreeMap::new(),
        keys: vec![Key {
            arn: "arn:aws:kms:eu-west-1:1:key/1".into(),
            parameter: "KmsKeyArns",
            needs: vec![Need { role: ROLE.into(), service: "s3", calls: &["kms:GenerateDataKey", "kms:Decrypt"] }],
            policy: KeyPolicy::Read(
                json!({ "Statement": [{ "Effect": "Allow", "Principal": { "AWS": "arn:aws:iam::1:root" },
                "Action": "kms:*", "Resource": "*" }] }),
            ),
        }],
        queues: vec![
            queue("ScanQueue", Some("ScanDeadLetters"), four_days),
            queue("ScanDeadLetters", None, fourteen),
            queue("RescanQueue", Some("RescanDeadLetters"), four_days),
            queue("FullRescanQueue", Some("RescanDeadLetters"), four_days),
            queue("RescanDeadLetters", None, fourteen),
            queue("PassQueue", Some("PassDeadLetters"), four_days),
            queue("PassDeadLetters", None, fourteen),
        ],
        functions: vec![
            function("UpdaterFunction", &[]),
            function("RescannerFunction", &["PassQueue"]),
            function("ScannerFunction", &["ScanQueue", "FullRescanQueue"]),
            function("RescanFunction", &["RescanQueue"]),
        ],
        topics: vec![
            Topic {
                name: "ScannerTrigger",
                arn: "arn:trigger".into(),
                policy: Some(s3),
                endpoints: [("arn:ScanQueue".to_owned(), None)].into(),
                kms_key: None,
            },
            Topic {
                name: "RescanTrigger",
                arn: "arn:rescans".into(),
                policy: None,
                endpoints: [("delta", "arn:RescanQueue"), ("full", "arn:FullRescanQueue")]
                    .map(|(kind, queue)| (queue.to_owned(), Some(json!({ "nacre-plan": [kind] }))))
                    .into(),
                kms_key: None,
            },
        ],
        table: Table {
            name: "records".into(),
            status: "ACTIVE".into(),
            indexes: [("attention".to_owned(), "ACTIVE".to_owned())].into(),
        },
        definitions: Definitions { unreadable: None, age_hours: Some(72), pinned: false },
        refused: BTreeMap::new(),
        throttled: BTreeMap::new(),
        messages_given_up: [("scan", 0), ("rescan", 0)].into(),
        expected: ["RescannerFunction", "ScannerFunction"]
            .map(|function| Expected { function, variable: "NACRE_RECORDS_TABLE", value: "records".into() })
            .into(),
        concurrency: 80,
        ahead_seconds: Some(-60),
    }
}

fn statement<'a>(found: &'a mut Snapshot, sid: &str) -> &'a mut Value {
    let statements = found.buckets[0].policy.as_mut().unwrap()["Statement"].as_array_mut().unwrap();
    statements.iter_mut().find(|statement| statement["Sid"] == sid).unwrap()
}

fn condition(policy: &mut Option<Value>, condition: Value) {
    policy.as_mut().unwrap()["Statement"][0]["Condition"] = condition;
}

/// A fault, and what puts it into a healthy deployment.
type Seed = (&'static str, fn(&mut Snapshot));

const SEEDS: [Seed; 54] = [
    ("stack_failed", |it| it.stack_status = "UPDATE_ROLLBACK_FAILED".into()),
    ("stack_busy", |it| it.stack_status = "UPDATE_IN_PROGRESS".into()),
    ("definitions_missing", |it| it.definitions.age_hours = None),
    ("definitions_stale", |it| it.definitions.age_hours = Some(73)),
    ("definitions_unreadable", |it| it.definitions.unreadable = Some("no".into())),
    ("uploads_unseen", |it| it.buckets[0].notifications[0].destination = "arn:other".into()),
    ("uploads_unseen", |it| it.buckets[0].notifications[0].events = vec!["s3:ObjectCreated:Put".into()]),
    ("removals_unseen", |it| it.buckets[0].notifications[2].events = vec!["s3:ObjectRemoved:Delete".into()]),
    ("reading_not_denied", |it| statement(it, "DenyReading")["Action"] = json!("s3:GetObject")),
    ("reading_not_denied", |it| {
        statement(it, "DenyReading")["Condition"]["ArnNotLike"]["aws:PrincipalArn"] = json!([ROLE, "*"]);
    }),
    ("restores_unseen", |it| drop(it.buckets[0].notifications.remove(1))),
    ("removals_unseen", |it| drop(it.buckets[0].notifications.pop())),
    ("notification_filtered", |it| it.buckets[0].notifications[0].filter = vec!["the prefix in/".into()]),
    ("reading_not_denied", |it| statement(it, "DenyReading")["Sid"] = json!("Other")),
    ("reading_not_denied", |it| statement(it, "DenyReading")["Effect"] = json!("Allow")),
    ("retagging_not_denied", |it| {
        statement(it, "DenyRetaggingInfectedObjects")["Principal"] = json!({ "AWS": "arn:aws:iam::1:user/x" });
    }),
    ("forgery_not_denied", |it| {
        statement(it, "DenyForgedVerdicts")["Resource"] = json!("arn:aws:s3:::uploads/in/*");
    }),
    ("scanner_not_exempt", |it| {
        statement(it, "DenyReading")["Condition"] = json!({ "ArnNotLike": { "aws:PrincipalArn": "AROAEXAMPLE" } });
    }),
    ("key_not_allowed", |it| it.buckets[0].kms_key = Some("arn:aws:kms:eu-west-1:1:key/2".into())),
    ("key_missing", |it| it.keys[0].policy = KeyPolicy::Missing),
    ("key_disabled", |it| it.keys[0].policy = KeyPolicy::Disabled("PendingDeletion".into())),
    ("key_unreadable", |it| it.keys[0].policy = KeyPolicy::Unreadable("denied".into())),
    ("key_refuses", |it| {
        let KeyPolicy::Read(policy) = &mut it.keys[0].policy else { return };
        policy["Statement"][0]["Action"] = json!("kms:Decrypt");
    }),
    ("subscription_missing", |it| it.topics[0].endpoints.clear()),
    ("queue_refuses_topic", |it| it.queues[0].policy = None),
    ("topic_refuses_s3", |it| it.topics[0].policy = None),
    ("redrive_missing", |it| it.queues[0].dead_letters = None),
    ("redrive_missing", |it| it.queues[5].dead_letters = Some("arn:ScanDeadLetters".into())),
    ("retention_too_short", |it| it.queues[1].retention_seconds = 345_600),
    ("function_failed", |it| it.functions[0].state = "Failed".into()),
    ("function_stopped", |it| it.functions[2].reserved = Some(0)),
    ("environment_changed", |it| it.functions[1].environment.clear()),
    ("source_missing", |it| drop(it.functions[3].sources.pop())),
    ("source_disabled", |it| it.functions[2].sources[0].enabled = false),
    ("source_fails_whole_batches", |it| it.functions[2].sources[0].reports_failures = false),
    ("visibility_too_short", |it| it.queues[0].visibility_seconds = 30),
    ("index_missing", |it| it.table.indexes.clear()),
    ("uploads_unseen", |it| it.buckets[1].sends_to_event_bridge = false),
    ("events_twice", |it| it.buckets[1].notifications = it.buckets[0].notifications.clone()),
    ("reading_not_denied", |it| it.buckets[1].policy.as_mut().unwrap()["Statement"][0]["Effect"] = json!("Allow")),
    ("bucket_unreadable", |it| drop(it.unreadable.insert("archive".into(), "denied".into()))),
    ("subscription_filtered", |it| {
        drop(it.topics[0].endpoints.insert("arn:ScanQueue".into(), Some(json!({ "x": [1] }))));
    }),
    ("subscription_filtered", |it| drop(it.topics[1].endpoints.insert("arn:RescanQueue".into(), None))),
    ("queue_refuses_topic", |it| {
        condition(&mut it.queues[0].policy, json!({ "ArnEquals": { "aws:SourceArn": "arn:other" } }));
    }),
    ("queue_open", |it| condition(&mut it.queues[0].policy, json!({}))),
    ("topic_open", |it| condition(&mut it.topics[0].policy, json!({}))),
    ("key_of_aws", |it| it.queues[0].kms_key = Some("alias/aws/sqs".into())),
    ("key_of_aws", |it| it.topics[0].kms_key = Some("arn:aws:kms:eu-west-1:1:alias/aws/sns".into())),
    ("concurrency_low", |it| it.concurrency = 79),
    ("clock_skewed", |it| it.ahead_seconds = Some(61)),
    ("clock_skewed", |it| it.ahead_seconds = Some(-3600)),
    ("access_denied", |it| {
        it.refused.insert("PutObjectTagging".into(), 3);
    }),
    ("throttled", |it| {
        it.throttled.insert("UpdateItem".into(), 3);
    }),
    ("dead_letters", |it| {
        it.messages_given_up.insert("scan", 2);
    }),
];

#[test]
fn a_healthy_deployment_has_no_fault() {
    assert_eq!(findings(&healthy()), []);
    let mut found = healthy();
    // The local stack's, and keys that are known.
    found.parameters.insert("LocalVisibilityTimeout".into(), "5".into());
    found.queues[0].visibility_seconds = 5;
    found.buckets[0].kms_key = Some("key".into());
    found.parameters.insert("KmsKeyArns".into(), "other, key".into());
    // Its owner checks the key of another account.
    found.keys[0].policy = KeyPolicy::OfAnotherAccount;
    assert_eq!(findings(&found), []);
}

#[test]
fn each_fault_is_named_alone_with_cause_and_remedy() {
    for (name, seed) in SEEDS {
        let mut found = healthy();
        seed(&mut found);
        let findings = findings(&found);
        assert_eq!(findings.iter().map(|finding| finding.name).collect::<Vec<_>>(), [name], "{findings:?}");
        assert!(findings.iter().all(|it| !it.cause.is_empty() && !it.remedy.is_empty() && !it.resource.is_empty()));
    }
}

#[test]
fn the_documentation_shows_a_fault() {
    let mut found = healthy();
    found.buckets[0].policy = None;
    let page = include_str!("../../../../docs/operations.md");
    let [first, ..] = &findings(&found)[..] else { panic!("a bucket without a policy is a fault") };
    let screen = first.lines().join("\n");
    assert!(page.contains(&format!("$ nacre doctor\n{screen}\n```")), "docs/operations.md lacks\n{screen}");
}
