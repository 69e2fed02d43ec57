//! The report of a stack, as an operator has it made.

use std::path::Path;

use tokio::process::Command;

use crate::{
    error::{StackError, last_lines, system},
    stack::Stack,
};

impl Stack {
    /// Has `nacre report` write `report.html` and `records.csv` into a directory.
    ///
    /// # Errors
    /// [`StackError::Deployment`] with what it printed, [`StackError::System`].
    pub async fn write_report(&self, program: &Path, directory: &Path) -> Result<(), StackError> {
        let mut command = Command::new(program);
        command.arg("report").arg("--output").arg(directory.join("report.html"));
        command.arg("--csv").arg(directory.join("records.csv"));
        command.args(["--bucket", self.output("DefinitionsBucket"), "--table", self.output("ScanRecords")]);
        command.env_clear().envs(self.operator_environment()).kill_on_drop(true);
        let output = command.output().await.map_err(system(format!("running {}", program.display())))?;
        if output.status.success() {
            return Ok(());
        }
        Err(StackError::Deployment {
            status: format!("without a report: nacre report ended with {}", output.status),
            reasons: last_lines(&[output.stderr, output.stdout].concat()),
        })
    }
}
