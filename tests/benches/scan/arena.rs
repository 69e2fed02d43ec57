//! What all contenders work with: the same databases, the same libclamav, the same limits.

use std::{
    env, fs,
    path::{Path, PathBuf},
};

use chrono::{SubsecRound, TimeDelta};
use nacre_aws::SystemClock;
use nacre_clamav::signing::SigningKeys;
use nacre_core::port::Clock;
use nacre_test_support::{Mirror, programs_directory};

use crate::corpus::Corpus;
use nacre_test_support::bench::{BenchError, Database, Run, system, update};
use nacre_test_support::patched::{copy_libraries, with_libraries};

/// Debian's; linked with both libraries that have ClamAV's keys.
const FRESHCLAM: &str = "/usr/bin/freshclam";

/// Where everything is.
pub(crate) struct Arena {
    pub(crate) scratch: PathBuf,
    /// Our keys, as the scanner gets them.
    pub(crate) trust_anchors: String,
}

impl Arena {
    /// Prepares libraries with our keys in them, and an engine that uses these.
    pub(crate) fn new(scratch: &Path, keys: &SigningKeys) -> Result<Self, BenchError> {
        let engine = programs_directory()?.join("nacre-engine");
        let arena = Self { scratch: scratch.to_owned(), trust_anchors: keys.trust_anchors().to_json() };
        for program in [&engine, Path::new(FRESHCLAM)] {
            if !program.is_file() {
                return Err(format!("{} is missing: run `make bench-scan`", program.display()).into());
            }
        }
        fs::create_dir_all(arena.libraries()).map_err(system("making a directory"))?;
        copy_libraries(Path::new(FRESHCLAM), &arena.libraries(), &keys.trust_anchors())?;
        with_libraries(&engine, &arena.libraries(), &arena.engine())?;
        Ok(arena)
    }

    /// Makes databases of so many signatures and those that find the corpus's bad files, and has our updater publish them. Answers how
    /// many there are.
    pub(crate) fn publish(&self, signatures: u32, corpus: &Corpus, keys: &SigningKeys) -> Result<u32, BenchError> {
        let built = SystemClock.now().trunc_subsecs(0) - TimeDelta::days(1);
        let main = Database::first("main", 62, signatures / 4 * 3, built, keys)?;
        let mut daily = Database::first("daily", 100, signatures / 4, built, keys)?;
        for (kind, line) in &corpus.signatures {
            daily.add(kind, line.as_bytes(), keys);
        }
        let runtime = tokio::runtime::Runtime::new().map_err(system("starting a runtime"))?;
        let mirror = runtime.block_on(Mirror::start())?;
        mirror.put("main.cvd", main.cvd(keys));
        mirror.put("daily.cvd", daily.cvd(keys));
        let run = Run::new(mirror.url(), &self.trust_anchors, &self.scratch, self.bucket(), self.engine());
        runtime.block_on(update(run))?;
        Ok(main.signatures() + daily.signatures())
    }

    /// Where our updater publishes.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.scratch.join("bucket")
    }

    /// What ClamAV's own programs load: the same files, as the updater leaves them for ClamAV's clients.
    pub(crate) fn databases(&self) -> PathBuf {
        self.bucket().join("clamav_defs")
    }

    /// Our engine, with these libraries.
    pub(crate) fn engine(&self) -> PathBuf {
        self.scratch.join("engine")
    }

    /// ClamAV's libraries with our keys.
    pub(crate) fn libraries(&self) -> PathBuf {
        self.scratch.join("libraries")
    }

    /// This program.
    pub(crate) fn bench() -> Result<PathBuf, BenchError> {
        env::current_exe().map_err(system("asking for our own path"))
    }
}
