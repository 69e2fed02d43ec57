//! What both do in turn against the same mirror, and whether they come to the same.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_clamav::{
    archive::ArchiveLimits,
    cvd::{Cvd, VerifiedMember},
    database::ContainerKind,
    signing::SigningKeys,
};
use nacre_test_support::Mirror;

use crate::{
    contender::{Arena, Contender, Proof},
    launch::Usage,
};
use nacre_test_support::bench::{BenchError, Database, system};

/// What one contender's run took, and what the mirror sent it.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Measured {
    pub(crate) usage: Usage,
    pub(crate) bytes: u64,
}

/// What must be there in the end: `main` as it was served, `daily` with these members.
pub(crate) struct Expected {
    pub(crate) main: Vec<u8>,
    pub(crate) daily: Vec<VerifiedMember>,
}

/// Runs contenders against a mirror.
pub(crate) struct Contest<'a> {
    pub(crate) arena: &'a Arena,
    pub(crate) mirror: &'a Mirror,
    pub(crate) keys: &'a SigningKeys,
}

impl Contest<'_> {
    /// Lets a contender run so many times from the same beginning, and answers the fastest run. `state` is what it comes to.
    pub(crate) fn fastest(
        &self,
        contender: Contender,
        (from, proof, times): (Option<&Path>, Proof, u32),
        state: &Path,
        expected: &Expected,
    ) -> Result<Measured, BenchError> {
        let mut best: Option<Measured> = None;
        for _ in 0..times {
            renew(state, from)?;
            let before = self.mirror.bytes_sent();
            let usage = self.arena.run(contender, state, proof)?;
            let measured = Measured { usage, bytes: self.mirror.bytes_sent() - before };
            self.check(&contender.databases(state), expected)?;
            best = best.filter(|best| best.usage.wall_ms <= usage.wall_ms).or(Some(measured));
        }
        best.ok_or_else(|| "nothing was run".into())
    }

    /// The members of a version, as they must be wherever it comes from.
    pub(crate) fn members(&self, database: &Database, cvd: &[u8]) -> Result<Vec<VerifiedMember>, BenchError> {
        self.verified(database.name.as_str(), ContainerKind::Cvd, cvd)
    }

    fn verified(&self, name: &str, kind: ContainerKind, file: &[u8]) -> Result<Vec<VerifiedMember>, BenchError> {
        let name = nacre_clamav::database::DatabaseName::new(name)?;
        let cvd = Cvd::parse_as(kind, file)?;
        Ok(cvd.verify(&name, &self.keys.trust_anchors(), ArchiveLimits::default())?.members)
    }

    fn check(&self, databases: &Path, expected: &Expected) -> Result<(), BenchError> {
        let read = |file: &str| fs::read(databases.join(file));
        if read("main.cvd").map_err(system("reading main.cvd"))? != expected.main {
            return Err("main.cvd is not what was served".into());
        }
        let daily = match read("daily.cld") {
            Ok(file) => self.verified("daily", ContainerKind::Cld, &file)?,
            Err(_) => {
                self.verified("daily", ContainerKind::Cvd, &read("daily.cvd").map_err(system("reading daily"))?)?
            }
        };
        if daily == expected.daily { Ok(()) } else { Err("daily is another version".into()) }
    }
}

/// Makes a directory a copy of another, with the times of its files, or an empty one.
fn renew(state: &Path, from: Option<&Path>) -> Result<(), BenchError> {
    if state.exists() {
        fs::remove_dir_all(state).map_err(system("clearing a directory"))?;
    }
    let Some(from) = from else { return fs::create_dir_all(state).map_err(system("making a directory")) };
    let copied = Command::new("cp").arg("-a").args([from, state]).status().map_err(system("copying a directory"))?;
    if copied.success() { Ok(()) } else { Err("a directory could not be copied".into()) }
}

/// Where a contender's databases are after a phase.
pub(crate) fn state(scratch: &Path, contender: Contender, phase: &str) -> PathBuf {
    scratch.join(format!("{contender:?}-{phase}"))
}
