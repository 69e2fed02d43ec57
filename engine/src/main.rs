//! The engine as it is shipped.

use std::process::ExitCode;

fn main() -> ExitCode {
    nacre_engine::main(None)
}
