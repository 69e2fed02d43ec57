//! Why the local stack could not be had, each with what to do about it.

use std::{error::Error, io, path::PathBuf};

/// Why the local stack could not be had or used.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum StackError {
    /// There is no Python, or Debian's without its `venv`.
    #[error("python3 cannot make virtual environments here: run `apt-get install python3 python3-venv`\n{said}")]
    NoPython {
        /// What it said.
        said: String,
    },
    /// MiniStack could not be installed.
    #[error("MiniStack could not be installed: is the Python package index within reach?\n{said}")]
    Install {
        /// pip's last lines.
        said: String,
    },
    /// A program that the packages need is not built.
    #[error("{program} is not in {directory}: run `cargo build --workspace --bins`")]
    NotBuilt {
        /// The program.
        program: &'static str,
        /// Where it should be.
        directory: PathBuf,
    },
    /// A library of ClamAV's does not carry its keys as decimal text, each once.
    #[error("{library} does not have ClamAV's key just once as text: its programs cannot be given another")]
    NoKey {
        /// Where it was looked for.
        library: PathBuf,
    },
    /// The operating system refused something.
    #[error("{doing} failed")]
    System {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: io::Error,
    },
    /// The programs could not be packaged.
    #[error("dev/package failed:\n{said}")]
    Package {
        /// What it said.
        said: String,
    },
    /// MiniStack ended or did not answer in time.
    #[error("MiniStack did not come up: see {log}\n{said}")]
    NotUp {
        /// Its log.
        log: PathBuf,
        /// The log's last lines.
        said: String,
    },
    /// A call to the local AWS failed.
    #[error("{doing} failed")]
    Call {
        /// What was being done.
        doing: String,
        /// Why.
        #[source]
        source: Box<dyn Error + Send + Sync>,
    },
    /// The template was not deployed.
    #[error("the template was not deployed: the stack is {status}\n{reasons}")]
    Deployment {
        /// The stack's status.
        status: String,
        /// The resources that failed, one a line, with their reasons.
        reasons: String,
    },
    /// Something did not happen in time.
    #[error("waited {seconds} s in vain for {waited_for}")]
    TimedOut {
        /// What should have happened.
        waited_for: &'static str,
        /// How long was waited.
        seconds: u64,
    },
    /// Something that the stack started could not be ended.
    #[error("the stack was stopped but some of its processes are left: look for them with `pgrep -af ministack`")]
    LeftRunning,
}

/// Says what the operating system was requested.
pub(crate) fn system(doing: impl Into<String>) -> impl FnOnce(io::Error) -> StackError {
    let doing = doing.into();
    |source| StackError::System { doing, source }
}

/// Says what the local AWS was requested.
pub(crate) fn call<E: Error + Send + Sync + 'static>(doing: impl Into<String>) -> impl FnOnce(E) -> StackError {
    let doing = doing.into();
    |source| StackError::Call { doing, source: source.into() }
}

/// The last lines of what a program said.
pub(crate) fn last_lines(said: &[u8]) -> String {
    let text = String::from_utf8_lossy(said);
    let lines: Vec<_> = text.lines().filter(|line| !line.trim().is_empty()).collect();
    lines.iter().skip(lines.len().saturating_sub(20)).copied().collect::<Vec<_>>().join("\n")
}
