//! The updater: downloads newer databases, tests the new set with a real engine, publishes it as a generation and
//! announces it.

mod clean_corpus;
pub mod config;
pub mod custom;
pub mod database_test;
pub mod database_update;
pub mod dns;
pub mod fetcher;
pub mod flat;
pub mod freshclam;
pub mod http;
pub mod loose_test;
pub mod mirror;
pub mod plan;
pub mod publish;
pub mod report;
pub mod retention;
pub mod scan_sets;
pub mod signatures;
pub mod stack_request;
pub mod state;
pub mod update;

use lambda_runtime::Diagnostic;
use nacre_core::telemetry::error_chain;
use update::UpdateError;

impl From<UpdateError> for Diagnostic {
    fn from(error: UpdateError) -> Self {
        Self { error_type: "UpdateError".into(), error_message: error_chain(&error) }
    }
}
