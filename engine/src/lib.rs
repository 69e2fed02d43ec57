//! Nacre's scanning engine: libclamav behind a pipe, and nothing else.
//!
//! Speaks `nacre-engine-protocol` over stdin and stdout, in the private directory that it was started in. Has no
//! network access, no credentials, no settings. Exits 0 at the end of its input.

mod archive;
mod canary;
mod derived;
mod ffi;
mod file_types;
#[cfg(feature = "fuzz")]
pub mod fuzz;
mod huge_pages;
mod inflate;
mod library;
mod lines;
mod load_order;
mod lookup;
mod marks;
mod object;
mod observation;
mod probes;
mod proof;
mod sandbox;
mod second_reader;
mod unlzma;
mod worker;
mod worker_pool;
mod zygote;

use std::{
    fs::File,
    io::{self, PipeReader},
    os::fd::AsFd,
    process::ExitCode,
};

use nacre_engine_protocol::Outcome;

/// Runs in a confined worker before its scan; a returned outcome replaces the scan. For tests of the sandbox.
pub type WorkerHook = fn(&File) -> Option<Outcome>;

/// Runs the engine.
pub fn main(hook: Option<WorkerHook>) -> ExitCode {
    match run(hook) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run(hook: Option<WorkerHook>) -> Result<(), String> {
    let sandbox = sandbox::Sandbox::confine_zygote().map_err(|error| format!("cannot confine itself: {error}"))?;
    let library = ffi::Library::start().map_err(|code| format!("cannot start libclamav: {code}"))?;
    let pool = worker_pool::WorkerPool::new(sandbox);
    let pool = pool.map_err(|error| format!("cannot create tmp/ in the current directory: {error}"))?;
    // Unbuffered: poll(2) does not see std's buffer.
    let requests = io::stdin().as_fd().try_clone_to_owned();
    let requests = PipeReader::from(requests.map_err(|error| format!("cannot read requests: {error}"))?);
    // libclamav takes YARA rules of an unsigned container from stdin: a request would be lost, and its client wait for ever.
    let nothing = File::open("/dev/null").and_then(|nothing| Ok(nix::unistd::dup2_stdin(&nothing)?));
    nothing.map_err(|error| format!("cannot close stdin: {error}"))?;
    let served = zygote::Zygote::new(library, pool, requests, hook).serve();
    served.map_err(|error| format!("cannot continue serving: {error}"))
}
