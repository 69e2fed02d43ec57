//! Nacre's scanning engine: libclamav behind a pipe, and nothing else.
//!
//! Speaks `nacre-engine-protocol` over stdin and stdout, in the private directory that it was started in. Has no
//! network, no credentials, no settings. Exits 0 at the end of its input.

mod canary;
mod ffi;
mod library;
mod observation;
mod probes;
mod sandbox;
mod worker;
mod zygote;

use std::{
    io::{self, BufReader},
    process::ExitCode,
};

fn main() -> ExitCode {
    match run() {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("nacre-engine: {error}");
            ExitCode::FAILURE
        }
    }
}

fn run() -> Result<(), String> {
    sandbox::confine_zygote().map_err(|error| format!("cannot confine itself: {error}"))?;
    let library = ffi::Library::start().map_err(|code| format!("cannot start libclamav: {code}"))?;
    let zygote = zygote::Zygote::new(library);
    let mut zygote = zygote.map_err(|error| format!("cannot create tmp/ in the current directory: {error}"))?;
    zygote
        .serve(&mut BufReader::new(io::stdin()), &mut io::stdout())
        .map_err(|error| format!("cannot go on serving: {error}"))
}
