//! Each system call that the engine needs and Lambda allows, taken away: what fails says which.

use std::{
    fs,
    io::{BufRead, BufReader, Write},
    path::Path,
    process::{Command, Stdio},
};

use nacre_clamav::builder::eicar;
use nacre_engine_client::protocol::{Command as Request, Limits, PROTOCOL_VERSION};
use nacre_test_support::{Packages, programs_directory, unpack};

/// Has the packaged engine of a cell without one call greet, load a definition and scan EICAR; all that it says.
fn engine_without(task: &Path, taken: Option<&str>) -> String {
    // The cell's user is none of this machine's.
    let home =
        tempfile::Builder::new().permissions(std::os::unix::fs::PermissionsExt::from_mode(0o777)).tempdir().unwrap();
    let definitions = home.path().join("definitions");
    fs::create_dir(&definitions).unwrap();
    fs::write(definitions.join("eicar.ndb"), format!("Eicar:0:*:{}\n", hex::encode(eicar()))).unwrap();
    fs::write(home.path().join("object"), eicar()).unwrap();
    let mut cell = Command::new(programs_directory().unwrap().join("nacre-lambda-cell"));
    cell.arg("--task").arg(task).arg("--bind").arg(home.path()).arg("--chdir").arg(home.path());
    if let Some(taken) = taken {
        cell.args(["--without", taken]);
    }
    let cell = cell.arg("/var/task/nacre-engine").env_clear().env("PATH", "/usr/bin:/bin");
    let errors = home.path().join("errors");
    let errors_file = fs::File::create(&errors).unwrap();
    let mut cell = cell.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(errors_file).spawn().unwrap();
    let (mut requests, mut replies) = (cell.stdin.take().unwrap(), BufReader::new(cell.stdout.take().unwrap()));
    let limits = Limits { max_memory: 1 << 30, ..Limits::default() };
    let commands = [
        Request::Hello { protocol: PROTOCOL_VERSION },
        Request::Load { directory: definitions.to_str().unwrap().to_owned() },
        Request::Scan { engine: 1, file: "object".into(), limits, deadline_ms: 60_000 },
    ];
    let mut said = String::new();
    for (id, command) in (1..).zip(commands) {
        let request = serde_json::to_string(&nacre_engine_client::protocol::Request { id, command }).unwrap();
        if writeln!(requests, "{request}").is_err() || replies.read_line(&mut said).unwrap() == 0 {
            break;
        }
    }
    drop(requests);
    cell.wait().unwrap();
    said + &fs::read_to_string(errors).unwrap()
}

#[test]
fn a_call_that_is_taken_away_is_named_by_what_fails() {
    let task = tempfile::tempdir().unwrap();
    unpack(&Packages::of_built_programs().unwrap().scanner, task.path()).unwrap();
    let said = engine_without(task.path(), None);
    assert!(said.contains("Eicar"), "with all of them: {said}");
    // Whoever must live without one of these finds here what it costs.
    for (call, costs) in [
        ("clone", "no worker"),
        ("pipe2", "no worker"),
        ("unlink", "cannot remove the file's name"),
        ("mkdir", "cannot create tmp/"),
        ("execve", "execvp"),
    ] {
        let said = engine_without(task.path(), Some(call));
        assert!(!said.contains("Eicar") && said.contains(costs), "{call}: {said}");
    }
    // These the engine does not need: the updater locks its directories with the first, and has a network by the second.
    for call in ["flock", "socket"] {
        let said = engine_without(task.path(), Some(call));
        assert!(said.contains("Eicar"), "{call}: {said}");
    }
}
