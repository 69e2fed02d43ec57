use aws_sdk_s3::types::{Event, QueueConfiguration, TopicConfiguration};
use proptest::prelude::*;
use serde_json::json;

use super::*;
use crate::attach::screen::Screen;

const TRIGGER: &str = "arn:aws:sns:eu-west-1:1:trigger";

fn deployed() -> Deployed {
    let none = [ATTACHED, BY_EVENT_BRIDGE, SWITCHED_ON, SCAN_ONLY, OWNERS, KEYS, TESTED]
        .map(|name| (name.to_owned(), String::new()));
    Deployed {
        partition: "aws".into(),
        trigger: TRIGGER.into(),
        scanner_role: "arn:aws:iam::1:role/scanner".into(),
        own: "made".into(),
        makes_own: true,
        parameters: none.into(),
    }
}

fn keys(prefix: &str, suffix: &str) -> KeyPattern {
    KeyPattern { prefix: prefix.into(), suffix: suffix.into() }
}

fn wanted(keys: KeyPattern) -> Wanted {
    Wanted { keys, events: None, read_access: None, self_test: None }
}

/// A bucket with these notifications of others: events and keys.
fn found(others: &[(&str, KeyPattern)], event_bridge: bool, policy: Option<&str>) -> Found {
    let nothing = NotificationConfiguration::builder().build();
    let mut notification = notification::with(
        &nothing,
        "arn:others",
        &others.iter().map(|(_, keys)| keys.clone()).collect::<Vec<_>>(),
        event_bridge,
    )
    .unwrap();
    for (configured, (event, _)) in notification.topic_configurations.iter_mut().flatten().zip(others) {
        configured.events = vec![Event::from(*event)];
        configured.id = Some((*event).to_owned());
    }
    let queue = QueueConfiguration::builder().queue_arn("arn:queue").events(Event::S3ObjectTagging).build().unwrap();
    notification.queue_configurations = Some(vec![queue]);
    Found { notification, policy: policy.map(str::to_owned), kms_key: None }
}

/// What is there when the plan is done.
fn done(plan: &Plan, deployed: &mut Deployed, found: &mut Found) {
    deployed.parameters.extend(plan.parameters.clone());
    found.notification = plan.notification.clone().unwrap_or_else(|| found.notification.clone());
    match &plan.policy {
        PolicyChange::Unchanged => {}
        PolicyChange::Put(policy) => found.policy = Some(policy.clone()),
        PolicyChange::Delete => found.policy = None,
    }
}

fn foreign(notification: &NotificationConfiguration) -> Vec<TopicConfiguration> {
    notification.topic_configurations().iter().filter(|it| it.topic_arn() != TRIGGER).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(96))]

    #[test]
    fn a_bucket_that_is_attached_and_detached_has_what_it_had(
        others in prop::collection::vec((prop::sample::select(vec!["s3:ObjectCreated:Put", "s3:ObjectRemoved:*", "s3:ObjectTagging:*"]), "[ab]{0,2}", "[ab]{0,1}"), 0..3),
        event_bridge in prop::bool::ANY,
        policy in prop::option::of(Just("{ \"Statement\" : [ {\"Sid\":\"Theirs\",  \"Effect\":\"Allow\"} ],\n\"Id\":\"x\" }")),
        parts in prop::collection::vec(("[ab ]{0,2}", "[ab]{0,1}"), 1..4),
    ) {
        let others: Vec<_> = others.iter().map(|(event, prefix, suffix)| (*event, keys(prefix, suffix))).collect();
        let before = (deployed(), found(&others, event_bridge, policy));
        let (mut deployed, mut bucket) = before.clone();
        for (prefix, suffix) in &parts {
            let wanted = wanted(keys(prefix, suffix));
            let plan = attach(&deployed, "uploads", &bucket, &wanted).unwrap();
            let sns_refused = others.iter().any(|(event, theirs)| *event != "s3:ObjectTagging:*" && plan.keys.iter().any(|ours| ours.overlaps(theirs)));
            prop_assert!(plan.events == Some(EventsBy::EventBridge) || !sns_refused);
            done(&plan, &mut deployed, &mut bucket);
            prop_assert_eq!(foreign(&bucket.notification), foreign(&before.1.notification));
            prop_assert!(attach(&deployed, "uploads", &bucket, &wanted).unwrap().is_empty(), "a second time changes nothing");
            let (events, all) = deployed.attached("uploads", &bucket.notification).unwrap().unwrap();
            let (short, long) = (prefix.clone() + suffix, prefix.clone() + "x" + suffix);
            prop_assert!(all.iter().any(|it| it.matches(&short)));
            let filter = deployed.filter().unwrap();
            prop_assert!(events == EventsBy::Sns || filter.admits("uploads", &long));
        }
        // Pattern by pattern, or at once.
        if parts.len() % 2 == 0 {
            let (_, all) = deployed.attached("uploads", &bucket.notification).unwrap().unwrap();
            for one in all.iter().skip(1) {
                let plan = detach(&deployed, "uploads", &bucket, Some(one)).unwrap();
                prop_assert!(plan.policy == PolicyChange::Unchanged);
                done(&plan, &mut deployed, &mut bucket);
            }
        }
        let plan = detach(&deployed, "uploads", &bucket, None).unwrap();
        done(&plan, &mut deployed, &mut bucket);
        prop_assert_eq!(&bucket.notification, &before.1.notification);
        prop_assert_eq!(bucket.policy, before.1.policy);
        prop_assert_eq!(deployed.parameters, before.0.parameters);
    }
}

