//! The template's own promises, kept by the local stack with stand-ins for the functions.

use std::{
    fs,
    io::{Cursor, Write},
    time::Duration,
};

use aws_sdk_s3::{
    Client,
    types::{Tag, Tagging},
};
use aws_sdk_sns::types::MessageAttributeValue;
use serde_json::{Value, json};
use tempfile::TempDir;
use zip::{CompressionMethod, ZipWriter, write::SimpleFileOptions};

use crate::{Packages, Stack, StackOptions, install, programs_directory};

/// What Rust's programs need besides glibc.
#[cfg(target_arch = "x86_64")]
const LIBGCC: &str = "/lib/x86_64-linux-gnu/libgcc_s.so.1";
/// What Rust's programs need besides glibc.
#[cfg(target_arch = "aarch64")]
const LIBGCC: &str = "/lib/aarch64-linux-gnu/libgcc_s.so.1";

pub(crate) struct Running {
    pub(crate) stack: Stack,
    _scratch: TempDir,
}

impl Running {
    pub(crate) async fn start() -> Self {
        Self::start_with(&[]).await
    }

    pub(crate) async fn start_with(parameters: &[(&str, &str)]) -> Self {
        Self::start_as(parameters, None).await
    }

    /// A stack whose functions take so many seconds to initialise.
    async fn start_as(parameters: &[(&str, &str)], slow_init: Option<u32>) -> Self {
        let parameters = [("LocalVisibilityTimeout", "1")].iter().chain(parameters);
        let programs = programs_directory().unwrap();
        let python = install(programs.parent().unwrap(), |_| ()).await.unwrap();
        let scratch = tempfile::tempdir().unwrap();
        let package = stand_in(slow_init);
        let stack = Stack::start(StackOptions {
            python,
            packages: Packages {
                updater: package.clone(),
                rescanner: package.clone(),
                scanner: package.clone(),
                probe: package,
            },
            mirror: "http://127.0.0.1:9".to_owned(),
            trust_anchors: String::new(),
            deployer: None,
            parameters: parameters.map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect(),
            scratch: scratch.path().to_owned(),
        });
        Self { stack: stack.await.unwrap(), _scratch: scratch }
    }

