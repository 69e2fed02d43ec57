//! A worker: a forked process that waits for one scan, runs it, responds with one line and exits.
//!
//! The zygote trusts nothing that a worker does: it reads no more than one bounded line, and kills and reaps in every case.

use std::{
    fs::{self, File},
    io::{self, BufReader, PipeReader, PipeWriter, Read},
    os::fd::{AsFd, AsRawFd, BorrowedFd},
    panic::{AssertUnwindSafe, catch_unwind},
    path::{Path, PathBuf},
    time::Duration,
};

use nacre_engine_protocol::{
    Command, Failure, FailureCode, Limits, LineError, MAX_LINE_BYTES, Outcome, Request, parse_line, read_message,
    write_message,
};
use nix::{
    errno::Errno,
    sys::{
        signal::{Signal, kill},
        wait::{WaitPidFlag, WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, getpid},
};

use crate::{
    ffi::system,
    library::internal,
    object,
    sandbox::{self, Sandbox},
};

/// Longest response of a worker, in bytes: leaves room for the id that the zygote adds.
const MAX_RESPONSE_BYTES: usize = MAX_LINE_BYTES - 1024;
/// Bytes read of an response at once.
const CHUNK_BYTES: usize = 16 << 10;

/// A worker's one scan, inside of the worker.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The loaded engine to use.
    pub(crate) engine: u32,
    /// The object, open.
    pub(crate) file: &'a File,
    pub(crate) limits: &'a Limits,
    /// Where libclamav may write.
    pub(crate) scratch: &'a Path,
}

/// A worker as the zygote sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Pid,
    jobs: PipeWriter,
    response: PipeReader,
    line: Vec<u8>,
    /// Its directory; made when it is given its job.
    pub(crate) scratch: PathBuf,
}

/// How a worker's pipe came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It wrote a whole line.
    Responded,
    /// It ended without a whole line.
    Closed,
    /// Its response was too long.
    Oversized,
    /// It exceeded this deadline.
    DeadlineExceeded(Duration),
    /// The client cancelled the scan.
    Cancelled,
}

impl Worker {
    /// Forks a worker that runs `work` once it has its job. The worker drops `siblings`: it must not hold their pipes.
    pub(crate) fn fork<Sibling>(
        sandbox: &Sandbox,
        scratch: PathBuf,
        siblings: &mut Vec<Sibling>,
        work: impl FnOnce(Job<'_>) -> Outcome,
    ) -> io::Result<Self> {
        let (response, mut responses) = io::pipe()?;
        let (job, jobs) = io::pipe()?;
        let zygote = getpid();
        match system::fork()? {
            ForkResult::Child => {
                drop((response, jobs));
                siblings.clear();
                // Its pipe is closed by its exit alone: whoever sees it closed finds the worker's own status.
                system::exit_at_once(run_worker(zygote, sandbox, job, &mut responses, &scratch, work))
            }
            ForkResult::Parent { child } => Ok(Self { process: child, jobs, response, line: Vec::new(), scratch }),
        }
    }

    /// Sends the worker its job. If it has died, reading its response shows that.
    pub(crate) fn send_job(&mut self, job: &Request) {
        // Shorter than a pipe's buffer, so this never waits.
        write_message(&mut self.jobs, job).ok();
    }

    /// The pipe to poll for its response.
    pub(crate) fn response(&self) -> BorrowedFd<'_> {
        self.response.as_fd()
    }

    /// Reads the available part of its response.
    pub(crate) fn read(&mut self) -> io::Result<Option<Ending>> {
        let mut chunk = [0; CHUNK_BYTES];
        let read = self.response.read(&mut chunk)?;
        self.line.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if self.line.len() > MAX_RESPONSE_BYTES {
            return Ok(Some(Ending::Oversized));
        }
        if self.line.last() == Some(&b'\n') {
            return Ok(Some(Ending::Responded));
        }
        Ok((read == 0).then_some(Ending::Closed))
    }

    /// Kills the worker if it still runs and returns its outcome. A worker that has responded is returned to be reaped later:
    /// reaping lasts until the kernel has freed its memory.
    pub(crate) fn end(self, ending: &Ending) -> io::Result<(Outcome, Option<Pid>)> {
        // One that has ended by itself keeps its own status.
        kill(self.process, Signal::SIGKILL).or_else(|error| if error == Errno::ESRCH { Ok(()) } else { Err(error) })?;
        if *ending == Ending::Responded {
            return Ok((read_response(&self.line), Some(self.process)));
        }
        Ok((judge(ending, &self.line, reap(self.process)?), None))
    }
}

