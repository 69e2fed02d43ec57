//! Generations: numbered sets of databases, as they are published, read and kept.

use serde::{Deserialize, Serialize};

pub mod engine_form;
pub mod follower;
pub mod history;
pub mod manifest;
pub mod published;
pub mod updater_state;

/// The number of one published set of databases: *the* signature version of this system. Grows by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);
