//! A stock freshclam that takes databases with the tests' own keys: not one of its instructions is changed.

use std::{
    path::{Path, PathBuf},
    sync::OnceLock,
};

use nacre_clamav::signing::SigningKeys;
use nacre_engine_client::claimed_directory::ClaimedDirectory;
use nacre_test_support::patched::{copy_libraries, with_libraries};

use crate::world::World;

/// Debian's; a test without it says so and passes.
pub(super) const FRESHCLAM: &str = "/usr/bin/freshclam";

/// The program with the tests' own keys; made once in a process, whose keys they are.
pub(super) fn with_own_keys() -> Option<PathBuf> {
    static DIRECTORY: OnceLock<Option<ClaimedDirectory>> = OnceLock::new();
    Some(DIRECTORY.get_or_init(make).as_ref()?.path().join("freshclam"))
}

/// Statics are never dropped: the next process of tests removes what this one leaves.
fn make() -> Option<ClaimedDirectory> {
    if !Path::new(FRESHCLAM).exists() {
        println!("skipped: there is no {FRESHCLAM} here");
        return None;
    }
    let directory = ClaimedDirectory::new(Path::new(env!("CARGO_TARGET_TMPDIR")), "freshclam-with-own-keys-").unwrap();
    let path = directory.path();
    copy_libraries(Path::new(FRESHCLAM), path, &SigningKeys::fixed().trust_anchors()).unwrap();
    with_libraries(Path::new(FRESHCLAM), path, &path.join("freshclam")).unwrap();
    Some(directory)
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
