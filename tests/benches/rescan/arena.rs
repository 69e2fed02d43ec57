//! What all ways work with: two generations of signed databases, the same libclamav.

use std::{
    fs,
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use chrono::{SubsecRound, TimeDelta};
use nacre_aws::SystemClock;
use nacre_clamav::signing::SigningKeys;
use nacre_core::port::Clock;
use nacre_test_support::{Mirror, programs_directory};

use crate::corpus::{context, new_signatures};
use nacre_test_support::bench::Outcome;
use nacre_test_support::bench::{Database, Run, update};
use nacre_test_support::patched::{copy_libraries, with_libraries};

/// Debian's; linked with both libraries that have ClamAV's keys.
const FRESHCLAM: &str = "/usr/bin/freshclam";

/// Where everything is.
pub(crate) struct Arena {
    pub(crate) scratch: PathBuf,
    keys: SigningKeys,
}

/// What was published.
pub(crate) struct Published {
    /// Signatures of the first generation.
    pub(crate) signatures: u32,
    /// Signatures that the second has more.
    pub(crate) added: u32,
    /// Time of the second update, the proof in it.
    pub(crate) second: Duration,
}

impl Arena {
    /// Prepares libraries with our keys in them, and an engine that uses these.
    pub(crate) fn new(scratch: &Path) -> Outcome<Self> {
        let (engine, arena) = (
            programs_directory()?.join("nacre-engine"),
            Self { scratch: scratch.to_owned(), keys: SigningKeys::generate("bench")? },
        );
        for program in [&engine, Path::new(FRESHCLAM)] {
            if !program.is_file() {
                return Err(format!("{} is missing: `make setup` installs it", program.display()).into());
            }
        }
        fs::create_dir_all(arena.libraries())?;
        copy_libraries(Path::new(FRESHCLAM), &arena.libraries(), &arena.keys.trust_anchors())?;
        with_libraries(&engine, &arena.libraries(), &arena.engine())?;
        Ok(arena)
    }

    /// Makes databases of so many signatures and has our updater publish them; then five hundred more, by a CDIFF, in a bucket of
    /// their own that has both generations.
    pub(crate) fn publish(&self, signatures: u32) -> Outcome<Published> {
        let keys = &self.keys;
        let built = SystemClock.now().trunc_subsecs(0) - TimeDelta::days(1);
        let main = Database::first("main", 62, signatures / 4 * 3, built, keys)?;
        let mut daily = Database::first("daily", 100, signatures / 4, built, keys)?;
        for (kind, lines) in context() {
            daily.add(kind, &lines, keys);
        }
        let (next, cdiff) = daily.grown(&new_signatures(), keys)?;
        let runtime = tokio::runtime::Runtime::new()?;
        let mirror = runtime.block_on(Mirror::start())?;
        mirror.put("main.cvd", main.cvd(keys));
        mirror.put("daily.cvd", daily.cvd(keys));
        runtime.block_on(update(self.update(&mirror, &self.old_bucket())))?;
        copy(&self.old_bucket(), &self.bucket())?;
        mirror.put("daily.cvd", next.cvd(keys));
        mirror.put(&format!("daily-{}.cdiff", next.version.0), cdiff);
        let started = Instant::now();
        runtime.block_on(update(self.update(&mirror, &self.bucket())))?;
        Ok(Published {
            signatures: main.signatures() + daily.signatures(),
            added: next.signatures() - daily.signatures(),
            second: started.elapsed(),
        })
    }

    fn update(&self, mirror: &Mirror, bucket: &Path) -> Run {
        Run::new(mirror.url(), &self.trust_anchors(), &self.scratch, bucket.to_owned(), self.engine())
    }

    /// Our keys, as programs get them.
    pub(crate) fn trust_anchors(&self) -> String {
        self.keys.trust_anchors().to_json()
    }

    /// Where the first generation alone is published.
    pub(crate) fn old_bucket(&self) -> PathBuf {
        self.scratch.join("old-bucket")
    }

    /// Where both are.
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
}

fn copy(from: &Path, to: &Path) -> Outcome<()> {
    fs::create_dir_all(to)?;
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        if entry.file_type()?.is_dir() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        } else {
            fs::copy(entry.path(), to.join(entry.file_name()))?;
        }
    }
    Ok(())
}