#[test]
fn what_stands_in_the_way_of_sns_is_said_and_event_bridge_taken() {
    let bucket = found(&[("s3:ObjectCreated:Put", keys("in/", ""))], false, None);
    let plan = attach(&deployed(), "uploads", &bucket, &wanted(keys("in/deep/", ".pdf"))).unwrap();
    assert_eq!(plan.events, Some(EventsBy::EventBridge));
    assert!(plan.reason.as_ref().unwrap().contains("s3:ObjectCreated:Put of the same keys go to arn:others already"));
    assert_eq!(plan.parameters[SCAN_ONLY], "uploads/in/deep/*.pdf");
    for parameter in [ATTACHED, BY_EVENT_BRIDGE, SWITCHED_ON] {
        assert_eq!(plan.parameters[parameter], "arn:aws:s3:::uploads", "{parameter}");
    }
    let by_sns = Wanted { events: Some(EventsBy::Sns), ..wanted(keys("in/", "")) };
    assert!(matches!(attach(&deployed(), "uploads", &bucket, &by_sns), Err(PlanError::NoSns(_))));
    let plan = attach(&deployed(), "uploads", &bucket, &wanted(keys("out/", ""))).unwrap();
    assert_eq!((plan.events, plan.reason), (Some(EventsBy::Sns), None));
    assert_eq!(plan.parameters.keys().collect::<Vec<_>>(), [ATTACHED]);
}

#[test]
fn a_filter_of_somebody_else_in_an_encoding_may_be_of_any_key() {
    let bucket = found(&[("s3:ObjectCreated:*", keys("in%2F", ""))], true, None);
    let plan = attach(&deployed(), "uploads", &bucket, &wanted(keys("in/", ""))).unwrap();
    assert_eq!(plan.events, Some(EventsBy::EventBridge));
    assert!(!plan.parameters.contains_key(SWITCHED_ON), "it was on");
}

