//! A directory with databases of our own, and the program run in it.

use std::{
    fs,
    path::{Path, PathBuf},
    process::Command,
};

use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    signing::SigningKeys,
};
use nacre_testing::documented::assert_as_schema;
use tempfile::TempDir;

/// What a terminal would obey: a colour, a line of its own, C1's CSI, DEL, and text that turns around.
pub(crate) const HOSTILE: &str = "a\u{1b}[31m\nb\u{9b}2Jc\u{7f}d\u{202e}e";

/// What [`HOSTILE`] becomes.
pub(crate) const TAMED: &str = r"a\u{1b}[31m\nb\u{9b}2Jc\u{7f}d\u{202e}e";

/// What a run of the program came to.
#[derive(Debug)]
pub(crate) struct Outcome {
    pub(crate) status: Option<i32>,
    pub(crate) stdout: String,
    pub(crate) stderr: String,
}

/// A directory.
pub(crate) struct World(TempDir);

impl World {
    pub(crate) fn new() -> Self {
        Self(tempfile::tempdir().unwrap())
    }

    /// A directory with `keys.json`, and versions 1 to 3 of `test` as `test-1.cvd` and so on, with the CDIFFs between them.
    pub(crate) fn with_databases() -> Self {
        let world = Self::new();
        let keys = SigningKeys::fixed();
        world.write("keys.json", keys.to_json());
        for number in 1..=3 {
            world.write(&format!("test-{number}.cvd"), version(number).build(keys));
        }
        for number in 2..=3 {
            world.write(&format!("test-{number}.cdiff"), version(number).cdiff_from(&version(number - 1), keys));
        }
        world
    }

    pub(crate) fn path(&self, name: &str) -> PathBuf {
        self.0.path().join(name)
    }

    pub(crate) fn write(&self, name: &str, bytes: impl AsRef<[u8]>) {
        let path = self.path(name);
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, bytes).unwrap();
    }

    pub(crate) fn read(&self, name: &str) -> Vec<u8> {
        fs::read(self.path(name)).unwrap()
    }

    pub(crate) fn has(&self, name: &str) -> bool {
        self.path(name).exists()
    }

    /// Runs `nacre definitions` in the directory. Whatever it says must be fit for a terminal.
    pub(crate) fn nacre(&self, arguments: &[&str]) -> Outcome {
        self.nacre_with(&[], arguments)
    }

    /// The same, with these environment variables.
    pub(crate) fn nacre_with(&self, variables: &[(&str, &str)], arguments: &[&str]) -> Outcome {
        let mut command = Command::new(env!("CARGO_BIN_EXE_nacre"));
        command.current_dir(self.0.path()).arg("definitions").args(arguments);
        for name in ["AV_DEFINITION_S3_BUCKET", "NACRE_UPDATE_STALENESS_LIMIT_HOURS", "NACRE_STALENESS_LIMIT_HOURS"] {
            command.env_remove(name);
        }
        let output = command.envs(variables.iter().copied()).output().unwrap();
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).unwrap();
            let obeyed = |c: char| c != '\n' && (c.is_control() || c == '\u{202e}');
            assert!(!text.contains(obeyed), "{text:?} would be obeyed");
            assert!(!text.contains("panicked"), "{text}");
            text
        };
        let stdout = text(output.stdout);
        assert_as_schema(&[&["definitions"], arguments].concat(), &stdout);
        Outcome { status: output.status.code(), stdout, stderr: text(output.stderr) }
    }

    /// Runs one of ClamAV's programs in the directory, or says that it is not there.
    pub(crate) fn clamav(&self, program: &str, arguments: &[&str]) -> Option<Outcome> {
        clamav(self.0.path(), program, arguments)
    }
}

fn clamav(directory: &Path, program: &str, arguments: &[&str]) -> Option<Outcome> {
    let Ok(output) = Command::new(program).current_dir(directory).args(arguments).output() else {
        println!("skipped: {program} is not installed");
        return None;
    };
    let text = |bytes: Vec<u8>| String::from_utf8_lossy(&bytes).into_owned();
    Some(Outcome { status: output.status.code(), stdout: text(output.stdout), stderr: text(output.stderr) })
}

/// A version of the database `test`: EICAR, and a line for each version up to it.
pub(crate) fn version(number: u32) -> CvdBuilder {
    let lines = (1..=number).map(|number| format!("Test.Version.{number}:0:*:6e61637265{number:08x}\n"));
    let built = 1_795_392_000 + u64::from(number);
    let builder = CvdBuilder::new("test").version(number).built(built);
    builder.member("test.ndb", eicar_signature() + &lines.collect::<String>())
}
