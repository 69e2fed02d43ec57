//! What every Lambda function does around its own work.

use std::process::ExitCode;

use lambda_runtime::{Error, tracing};
use nacre_core::telemetry::error_chain;

/// Runs a function until Lambda ends it; one that cannot start says why, and fails so that Lambda sees it.
pub async fn run_function(function: impl Future<Output = Result<(), Error>>) -> ExitCode {
    tracing::init_default_subscriber();
    match function.await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            tracing::error!(cause = error_chain(&*error), "the function cannot run");
            ExitCode::FAILURE
        }
    }
}
