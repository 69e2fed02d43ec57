//! Commands that an interrupt ends.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Runs a command to its end, or until an interrupt comes, which is `None`. The command is dropped then: engines end, and files that
/// it made for itself are removed. `failed` is its error when interrupts cannot be listened to.
pub(crate) async fn until_interrupt<T, E>(
    command: impl Future<Output = Result<T, E>>,
    failed: impl FnOnce(io::Error) -> E,
) -> Option<Result<T, E>> {
    let mut interrupts = match signal(SignalKind::interrupt()) {
        Ok(interrupts) => interrupts,
        Err(error) => return Some(Err(failed(error))),
    };
    tokio::select! {
        done = command => Some(done),
        _ = interrupts.recv() => None,
    }
}
