//! The steps between generations, by which records of older ones are judged.

use serde::{Deserialize, Serialize};

use super::{Generation, manifest::BodyEntry};

/// Most steps that a manifest has. An older record needs a full scan; the rescanner advances the generation of those that come near.
pub const MAX_STEPS: usize = 90;

/// Most lines of a published delta; more changed than that is scanned in full.
pub const MAX_DELTA_LINES: usize = 100_000;

/// Most bytes of a published delta.
pub const MAX_DELTA_BYTES: usize = 16 << 20;

/// The step from one generation to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Step {
    /// The generation that it leads to.
    pub to: Generation,
    /// Its kind.
    pub kind: StepKind,
}

/// The step from one generation to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "step", rename_all = "snake_case")]
pub enum StepKind {
    /// These signatures changed.
    Delta {
        /// The delta.
        delta: BodyEntry,
    },
    /// Too much changed for a delta, or the delta could not be computed.
    TooLarge,
    /// An older generation's signatures were restored.
    Restored {
        /// The restored generation.
        generation: Generation,
    },
}

/// The steps to a generation: each leads to the generation after the one before's, the last to this one.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct History(Vec<Step>);

impl History {
    /// Adds the step to the next generation, and removes those that are too old.
    #[must_use]
    pub fn then(mut self, step: Step) -> Self {
        if self.0.last().is_some_and(|last| last.to.0 + 1 != step.to.0) {
            self.0.clear();
        }
        self.0.push(step);
        self.0.drain(..self.0.len().saturating_sub(MAX_STEPS));
        self
    }

    /// The step that leads to a generation.
    pub fn step_to(&self, generation: Generation) -> Option<&StepKind> {
        self.0.iter().find(|step| step.to == generation).map(|step| &step.kind)
    }

    /// The oldest generation that the steps lead from.
    pub fn oldest(&self) -> Option<Generation> {
        self.0.first().map(|step| Generation(step.to.0.saturating_sub(1)))
    }

    /// Whether the steps lead to this generation one after the other, and each delta is where it must be.
    pub fn leads_to(&self, generation: Generation) -> bool {
        let in_turn =
            self.0.windows(2).all(|pair| matches!(pair, [one, next] if one.to.0.checked_add(1) == Some(next.to.0)));
        let addressed = |step: &Step| match &step.kind {
            StepKind::Delta { delta } => delta.is_delta_to(step.to),
            StepKind::TooLarge | StepKind::Restored { .. } => true,
        };
        in_turn
            && self.0.iter().all(addressed)
            && self.0.len() <= MAX_STEPS
            && self.0.last().is_none_or(|last| last.to == generation)
    }

    /// Where the deltas are.
    pub fn bodies(&self) -> impl Iterator<Item = &BodyEntry> {
        self.0.iter().filter_map(|step| match &step.kind {
            StepKind::Delta { delta } => Some(delta),
            StepKind::TooLarge | StepKind::Restored { .. } => None,
        })
    }
}