    /// Waits for an event that `wanted` picks from a queue of the scanner's.
    async fn scanner_event(&self, queue: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        for _ in 0..6000 {
            let logs = fs::read_dir(self.stack.logs()).unwrap();
            let logs: String = logs.map(|log| fs::read_to_string(log.unwrap().path()).unwrap()).collect();
            let events =
                logs.lines().filter_map(|line| serde_json::from_str::<Value>(line.strip_prefix("event ")?).ok());
            let records =
                events.flat_map(|mut event| event["Records"].as_array_mut().map(std::mem::take).unwrap_or_default());
            let of_queue = |record: &Value| record["eventSourceARN"].as_str().is_some_and(|arn| arn.contains(queue));
            let mut bodies =
                records.filter(of_queue).filter_map(|record| serde_json::from_str(record["body"].as_str()?).ok());
            if let Some(found) = bodies.find(&wanted) {
                return found;
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
        panic!("no such event came from {queue}: see {}", self.stack.logs().display());
    }
}

/// The package of a stand-in.
fn stand_in(slow_init: Option<u32>) -> Vec<u8> {
    let program = fs::read(programs_directory().unwrap().join("nacre-stand-in")).unwrap();
    let libgcc = fs::read(LIBGCC).unwrap();
    let slow_init = slow_init.map(|seconds| seconds.to_string().into_bytes());
    let slow_init = slow_init.iter().map(|seconds| ("slow-init", seconds.as_slice()));
    zipped(
        &[("bootstrap", program.as_slice()), ("lib/libgcc_s.so.1", &libgcc)]
            .into_iter()
            .chain(slow_init)
            .collect::<Vec<_>>(),
    )
}

/// A package of these files.
fn zipped(files: &[(&str, &[u8])]) -> Vec<u8> {
    let mut zip = ZipWriter::new(Cursor::new(Vec::new()));
    for (name, bytes) in files {
        let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).unix_permissions(0o755);
        zip.start_file(*name, stored).unwrap();
        zip.write_all(bytes).unwrap();
    }
    zip.finish().unwrap().into_inner()
}

pub(crate) async fn tag(client: &Client, bucket: &str, key: &str, status: &str) -> u16 {
    let tag = Tag::builder().key("av-status").value(status).build().unwrap();
    let tagging = Tagging::builder().tag_set(tag).build().unwrap();
    let answer = client.put_object_tagging().bucket(bucket).key(key).tagging(tagging).send().await;
    answer.map_or_else(|error| error.raw_response().unwrap().status().as_u16(), |_| 200)
}

pub(crate) async fn read(client: &Client, bucket: &str, key: &str) -> u16 {
    let answer = client.get_object().bucket(bucket).key(key).send().await;
    answer.map_or_else(|error| error.raw_response().unwrap().status().as_u16(), |_| 200)
}

#[tokio::test]
async fn who_may_tag_may_neither_read_nor_absolve_an_infected_object() {
    let running = Running::start().await;
    let (stack, operator) = (&running.stack, running.stack.s3());
    let (user, bucket) = (stack.ordinary_user().await.unwrap(), stack.output("ScannedBucket"));
    for (key, status) in [("clean", "CLEAN"), ("infected", "INFECTED"), ("untagged", "")] {
        user.put_object().bucket(bucket).key(key).body(key.as_bytes().to_vec().into()).send().await.unwrap();
        if !status.is_empty() {
            assert_eq!(tag(&operator, bucket, key, status).await, 200);
        }
    }
    assert_eq!(read(&user, bucket, "clean").await, 200);
    assert_eq!(read(&user, bucket, "untagged").await, 200);
    assert_eq!(read(&user, bucket, "infected").await, 403);
    // On AWS, "clean" could not be retagged by the user, either: MiniStack does not know `s3:RequestObjectTagKeys`.
    assert_eq!(tag(&user, bucket, "infected", "CLEAN").await, 403);
    let untag = user.delete_object_tagging().bucket(bucket).key("infected").send().await.unwrap_err();
    assert_eq!(untag.raw_response().unwrap().status().as_u16(), 403);

    // The version's own id is no way around it.
    let head = operator.head_object().bucket(bucket).key("infected").send().await.unwrap();
    let version = head.version_id().unwrap();
    let old = user.get_object().bucket(bucket).key("infected").version_id(version).send().await.unwrap_err();
    assert_eq!(old.raw_response().unwrap().status().as_u16(), 403);
    running.stack.stop().await.unwrap();
}

/// With `ReadAccess=OnlyClean`, nothing can be read before its scan, or that could not be scanned.
#[tokio::test]
async fn readers_may_be_bound_to_what_a_scan_found_clean() {
    let running = Running::start_with(&[("ReadAccess", "OnlyClean")]).await;
    let (stack, operator) = (&running.stack, running.stack.s3());
    let (user, bucket) = (stack.ordinary_user().await.unwrap(), stack.output("ScannedBucket"));
    for (key, status, expected) in
        [("clean", "CLEAN", 200), ("infected", "INFECTED", 403), ("unscannable", "UNSCANNABLE", 403), ("new", "", 403)]
    {
        user.put_object().bucket(bucket).key(key).body(key.as_bytes().to_vec().into()).send().await.unwrap();
        if !status.is_empty() {
            assert_eq!(tag(&operator, bucket, key, status).await, 200);
        }
        assert_eq!(read(&user, bucket, key).await, expected, "{key}");
    }
    running.stack.stop().await.unwrap();
}

#[tokio::test]
async fn uploads_rescans_and_removals_reach_the_scanner_each_through_their_queue() {
    let running = Running::start().await;
    let stack = &running.stack;
    let bucket = stack.output("ScannedBucket");
    let key_is = |key: &'static str, event: &'static str| {
        move |body: &Value| {
            let record = &body["Records"][0];
            let name = record["eventName"].as_str().unwrap_or_default();
            record["s3"]["object"]["key"] == key && name.starts_with(event)
        }
    };
    stack.s3().put_object().bucket(bucket).key("a b").body(b"x".to_vec().into()).send().await.unwrap();
    running.scanner_event("-ScanQueue-", key_is("a+b", "ObjectCreated:Put")).await;
    let head = stack.s3().head_object().bucket(bucket).key("a b").send().await.unwrap();
    let version = head.version_id().unwrap();
    stack.s3().delete_object().bucket(bucket).key("a b").version_id(version).send().await.unwrap();
    running.scanner_event("-ScanQueue-", key_is("a+b", "ObjectRemoved:Delete")).await;

    let attribute = |value| MessageAttributeValue::builder().data_type("String").string_value(value).build().unwrap();
    for (key, plan, queue) in [("again", "delta", "-RescanQueue-"), ("whole", "full", "-FullRescanQueue-")] {
        let rescan = json!({ "Records": [{ "eventName": "ObjectCreated:Put", "s3": { "object": { "key": key } } }] });
        let publish = stack.sns().publish().topic_arn(stack.output("RescanTrigger")).message(rescan.to_string());
        let publish = publish.message_attributes("nacre-cause", attribute("definitions"));
        publish.message_attributes("nacre-plan", attribute(plan)).send().await.unwrap();
        running.scanner_event(queue, key_is(key, "ObjectCreated:Put")).await;
    }

    // What the scanner gives back each time is kept as a dead letter.
    let poison = json!({ "Records": [], "poison": true }).to_string();
    stack.sns().publish().topic_arn(stack.output("ScannerTrigger")).message(poison).send().await.unwrap();
    let letters = stack.sqs().receive_message().queue_url(stack.output("ScanDeadLetters")).wait_time_seconds(20);
    let mut found = Vec::new();
    for _ in 0..30 {
        found = letters.clone().send().await.unwrap().messages.unwrap_or_default();
        if !found.is_empty() {
            break;
        }
    }
    assert!(found[0].body().unwrap().contains("poison"));
    running.stack.stop().await.unwrap();
}

#[tokio::test]
async fn a_function_answers_and_its_log_is_kept() {
    let running = Running::start().await;
    let stack = &running.stack;
    let outcome = stack.invoke(stack.output("UpdaterFunction"), json!({ "n": 1 })).await.unwrap();
    assert_eq!((outcome.status, outcome.function_error, outcome.payload), (200, None, json!({ "n": 1 })));
    assert!(outcome.logs.contains("stand-in was called"), "{}", outcome.logs);
    let log = stack.logs().join(format!("{}.log", stack.output("UpdaterFunction")));
    assert!(fs::read_to_string(&log).unwrap().contains("stand-in was called"), "{}", log.display());
    assert_eq!(stack.engine_processes(), Vec::<i32>::new());
    running.stack.stop().await.unwrap();
}

/// The state of a process in `/proc`, such as `S`, or `T` when it is stopped.
fn state(process: i32) -> char {
    let stat = fs::read_to_string(format!("/proc/{process}/stat")).unwrap();
    stat.rsplit_once(") ").unwrap().1.chars().next().unwrap()
}

#[tokio::test]
async fn an_environment_is_frozen_between_invocations_and_goes_on_in_the_next() {
    let running = Running::start().await;
    let stack = &running.stack;
    let function = stack.output("UpdaterFunction");
    let mut environments = Vec::new();
    for number in 0..3 {
        let outcome = stack.invoke(function, json!({ "n": number })).await.unwrap();
        assert_eq!((outcome.function_error, outcome.payload), (None, json!({ "n": number })));
        let [environment] = stack.environments(function)[..] else { panic!("one environment is enough") };
        assert_eq!(state(environment.process), 'T', "it is stopped");
        environments.push(environment);
    }
    environments.dedup();
    assert_eq!(environments.len(), 1, "it is the same one");
    running.stack.stop().await.unwrap();
}

#[tokio::test]
async fn an_initialisation_of_more_than_ten_seconds_is_ended_and_begun_anew_by_the_invocation() {
    let running = Running::start_as(&[], Some(11)).await;
    let stack = &running.stack;
    let function = stack.output("UpdaterFunction");
    let outcome = stack.invoke(function, json!({ "n": 1 })).await.unwrap();
    assert_eq!((outcome.function_error, outcome.payload), (None, json!({ "n": 1 })));
    let log = fs::read_to_string(stack.logs().join("ministack.log")).unwrap();
    assert!(log.contains(&format!("Lambda {function}: init exceeded 10s; re-running it")), "{log}");
    running.stack.stop().await.unwrap();
}
