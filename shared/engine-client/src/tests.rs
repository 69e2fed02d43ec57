//! The client, against programs that misbehave in one way each.

use std::os::unix::fs::PermissionsExt;

use super::*;

const HELLO: &str = r#"{"id":1,"outcome":"hello","protocol":4,"clamav_version":"1.4.6","functionality_level":216,"unrar":false,"sandbox":{"seccomp":true,"landlock":"absent"}}"#;

/// Ends a hang, and nothing else.
const GENEROUS: Duration = Duration::from_mins(10);

/// An engine of which `script` is all there is.
async fn fake(script: &str) -> Result<EngineClient, EngineError> {
    let mut shell = tokio::process::Command::new("/bin/sh");
    shell.arg("-c").arg(script);
    let directory = private_directory(&std::env::temp_dir())?;
    let conversation = Conversation::start(shell, directory.path()).expect("a shell");
    EngineClient::greet(conversation, directory, 4).await
}

/// A greeted engine that goes on with `script` once asked for something.
async fn greeted(script: &str) -> EngineClient {
    fake(&format!("read hello; echo '{HELLO}'; read request; {script}")).await.expect("a greeted fake")
}

/// Has the fake killed by a scan and returns what it died of.
async fn killed(client: &EngineClient) -> (Death, String) {
    killed_within(client, GENEROUS).await
}

async fn killed_within(client: &EngineClient, deadline: Duration) -> (Death, String) {
    let process = client.process_id().expect("a live child");
    let scanned = client.scan(client.slot().await, 1, "object", Limits::default(), deadline).await;
    let Err(EngineError::Dead { cause, stderr_tail }) = scanned else { panic!("not dead: {scanned:?}") };
    assert!(!Path::new(&format!("/proc/{process}")).exists(), "the child was not reaped");
    assert_eq!(client.process_id(), None);
    let after = client.unload(1).await;
    assert!(matches!(after, Err(EngineError::Dead { cause: Death::Earlier, .. })), "{after:?}");
    (cause, stderr_tail)
}

#[tokio::test]
async fn a_child_that_exits_is_dead_and_its_stderr_is_reported() {
    let client = greeted("echo alas >&2; exit 3").await;
    let (cause, stderr_tail) = killed(&client).await;
    assert!(matches!(&cause, Death::Pipe(error) if matches!(**error, LineError::Closed)), "{cause:?}");
    assert_eq!(stderr_tail, "alas");
}

#[tokio::test]
async fn garbage_on_the_pipe_kills_the_child() {
    for garbage in ["echo nonsense", "echo", "printf '{\"id\":2'", "printf '\\377\\n'"] {
        let (cause, _) = killed(&greeted(garbage).await).await;
        assert!(matches!(cause, Death::Pipe(_)), "{garbage}: {cause:?}");
    }
}

#[tokio::test]
async fn an_answer_to_something_else_kills_the_child() {
    for answer in [r#"{"id":1,"outcome":"unloaded"}"#, r#"{"id":2,"outcome":"unloaded"}"#, HELLO] {
        let (cause, _) = killed(&greeted(&format!("echo '{answer}'; exec /bin/sleep 3600")).await).await;
        assert!(matches!(cause, Death::OutOfTurn), "{answer}: {cause:?}");
    }
}

#[tokio::test]
async fn a_child_that_never_answers_is_killed_after_deadline_and_grace() {
    let deadline = Duration::from_millis(1);
    let (cause, _) = killed_within(&greeted("exec /bin/sleep 3600").await, deadline).await;
    assert!(matches!(cause, Death::Late(after) if after == deadline + GRACE), "{cause:?}");
}

#[tokio::test]
async fn an_endless_answer_is_not_held() {
    let (cause, _) = killed(&greeted("exec /bin/cat /dev/zero").await).await;
    assert!(matches!(&cause, Death::Pipe(error) if matches!(**error, LineError::Unbounded)), "{cause:?}");
}

#[tokio::test]
async fn endless_stderr_is_cut_to_its_tail() {
    let script = "i=0; while [ $i -lt 3000 ]; do echo word-$i >&2; i=$((i+1)); done; exit 1";
    let client = greeted(script).await;
    let load = client.load(Path::new("/absent"), GENEROUS).await;
    let Err(EngineError::Dead { stderr_tail, .. }) = load else { panic!("not dead: {load:?}") };
    assert!(stderr_tail.len() <= 2048 && stderr_tail.ends_with("word-2999"), "{stderr_tail}");
}

