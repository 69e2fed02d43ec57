//! A worker: a forked process that does one piece of work, answers with one line and is gone.
//!
//! The zygote trusts nothing that a worker does. It waits no longer than the deadline, reads no more than one bounded
//! line, and then kills and reaps in every case.

use std::{
    io::{self, PipeReader, PipeWriter, Read},
    os::fd::AsFd,
    panic::{AssertUnwindSafe, catch_unwind},
    time::{Duration, Instant},
};

use nacre_engine_protocol::{Failure, FailureCode, MAX_LINE_BYTES, Outcome, parse_line, write_message};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    sys::{
        signal::{Signal, kill},
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, getpid},
};

use crate::{ffi, library::internal, sandbox};

/// Longest answer of a worker, in bytes: leaves room for the id that the zygote adds.
const MAX_ANSWER_BYTES: usize = MAX_LINE_BYTES - 1024;

/// How a worker's pipe came to its end.
enum Ending {
    /// It wrote what it had to write, or died.
    Closed(Vec<u8>),
    Overrun,
    Oversized,
    /// Nobody is left to read our own answer.
    Abandoned,
}

/// Does `work` in a worker process and returns its outcome, or what became of the worker.
pub(crate) fn run(deadline: Duration, work: impl FnOnce() -> Outcome) -> Outcome {
    supervise(deadline, work).unwrap_or_else(|error| Outcome::Failed(internal("no worker", &error)))
}

fn supervise(deadline: Duration, work: impl FnOnce() -> Outcome) -> io::Result<Outcome> {
    let (answer, writer) = io::pipe()?;
    let zygote = getpid();
    let started = Instant::now();
    match ffi::fork()? {
        ForkResult::Child => {
            drop(answer);
            ffi::exit_at_once(be_worker(zygote, writer, work))
        }
        ForkResult::Parent { child } => {
            drop(writer);
            let ending = collect(answer, deadline, started);
            let status = end(child)?;
            Ok(judge(ending?, status, deadline))
        }
    }
}

/// The worker's whole life. Returns its exit status.
fn be_worker(zygote: Pid, mut answer: PipeWriter, work: impl FnOnce() -> Outcome) -> i32 {
    // Unwinding further would run the zygote's own code a second time.
    let outcome = catch_unwind(AssertUnwindSafe(|| match sandbox::confine_worker(zygote) {
        Ok(()) => work(),
        Err(error) => Outcome::Failed(internal("cannot confine the worker", &error)),
    }));
    match outcome.map(|outcome| write_message(&mut answer, &outcome)) {
        Ok(Ok(())) => 0,
        Ok(Err(_)) => 1,
        Err(_) => 101,
    }
}

/// Reads the worker's answer up to its end, its bound or the deadline.
fn collect(mut answer: PipeReader, deadline: Duration, started: Instant) -> io::Result<Ending> {
    let stdout = io::stdout();
    let mut line = Vec::new();
    let mut chunk = [0; 8 << 10];
    loop {
        let left = deadline.saturating_sub(started.elapsed());
        let timeout = PollTimeout::try_from(left.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX);
        let mut watched = [
            PollFd::new(answer.as_fd(), PollFlags::POLLIN),
            // Asks for nothing, so tells only of the reader's end: then this work is for nobody.
            PollFd::new(stdout.as_fd(), PollFlags::empty()),
        ];
        match poll(&mut watched, timeout) {
            Err(Errno::EINTR) => continue,
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let [pipe, asker] = watched.map(|watched| watched.any().unwrap_or(true));
        if asker {
            return Ok(Ending::Abandoned);
        }
        if started.elapsed() >= deadline {
            return Ok(Ending::Overrun);
        }
        if !pipe {
            continue;
        }
        let read = answer.read(&mut chunk)?;
        line.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if line.len() > MAX_ANSWER_BYTES {
            return Ok(Ending::Oversized);
        }
        if read == 0 {
            return Ok(Ending::Closed(line));
        }
    }
}

/// Kills the worker if it still lives, and reaps it. A worker that has ended by itself keeps its own status.
fn end(worker: Pid) -> io::Result<WaitStatus> {
    kill(worker, Signal::SIGKILL).or_else(|error| if error == Errno::ESRCH { Ok(()) } else { Err(error) })?;
    loop {
        match waitpid(worker, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

fn judge(ending: Ending, status: WaitStatus, deadline: Duration) -> Outcome {
    let failed = |code, message| Outcome::Failed(Failure { code, message });
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("by signal {} ({signal})", signal as i32),
        WaitStatus::Exited(_, code) => format!("with status {code}"),
        other => format!("as {other:?}"),
    };
    match ending {
        Ending::Overrun => failed(FailureCode::DeadlineExceeded, format!("killed after {} ms", deadline.as_millis())),
        Ending::Abandoned => failed(FailureCode::WorkerDied, "killed because the asking side has gone".to_owned()),
        Ending::Oversized => {
            failed(FailureCode::WorkerDied, format!("its answer was longer than {MAX_ANSWER_BYTES} bytes"))
        }
        Ending::Closed(line) if line.is_empty() => {
            failed(FailureCode::WorkerDied, format!("it ended {how} without an answer"))
        }
        Ending::Closed(line) => match parse_line(&line) {
            Ok(outcome @ (Outcome::Scanned(_) | Outcome::Failed(_))) => outcome,
            // A worker that was taken over cannot speak of engines.
            Ok(_) => failed(FailureCode::WorkerDied, "it answered out of turn".to_owned()),
            Err(error) => failed(FailureCode::WorkerDied, format!("it ended {how} after nonsense: {error}")),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &[u8]) -> Outcome {
        let dead = WaitStatus::Signaled(Pid::from_raw(1), Signal::SIGSEGV, false);
        judge(Ending::Closed(line.to_vec()), dead, Duration::ZERO)
    }

    #[test]
    fn a_silent_death_names_its_signal() {
        let Outcome::Failed(failure) = judged(b"") else { panic!("not a failure") };
        assert_eq!(failure.code, FailureCode::WorkerDied);
        assert!(failure.message.contains("signal 11 (SIGSEGV)"), "{}", failure.message);
    }

    #[test]
    fn nonsense_half_a_line_and_foreign_answers_are_a_death() {
        for line in [&b"{}\n"[..], b"{\"outcome\":\"unloaded\"", b"{\"outcome\":\"unloaded\"}\n", b"\xff\n", b"\n"] {
            let Outcome::Failed(failure) = judged(line) else { panic!("not a failure") };
            assert_eq!(failure.code, FailureCode::WorkerDied, "{line:?}");
        }
    }
}
