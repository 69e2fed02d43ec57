//! The worker pool of one zygote: busy and idle workers.
//!
//! Forking takes as long as the zygote's page tables are large: 18 ms over 6.45 million signatures. So a few idle workers are
//! forked ahead; each still scans one object only.

use std::{
    fs::{self, DirBuilder},
    io,
    os::{fd::BorrowedFd, unix::fs::DirBuilderExt},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use nacre_engine_protocol::{Failure, Outcome, Request};
use nix::{
    errno::Errno,
    poll::{PollFd, PollFlags, PollTimeout, poll},
    unistd::Pid,
};

use crate::{
    library::internal,
    sandbox::Sandbox,
    worker::{Ending, Job, Worker, is_gone, reap},
};

/// The engine's working directory inside its private directory, which is the current one.
const TEMPORARY: &str = "tmp";

/// The workers of a zygote.
#[derive(Debug)]
pub(crate) struct WorkerPool {
    sandbox: Sandbox,
    members: Vec<Member>,
    /// Killed, and not yet reaped.
    unreaped: Vec<Pid>,
    last_scratch: u64,
}

#[derive(Debug)]
struct Member {
    worker: Worker,
    /// `None` while the worker is idle.
    task: Option<Task>,
}

#[derive(Debug)]
struct Task {
    request: u64,
    started: Instant,
    deadline: Duration,
}

/// What ended a wait.
#[derive(Debug, Default)]
pub(crate) struct Woken {
    /// The client has written a request or closed the pipe.
    pub(crate) readable: bool,
    /// The client no longer reads responses.
    pub(crate) client_gone: bool,
    /// Scans that ended, by their request's id.
    pub(crate) done: Vec<(u64, Outcome)>,
}

impl WorkerPool {
    /// Makes an empty pool whose private directory is the current one.
    ///
    /// # Errors
    /// When the directory is not fresh: cleaning up might delete what is not ours.
    pub(crate) fn new(sandbox: Sandbox) -> io::Result<Self> {
        DirBuilder::new().mode(0o700).create(TEMPORARY)?;
        Ok(Self { sandbox, members: Vec::new(), unreaped: Vec::new(), last_scratch: 0 })
    }

    /// The sandbox of the zygote and its workers.
    pub(crate) fn sandbox(&self) -> &Sandbox {
        &self.sandbox
    }

    /// Number of busy workers.
    pub(crate) fn busy(&self) -> usize {
        self.members.iter().filter(|member| member.task.is_some()).count()
    }

    /// Number of idle workers.
    pub(crate) fn idle(&self) -> usize {
        self.members.len() - self.busy()
    }

    /// Makes a directory for one load or scan.
    pub(crate) fn scratch(&mut self) -> Result<PathBuf, Failure> {
        let scratch = self.next_scratch();
        make(&scratch)?;
        Ok(scratch)
    }

    /// Forks an idle worker.
    pub(crate) fn fork_idle(&mut self, work: impl FnOnce(Job<'_>) -> Outcome) -> io::Result<()> {
        let scratch = self.next_scratch();
        let worker = Worker::fork(&self.sandbox, scratch, &mut self.members, work)?;
        self.members.push(Member { worker, task: None });
        Ok(())
    }

    /// Gives the scan `job` to an idle worker, or to a new one when none is idle.
    ///
    /// # Errors
    /// [`Internal`](nacre_engine_protocol::FailureCode::Internal) when there is no process or no space.
    pub(crate) fn dispatch(
        &mut self,
        job: &Request,
        deadline: Duration,
        work: impl FnOnce(Job<'_>) -> Outcome,
    ) -> Result<(), Failure> {
        if self.idle() == 0 {
            self.fork_idle(work).map_err(|error| internal("no worker", &error))?;
        }
        if let Some(member) = self.members.iter_mut().find(|member| member.task.is_none()) {
            make(&member.worker.scratch)?;
            member.worker.send_job(job);
            member.task = Some(Task { request: job.id, started: Instant::now(), deadline });
        }
        Ok(())
    }

    /// Ends the idle workers: they lack what the zygote has loaded since their fork, and hold what it has freed.
    pub(crate) fn end_idle(&mut self) -> io::Result<()> {
        for member in self.members.extract_if(.., |member| member.task.is_none()) {
            member.worker.end(&Ending::Cancelled)?;
        }
        for worker in self.unreaped.drain(..) {
            reap(worker)?;
        }
        Ok(())
    }

    /// Aborts the scan of a request.
    pub(crate) fn cancel(&mut self, request: u64) -> Option<(u64, Outcome)> {
        let is_it = |member: &Member| member.task.as_ref().is_some_and(|task| task.request == request);
        let at = self.members.iter().position(is_it)?;
        let member = self.members.swap_remove(at);
        Some((request, self.close(member.worker, &Ending::Cancelled)))
    }

    /// Waits until a scan ends, `requests` is readable, or the reader of `responses` has closed.
    pub(crate) fn wait(&mut self, requests: Option<BorrowedFd<'_>>, responses: BorrowedFd<'_>) -> io::Result<Woken> {
        let mut woken = Woken::default();
        self.unreaped.retain(|worker| !is_gone(*worker));
        // No events requested, so poll reports only that the reader has closed.
        let mut watched = vec![PollFd::new(responses, PollFlags::empty())];
        watched.extend(self.members.iter().map(|member| PollFd::new(member.worker.response(), PollFlags::POLLIN)));
        watched.extend(requests.map(|requests| PollFd::new(requests, PollFlags::POLLIN)));
        match poll(&mut watched, self.poll_timeout()) {
            Err(Errno::EINTR) => return Ok(woken),
            Err(error) => return Err(error.into()),
            Ok(_) => {}
        }
        let mut ready = watched.iter().map(|watched| watched.any().unwrap_or(true));
        woken.client_gone = ready.next().unwrap_or(true);
        let readable: Vec<bool> = ready.by_ref().take(self.members.len()).collect();
        woken.readable = ready.next().unwrap_or(false);

        let mut readable = readable.into_iter();
        for mut member in std::mem::take(&mut self.members) {
            let readable = readable.next().unwrap_or(false);
            match member.ending(readable)? {
                None => self.members.push(member),
                Some(ending) => {
                    let outcome = self.close(member.worker, &ending);
                    woken.done.extend(member.task.map(|task| (task.request, outcome)));
                }
            }
        }
        Ok(woken)
    }

    /// Time until the first deadline.
    fn poll_timeout(&self) -> PollTimeout {
        let tasks = self.members.iter().filter_map(|member| member.task.as_ref());
        let left = tasks.map(|task| task.deadline.saturating_sub(task.started.elapsed())).min();
        left.map_or(PollTimeout::NONE, |left| {
            PollTimeout::try_from(left.saturating_add(Duration::from_millis(1))).unwrap_or(PollTimeout::MAX)
        })
    }

    /// Ends a worker and removes its files: no data of an object outlives its scan, even when its worker was killed.
    fn close(&mut self, worker: Worker, ending: &Ending) -> Outcome {
        let scratch = worker.scratch.clone();
        let ended = worker.end(ending).map_err(|error| internal("cannot end a worker", &error));
        let outcome = ended.map(|(outcome, unreaped)| {
            self.unreaped.extend(unreaped);
            outcome
        });
        discard(&scratch).and(outcome).unwrap_or_else(Outcome::Failed)
    }

    fn next_scratch(&mut self) -> PathBuf {
        self.last_scratch += 1;
        Path::new(TEMPORARY).join(self.last_scratch.to_string())
    }
}

impl Member {
    /// Reads a readable response. Returns how the worker ended, if it has.
    fn ending(&mut self, readable: bool) -> io::Result<Option<Ending>> {
        if let Some(task) = &self.task
            && task.started.elapsed() >= task.deadline
        {
            return Ok(Some(Ending::DeadlineExceeded(task.deadline)));
        }
        if readable { self.worker.read() } else { Ok(None) }
    }
}

fn make(scratch: &Path) -> Result<(), Failure> {
    DirBuilder::new().mode(0o700).create(scratch).map_err(|error| internal("no scratch space", &error))
}

/// Removes the directory of a load or scan; one that was never made is not an error.
pub(crate) fn discard(scratch: &Path) -> Result<(), Failure> {
    match fs::remove_dir_all(scratch) {
        Err(error) if error.kind() != io::ErrorKind::NotFound => Err(internal("cannot clean up", &error)),
        _ => Ok(()),
    }
}
