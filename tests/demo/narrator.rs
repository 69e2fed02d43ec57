//! Prints steps, what was seen in them, and progress while something takes long.

use std::{
    io::{Write, stdout},
    time::Instant,
};

/// Prints a line about the step.
pub(super) fn say(text: &str) {
    let _ = writeln!(stdout(), "   {text}");
}

/// Writes to the terminal; a closed one does not end the demo.
pub(super) struct Narrator {
    started: Instant,
    steps: u32,
}

impl Narrator {
    /// Begins now.
    pub(super) fn new() -> Self {
        Self { started: Instant::now(), steps: 0 }
    }

    /// Begins a step.
    pub(super) fn step(&mut self, title: &str) {
        self.steps += 1;
        let seconds = self.started.elapsed().as_secs();
        let _ = writeln!(stdout(), "\n{}. {title}  [{seconds} s]", self.steps);
    }

    /// Seconds since the beginning.
    pub(super) fn seconds(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }
}
