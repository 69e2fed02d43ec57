//! Kills processes of the scanner at random: engines' workers, engines, whole functions. Never any that the stack did not start.

use std::time::Duration;

use nacre_test_support::{Random, Stack};
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::sync::watch;

/// The scanner's processes at one moment.
#[derive(Debug, Default)]
pub(crate) struct Scanners {
    /// Functions.
    pub(crate) functions: Vec<i32>,
    /// Engines that a function started.
    pub(crate) engines: Vec<i32>,
    /// Workers of those.
    pub(crate) workers: Vec<i32>,
    /// Engines, or workers, whose parent is neither of the above: somebody else's, or on their way out.
    pub(crate) others: Vec<i32>,
}

impl Scanners {
    /// What runs.
    pub(crate) fn of(stack: &Stack) -> Self {
        let processes = stack.processes();
        let environments = ["ScannerFunction", "RescanFunction"].map(|output| stack.environments(stack.output(output)));
        let functions: Vec<i32> = environments.iter().flatten().map(|environment| environment.process).collect();
        let engines = processes.iter().filter(|process| process.name == "nacre-engine");
        let children = |parents: &[i32]| -> Vec<i32> {
            let of = engines.clone().filter(|process| parents.contains(&process.parent));
            of.map(|process| process.id).collect()
        };
        let zygotes = children(&functions);
        let workers = children(&zygotes);
        let known = |id: i32| zygotes.contains(&id) || workers.contains(&id);
        let others = engines.clone().map(|process| process.id).filter(|id| !known(*id)).collect();
        Self { functions, engines: zygotes, workers, others }
    }
}

/// How many of each kind were killed.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Kills {
    pub(crate) workers: usize,
    pub(crate) engines: usize,
    pub(crate) functions: usize,
}

/// Of so many rounds one is a function's: its messages wait for the queue's whole visibility timeout.
const FUNCTION_EVERY: u32 = 25;

/// Kills one process after the other until it is to stop.
pub(crate) async fn rage(stack: &Stack, mut random: Random, mut stop: watch::Receiver<bool>) -> Kills {
    let (mut kills, mut round) = (Kills::default(), 0);
    while !*stop.borrow_and_update() {
        round += 1;
        let pause = Duration::from_millis(40 + random.next() % 300);
        let _ = tokio::time::timeout(pause, stop.changed()).await;
        let scanners = Scanners::of(stack);
        let (count, victims) = match round % FUNCTION_EVERY {
            5 => (&mut kills.functions, &scanners.functions),
            other if other % 3 == 0 => (&mut kills.engines, &scanners.engines),
            _ => (&mut kills.workers, &scanners.workers),
        };
        if let Some(victim) = random.pick(victims)
            && end(*victim)
        {
            *count += 1;
        }
    }
    kills
}

/// Kills a process; false when it was gone already.
pub(crate) fn end(process: i32) -> bool {
    kill(Pid::from_raw(process), Signal::SIGKILL).is_ok()
}