#[test]
fn twenty_buckets_of_the_longest_names_fit_into_one_stack() {
    let mut deployed = deployed();
    let name = |number: usize| format!("{number:02}{}", "b".repeat(61));
    for number in 0..20 {
        let mut bucket = found(&[("s3:ObjectCreated:*", keys("", ""))], false, None);
        bucket.kms_key = Some("arn:aws:kms:eu-west-1:1:key/1".into());
        let plan = attach(&deployed, &name(number), &bucket, &wanted(keys("incoming/", ""))).unwrap();
        done(&plan, &mut deployed, &mut bucket);
    }
    assert_eq!((deployed.buckets().len(), deployed.list(BY_EVENT_BRIDGE).len()), (21, 20));
    assert_eq!(deployed.parameters[KEYS], "arn:aws:kms:eu-west-1:1:key/1");
    assert!(deployed.parameters.values().all(|value| value.len() <= 4096));
    let attached = (20..30).map_while(|number| {
        let mut bucket = found(&[], false, None);
        let plan = attach(&deployed, &name(number), &bucket, &wanted(keys("", ""))).ok()?;
        done(&plan, &mut deployed, &mut bucket);
        Some(())
    });
    assert_eq!(attached.count(), 2);
    let (bucket, whole) = (found(&[], false, None), wanted(keys("", "")));
    assert!(matches!(attach(&deployed, &name(22), &bucket, &whole), Err(PlanError::TooMany)));
}

#[test]
fn read_access_is_that_of_the_bucket_or_of_the_stack() {
    let mut deployed = deployed();
    deployed.parameters.insert("ReadAccess".into(), "OnlyClean".into());
    let mut bucket = found(&[], false, None);
    let plan = attach(&deployed, "uploads", &bucket, &wanted(keys("", ""))).unwrap();
    assert_eq!(plan.read_access, Some(ReadAccess::OnlyClean));
    let laxer = Wanted { read_access: Some(ReadAccess::DenyInfected), ..wanted(keys("", "")) };
    done(&attach(&deployed, "uploads", &bucket, &laxer).unwrap(), &mut deployed, &mut bucket);
    let again = attach(&deployed, "uploads", &bucket, &wanted(keys("x", ""))).unwrap();
    assert_eq!((again.read_access, again.policy), (Some(ReadAccess::DenyInfected), PolicyChange::Unchanged));
}

#[test]
fn a_self_test_is_made_where_its_files_are_seen() {
    let (mut deployed, mut bucket) = (deployed(), found(&[], false, None));
    let tested = |deployed: &Deployed| deployed.list(TESTED);
    let part = wanted(keys("in/", ""));
    let wants = Wanted { self_test: Some(true), ..part.clone() };
    assert!(matches!(attach(&deployed, "uploads", &bucket, &wants), Err(PlanError::NoSelfTest)));
    done(&attach(&deployed, "uploads", &bucket, &part).unwrap(), &mut deployed, &mut bucket);
    assert_eq!(tested(&deployed), [""; 0], "its files are not attached");
    // Who attached a part asked for no test; the whole bucket gets none unasked.
    let whole = wanted(keys("", ""));
    done(&attach(&deployed, "uploads", &bucket, &whole).unwrap(), &mut deployed, &mut bucket);
    assert_eq!(tested(&deployed), [""; 0]);
    let asked = Wanted { self_test: Some(true), ..whole.clone() };
    done(&attach(&deployed, "uploads", &bucket, &asked).unwrap(), &mut deployed, &mut bucket);
    assert_eq!(tested(&deployed), ["arn:aws:s3:::uploads"]);
    assert!(attach(&deployed, "uploads", &bucket, &whole).unwrap().is_empty(), "it stays");
    done(&detach(&deployed, "uploads", &bucket, None).unwrap(), &mut deployed, &mut bucket);
    assert_eq!(tested(&deployed), [""; 0]);

    let plan = attach(&deployed, "uploads", &bucket, &whole).unwrap();
    assert_eq!((plan.self_test, plan.parameters[TESTED].as_str()), (Some(true), "arn:aws:s3:::uploads"));
    let refused = Wanted { self_test: Some(false), ..whole.clone() };
    assert!(!attach(&deployed, "uploads", &bucket, &refused).unwrap().parameters.contains_key(TESTED));
    deployed.parameters.insert("SelfTest".into(), "False".into());
    assert_eq!(attach(&deployed, "uploads", &bucket, &whole).unwrap().self_test, Some(false), "the stack makes none");
}

