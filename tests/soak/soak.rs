//! The soak itself.

use std::{
    env, fs,
    hash::{BuildHasher, Hasher, RandomState},
    path::PathBuf,
    sync::atomic::Ordering,
    thread,
    time::{Duration, Instant},
};

use nacre_test_support::{
    Environment, Random, Stack,
    deployed::{DEADLINE, World, daily, published},
    programs_directory,
};
use serde_json::json;
use tokio::sync::watch;

use crate::{
    audit::{departures, given_up, litter},
    disorder::{Gossip, Sent},
    kills::{Kills, Scanners, end, rage},
    plan::{Step, plan},
    queues::Queues,
    upload::{Progress, Version, upload},
};

/// Versions of the small form, which is a test like any other.
const SMALL: usize = 150;

/// Failures that are printed; there may be thousands of one cause.
const PRINTED: usize = 40;

/// A number from the environment.
#[expect(clippy::disallowed_methods, reason = "how large a soak is, is its caller's choice")]
fn number(variable: &str) -> Option<u64> {
    let value = env::var(variable).ok()?;
    Some(value.parse().unwrap_or_else(|_| panic!("{variable} is no whole number: {value}")))
}

/// What was done to the scanner.
struct Mischief {
    versions: Vec<Version>,
    sent: Sent,
    kills: Kills,
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_version_has_exactly_one_right_record_whatever_was_killed_or_repeated() {
    let objects = number("SOAK_OBJECTS").map_or(SMALL, |objects| usize::try_from(objects).unwrap());
    let seed = number("SOAK_SEED").unwrap_or_else(|| RandomState::new().build_hasher().finish() >> 16);
    println!("soak of {objects} versions: SOAK_SEED={seed} repeats the plan");
    let mut random = Random::new(seed);
    let deadline = DEADLINE + Duration::from_millis(200 * objects as u64);
    let world = World::ready(&[]).await;
    let (stack, queues) = (&world.stack, Queues { stack: &world.stack });

    let _logs = KeptLogs(stack.logs().to_owned());
    let started = Instant::now();
    let trouble = tokio::time::timeout(deadline, trouble(&world, &queues, objects, &mut random)).await;
    let Mischief { versions, sent, kills } = trouble.expect("the scanner keeps up with uploads");
    let mischief_ended = started.elapsed();
    let mut redriven = queues.quiet(deadline).await;
    let settled = started.elapsed();

    let (healed, again) = heal(&world, &queues, deadline).await;
    redriven += again;
    let mut records = stack.records().await.unwrap();
    let made_good = given_up(&versions, &records).len();
    if made_good > 0 {
        redriven += make_good(stack, &queues, &given_up(&versions, &records), deadline).await;
        records = stack.records().await.unwrap();
    }
    let mut wrong = departures(stack, &versions, &records, 2).await;
    wrong.extend(leftovers(&world, &queues).await);

    let removed = versions.iter().filter(|version| version.removed).count();
    let rate = f64::from(u32::try_from(objects).unwrap()) / settled.as_secs_f64();
    println!(
        "{objects} versions written, {removed} of them removed; {} messages printed again, {} malformed\n\
         killed: {} workers, {} engines, {} functions\n\
         dead letters redriven: {redriven}; given up on and made good: {made_good}; records of a lost race with the new generation: {healed}\n\
         trouble for {:.1} s, settled after {:.1} s: {rate:.0} objects/s",
        sent.again,
        sent.malformed,
        kills.workers,
        kills.engines,
        kills.functions,
        mischief_ended.as_secs_f64(),
        settled.as_secs_f64(),
    );
    assert!(kills.workers + kills.engines + kills.functions > 0, "nothing was killed, so nothing is shown");
    assert!(
        wrong.is_empty(),
        "{} wrong (SOAK_SEED={seed}):\n{}",
        wrong.len(),
        wrong[..wrong.len().min(PRINTED)].join("\n")
    );
    world.end().await;
}

/// Keeps the stack's logs in `target/soak-logs` when a soak fails.
struct KeptLogs(PathBuf);

impl Drop for KeptLogs {
    fn drop(&mut self) {
        if !thread::panicking() {
            return;
        }
        let kept = programs_directory().unwrap_or_default().with_file_name("soak-logs");
        let _ = fs::create_dir_all(&kept);
        for log in fs::read_dir(&self.0).into_iter().flatten().flatten() {
            let _ = fs::copy(log.path(), kept.join(log.file_name()));
        }
        println!("logs are in {}", kept.display());
    }
}

/// Everything at once, until all is written, sent and published.
async fn trouble(world: &World, queues: &Queues<'_>, objects: usize, random: &mut Random) -> Mischief {
    let stack = &world.stack;
    let keys = plan(objects, random);
    let puts = keys.iter().flat_map(|key| &key.steps).filter(|step| matches!(step, Step::Put { .. })).count();
    assert_eq!(puts, objects);
    let (progress, (uploaded, uploads_end), (stop, stopped)) =
        (Progress::default(), watch::channel(false), watch::channel(false));
    let gossip = Gossip::new(stack, queues, random.fork()).await;
    let everything = async {
        let uploading = async {
            let versions = upload(stack, &keys, &progress).await;
            uploaded.send_replace(true);
            versions
        };
        let updating = async {
            while progress.written.load(Ordering::Relaxed) < objects / 2 {
                tokio::time::sleep(Duration::from_millis(20)).await;
            }
            world.mirror.put("daily.cvd", daily(2, true));
            assert_eq!(published(&world.update().await), 2);
        };
        let (versions, sent, ()) = tokio::join!(uploading, gossip.send_all(&progress, uploads_end), updating);
        stop.send_replace(true);
        (versions, sent)
    };
    let ((versions, sent), kills) = tokio::join!(everything, rage(stack, random.fork(), stopped));
    Mischief { versions, sent, kills }
}

/// Runs the rescanner's next pass: a scan that was under way during the last one is found by it. Returns how many records that
/// took, and how many dead letters were redriven.
async fn heal(world: &World, queues: &Queues<'_>, deadline: Duration) -> (u64, usize) {
    let pass = world.stack.rescan(deadline).await.expect("a pass is made");
    (pass.stats.requested.total().objects, queues.quiet(deadline).await)
}

/// Asks once more for what was given up on because its engines were killed. Returns how many dead letters were redriven.
async fn make_good(stack: &Stack, queues: &Queues<'_>, given_up: &[&Version], deadline: Duration) -> usize {
    for version in given_up {
        let object = &version.object;
        let event = json!({ "source": "aws.s3", "detail-type": "Object Created", "detail": { "bucket": { "name": object.bucket },
            "object": { "key": object.key, "version-id": object.version_id, "size": version.size } } });
        let publish = stack.sns().publish().topic_arn(stack.output("ScannerTrigger")).message(event.to_string());
        publish.send().await.unwrap();
    }
    queues.quiet(deadline).await
}

/// What is left of it all besides records and tags: dead letters, processes, files.
async fn leftovers(world: &World, queues: &Queues<'_>) -> Vec<String> {
    let stack = &world.stack;
    let mut found = Vec::new();
    for letters in ["ScanDeadLetters", "RescanDeadLetters", "PassDeadLetters", "AnnouncementDeadLetters"] {
        let depth = queues.depth_of(letters).await;
        if depth > 0 {
            found.push(format!("{letters} has {depth} messages"));
        }
    }
    let all = || -> Vec<Environment> {
        ["ScannerFunction", "RescanFunction"].iter().flat_map(|name| stack.environments(stack.output(name))).collect()
    };
    found.extend(litter(&all()));
    for function in Scanners::of(stack).functions {
        end(function);
    }
    let deadline = Instant::now() + DEADLINE;
    while !Scanners::of(stack).others.is_empty() || !Scanners::of(stack).functions.is_empty() {
        if Instant::now() > deadline {
            found.push(format!("functions were killed, and this is left of them: {:?}", Scanners::of(stack)));
            break;
        }
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    let tail = world.invoke("ScannerFunction", json!({ "Records": [{ "eventSource": "aws:s3" }] })).await;
    if tail.function_error.is_some() {
        found.push(format!("a fresh scanner fails: {tail:?}"));
    }
    found.extend(litter(&all()));
    for function in ["ScannerFunction", "RescanFunction"] {
        let log = fs::read_to_string(stack.logs().join(format!("{}.log", stack.output(function)))).unwrap_or_default();
        found.extend(log.lines().filter(|line| line.contains("panicked")).map(str::to_owned));
    }
    found
}
