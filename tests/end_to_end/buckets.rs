//! Buckets that exist are attached to a stack, and have what they had when they are detached.

use aws_sdk_s3::types::{
    Event, FilterRule, FilterRuleName, NotificationConfiguration, NotificationConfigurationFilter, QueueConfiguration,
    S3KeyFilter, TopicConfiguration,
};
use aws_sdk_sqs::types::QueueAttributeName;
use nacre_clamav::builder::eicar;
use nacre_core::object::ObjectId;
use nacre_test_support::deployed::{DEADLINE, World};
use nacre_testing::documented::assert_screen;
use serde_json::{Value, json};

use crate::deploy::{nacre, screen};

/// A notification of somebody else's, of keys that begin so.
async fn notify(world: &World, bucket: &str, queue: &str, prefix: &str) {
    let rule = FilterRule::builder().name(FilterRuleName::Prefix).value(prefix).build();
    let filter =
        NotificationConfigurationFilter::builder().key(S3KeyFilter::builder().filter_rules(rule).build()).build();
    let theirs =
        QueueConfiguration::builder().id("theirs").queue_arn(queue).events(Event::S3ObjectCreatedPut).filter(filter);
    let notification = NotificationConfiguration::builder().queue_configurations(theirs.build().unwrap()).build();
    let put = world.stack.s3().put_bucket_notification_configuration().bucket(bucket);
    put.notification_configuration(notification).send().await.unwrap();
}

/// All that a bucket has of others: notifications and policy.
async fn settings(world: &World, bucket: &str) -> (String, Option<String>) {
    let s3 = world.stack.s3();
    let notification = s3.get_bucket_notification_configuration().bucket(bucket).send().await.unwrap();
    let parts = (
        notification.topic_configurations(),
        notification.queue_configurations(),
        notification.event_bridge_configuration().is_some(),
    );
    let policy = s3.get_bucket_policy().bucket(bucket).send().await.ok().and_then(|found| found.policy);
    (format!("{parts:?}"), policy)
}