/// The worker's whole life. Returns its exit status.
fn run_worker(
    zygote: Pid,
    sandbox: &Sandbox,
    job: PipeReader,
    responses: &mut PipeWriter,
    scratch: &Path,
    work: impl FnOnce(Job<'_>) -> Outcome,
) -> i32 {
    // Unwinding further would run the zygote's own code a second time.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        let kept = [sandbox.descriptors(), vec![job.as_raw_fd(), responses.as_raw_fd()]].concat();
        sandbox::detach_from(zygote, &kept).map_err(|error| internal("cannot confine the worker", &error))?;
        let request: Request = match read_message(&mut BufReader::new(job)) {
            Ok(request) => request,
            // Ended while idle.
            Err(LineError::Closed) => return Ok(None),
            Err(error) => return Err(internal("no job", &error)),
        };
        let Command::Scan { engine, file, limits, deadline_ms } = request.command else {
            return Err(internal("no job", &"not a scan"));
        };
        let name = file;
        let file = object::open(Path::new(&name)).map_err(|error| internal("cannot open the file", &error))?;
        // Attack: a worker opens the object of another one by its name. Where the system refuses Landlock and non-dumpable processes, it
        // still reaches it through `/proc/<worker>/fd`.
        fs::remove_file(&name).map_err(|error| internal("cannot remove the file's name", &error))?;
        let bytes = file.metadata().map_err(|error| internal("cannot read the file's size", &error))?.len();
        let confined = sandbox.confine_worker(scratch, bytes, &limits, Duration::from_millis(deadline_ms));
        confined.map_err(|error| internal("cannot confine the worker", &error))?;
        Ok(Some(work(Job { engine, file: &file, limits: &limits, scratch })))
    }));
    let outcome = match outcome {
        Ok(Ok(Some(outcome))) => outcome,
        Ok(Ok(None)) => return 0,
        Ok(Err(failure)) => Outcome::Failed(failure),
        Err(_) => return 101,
    };
    i32::from(write_message(responses, &outcome).is_err())
}

/// Waits for the end of a worker that was killed.
pub(crate) fn reap(worker: Pid) -> io::Result<WaitStatus> {
    loop {
        match waitpid(worker, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

/// Whether a worker that was killed has ended, and is reaped thereby.
pub(crate) fn is_gone(worker: Pid) -> bool {
    !matches!(waitpid(worker, Some(WaitPidFlag::WNOHANG)), Ok(WaitStatus::StillAlive) | Err(Errno::EINTR))
}

/// The outcome of a worker without a whole response.
fn judge(ending: &Ending, line: &[u8], status: WaitStatus) -> Outcome {
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("by signal {} ({signal})", signal as i32),
        WaitStatus::Exited(_, code) => format!("with status {code}"),
        other => format!("as {other:?}"),
    };
    match ending {
        Ending::DeadlineExceeded(after) => {
            failed(FailureCode::DeadlineExceeded, format!("killed after {} ms", after.as_millis()))
        }
        Ending::Cancelled => failed(FailureCode::Cancelled, "killed because the scan was cancelled".to_owned()),
        Ending::Oversized => died(format!("its response was longer than {MAX_RESPONSE_BYTES} bytes")),
        Ending::Closed if line.is_empty() => died(format!("it ended {how} without a response")),
        Ending::Closed | Ending::Responded => died(format!("it ended {how} in the middle of its response")),
    }
}

/// Parses a worker's whole response and accepts only what a worker may say.
fn read_response(line: &[u8]) -> Outcome {
    match parse_line(line) {
        Ok(outcome @ Outcome::Scanned(_)) => outcome,
        Ok(Outcome::Failed(failure)) if is_worker_failure(failure.code) => Outcome::Failed(failure),
        // A compromised worker must not speak for the zygote.
        Ok(_) => died("its response was not a scan's".to_owned()),
        Err(error) => died(format!("its response was invalid: {error}")),
    }
}

fn failed(code: FailureCode, message: String) -> Outcome {
    Outcome::Failed(Failure { code, message })
}

fn died(message: String) -> Outcome {
    failed(FailureCode::WorkerDied, message)
}

/// Whether a worker may report such a failure.
fn is_worker_failure(code: FailureCode) -> bool {
    matches!(code, FailureCode::Internal | FailureCode::WorkerDied | FailureCode::CanaryFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_silent_death_names_its_signal() {
        let dead = WaitStatus::Signaled(Pid::from_raw(1), Signal::SIGSEGV, false);
        for line in [&b""[..], b"{\"outcome\":\"scanned\""] {
            let Outcome::Failed(failure) = judge(&Ending::Closed, line, dead) else { panic!("not a failure") };
            assert_eq!(failure.code, FailureCode::WorkerDied);
            assert!(failure.message.contains("signal 11 (SIGSEGV)"), "{}", failure.message);
        }
    }

    #[test]
    fn nonsense_and_foreign_answers_are_a_death() {
        let for_the_zygote = b"{\"outcome\":\"failed\",\"code\":\"no_such_engine\",\"message\":\"\"}\n";
        let twice = b"{\"outcome\":\"unloaded\"}\n{\"outcome\":\"unloaded\"}\n";
        for line in [
            &b"{}\n"[..],
            b"{\"outcome\":\"unloaded\"}\n",
            b"\xff\n",
            b"\n",
            b"{\"outcome\":\"cancelled\"}\n",
            for_the_zygote,
            twice,
        ] {
            let Outcome::Failed(failure) = read_response(line) else { panic!("not a failure") };
            assert_eq!(failure.code, FailureCode::WorkerDied, "{line:?}");
        }
    }
}
