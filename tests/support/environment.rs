//! Installs MiniStack, pinned by hash, into a virtual environment of the project's own.

use std::{
    fs::{self, File},
    io::{self, BufRead, BufReader},
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use sha2::{Digest, Sha256};

use crate::error::{StackError, last_lines, system};

const REQUIREMENTS: &str = include_str!("requirements.txt");

/// Makes sure that MiniStack is installed under `target` and returns the path of the Python that runs it.
///
/// The first call takes the better part of a minute and reports each step through `progress`; later ones return at once. It is
/// safe in several processes at a time: one installs, the others wait for it.
///
/// # Errors
/// [`StackError::NoPython`], [`StackError::Install`], [`StackError::System`].
pub async fn install(target: &Path, progress: impl Fn(&str) + Send + Sync + 'static) -> Result<PathBuf, StackError> {
    let directory = target.join("stack");
    let installed = tokio::task::spawn_blocking(move || install_now(&directory, &progress)).await;
    installed.map_err(|error| system("installing MiniStack")(io::Error::other(error)))?
}

fn install_now(directory: &Path, progress: &dyn Fn(&str)) -> Result<PathBuf, StackError> {
    fs::create_dir_all(directory).map_err(system(format!("making {}", directory.display())))?;
    let lock_path = directory.join("lock");
    let lock = File::create(&lock_path).map_err(system(format!("making {}", lock_path.display())))?;
    if lock.try_lock().is_err() {
        progress("waiting for another process that installs MiniStack");
        lock.lock().map_err(system(format!("locking {}", lock_path.display())))?;
    }
    let environment = directory.join("venv");
    let python = environment.join("bin/python3");
    let marker = environment.join("installed");
    let wanted = fingerprint()?;
    if fs::read_to_string(&marker).is_ok_and(|found| found == wanted) {
        return Ok(python);
    }

    if let Err(error) = fs::remove_dir_all(&environment)
        && error.kind() != io::ErrorKind::NotFound
    {
        return Err(system(format!("removing {}", environment.display()))(error));
    }
    progress("making a virtual environment for MiniStack");
    let made = Command::new("python3").args(["-m", "venv"]).arg(&environment).output();
    let made = made.map_err(|error| StackError::NoPython { said: error.to_string() })?;
    if !made.status.success() {
        return Err(StackError::NoPython { said: last_lines(&[made.stdout, made.stderr].concat()) });
    }
    let requirements = environment.join("requirements.txt");
    fs::write(&requirements, REQUIREMENTS).map_err(system(format!("writing {}", requirements.display())))?;
    let mut pip = Command::new(&python);
    // Wheels only: what is installed is then nothing but the bytes that the hashes name.
    pip.args(["-m", "pip", "install", "--disable-pip-version-check", "--no-input", "--progress-bar=off"]);
    pip.args(["--require-hashes", "--only-binary=:all:", "--requirement"]).arg(&requirements);
    run_aloud(&mut pip, progress)?;
    // Last, so that an installation that was cut short is made anew.
    fs::write(&marker, wanted).map_err(system(format!("writing {}", marker.display())))?;
    Ok(python)
}

/// What an environment must have been made from to be used: these requirements, by this Python.
fn fingerprint() -> Result<String, StackError> {
    let version = Command::new("python3").args(["-c", "import sys; print(sys.version, sys.executable)"]).output();
    let version = version.map_err(|error| StackError::NoPython { said: error.to_string() })?;
    if !version.status.success() {
        return Err(StackError::NoPython { said: last_lines(&version.stderr) });
    }
    Ok(hex::encode(Sha256::new().chain_update(REQUIREMENTS).chain_update(version.stdout).finalize()))
}

/// Runs pip, passing on what it collects and installs.
fn run_aloud(pip: &mut Command, progress: &dyn Fn(&str)) -> Result<(), StackError> {
    let doing = "running pip";
    let (output, into) = io::pipe().map_err(system(doing))?;
    let errors = into.try_clone().map_err(system(doing))?;
    let mut child = pip.stdin(Stdio::null()).stdout(into).stderr(errors).spawn().map_err(system(doing))?;
    // The command still holds the pipe's other end, which would never close.
    pip.stdout(Stdio::null()).stderr(Stdio::null());
    let mut said = Vec::new();
    for line in BufReader::new(output).lines() {
        let line = line.map_err(system(doing))?;
        if let Some(step) = ["Collecting ", "Installing "].iter().find_map(|verb| line.strip_prefix(verb)) {
            let what = step.split([' ', '=', ':', '>', '<']).next().unwrap_or_default();
            progress(&if line.starts_with("Coll") { format!("fetching {what}") } else { "installing".to_owned() });
        }
        said.extend_from_slice(line.as_bytes());
        said.push(b'\n');
    }
    let status = child.wait().map_err(system(doing))?;
    if status.success() { Ok(()) } else { Err(StackError::Install { said: last_lines(&said) }) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_requirement_is_pinned_by_hash() {
        let logical = REQUIREMENTS.replace("\\\n", " ");
        let pinned: Vec<_> = logical.lines().filter(|line| !line.starts_with('#') && !line.trim().is_empty()).collect();
        assert!(pinned.iter().any(|line| line.starts_with("ministack==")));
        for line in pinned {
            assert!(line.contains("==") && line.contains("--hash=sha256:"), "{line}");
        }
    }
}
