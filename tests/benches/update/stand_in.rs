//! An engine that proves nothing: it takes every set, finds something in the first five files and nothing in any other. With it
//! an update costs what it costs without its proof.

use std::io::{stdin, stdout};

use nacre_engine_client::protocol::{
    Command, Hello, LineError, Loaded, Outcome, PROTOCOL_VERSION, Report, Request, Response, Sandbox, read_message,
    write_message,
};

/// The files with EICAR that a proof begins with.
const INFECTED: u32 = 5;

/// Answers until the pipe closes.
pub(crate) fn stand_in() -> Result<(), LineError> {
    let (mut requests, mut answers, mut scans) = (stdin().lock(), stdout().lock(), 0);
    loop {
        let request: Request = match read_message(&mut requests) {
            Err(LineError::Closed) => return Ok(()),
            request => request?,
        };
        let outcome = match request.command {
            Command::Hello { .. } => Outcome::Hello(Hello {
                protocol: PROTOCOL_VERSION,
                clamav_version: "none".into(),
                functionality_level: 0,
                unrar: false,
                sandbox: Sandbox::NONE,
            }),
            Command::Load { .. } => Outcome::Loaded(Loaded {
                engine: 1,
                signatures: u64::from(u32::MAX),
                eicar: vec!["Eicar-Test-Signature".into()],
                load_ms: 0,
                compile_ms: 0,
                canary_ms: 0,
                messages: Vec::new(),
            }),
            Command::Scan { .. } => {
                scans += 1;
                let found = scans <= INFECTED;
                let alerts = if found { vec!["Eicar-Test-Signature".into()] } else { Vec::new() };
                Outcome::Scanned(Report { status: u32::from(found), alerts, ..Report::default() })
            }
            Command::Unload { .. } => Outcome::Unloaded,
            // Every scan has ended by then.
            Command::Cancel { .. } => Outcome::Cancelled,
        };
        write_message(&mut answers, &Response { id: request.id, outcome })?;
    }
}
