//! Deploys by `nacre deploy`, as an operator does.

use std::{collections::BTreeMap, path::Path};

use serde::Deserialize;
use tokio::process::Command;

use crate::{
    error::{StackError, last_lines, system},
    packages::Packages,
};

/// Where the packages are put that the command reads.
pub(crate) const PACKAGES: &str = "packages";

/// Of what `nacre deploy --json` prints.
#[derive(Deserialize)]
struct Report {
    outputs: BTreeMap<String, String>,
}

/// Runs `nacre deploy` to its end and returns the stack's outputs. A stack whose definitions or scans do not work is an error.
///
/// # Errors
/// [`StackError::Deployment`] with what it printed, [`StackError::System`].
pub(crate) async fn deploy_by_command(
    program: &Path,
    environment: &[(&'static str, String)],
    packages: &Packages,
    parameters: &[(String, String)],
    scratch: &Path,
) -> Result<BTreeMap<String, String>, StackError> {
    let directory = scratch.join(PACKAGES);
    packages.write(&directory)?;
    let mut command = Command::new(program);
    command.args(["deploy", "--json", "--packages"]).arg(&directory);
    for (name, value) in parameters {
        command.args(["--parameter", &format!("{name}={value}")]);
    }
    // Nothing of ours, above all no credentials.
    command.env_clear().envs(environment.iter().cloned()).kill_on_drop(true);
    let output = command.output().await.map_err(system(format!("running {}", program.display())))?;
    let report = serde_json::from_slice(&output.stdout).ok().filter(|_| output.status.success());
    report.map(|Report { outputs }| outputs).ok_or_else(|| StackError::Deployment {
        status: format!("not deployed by nacre deploy, which ended with {}", output.status),
        reasons: last_lines(&[output.stderr, output.stdout].concat()),
    })
}
