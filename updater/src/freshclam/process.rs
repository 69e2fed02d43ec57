//! Runs a program for a time, and leaves nothing of it behind.

use std::{io, os::unix::process::ExitStatusExt, path::Path, process::Stdio, time::Duration};

use nix::{
    sys::signal::{Signal, killpg},
    unistd::Pid,
};
use tokio::{
    io::{AsyncRead, AsyncReadExt},
    process::Command,
    task::JoinHandle,
    time::timeout,
};

/// Bytes kept of the end of each output.
const TAIL_BYTES: usize = 32 << 10;

/// Time for a killed program to end, and its outputs to be read out.
const EXIT_TIMEOUT: Duration = Duration::from_secs(5);

/// What a program may take.
#[derive(Clone, Copy, Debug)]
pub(super) struct Limits {
    pub(super) time: Duration,
    /// Most bytes of any file that it writes.
    pub(super) file_bytes: usize,
}

/// How a program ended.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Ended {
    Exited(i32),
    Signalled(i32),
    /// It was killed at the end of its time.
    OutOfTime,
}

/// An ended program.
#[derive(Debug)]
pub(super) struct Run {
    pub(super) ended: Ended,
    /// The end of what it printed.
    pub(super) printed: String,
}

/// A program under the limit of the size of its files, which the system checks at each write: a mirror may send without end. A shell sets
/// the limit, and then becomes the program.
pub(super) fn limited(
    program: &Path,
    arguments: &[String],
    directory: &Path,
    environment: &[(String, String)],
    limits: Limits,
) -> Command {
    // In blocks of 512 bytes, as POSIX says.
    let blocks = limits.file_bytes.div_ceil(512).to_string();
    let mut command = Command::new("/bin/sh");
    command
        .args(["-c", r#"ulimit -c 0; ulimit -f "$1" || exit 126; shift; exec "$@""#, "sh", &blocks])
        .arg(program)
        .args(arguments)
        .current_dir(directory)
        .env_clear()
        .envs(environment.iter().map(|(name, value)| (name, value)));
    command
}

/// Runs a command to its end, or to that of its time.
pub(super) async fn run(mut command: Command, limits: Limits) -> io::Result<Run> {
    let mut child = command
        .process_group(0)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()?;
    let group = child.id().and_then(|id| i32::try_from(id).ok()).map(|id| Group(Pid::from_raw(id)));
    let (stdout, stderr) = (child.stdout.take().map(tail_of), child.stderr.take().map(tail_of));
    let ended = match timeout(limits.time, child.wait()).await {
        Ok(status) => {
            let status = status?;
            status.code().map_or_else(|| Ended::Signalled(status.signal().unwrap_or_default()), Ended::Exited)
        }
        Err(_) => Ended::OutOfTime,
    };
    drop(group);
    if ended == Ended::OutOfTime {
        // It is slow to end only when the system is overloaded.
        timeout(EXIT_TIMEOUT, child.wait()).await.ok();
    }
    let mut printed = String::new();
    for output in [stderr, stdout].into_iter().flatten() {
        if let Ok(Ok(tail)) = timeout(EXIT_TIMEOUT, output).await {
            printed.push_str(&String::from_utf8_lossy(&tail));
            printed.push('\n');
        }
    }
    Ok(Run { ended, printed })
}

/// A process group, killed when dropped, as it is when the invocation's time runs out.
struct Group(Pid);

impl Drop for Group {
    fn drop(&mut self) {
        // None is left when all ended by themselves.
        let _ = killpg(self.0, Signal::SIGKILL);
    }
}

/// Reads to the end and keeps the last bytes.
fn tail_of(mut output: impl AsyncRead + Unpin + Send + 'static) -> JoinHandle<Vec<u8>> {
    tokio::spawn(async move {
        let (mut kept, mut chunk) = (Vec::new(), [0; 4096]);
        while let Ok(read @ 1..) = output.read(&mut chunk).await {
            kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
            kept.drain(..kept.len().saturating_sub(TAIL_BYTES));
        }
        kept
    })
}

#[cfg(test)]
mod tests {
    use std::fs;

    use nix::sys::signal::kill;
    use tokio::time::sleep;

    use super::*;

    const LIMITS: Limits = Limits { time: Duration::from_mins(1), file_bytes: 4096 };

    async fn shell(script: &str, directory: &Path, limits: Limits) -> Run {
        let arguments = ["-c".to_owned(), script.to_owned()];
        let environment = [("PATH".to_owned(), "/usr/bin:/bin".to_owned())];
        run(limited(Path::new("/bin/sh"), &arguments, directory, &environment, limits), limits).await.unwrap()
    }

    #[tokio::test]
    async fn it_gets_the_environment_that_it_is_given_and_no_other() {
        let directory = tempfile::tempdir().unwrap();
        let run = shell("env; pwd; echo no >&2; exit 7", directory.path(), LIMITS).await;
        assert_eq!(run.ended, Ended::Exited(7));
        let mut names: Vec<_> =
            run.printed.lines().filter_map(|line| line.split_once('=')).map(|(name, _)| name).collect();
        names.retain(|name| !["PWD", "OLDPWD", "SHLVL", "_"].contains(name));
        assert_eq!(names, ["PATH"], "{}", run.printed);
        assert!(run.printed.starts_with("no\n") && run.printed.contains(directory.path().to_str().unwrap()));
    }

    #[tokio::test]
    async fn a_file_without_end_ends_the_program() {
        let directory = tempfile::tempdir().unwrap();
        let run = shell("exec cat /dev/zero > file", directory.path(), LIMITS).await;
        assert_eq!(run.ended, Ended::Signalled(25));
        assert_eq!(fs::metadata(directory.path().join("file")).unwrap().len(), 4096);
    }

    #[tokio::test]
    async fn output_without_end_is_bounded() {
        let directory = tempfile::tempdir().unwrap();
        let run = shell("head -c 10000000 /dev/zero; echo end", directory.path(), LIMITS).await;
        assert!(run.printed.len() < TAIL_BYTES + 10 && run.printed.trim_end().ends_with("end"));
    }

    #[tokio::test]
    async fn its_children_go_with_it() {
        let directory = tempfile::tempdir().unwrap();
        let limits = Limits { time: Duration::from_secs(1), ..LIMITS };
        let run = shell("sleep 1000 & echo $!; wait", directory.path(), limits).await;
        assert_eq!(run.ended, Ended::OutOfTime);
        let child = Pid::from_raw(run.printed.trim().parse().unwrap());
        // It is gone, or a zombie that init has not reaped yet; it may still be on its way there.
        for _ in 0..6_000 {
            let state = fs::read_to_string(format!("/proc/{child}/stat")).unwrap_or_default();
            if kill(child, None).is_err() || state.contains(") Z ") {
                return;
            }
            sleep(Duration::from_millis(10)).await;
        }
        panic!("it lives");
    }
}
