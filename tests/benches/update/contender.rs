//! The two programs that are compared: how each is started, and where its databases are.

use std::{
    env, fs,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_clamav::signing::SigningKeys;
use nacre_test_support::programs_directory;

use crate::launch::Usage;
use nacre_test_support::bench::{BenchError, Run, system};
use nacre_test_support::patched::{copy_libraries, script, with_libraries};

/// Where Debian has it.
const FRESHCLAM: &str = "/usr/bin/freshclam";

/// Who is measured.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Contender {
    /// Our updater.
    Ours,
    /// The stock program.
    Freshclam,
}

/// Whether the new databases are loaded by an engine before they are taken.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Proof {
    /// Ours without its proof, freshclam with `TestDatabases no`.
    Without,
    /// Ours with its proof, freshclam with `TestDatabases yes`.
    With,
}

/// What both need to run.
pub(crate) struct Arena {
    pub(crate) scratch: PathBuf,
    mirror: String,
    trust_anchors: String,
    bench: PathBuf,
    engine: PathBuf,
}

impl Arena {
    /// Prepares the programs: freshclam's libraries with our keys in them, and engines that use these.
    pub(crate) fn new(scratch: &Path, mirror: &str, keys: &SigningKeys) -> Result<Self, BenchError> {
        let engine = programs_directory()?.join("nacre-engine");
        if !engine.is_file() {
            return Err(format!("{} is missing: run `make bench-update`", engine.display()).into());
        }
        let bench = env::current_exe().map_err(system("asking for our own path"))?;
        let arena = Self {
            scratch: scratch.to_owned(),
            mirror: mirror.to_owned(),
            trust_anchors: keys.trust_anchors().to_json(),
            bench,
            engine,
        };
        fs::create_dir_all(arena.libraries()).map_err(system("making a directory"))?;
        if has_freshclam() {
            copy_libraries(Path::new(FRESHCLAM), &arena.libraries(), &keys.trust_anchors())?;
        }
        with_libraries(&arena.engine, &arena.libraries(), &arena.engine(Proof::With))?;
        script(&arena.engine(Proof::Without), &format!("exec '{}' stand-in", arena.bench.display()))?;
        Ok(arena)
    }

    fn libraries(&self) -> PathBuf {
        self.scratch.join("libraries")
    }

    fn engine(&self, proof: Proof) -> PathBuf {
        self.scratch.join(if proof == Proof::With { "engine" } else { "stand-in" })
    }

    /// Lets a contender bring the databases of `directory` up to date, and measures that.
    pub(crate) fn run(&self, contender: Contender, directory: &Path, proof: Proof) -> Result<Usage, BenchError> {
        fs::create_dir_all(directory).map_err(system("making a directory"))?;
        let report = self.scratch.join("report.json");
        let mut command = Command::new(&self.bench);
        command.arg("launch").arg(&report);
        for proxy in ["http_proxy", "HTTP_PROXY", "all_proxy", "ALL_PROXY"] {
            command.env_remove(proxy);
        }
        match contender {
            Contender::Ours => command.arg(&self.bench).arg("update").arg(self.our_run(directory, proof)?),
            Contender::Freshclam => command
                .arg(FRESHCLAM)
                .arg("--stdout")
                .arg(format!("--config-file={}", self.freshclam_conf(directory, proof)?.display()))
                .env("LD_LIBRARY_PATH", self.libraries()),
        };
        let output = command.output().map_err(system("starting a contender"))?;
        let said = [output.stdout, output.stderr].concat();
        if !output.status.success() {
            let (program, status) = (format!("{contender:?}"), output.status.to_string());
            return Err(format!("{program} failed ({status}):\n{}", String::from_utf8_lossy(&said)).into());
        }
        Ok(serde_json::from_slice(&fs::read(report).map_err(system("reading a report"))?)?)
    }

    fn our_run(&self, bucket: &Path, proof: Proof) -> Result<PathBuf, BenchError> {
        let run = Run::new(&self.mirror, &self.trust_anchors, &self.scratch, bucket.to_owned(), self.engine(proof));
        let path = self.scratch.join("run.json");
        fs::write(&path, serde_json::to_vec(&run)?).map_err(system("writing what to run"))?;
        Ok(path)
    }

    fn freshclam_conf(&self, directory: &Path, proof: Proof) -> Result<PathBuf, BenchError> {
        let owner = nix::unistd::User::from_uid(nix::unistd::Uid::current()).ok().flatten();
        let text = format!(
            "DatabaseDirectory {}\nDatabaseOwner {}\nDatabaseMirror {}\nDNSDatabaseInfo no\nExcludeDatabase bytecode\n\
             MaxAttempts 1\nTestDatabases {}\n",
            directory.display(),
            owner.map_or_else(|| "root".to_owned(), |owner| owner.name),
            self.mirror,
            if proof == Proof::With { "yes" } else { "no" },
        );
        let path = self.scratch.join("freshclam.conf");
        fs::write(&path, text).map_err(system("writing freshclam.conf"))?;
        Ok(path)
    }
}

impl Contender {
    /// Where it keeps the databases that it serves.
    pub(crate) fn databases(self, directory: &Path) -> PathBuf {
        match self {
            Self::Ours => directory.join("clamav_defs"),
            Self::Freshclam => directory.to_owned(),
        }
    }
}

/// Whether there is a freshclam to compare with.
pub(crate) fn has_freshclam() -> bool {
    Path::new(FRESHCLAM).exists()
}
