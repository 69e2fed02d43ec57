//! How much memory processes take together.
//!
//! Forked processes share most of their pages, so what each has in memory must not be added up: Linux's PSS gives each process its
//! part of what is shared. Telling it takes a walk over all pages, so no run is timed meanwhile.

use std::{
    fs, process,
    sync::atomic::{AtomicBool, Ordering},
    thread,
    time::Duration,
};

use crate::bench::children;

/// How often processes are sampled.
const PERIOD: Duration = Duration::from_millis(20);

/// Whose memory counts.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Whose {
    /// This process, and all that are under it.
    OursToo,
    /// Only those under it.
    OthersOnly,
}

/// Does something and answers, besides what came of it, the most memory that the processes had meanwhile, in KiB; `None` when the
/// system does not say.
pub fn peak_kib<T>(whose: Whose, work: impl FnOnce() -> T) -> (T, Option<u64>) {
    let done = AtomicBool::new(false);
    thread::scope(|scope| {
        let looking = scope.spawn(|| {
            let mut peak = Some(0);
            while !done.load(Ordering::Relaxed) {
                peak = peak.zip(now(whose)).map(|(peak, now): (u64, u64)| peak.max(now));
                thread::sleep(PERIOD);
            }
            peak
        });
        let outcome = work();
        done.store(true, Ordering::Relaxed);
        (outcome, looking.join().ok().flatten())
    })
}

fn now(whose: Whose) -> Option<u64> {
    let own = if whose == Whose::OursToo { pss_kib(process::id())? } else { 0 };
    under(process::id()).map(|others| own + others)
}

fn under(process: u32) -> Option<u64> {
    children(process).into_iter().try_fold(0, |sum, child| Some(sum + pss_kib(child)? + under(child)?))
}

/// A process's part of what is in memory; nothing of one that has ended, `None` when it may not be known.
fn pss_kib(process: u32) -> Option<u64> {
    let rollup = format!("/proc/{process}/smaps_rollup");
    let Ok(text) = fs::read_to_string(&rollup) else {
        let status = fs::read_to_string(format!("/proc/{process}/status")).unwrap_or_default();
        // One that has ended has no memory.
        return if status.contains("VmRSS:") { None } else { Some(0) };
    };
    Some(
        text.lines().find_map(|line| line.strip_prefix("Pss:"))?.split_whitespace().next()?.parse().unwrap_or_default(),
    )
}
