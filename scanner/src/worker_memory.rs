//! How much memory the scan of one object may take, in a function that has so much. Pure.
//!
//! Attack: an archive that grows in memory. Past the function's memory the system kills whichever process it likes: the engine, or the
//! function with all of its batch. A worker that reaches its own bound costs its object the scan, and nothing else.

/// What the function's own process takes: the runtime, the clients, parts of downloads.
const OURS: u64 = 128 << 20;

/// Less than this and libclamav cannot scan ordinary files.
const LEAST: u64 = 128 << 20;

/// Bytes that each of `parallelism` workers may take beyond its engine's: an equal share of what `engines`, warm and loading ones together,
/// leave of the function's memory, and never more than `most`. Outside of Lambda the function's memory is not known, and the bound is `most`.
pub(crate) fn worker_memory(function: Option<u64>, engines: u64, parallelism: usize, most: u64) -> u64 {
    let Some(function) = function else { return most };
    let left = function.saturating_sub(OURS).saturating_sub(engines);
    let share = left / u64::try_from(parallelism.max(1)).unwrap_or(u64::MAX);
    share.max(LEAST).min(most)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn workers_share_what_the_engine_leaves_and_never_take_more_than_before() {
        let mib = |number: u64| number << 20;
        for (function, engines, parallelism, expected) in [
            (None, mib(1300), 2, mib(2048)),
            (Some(mib(3008)), mib(1300), 2, mib(790)),
            (Some(mib(3008)), 0, 2, mib(1440)),
            // A second engine, which takes over: nothing is left, and more would be the other engine's.
            (Some(mib(3008)), mib(1300 + 1625), 2, mib(128)),
            (Some(mib(4096)), mib(1300 + 1625), 2, mib(1043) / 2),
            (Some(mib(10240)), mib(1300), 6, mib(8812) / 6),
            (Some(mib(10240)), mib(1300), 1, mib(2048)),
            (Some(mib(512)), mib(40), 1, mib(344)),
            // Too little for the engine itself: its scans may still end.
            (Some(mib(512)), mib(1300), 2, mib(128)),
            (Some(mib(512)), 0, 0, mib(384)),
        ] {
            let found = worker_memory(function, engines, parallelism, mib(2048));
            assert_eq!(found, expected, "{function:?} {engines} {parallelism}");
        }
    }
}