#[tokio::test]
async fn buckets_are_scanned_while_they_are_attached_and_have_what_they_had_before() {
    let world = World::ready(&[]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    let anybody = json!({ "Version": "2012-10-17", "Statement": [{ "Effect": "Allow", "Resource": "*",
        "Principal": { "Service": "s3.amazonaws.com" }, "Action": "sqs:SendMessage" }] });
    let queue =
        stack.sqs().create_queue().queue_name("theirs").attributes(QueueAttributeName::Policy, anybody.to_string());
    let queue = queue.send().await.unwrap().queue_url.unwrap();
    let name = QueueAttributeName::QueueArn;
    let queue = stack.sqs().get_queue_attributes().queue_url(queue).attribute_names(name.clone()).send().await.unwrap();
    let queue = queue.attributes.unwrap().remove(&name).unwrap();
    for bucket in ["plain", "notified", "partly"] {
        stack.create_bucket(bucket).await.unwrap();
    }
    notify(&world, "notified", &queue, "in/").await;
    let theirs = json!({ "Sid": "Theirs", "Effect": "Deny", "Principal": "*", "Action": "s3:GetObject",
        "Resource": "arn:aws:s3:::notified/secret/*" });
    let theirs = format!("{{\"Version\": \"2012-10-17\",\n \"Statement\":  [{theirs}] }}");
    s3.put_bucket_policy().bucket("notified").policy(&theirs).send().await.unwrap();
    notify(&world, "partly", &queue, "out/").await;
    let mut before = Vec::new();
    for bucket in ["plain", "notified", "partly"] {
        before.push((bucket, settings(&world, bucket).await));
    }

    // Without --yes nothing happens; then each by what its own notifications leave room for.
    let (code, _, printed) = nacre(&world, &["attach", "s3://plain"]).await;
    assert!(code == Some(2) && printed.contains("give --yes"), "{printed}");
    let (code, shown, printed) = nacre(&world, &["attach", "s3://notified/in/", "--dry-run"]).await;
    assert_eq!((code, &shown["events"], &shown["done"]), (Some(0), &json!("eventbridge"), &json!(false)), "{printed}");
    for (place, events) in [("s3://plain", "sns"), ("s3://notified/in/", "eventbridge"), ("s3://partly/in/", "sns")] {
        let (code, shown, printed) = nacre(&world, &["attach", place, "--yes"]).await;
        assert_eq!((code, &shown["events"], &shown["done"]), (Some(0), &json!(events), &json!(true)), "{printed}");
    }
    let (code, shown, printed) = nacre(&world, &["attach", "s3://plain", "--dry-run"]).await;
    assert_eq!((code, &shown["policy"], &shown["parameters"]), (Some(0), &json!("unchanged"), &json!({})), "{printed}");
    let (code, _, printed) = nacre(&world, &["buckets"]).await;
    assert!(code == Some(0) && printed.lines().count() == 4, "{printed}");
    assert!(printed.contains(r#""events":"eventbridge","keys":["in/*"]"#), "{printed}");

    let theirs = ["attach", "s3://elsewhere", "--owner", "123456789012", "--dry-run"];
    let (code, shown, printed) = nacre(&world, &theirs).await;
    assert_eq!((code, &shown["owner"], &shown["done"]), (Some(0), &json!(theirs[3]), &json!(false)), "{printed}");
    let names = [(stack.scanned_bucket(), "uploads"), ("notified", "invoices")];
    assert_screen("buckets.md", "nacre buckets", &screen(&world, &["buckets"]).await, &names);
    let detached = screen(&world, &["detach", "s3://notified/in/", "--dry-run"]).await;
    assert_screen("buckets.md", "nacre detach s3://invoices/in/ --dry-run", &detached, &names);
    let put = async |bucket: &str, key: &str| {
        s3.put_object().bucket(bucket).key(key).body(eicar().into()).send().await.unwrap();
        ObjectId::new(bucket, key, Some("null".into()))
    };
    let left_out = [put("notified", "out/eicar.com").await, put("partly", "eicar.com").await];
    for (bucket, key) in [("plain", "eicar.com"), ("notified", "in/eicar.com"), ("partly", "in/eicar.com")] {
        let object = put(bucket, key).await;
        let record = stack.await_settled(&object, DEADLINE).await.unwrap();
        assert!(record.verdict.is_infected(), "{object}");
        let user = stack.user_of(bucket).await.unwrap();
        assert!(user.get_object().bucket(bucket).key(key).send().await.is_err(), "{object} is refused");
    }
    for object in left_out {
        assert_eq!(stack.record(&object).await.unwrap(), None, "{object}");
    }

    // Of the attached buckets one is attached whole: a self-test is made there and in the stack's own.
    let outcome = world.invoke("RescannerFunction", json!({ "watch": "hourly" })).await;
    assert_eq!(outcome.payload, Value::Null, "{outcome:?}");
    let (_, status, printed) = nacre(&world, &["status"]).await;
    let passed = |bucket: &str| status["self_tests"][bucket]["failure"] == Value::Null;
    assert!(passed("plain") && passed(stack.scanned_bucket()), "{printed}");
    assert_eq!(status["self_tests"].as_object().map(serde_json::Map::len), Some(2), "{printed}");

    for place in ["s3://plain", "s3://notified/in/", "s3://partly"] {
        let (code, shown, printed) = nacre(&world, &["detach", place, "--yes"]).await;
        assert_eq!((code, &shown["events"], &shown["done"]), (Some(0), &Value::Null, &json!(true)), "{printed}");
    }
    for (bucket, before) in before {
        assert_eq!(settings(&world, bucket).await, before, "{bucket}");
    }
    assert_eq!(stack.records().await.unwrap(), [], "of what is not scanned any more there are no records");
    world.end().await;
}

/// What a deleted stack of the name left in a bucket: statements for a role, and notifications to a topic, that are gone. The local
/// CloudFormation gives a name its suffix again, so here the earlier ones are put there.
#[tokio::test]
async fn what_a_deleted_stack_left_in_a_bucket_is_replaced_by_the_next_of_its_name() {
    let world = World::ready(&[]).await;
    let (stack, s3) = (&world.stack, world.stack.s3());
    let [role, trigger] = ["ScannerRole", "ScannerTrigger"].map(|name| stack.output(name));
    let earlier = |arn: &str| format!("{}-1AB2CD3EF4GH5", arn.rsplit_once('-').unwrap().0);
    stack.create_bucket("kept").await.unwrap();
    let attach = ["attach", "s3://kept", "--yes"];
    let (code, _, printed) = nacre(&world, &attach).await;
    assert_eq!(code, Some(0), "{printed}");
    let policy = settings(&world, "kept").await.1.unwrap();
    assert!(policy.contains(role), "{policy}");
    let (code, _, printed) = nacre(&world, &["detach", "s3://kept", "--yes"]).await;
    assert_eq!(code, Some(0), "{printed}");
    // The role's name is also that of its sessions.
    let name = |arn: &str| arn.rsplit_once('/').unwrap().1.to_owned();
    let left = policy.replace(&name(role), &name(&earlier(role)));
    s3.put_bucket_policy().bucket("kept").policy(left).send().await.unwrap();
    let topic = TopicConfiguration::builder().topic_arn(earlier(trigger)).events(Event::S3ObjectCreated);
    let left = NotificationConfiguration::builder().topic_configurations(topic.build().unwrap()).build();
    let put = s3.put_bucket_notification_configuration().bucket("kept").notification_configuration(left);
    put.skip_destination_validation(true).send().await.unwrap();

    // By SNS, which a topic of somebody else's would keep it from; each statement stands once.
    let (code, shown, printed) = nacre(&world, &attach).await;
    assert_eq!((code, &shown["events"], &shown["policy"]), (Some(0), &json!("sns"), &json!("changed")), "{printed}");
    assert_eq!((&shown["foreign_notifications"], &shown["done"]), (&json!(0), &json!(true)), "{printed}");
    let found = s3.get_bucket_notification_configuration().bucket("kept").send().await.unwrap();
    let topics: Vec<&str> = found.topic_configurations().iter().map(TopicConfiguration::topic_arn).collect();
    assert_eq!(topics, [trigger]);
    let policy: Value = serde_json::from_str(&settings(&world, "kept").await.1.unwrap()).unwrap();
    let statements = policy["Statement"].as_array().unwrap();
    assert!(statements.len() == 3 && statements.iter().all(|one| one.to_string().contains(role)), "{policy}");
    assert!(!policy.to_string().contains(&earlier(role)), "{policy}");

    // It is scanned there, and the verdict is enforced.
    s3.put_object().bucket("kept").key("eicar.com").body(eicar().into()).send().await.unwrap();
    let object = ObjectId::new("kept", "eicar.com", Some("null".into()));
    let record = stack.await_settled(&object, DEADLINE).await.unwrap();
    assert!(record.verdict.is_infected());
    let user = stack.user_of("kept").await.unwrap();
    assert!(user.get_object().bucket("kept").key("eicar.com").send().await.is_err(), "it is refused");
    world.end().await;
}
