//! A compromised worker can do nothing but die alone.

use std::{
    fs,
    net::TcpListener,
    os::{
        fd::AsRawFd,
        unix::{fs::PermissionsExt, net::UnixListener},
    },
};

use nacre_engine_protocol::{Command, FailureCode, Landlock, Limits, Outcome, PROTOCOL_VERSION};

use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};

use crate::driver::{DEADLINE_MS, ENDLESS, Engine, TEST_FILES_SIGNATURE, await_some, children, eicar, processor_ticks};

/// The engine whose workers attack on request.
fn attacked() -> Engine {
    Engine::attacked(&[TEST_FILES_SIGNATURE])
}

fn attack(engine: &mut Engine, order: &str) -> Outcome {
    // A hundred megabytes are plenty for an attack, and quickly used up.
    let limits = Limits { max_memory: 100 << 20, max_file_size: 1 << 20, ..Limits::default() };
    engine.put("object", format!("attack {order}").as_bytes());
    // Only what never ends runs into its deadline.
    let deadline_ms = if order == "spin" { 3000 } else { DEADLINE_MS };
    let outcome = engine.ask(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms });
    engine.assert_nothing_left();
    outcome
}

/// How an attack failed.
fn failure(engine: &mut Engine, order: &str) -> (FailureCode, String) {
    match attack(engine, order) {
        Outcome::Failed(failure) => (failure.code, failure.message),
        other => panic!("`{order}` was not refused: {other:?}"),
    }
}

fn landlock() -> Landlock {
    let mut engine = Engine::start();
    let Outcome::Hello(hello) = engine.ask(Command::Hello { protocol: PROTOCOL_VERSION }) else { panic!("no hello") };
    assert!(hello.sandbox.seccomp);
    hello.sandbox.landlock
}

#[test]
fn the_probe_itself_works() {
    let mut engine = attacked();
    assert!(matches!(attack(&mut engine, "thread"), Outcome::Scanned(_)), "libclamav's image decoder needs threads");
    assert!(matches!(attack(&mut engine, "read /lib/x86_64-linux-gnu/../absent"), Outcome::Failed(_)));
    assert!(matches!(attack(&mut engine, "list /usr/lib"), Outcome::Scanned(_)), "character sets are read from there");
}

