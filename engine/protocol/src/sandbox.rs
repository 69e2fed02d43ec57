//! The sandbox of the engine's processes, as the engine reports it.

use serde::{Deserialize, Serialize};

/// The layers of the sandbox of the engine's processes. The system may refuse each: AWS Lambda refuses `prctl` and `seccomp`, and its
/// kernel has no Landlock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sandbox {
    /// Whether no program that they run can gain privileges.
    #[serde(default)]
    pub no_new_privileges: bool,
    /// Whether others of the same user cannot read their memory.
    #[serde(default)]
    pub not_dumpable: bool,
    /// Whether system calls are filtered.
    pub seccomp: bool,
    /// Whether file access is restricted.
    pub landlock: Landlock,
}

impl Sandbox {
    /// No layer.
    pub const NONE: Self =
        Self { no_new_privileges: false, not_dumpable: false, seccomp: false, landlock: Landlock::Absent };

    /// The layers by name, and whether each is on.
    pub fn layers(&self) -> [(&'static str, bool); 4] {
        [
            ("no_new_privileges", self.no_new_privileges),
            ("not_dumpable", self.not_dumpable),
            ("seccomp", self.seccomp),
            ("landlock", self.landlock != Landlock::Absent),
        ]
    }

    /// The names of the layers that the system refused.
    pub fn missing(&self) -> Vec<&'static str> {
        self.layers().into_iter().filter(|(_, on)| !on).map(|(name, _)| name).collect()
    }
}

/// How much of the Landlock rules the kernel enforces.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Landlock {
    /// All of them.
    Full,
    /// Some: the kernel is older.
    Partial,
    /// None: the kernel has no Landlock, or it is switched off.
    Absent,
}
