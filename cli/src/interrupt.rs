//! Commands that an interrupt ends.

use std::io;

use tokio::signal::unix::{SignalKind, signal};

/// Runs a command to its end, or until an interrupt comes, which is `None`. The command is dropped then: engines end, and files that
/// it made for itself are removed.
///
/// # Errors
/// The system's, when interrupts cannot be listened to.
pub(crate) async fn until_interrupt<T>(command: impl Future<Output = T>) -> io::Result<Option<T>> {
    let mut interrupts = signal(SignalKind::interrupt())?;
    tokio::select! {
        done = command => Ok(Some(done)),
        _ = interrupts.recv() => Ok(None),
    }
}
