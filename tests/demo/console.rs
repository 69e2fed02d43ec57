//! `nacre-demo --console`: the report of the demo's stack, live. `make demo CONSOLE=1` runs it.

use nacre_test_support::{Stack, programs_directory};
use tokio::{
    process::Command,
    signal::unix::{SignalKind, signal},
};

use super::{DemoError, not_observed};
use crate::narrator::Narrator;

/// Serves the report until Ctrl-C.
pub(super) async fn serve(narrator: &mut Narrator, stack: &Stack) -> Result<(), DemoError> {
    narrator.step("`nacre console` serves the report live, for a browser on this machine, until Ctrl-C");
    let (mut interrupts, mut terminations) = (signal(SignalKind::interrupt())?, signal(SignalKind::terminate())?);
    let mut command = Command::new(programs_directory()?.join("nacre"));
    command.arg("console").env_clear().envs(stack.operator_environment()).kill_on_drop(true);
    let mut console = command.spawn()?;
    // A terminal sends Ctrl-C to both; whoever sends it to the demo alone means both.
    tokio::select! {
        ended = console.wait() => {
            let ended = ended?;
            if ended.success() { Ok(()) } else { Err(not_observed(format!("nacre console ended with {ended}"))) }
        }
        _ = interrupts.recv() => Ok(console.kill().await?),
        _ = terminations.recv() => Ok(console.kill().await?),
    }
}
