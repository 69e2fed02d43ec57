//! A stock freshclam that takes databases with the tests' own keys: not one of its instructions is changed.

use std::{
    fs,
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nacre_clamav::signing::SigningKeys;
use nacre_stack::patched::{copy_libraries, with_libraries};

use crate::world::World;

/// Debian's; a test without it says so and passes.
pub(super) const FRESHCLAM: &str = "/usr/bin/freshclam";

/// The program with the tests' own keys; made once in a process.
pub(super) fn with_own_keys() -> Option<PathBuf> {
    static PROGRAM: OnceLock<Option<PathBuf>> = OnceLock::new();
    PROGRAM.get_or_init(make).clone()
}

fn make() -> Option<PathBuf> {
    if !Path::new(FRESHCLAM).exists() {
        println!("skipped: there is no {FRESHCLAM} here");
        return None;
    }
    let kept = Path::new(env!("CARGO_TARGET_TMPDIR")).join("freshclam-with-own-keys");
    let new = tempfile::tempdir_in(env!("CARGO_TARGET_TMPDIR")).unwrap();
    copy_libraries(Path::new(FRESHCLAM), new.path(), &SigningKeys::fixed().trust_anchors()).unwrap();
    with_libraries(Path::new(FRESHCLAM), &kept, &new.path().join("freshclam")).unwrap();
    fs::create_dir_all(&kept).unwrap();
    // Another process of tests may be using what is there: each file is replaced at once, by an equal one.
    for entry in fs::read_dir(new.path()).unwrap() {
        let path = entry.unwrap().path();
        fs::rename(&path, kept.join(path.file_name().unwrap())).unwrap();
    }
    Some(kept.join("freshclam"))
}

impl World {
    /// A world whose updater runs a stock freshclam with the tests' own keys; `None` where there is none.
    pub(super) async fn of_freshclam(settings: &[(&str, &str)]) -> Option<Self> {
        let program = with_own_keys()?;
        let settings = [&[("NACRE_FETCHER", "freshclam")], settings].concat();
        let mut world = Self::new(&settings).await;
        world.freshclam.program = Some(program);
        Some(world)
    }

    /// The same with this version published as generation 1.
    pub(super) async fn of_freshclam_with(number: u32, settings: &[(&str, &str)]) -> Option<Self> {
        let world = Self::of_freshclam(settings).await?;
        world.serve(number);
        world.run().await.unwrap();
        Some(world)
    }

    /// The agents that have asked the mirror, each once.
    pub(super) fn agents(&self) -> Vec<String> {
        let mut agents: Vec<_> =
            self.mirror.requests().into_iter().map(|request| request.user_agent.unwrap_or_default()).collect();
        agents.sort();
        agents.dedup();
        agents
    }
}
