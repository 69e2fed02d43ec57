//! Definitions in the proportions of ClamAV's own, published by our updater, and starts from them.

use std::{
    env, fs,
    io::Write as _,
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use chrono::{SubsecRound, TimeDelta};
use md5::{Digest, Md5};
use nacre_aws::SystemClock;
use nacre_clamav::signing::SigningKeys;
use nacre_core::port::Clock;
use nacre_test_support::{
    Mirror, Random,
    bench::{self, BenchError, Database, append_signature, system, update},
    patched::{copy_libraries, with_libraries},
    programs_directory,
};

use crate::start::{How, Run, Start};

/// Debian's; linked with both libraries that have ClamAV's keys.
const FRESHCLAM: &str = "/usr/bin/freshclam";

/// Of each thousand signatures so many are of a kind, by the extension of its file: as in `main` 62 and a `daily` of 2026.
const KINDS: [(&str, u32); 6] = [("hdb", 74), ("hsb", 373), ("mdb", 526), ("ndb", 13), ("ldb", 11), ("fp", 3)];

/// An object that a digest knows.
const KNOWN: &[u8] = b"A digest of daily knows this object.";

pub(crate) struct Arena {
    scratch: PathBuf,
    keys: SigningKeys,
    trust_anchors: String,
}

impl Arena {
    /// Prepares libraries with our keys in them, and an engine that uses these.
    pub(crate) fn new(scratch: &Path) -> Result<Self, BenchError> {
        let keys = SigningKeys::generate("bench")?;
        let engine = programs_directory()?.join("nacre-engine");
        let arena = Self { scratch: scratch.to_owned(), trust_anchors: keys.trust_anchors().to_json(), keys };
        for program in [&engine, Path::new(FRESHCLAM)] {
            if !program.is_file() {
                return Err(format!("{} is missing: run `make bench-cold`", program.display()).into());
            }
        }
        let libraries = arena.scratch.join("libraries");
        fs::create_dir_all(&libraries).map_err(system("making a directory"))?;
        copy_libraries(Path::new(FRESHCLAM), &libraries, &arena.keys.trust_anchors())?;
        with_libraries(&engine, &libraries, &arena.engine())?;
        Ok(arena)
    }

    /// Makes databases of so many signatures, and has our updater publish them. Returns how many there are.
    pub(crate) fn publish(&self, signatures: u32) -> Result<u32, BenchError> {
        let runtime = tokio::runtime::Runtime::new().map_err(system("starting a runtime"))?;
        let mirror = runtime.block_on(Mirror::start())?;
        let mut made = 0;
        for (name, version, signatures) in [("main", 62, signatures / 4 * 3), ("daily", 100, signatures / 4)] {
            let database = self.database(name, version, signatures)?;
            made += database.signatures();
            mirror.put(&format!("{name}.cvd"), database.cvd(&self.keys));
        }
        let run = bench::Run::new(mirror.url(), &self.trust_anchors, &self.scratch, self.bucket(), self.engine());
        runtime.block_on(update(run))?;
        Ok(made)
    }

    fn database(&self, name: &str, version: u32, signatures: u32) -> Result<Database, BenchError> {
        let built = SystemClock.now().trunc_subsecs(0) - TimeDelta::days(1);
        let mut database = Database::first(name, version, 0, built, &self.keys)?;
        let mut random = Random::new(u64::from(version));
        for (kind, of_thousand) in KINDS {
            let mut lines = Vec::new();
            for number in 0..u64::from(signatures / 1000 * of_thousand) {
                let size = 512 * (1 + random.below(4096));
                // Writing to memory cannot fail. Those of main are SHA-1, those of daily SHA-256.
                let _ = match (kind, name) {
                    ("hsb", "main") => {
                        let (digest, end) = (random.hex(2), random.next() >> 32);
                        writeln!(lines, "{digest}{end:08x}:{size}:Win.Trojan.{name}-{number}-0")
                    }
                    ("fp", _) => writeln!(lines, "{}:{size}:{name}-{number}", random.hex(2)),
                    _ => {
                        append_signature(kind, name, number, &mut random, &mut lines);
                        Ok(())
                    }
                };
            }
            if (kind, name) == ("hdb", "daily") {
                let _ = writeln!(lines, "{}:{}:Bench.Known", hex::encode(Md5::digest(KNOWN)), KNOWN.len());
            }
            database.add(kind, &lines, &self.keys);
        }
        Ok(database)
    }

    /// Starts our function in a process of its own.
    pub(crate) fn start(&self, how: &How) -> Result<Start, BenchError> {
        let settings = [
            ("AV_DEFINITION_S3_BUCKET", "definitions".to_owned()),
            ("AV_DEFINITION_PATH", self.scratch.join("definitions").display().to_string()),
            ("NACRE_SCRATCH_PATH", self.scratch.display().to_string()),
            ("NACRE_RECORDS_TABLE", "records".to_owned()),
            ("NACRE_TRUST_ANCHORS", self.trust_anchors.clone()),
            ("NACRE_SCAN_SETS", if how.by_scan_sets { "True" } else { "False" }.to_owned()),
        ];
        let clean = b"Nothing knows this object.".to_vec();
        let run = Run {
            how: how.clone(),
            settings: settings.map(|(name, value)| (name.to_owned(), value)).into(),
            bucket: self.bucket(),
            engine: self.engine(),
            objects: vec![("clean".to_owned(), clean, false), ("known".to_owned(), KNOWN.to_vec(), true)],
        };
        let path = self.scratch.join("run.json");
        fs::write(&path, serde_json::to_vec(&run)?).map_err(system("writing what to measure"))?;
        let own = env::current_exe().map_err(system("asking for our own path"))?;
        let output = Command::new(own).arg("start").arg(&path).stderr(Stdio::inherit()).output();
        let output = output.map_err(system("starting our function"))?;
        if !output.status.success() {
            return Err("our function failed; its words are above".into());
        }
        Ok(serde_json::from_slice(&output.stdout)?)
    }

    /// The directory that the updater published into.
    pub(crate) fn bucket(&self) -> PathBuf {
        self.scratch.join("bucket")
    }

    fn engine(&self) -> PathBuf {
        self.scratch.join("engine")
    }
}
