//! Tries a loose signature file with an engine: whether libclamav loads all that it holds.

use std::{fs, io, path::Path, time::Duration};

use nacre_clamav::{loose, signature::Kind};

use crate::{EngineClient, EngineError};

/// Time to load one file.
const LOAD_TIMEOUT: Duration = Duration::from_mins(5);
/// A signature that no file has, as an engine without one loads nothing. Its name sorts before others.
const COMPANION: (&str, &str) = ("0-nacre.hdb", "00000000000000000000000000000000:1:Nacre.Companion\n");

/// Why a file could not be tried.
#[derive(Debug, thiserror::Error)]
pub enum TrialError {
    /// It could not be laid out for the engine.
    #[error("the file could not be written for its trial")]
    Disk(#[from] io::Error),
    /// The engine could not be used.
    #[error("the engine could not be used")]
    Engine(#[from] EngineError),
}

/// A fault of a file, as an operator reads it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Fault {
    /// The line, from 1, where it is known.
    pub line: Option<usize>,
    /// What is wrong, and the remedy.
    pub reason: String,
}

impl std::fmt::Display for Fault {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self.line {
            Some(line) => write!(f, "line {line}: {}", self.reason),
            None => f.write_str(&self.reason),
        }
    }
}

/// Returns what is wrong with a file of this name; nothing when libclamav loads all of it. `scratch` is where it is laid out, alone.
///
/// # Errors
/// [`TrialError`] when it could not be tried.
pub async fn faults(engine: &EngineClient, scratch: &Path, name: &str, bytes: &[u8]) -> Result<Vec<Fault>, TrialError> {
    let read = loose::faults(name, bytes, engine.hello().functionality_level);
    if !read.is_empty() {
        return Ok(read.into_iter().map(|it| Fault { line: it.line, reason: it.reason.to_string() }).collect());
    }
    let directory = tempfile::Builder::new().prefix("trial-").tempdir_in(scratch)?;
    fs::write(directory.path().join(COMPANION.0), COMPANION.1)?;
    fs::write(directory.path().join(name), bytes)?;
    let whole = |reason| Fault { line: None, reason };
    let loaded = match engine.load(&fs::canonicalize(directory.path())?, LOAD_TIMEOUT).await {
        Ok(loaded) => loaded,
        Err(EngineError::Refused(failure)) => return Ok(vec![whole(without_path(&failure.message, directory.path()))]),
        Err(error) => return Err(error.into()),
    };
    engine.unload(loaded.engine).await?;
    let said = loaded.messages.iter().map(|message| without_path(&message.text, directory.path()));
    let mut faults: Vec<Fault> = said.map(|text| Fault { line: line_in(&text), reason: text }).collect();
    let (here, held) = (loaded.signatures.saturating_sub(1), held(name, bytes));
    if faults.is_empty() && here < held {
        faults
            .push(whole(format!("libclamav loads {here} signatures of {held}: look for lines that it does not know")));
    }
    Ok(faults)
}

/// Least number of signatures that libclamav counts in a file. Of what it counts in another way, none.
fn held(name: &str, bytes: &[u8]) -> u64 {
    let kind = Kind::of(name);
    match kind {
        Kind::FileHash | Kind::ProgramHash | Kind::Body | Kind::Logical => {
            let lines = bytes.split(|byte| *byte == b'\n').map(<[u8]>::trim_ascii);
            lines.filter(|line| !line.is_empty() && !line.starts_with(b"#")).count() as u64
        }
        Kind::Yara => 1,
        _ => 0,
    }
}

/// A message of libclamav without the directory that we made up.
fn without_path(text: &str, directory: &Path) -> String {
    let shown = directory.to_string_lossy();
    text.replace(&format!("{shown}/"), "").replace(&*shown, "the file")
}

/// The line that a message names.
fn line_in(text: &str) -> Option<usize> {
    let (_, after) = text.split_once(" line ")?;
    let digits = after.split(|letter: char| !letter.is_ascii_digit()).next()?;
    digits.parse().ok()
}
