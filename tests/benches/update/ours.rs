//! Our updater, in a process of its own.

use std::{fs, path::Path};

use nacre_test_support::bench::{self, BenchError, Run, system};

/// Runs the updater once, as a file says, and fails unless it published something.
#[tokio::main]
pub(crate) async fn update(run: &Path) -> Result<(), BenchError> {
    let run: Run = serde_json::from_slice(&fs::read(run).map_err(system("reading what to run"))?)?;
    bench::update(run).await
}
