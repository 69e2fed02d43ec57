//! The child process behind an [`EngineClient`](super::EngineClient): start, end and stderr.

use std::{io, path::Path, process::Stdio, time::Duration};

use tokio::{
    io::{AsyncReadExt, BufReader},
    process::{Child, ChildStderr, ChildStdin, ChildStdout},
    task::JoinHandle,
    time::timeout,
};

/// Bytes kept of what the child wrote to stderr.
const STDERR_TAIL_BYTES: usize = 2048;
/// Time for a killed child to end and its stderr to be read out.
const EXIT_TIMEOUT: Duration = Duration::from_secs(2);

/// A child that speaks the engine's protocol; killed when dropped.
#[derive(Debug)]
pub(super) struct EngineProcess {
    child: Child,
    stderr_tail: JoinHandle<Vec<u8>>,
}

/// The pipes to and from a child.
pub(super) type Pipes = (ChildStdin, BufReader<ChildStdout>);

impl EngineProcess {
    /// Starts `command` with an empty environment in `directory`.
    pub(super) fn start(mut command: tokio::process::Command, directory: &Path) -> io::Result<(Self, Pipes)> {
        let mut child = command
            .env_clear()
            .current_dir(directory)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .kill_on_drop(true)
            .spawn()?;
        let (Some(requests), Some(responses), Some(stderr)) =
            (child.stdin.take(), child.stdout.take(), child.stderr.take())
        else {
            return Err(io::ErrorKind::BrokenPipe.into());
        };
        let stderr_tail = tokio::spawn(read_tail(stderr));
        Ok((Self { child, stderr_tail }, (requests, BufReader::new(responses))))
    }

    /// Returns the process id, until reaped.
    pub(super) fn id(&self) -> Option<u32> {
        self.child.id()
    }

    /// Kills and reaps the child and returns the end of what it wrote to stderr.
    pub(super) async fn end(mut self) -> String {
        // Either is slow only when the system is overloaded; the child is killed even so.
        timeout(EXIT_TIMEOUT, self.child.kill()).await.ok();
        match timeout(EXIT_TIMEOUT, self.stderr_tail).await {
            Ok(Ok(words)) => String::from_utf8_lossy(&words).trim().to_owned(),
            _ => String::new(),
        }
    }
}

/// Reads to the end and returns the last bytes.
async fn read_tail(mut stderr: ChildStderr) -> Vec<u8> {
    let mut kept = Vec::new();
    let mut chunk = [0; 1024];
    while let Ok(read @ 1..) = stderr.read(&mut chunk).await {
        kept.extend_from_slice(chunk.get(..read).unwrap_or_default());
        kept.drain(..kept.len().saturating_sub(STDERR_TAIL_BYTES));
    }
    kept
}