#[test]
fn what_an_earlier_stack_of_the_name_left_is_replaced() {
    let made = |suffix: &str| Deployed {
        trigger: format!("arn:aws:sns:eu-west-1:1:nacre-ScannerTrigger-{suffix}"),
        scanner_role: format!("arn:aws:iam::1:role/nacre-ScannerRole-{suffix}"),
        ..deployed()
    };
    let theirs = json!({ "Statement": [{ "Sid": "Theirs" }] }).to_string();
    let mut bucket = found(&[("s3:ObjectTagging:*", keys("", ""))], false, Some(&theirs));
    let mut before = made("1AB2CD3EF4GH");
    let all = wanted(keys("", ""));
    done(&attach(&before, "uploads", &bucket, &all).unwrap(), &mut before, &mut bucket);

    let mut now = made("9ZY8XW7VU6TS");
    let plan = attach(&now, "uploads", &bucket, &all).unwrap();
    assert_eq!((plan.events, &plan.reason), (Some(EventsBy::Sns), &None));
    let PolicyChange::Put(policy) = &plan.policy else { panic!("{:?}", plan.policy) };
    assert!(policy.contains("Theirs") && policy.contains("9ZY8XW7VU6TS") && !policy.contains("1AB2CD3EF4GH"));
    let topics: Vec<_> = sent(plan.notification.as_ref().unwrap()).into_iter().map(|sent| sent.to).collect();
    assert_eq!(topics, ["arn:others", &now.trigger, "arn:queue"]);
    done(&plan, &mut now, &mut bucket);
    assert!(attach(&now, "uploads", &bucket, &all).unwrap().is_empty());

    // A statement that somebody changed since is not taken away.
    bucket.policy = Some(bucket.policy.unwrap().replace("\"INFECTED\"", "\"INFECTED2\""));
    assert!(attach(&made("0000AAAA1111"), "uploads", &bucket, &all).is_err());
}

#[test]
fn what_cannot_be_done_is_refused_with_a_remedy() {
    let (deployed, bucket) = (deployed(), found(&[], false, None));
    let error = |deployed: &Deployed, bucket_name: &str| {
        attach(deployed, bucket_name, &bucket, &wanted(keys("", ""))).unwrap_err()
    };
    assert!(matches!(error(&deployed, "made"), PlanError::Own(_)));
    let mut old = deployed.clone();
    old.parameters.remove(OWNERS);
    assert!(error(&old, "uploads").to_string().contains("`nacre deploy`"));
    assert!(matches!(detach(&deployed, "uploads", &bucket, None), Err(PlanError::NotAttached(_))));
    let theirs = json!({ "Statement": [{ "Sid": "DenyReading" }] }).to_string();
    let taken = attach(&deployed, "uploads", &found(&[], false, Some(&theirs)), &wanted(keys("", "")));
    assert!(taken.unwrap_err().to_string().contains("DenyReading that is not of this stack"));
    let given = Deployed { makes_own: false, ..deployed.clone() };
    let plan = attach(&given, "made", &bucket, &wanted(keys("", ""))).unwrap();
    assert!(plan.parameters.is_empty() && plan.notification.is_some(), "the stack names it already");
    let other = attach_of_other(&deployed, "theirs", "222222222222", None).unwrap();
    assert_eq!((other[OWNERS].as_str(), other[ATTACHED].as_str()), ("222222222222", "arn:aws:s3:::theirs"));
    assert!(attach_of_other(&deployed, "theirs", "2", Some(EventsBy::EventBridge)).is_err());
}

#[test]
fn the_documentation_shows_this_plan() {
    let mut bucket = found(&[("s3:ObjectCreated:Put", keys("in/", ""))], false, None);
    bucket.notification.queue_configurations = None;
    let theirs = bucket.notification.topic_configurations.as_mut().unwrap();
    theirs[0].topic_arn = "arn:aws:sqs:eu-west-1:1:erp".into();
    let deployed = deployed();
    let plan = attach(&deployed, "invoices", &bucket, &wanted(keys("in/", ""))).unwrap();
    let screen = Screen::of(&plan, &deployed, &bucket, false).lines().join("\n");
    let page = include_str!("../../../../docs/buckets.md");
    let shown = format!("$ nacre attach s3://invoices/in/\n{screen}\nDo it? [y/N]\n```");
    assert!(page.contains(&shown), "docs/buckets.md lacks\n{screen}");
}
