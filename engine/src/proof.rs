//! Tests a loaded engine: a worker must find the canary.

use std::{fs, os::fd::BorrowedFd, path::Path, time::Duration};

use nacre_engine_protocol::{Command, Failure, FailureCode, Limits, Outcome, Report, Request};
use sha2::{Digest, Sha256};

use crate::{
    canary,
    library::{LoadedEngine, internal, milliseconds},
    worker::Job,
    worker_pool::WorkerPool,
};

/// Time for the canary's scan; it takes milliseconds.
const CANARY_DEADLINE: Duration = Duration::from_secs(30);

/// Scans the canary in a worker of an idle pool and returns what the definitions themselves found in it.
///
/// # Errors
/// [`FailureCode::CanaryFailed`]; [`FailureCode::Internal`] when it could not be tried.
pub(crate) fn prove(
    engine: &mut LoadedEngine,
    pool: &mut WorkerPool,
    scratch: &Path,
    responses: BorrowedFd<'_>,
) -> Result<Report, Failure> {
    let path = scratch.join("canary.zip");
    let archive = canary::archive(engine.canary()).map_err(|error| internal("cannot build the canary", &error))?;
    let member = hex::encode(Sha256::digest(canary::member(engine.canary())));
    fs::write(&path, archive).map_err(|error| internal("cannot write the canary", &error))?;
    let job = Command::Scan {
        engine: 0,
        file: path.to_string_lossy().into_owned(),
        limits: Limits::default(),
        deadline_ms: milliseconds(CANARY_DEADLINE),
    };
    let work = |job: Job<'_>| match engine.scan(job.file, job.limits, job.scratch) {
        Ok(observation) if !observation.canary => {
            Outcome::Failed(canary_failed("its own signature did not match".into()))
        }
        // The second reader must not hide that libclamav opens no archives.
        Ok(observation) if observation.found > 0 => {
            Outcome::Failed(canary_failed("libclamav did not unpack its archive".into()))
        }
        Ok(observation) => Outcome::Scanned(observation.report),
        Err(failure) => Outcome::Failed(failure),
    };
    pool.dispatch(&Request { id: 0, command: job }, CANARY_DEADLINE, work)?;
    match ended(pool, responses)? {
        Outcome::Scanned(report) if report.targets & 1 == 0 => {
            Err(canary_failed("the probe of target 0 did not match".into()))
        }
        Outcome::Scanned(report) if report.layers.iter().all(|layer| layer.sha256 != member) => {
            Err(canary_failed("its member was not among the layers".into()))
        }
        Outcome::Scanned(report) => Ok(report),
        Outcome::Failed(failure) => Err(canary_failed(format!("{:?}: {}", failure.code, failure.message))),
        other => Err(canary_failed(format!("unexpected {other:?}"))),
    }
}

/// Waits for the pool's only scan.
fn ended(pool: &mut WorkerPool, responses: BorrowedFd<'_>) -> Result<Outcome, Failure> {
    loop {
        let woken = pool.wait(None, responses).map_err(|error| internal("cannot wait for the canary", &error))?;
        if woken.client_gone {
            return Err(internal("the canary", &"the client has closed the pipe"));
        }
        if let Some((_, outcome)) = woken.done.into_iter().next() {
            return Ok(outcome);
        }
    }
}

fn canary_failed(message: String) -> Failure {
    Failure { code: FailureCode::CanaryFailed, message }
}