#[test]
fn a_worker_has_no_network_no_programs_and_no_other_processes() {
    let (tcp, place) = (TcpListener::bind("127.0.0.1:0").unwrap(), tempfile::tempdir().unwrap());
    let socket = place.path().join("socket");
    let _unix = UnixListener::bind(&socket).unwrap();
    let mut engine = attacked();
    let (us, zygote) = (std::process::id(), engine.child.id());
    for order in [
        format!("tcp {}", tcp.local_addr().unwrap()),
        "udp 127.0.0.1:0".to_owned(),
        format!("unix {}", socket.display()),
        "exec /bin/true".to_owned(),
        "spawn /bin/true".to_owned(),
        format!("ptrace {us}"),
        "ptrace zygote".to_owned(),
        format!("kill {us}"),
        "kill zygote".to_owned(),
        "kill 0".to_owned(),
    ] {
        let (code, message) = failure(&mut engine, &order);
        assert_eq!(code, FailureCode::WorkerDied, "{order}: {message}");
        assert!(message.contains("SIGSYS"), "{order}: {message}");
    }
    assert!(engine.child.try_wait().unwrap().is_none());
    assert_eq!(engine.child.id(), zygote);
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

#[test]
fn a_worker_reaches_no_file_but_its_own() {
    if landlock() == Landlock::Absent {
        println!("skipped: the kernel has no Landlock");
        return;
    }
    let place = tempfile::tempdir().unwrap();
    let secret = place.path().join("secret");
    fs::write(&secret, "of the parent").unwrap();
    let mut engine = attacked();
    engine.put("other-object", &eicar());
    let (us, zygote) = (std::process::id(), engine.child.id());
    let private = engine.directory.path().to_owned();
    for order in [
        format!("read {}", secret.display()),
        format!("append {}", secret.display()),
        format!("read {}", private.join("other-object").display()),
        format!("append {}", private.join("other-object").display()),
        format!("write {}", private.join("new").display()),
        format!("write {}", private.join("tmp/new").display()),
        format!("list {}", private.display()),
        format!("list {}", private.join("tmp").display()),
        "write /tmp/nacre-attacked".to_owned(),
        "write /dev/shm/nacre-attacked".to_owned(),
        "read /etc/passwd".to_owned(),
        "list /".to_owned(),
        format!("read /proc/{us}/environ"),
        format!("read /proc/{zygote}/environ"),
        format!("read /proc/{zygote}/maps"),
        format!("scribble /proc/{zygote}/mem"),
        format!("list /proc/{us}/fd"),
        format!("append /proc/{zygote}/fd/0"),
        format!("append /proc/{zygote}/fd/1"),
        "read /proc/self/environ".to_owned(),
        "unlimit".to_owned(),
        "link link".to_owned(),
    ] {
        let (_, message) = failure(&mut engine, &order);
        let held = ["Permission denied", "EPERM", "EACCES", "Operation not permitted", "SIGSYS"];
        assert!(held.iter().any(|word| message.contains(word)), "{order}: {message}");
    }
    assert_eq!(fs::read_to_string(&secret).unwrap(), "of the parent");
}

/// Attack: before Linux 6.2, Landlock does not cover truncate(2), which reaches the objects of others; before 6.12, it does not stop
/// the signals that fcntl(2) makes the kernel send.
#[test]
fn a_worker_truncates_no_path_and_commands_no_signal() {
    let mut engine = attacked();
    engine.put("other-object", &eicar());
    let other = engine.directory.path().join("other-object");
    for order in [format!("truncate {}", other.display()), "truncate other-object".to_owned(), "command".to_owned()] {
        let (code, message) = failure(&mut engine, &order);
        assert_eq!(code, FailureCode::WorkerDied, "{order}: {message}");
        assert!(message.contains("SIGSYS"), "{order}: {message}");
    }
    assert_eq!(fs::read(&other).unwrap(), eicar());
}

/// Attack: Landlock does not cover modes and times, so a worker could open what others closed, anywhere.
#[test]
fn a_worker_changes_no_mode_and_no_time() {
    let place = tempfile::tempdir().unwrap();
    let victim = place.path().join("victim");
    fs::write(&victim, "mine").unwrap();
    fs::set_permissions(&victim, fs::Permissions::from_mode(0o600)).unwrap();
    let before = fs::metadata(&victim).unwrap();
    let mut engine = attacked();
    for order in [format!("chmod {}", victim.display()), "chmod .".to_owned(), "touch /lib".to_owned()] {
        let (code, message) = failure(&mut engine, &order);
        assert_eq!(code, FailureCode::Internal, "{order}: refused, not killed: {message}");
        assert!(message.contains("Operation not permitted") || message.contains("EPERM"), "{order}: {message}");
    }
    let after = fs::metadata(&victim).unwrap();
    assert_eq!((before.permissions(), before.modified().unwrap()), (after.permissions(), after.modified().unwrap()));
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

/// Attack: a worker with a descriptor of the zygote reads the next request, requests a scan, or responds for another object.
#[test]
fn a_worker_holds_no_descriptor_but_its_own() {
    let mut engine = attacked();
    engine.put("object", ENDLESS);
    engine.send(Command::Scan {
        engine: 1,
        file: "object".into(),
        limits: Limits::default(),
        deadline_ms: DEADLINE_MS,
    });
    let zygote = engine.child.id();
    let spins = |child: &i32| processor_ticks(*child).is_some_and(|ticks| ticks > 5);
    let worker = await_some("a worker that spins", || children(zygote).into_iter().find(spins));
    let links = |process: String| -> Vec<(u32, String)> {
        let entries = fs::read_dir(format!("/proc/{process}/fd")).unwrap().map(Result::unwrap);
        let link = |entry: fs::DirEntry| {
            let number = entry.file_name().to_str().unwrap().parse().unwrap();
            (number, fs::read_link(entry.path()).unwrap_or_default().display().to_string())
        };
        entries.map(link).collect()
    };
    let (of_worker, of_zygote, of_client) =
        (links(worker.to_string()), links(zygote.to_string()), links("self".to_owned()));
    for links in [&of_worker, &of_zygote] {
        assert!(links.contains(&(0, "/dev/null".to_owned())), "nothing reads requests from stdin: {links:?}");
    }
    let standard: Vec<_> = of_worker.iter().filter(|(number, _)| *number <= 2).map(|(_, link)| link.as_str()).collect();
    assert_eq!(standard, ["/dev/null"; 3], "{of_worker:?}");
    // Both ends of a pipe have one name: that of requests, and that of responses.
    let streams: Vec<_> =
        [engine.stdin.as_ref().unwrap().as_raw_fd(), engine.stdout.as_ref().unwrap().get_ref().as_raw_fd()]
            .map(|ours| of_client.iter().find(|(number, _)| i32::try_from(*number) == Ok(ours)).unwrap().1.clone())
            .into();
    let pipes: Vec<_> = of_worker.iter().map(|(_, link)| link).filter(|link| link.starts_with("pipe:")).collect();
    assert_eq!(pipes.len(), 1, "its response; the pipe of its job is read and closed: {of_worker:?}");
    for stream in &streams {
        assert!(of_zygote.iter().any(|(_, link)| link == stream), "{stream}: {of_zygote:?}");
        assert!(!pipes.contains(&stream), "{stream}: {of_worker:?}");
    }
    let objects: Vec<_> = of_worker.iter().filter(|(_, link)| link.ends_with("(deleted)")).collect();
    assert_eq!(objects.len(), 1, "the object has no name any more: {of_worker:?}");
}

#[test]
fn a_worker_writes_to_no_pipe_of_another() {
    let mut engine = attacked();
    let forged = r#"pipes {"id":9,"command":"unload","engine":1}"#;
    let (_, message) = failure(&mut engine, forged);
    assert!(message.contains("EPERM") || message.contains("response was"), "{message}");
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0, "nothing was unloaded");
}

#[test]
fn a_request_whose_id_does_not_grow_is_refused() {
    let mut engine = attacked();
    engine.put("object", b"just some words in a row\n");
    for id in [0, 1, 2] {
        engine.send_raw(format!("{{\"id\":{id},\"command\":\"unload\",\"engine\":1}}\n").as_bytes());
        let response = engine.receive_any();
        let Outcome::Failed(failure) = response.outcome else { panic!("not refused: {response:?}") };
        assert_eq!((response.id, failure.code), (0, FailureCode::BadRequest), "{failure:?}");
    }
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

/// What holds where there is no Landlock: see `PR_SET_DUMPABLE` in prctl(2).
#[test]
fn the_zygote_is_not_dumpable() {
    let engine = attacked();
    let owner = std::os::unix::fs::MetadataExt::uid(&fs::metadata(format!("/proc/{}/mem", engine.child.id())).unwrap());
    assert_eq!(owner, 0, "its memory belongs to root, whoever runs it");
}

/// Workers inherit it.
#[test]
fn the_system_kills_the_engine_before_its_client() {
    let engine = attacked();
    let adjustment = fs::read_to_string(format!("/proc/{}/oom_score_adj", engine.child.id())).unwrap();
    assert_eq!(adjustment.trim(), "1000");
}

#[test]
fn a_worker_out_of_bounds_dies_alone() {
    let mut engine = attacked();
    for (order, expected) in [
        ("allocate", "memory"),
        ("fill", "SIGXFSZ"),
        ("overflow", "SIG"),
        ("panic", "status 101"),
        ("spin", "killed after 3000 ms"),
    ] {
        let (_, message) = failure(&mut engine, order);
        assert!(message.contains(expected), "{order}: {message}");
        assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
    }
}

#[test]
fn a_worker_that_cannot_be_stopped_in_time_is_stopped_by_its_processor_time() {
    let mut engine = attacked();
    engine.put("object", ENDLESS);
    let zygote = Pid::from_raw(engine.child.id().cast_signed());
    let (limits, deadline_ms) = (Limits::default(), 1000);
    let worker = await_some("a worker that spins while the zygote is stopped", || {
        engine.send(Command::Scan { engine: 1, file: "object".into(), limits, deadline_ms });
        let spins = |child: &i32| processor_ticks(*child).is_some_and(|ticks| ticks > 5);
        let worker = await_some("a worker that spins, or its end", || {
            let spinning = children(engine.child.id()).into_iter().find(spins);
            spinning.map(Some).or_else(|| engine.has_answered().then_some(None))
        });
        kill(zygote, Signal::SIGSTOP).unwrap();
        let stopped_in_time = worker.filter(spins);
        if stopped_in_time.is_none() {
            // The zygote was faster: once more.
            kill(zygote, Signal::SIGCONT).unwrap();
            engine.receive();
        }
        stopped_in_time
    });
    // The zygote cannot reap it.
    let state = || fs::read_to_string(format!("/proc/{worker}/stat")).unwrap();
    await_some("the end of the worker", || state().contains(") Z ").then_some(()));
    kill(zygote, Signal::SIGCONT).unwrap();
    assert!(matches!(engine.receive(), Outcome::Failed(_)));
    assert_eq!(engine.scan(b"just some words in a row\n").status, 0);
}

#[test]
fn the_shipped_engine_has_no_attacks() {
    let mut engine = Engine::with(&[TEST_FILES_SIGNATURE]);
    assert_eq!(engine.scan(b"attack panic").status, 0);
    let strings = fs::read(env!("CARGO_BIN_EXE_nacre-engine")).unwrap();
    assert!(!strings.windows(16).any(|bytes| bytes == b"Attack.Succeeded"));
}
