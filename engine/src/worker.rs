//! A worker: a forked process that waits for one scan, does it, answers with one line and is gone.
//!
//! The zygote trusts nothing that a worker does: it reads no more than one bounded line, and kills and reaps in every case.

use std::{
    fs::File,
    io::{self, BufReader, PipeReader, PipeWriter, Read, Write},
    os::fd::{AsFd, BorrowedFd},
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
        wait::{WaitStatus, waitpid},
    },
    unistd::{ForkResult, Pid, getpid},
};

use crate::{
    ffi,
    library::internal,
    object,
    sandbox::{self, Sandbox},
};

/// Longest answer of a worker, in bytes: leaves room for the id that the zygote adds.
const MAX_ANSWER_BYTES: usize = MAX_LINE_BYTES - 1024;
/// Bytes read of an answer at once.
const CHUNK_BYTES: usize = 64 << 10;

/// A worker's one scan, inside of the worker.
#[derive(Debug)]
pub(crate) struct Job<'a> {
    /// The loaded engine to use.
    pub(crate) engine: u32,
    /// The object, open.
    pub(crate) file: &'a File,
    /// Its bounds.
    pub(crate) limits: &'a Limits,
    /// Where libclamav may write.
    pub(crate) scratch: &'a Path,
}

/// A worker as the zygote sees it.
#[derive(Debug)]
pub(crate) struct Worker {
    process: Pid,
    jobs: PipeWriter,
    answer: PipeReader,
    line: Vec<u8>,
    /// Its directory; made when it is given its job.
    pub(crate) scratch: PathBuf,
}

/// How a worker's pipe came to its end.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Ending {
    /// It wrote what it had to write, or died.
    Closed,
    /// It wrote more than an answer.
    Oversized,
    /// It was out of time, after so long.
    Overrun(Duration),
    /// The asking side wants no answer any more.
    Cancelled,
}

impl Worker {
    /// Forks a worker that will do `work` when it is told its job. In the worker, `siblings` is emptied: their pipes are none of
    /// its business.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn fork<Sibling>(
        sandbox: &Sandbox,
        scratch: PathBuf,
        siblings: &mut Vec<Sibling>,
        work: impl FnOnce(Job<'_>) -> Outcome,
    ) -> io::Result<Self> {
        let (answer, answers) = io::pipe()?;
        let (job, jobs) = io::pipe()?;
        let zygote = getpid();
        match ffi::fork()? {
            ForkResult::Child => {
                drop((answer, jobs));
                siblings.clear();
                ffi::exit_at_once(be_worker(zygote, sandbox, job, answers, &scratch, work))
            }
            ForkResult::Parent { child } => Ok(Self { process: child, jobs, answer, line: Vec::new(), scratch }),
        }
    }

    /// Tells the worker its job. One that has died meanwhile is found out by its answer.
    pub(crate) fn tell(&mut self, job: &Request) {
        // Shorter than a pipe's buffer, so this never waits.
        write_message(&mut self.jobs, job).ok();
    }

    /// The pipe to watch for its answer.
    pub(crate) fn answer(&self) -> BorrowedFd<'_> {
        self.answer.as_fd()
    }

    /// Reads what is there of its answer.
    ///
    /// # Errors
    /// The pipe's.
    pub(crate) fn read(&mut self) -> io::Result<Option<Ending>> {
        let mut chunk = [0; CHUNK_BYTES];
        let read = self.answer.read(&mut chunk)?;
        self.line.extend_from_slice(chunk.get(..read).unwrap_or_default());
        if self.line.len() > MAX_ANSWER_BYTES {
            return Ok(Some(Ending::Oversized));
        }
        Ok((read == 0).then_some(Ending::Closed))
    }

    /// Kills the worker if it still lives, reaps it, and concludes from how it came to its end.
    ///
    /// # Errors
    /// The operating system's.
    pub(crate) fn end(self, ending: &Ending) -> io::Result<Outcome> {
        Ok(judge(ending, &self.line, reap(self.process)?))
    }
}