#[tokio::test]
async fn a_request_dropped_midway_leaves_no_answer_to_misread() {
    // It answers the first request when the second one comes.
    let client = greeted(r#"read next; echo '{"id":2,"outcome":"unloaded"}'; exec /bin/sleep 3600"#).await;
    let dropped = tokio::time::timeout(Duration::from_millis(50), client.unload(1)).await;
    assert!(dropped.is_err());
    let next = client.unload(2).await;
    assert!(matches!(next, Err(EngineError::Dead { cause: Death::Earlier, .. })), "{next:?}");
}

#[tokio::test]
async fn a_refusal_leaves_the_child_alive() {
    let refusal = r#"{"id":2,"outcome":"failed","code":"worker_died","message":"signal 11"}"#;
    let unloaded = r#"{"id":3,"outcome":"unloaded"}"#;
    let client = greeted(&format!("echo '{refusal}'; read request; echo '{unloaded}'; read request")).await;
    let scanned = client.scan(client.slot().await, 1, "object", Limits::default(), GENEROUS).await;
    let Err(EngineError::Refused(failure)) = scanned else { panic!("not refused: {scanned:?}") };
    assert_eq!(failure.code, FailureCode::WorkerDied);
    assert_eq!(client.hello().functionality_level, 216);
    client.unload(1).await.expect("the child goes on");
}

fn asked(client: &EngineClient, slot: Slot) -> impl Future<Output = Result<Report, EngineError>> {
    client.scan(slot, 1, "object", Limits::default(), GENEROUS)
}

fn report(id: u64, status: u32) -> String {
    let report = Report { status, ..Report::default() };
    let response = protocol::Response { id, outcome: Outcome::Scanned(report) };
    serde_json::to_string(&response).expect("JSON")
}

#[tokio::test]
async fn answers_in_any_order_reach_their_askers() {
    let (first, second) = (report(2, 10), report(3, 11));
    let client = greeted(&format!("read request; echo '{second}'; echo '{first}'; read request")).await;
    let (one, other) = tokio::join!(async { asked(&client, client.slot().await).await }, async {
        asked(&client, client.slot().await).await
    });
    assert_eq!((one.expect("a report").status, other.expect("a report").status), (10, 11));
}

#[tokio::test]
async fn a_dropped_scan_is_cancelled_and_costs_no_other() {
    let other = report(3, 11);
    let cancelled = r#"{"id":2,"outcome":"failed","code":"cancelled","message":""}"#;
    let done = r#"{"id":4,"outcome":"cancelled"}"#;
    let script = format!("read request; read cancel; echo '{cancelled}'; echo '{done}'; echo '{other}'; read request");
    let client = greeted(&script).await;
    let dropped = async {
        let scan = asked(&client, client.slot().await);
        tokio::time::timeout(Duration::from_millis(100), scan).await
    };
    let (dropped, other) = tokio::join!(dropped, async { asked(&client, client.slot().await).await });
    assert!(dropped.is_err());
    assert_eq!(other.expect("a report").status, 11);
    assert_eq!(client.slots.available_permits(), 4, "the cancelled scan's slot is free again");
}

#[tokio::test]
async fn a_death_reaches_every_pending_request() {
    let client = greeted("read request; echo nonsense; exec /bin/sleep 3600").await;
    let (one, other) = tokio::join!(async { asked(&client, client.slot().await).await }, async {
        asked(&client, client.slot().await).await
    });
    for outcome in [one, other] {
        let Err(EngineError::Dead { cause: Death::Pipe(_), .. }) = outcome else { panic!("not dead: {outcome:?}") };
    }
}

#[tokio::test]
async fn no_more_scans_than_slots_are_under_way() {
    let client = greeted("exec /bin/sleep 3600").await;
    let mut slots = Vec::new();
    for _ in 0..4 {
        slots.push(client.slot().await);
    }
    assert!(tokio::time::timeout(Duration::from_millis(50), client.slot()).await.is_err());
    slots.pop();
    client.slot().await;
}

#[tokio::test]
async fn a_stranger_is_not_taken_for_the_engine() {
    let other = HELLO.replace("\"protocol\":4", "\"protocol\":5");
    let greeting = fake(&format!("read hello; echo '{other}'; exec /bin/sleep 3600")).await;
    assert!(matches!(greeting, Err(EngineError::Dead { cause: Death::OutOfTurn, .. })), "{greeting:?}");
}

#[tokio::test]
async fn the_child_has_no_environment_and_a_directory_of_its_own() {
    let client = greeted("").await;
    let process = client.process_id().expect("a live child");
    let environment = std::fs::read(format!("/proc/{process}/environ")).expect("readable");
    assert!(environment.is_empty(), "{}", String::from_utf8_lossy(&environment));
    assert_eq!(std::fs::read_link(format!("/proc/{process}/cwd")).expect("readable"), client.directory());
    let mode = client.directory().metadata().expect("readable").permissions().mode();
    assert_eq!(mode & 0o777, 0o700);
    let directory = client.directory().to_owned();
    drop(client);
    assert!(!directory.exists());
}

#[tokio::test]
async fn a_missing_program_or_place_is_named() {
    let (program, place) = (Path::new("/absent/engine"), Path::new("/absent/place"));
    let error = EngineClient::start(program, &std::env::temp_dir(), 1).await.expect_err("absent");
    assert!(error.to_string().contains("`/absent/engine`: build it"), "{error}");
    let error = EngineClient::start(program, place, 1).await.expect_err("absent");
    assert!(error.to_string().contains("`/absent/place`"), "{error}");
}