/// The worker's whole life. Returns its exit status.
fn be_worker(
    zygote: Pid,
    sandbox: &Sandbox,
    job: PipeReader,
    mut answers: PipeWriter,
    scratch: &Path,
    work: impl FnOnce(Job<'_>) -> Outcome,
) -> i32 {
    // Unwinding further would run the zygote's own code a second time.
    let outcome = catch_unwind(AssertUnwindSafe(|| {
        sandbox::part_from(zygote).map_err(|error| internal("cannot confine the worker", &error))?;
        let request: Request = match read_message(&mut BufReader::new(job)) {
            Ok(request) => request,
            // Not needed after all.
            Err(LineError::Closed) => return Ok(None),
            Err(error) => return Err(internal("no job", &error)),
        };
        let Command::Scan { engine, file, limits, deadline_ms } = request.command else {
            return Err(internal("no job", &"not a scan"));
        };
        let file = object::open(Path::new(&file)).map_err(|error| internal("cannot open the file", &error))?;
        let bytes = file.metadata().map_err(|error| internal("cannot look at the file", &error))?.len();
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
    if write_message(&mut answers, &outcome).and_then(|()| answers.flush()).is_ok() { 0 } else { 1 }
}

fn reap(worker: Pid) -> io::Result<WaitStatus> {
    // One that has ended by itself keeps its own status.
    kill(worker, Signal::SIGKILL).or_else(|error| if error == Errno::ESRCH { Ok(()) } else { Err(error) })?;
    loop {
        match waitpid(worker, None) {
            Err(Errno::EINTR) => {}
            other => return Ok(other?),
        }
    }
}

fn judge(ending: &Ending, line: &[u8], status: WaitStatus) -> Outcome {
    let failed = |code, message| Outcome::Failed(Failure { code, message });
    let died = |message| failed(FailureCode::WorkerDied, message);
    let how = match status {
        WaitStatus::Signaled(_, signal, _) => format!("by signal {} ({signal})", signal as i32),
        WaitStatus::Exited(_, code) => format!("with status {code}"),
        other => format!("as {other:?}"),
    };
    match ending {
        Ending::Overrun(after) => {
            failed(FailureCode::DeadlineExceeded, format!("killed after {} ms", after.as_millis()))
        }
        Ending::Cancelled => failed(FailureCode::Cancelled, "killed because nobody waits for it".to_owned()),
        Ending::Oversized => died(format!("its answer was longer than {MAX_ANSWER_BYTES} bytes")),
        Ending::Closed if line.is_empty() => died(format!("it ended {how} without an answer")),
        Ending::Closed => match parse_line(line) {
            Ok(outcome @ Outcome::Scanned(_)) => outcome,
            Ok(Outcome::Failed(failure)) if is_its_own(failure.code) => Outcome::Failed(failure),
            // A worker that was taken over can speak neither of engines nor for the zygote.
            Ok(_) => died("it answered out of turn".to_owned()),
            Err(error) => died(format!("it ended {how} after nonsense: {error}")),
        },
    }
}

/// Whether a worker can know of such a failure.
fn is_its_own(code: FailureCode) -> bool {
    matches!(code, FailureCode::Internal | FailureCode::WorkerDied | FailureCode::CanaryFailed)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn judged(line: &[u8]) -> Outcome {
        let dead = WaitStatus::Signaled(Pid::from_raw(1), Signal::SIGSEGV, false);
        judge(&Ending::Closed, line, dead)
    }

    #[test]
    fn a_silent_death_names_its_signal() {
        let Outcome::Failed(failure) = judged(b"") else { panic!("not a failure") };
        assert_eq!(failure.code, FailureCode::WorkerDied);
        assert!(failure.message.contains("signal 11 (SIGSEGV)"), "{}", failure.message);
    }

    #[test]
    fn nonsense_half_a_line_and_foreign_answers_are_a_death() {
        let for_the_zygote = b"{\"outcome\":\"failed\",\"code\":\"no_such_engine\",\"message\":\"\"}\n";
        for line in [
            &b"{}\n"[..],
            b"{\"outcome\":\"unloaded\"",
            b"{\"outcome\":\"unloaded\"}\n",
            b"\xff\n",
            b"\n",
            b"{\"outcome\":\"cancelled\"}\n",
            for_the_zygote,
        ] {
            let Outcome::Failed(failure) = judged(line) else { panic!("not a failure") };
            assert_eq!(failure.code, FailureCode::WorkerDied, "{line:?}");
        }
    }
}
