//! A stack with definitions, ready to scan: the world of the end-to-end tests and of the soak.

use std::{path::PathBuf, time::Duration};

use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    signing::SigningKeys,
};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::{InvokeOutcome, Mirror, Packages, Stack, StackOptions, install, programs_directory};

/// Longest wait for a function to do its part.
pub const DEADLINE: Duration = Duration::from_mins(10);

/// What every test's definitions know besides EICAR.
pub const EVIL: &str = "this is evil, says the test";

/// A running stack with its mirror, and the directory that they work in.
#[derive(Debug)]
pub struct World {
    /// The deployed stack.
    pub stack: Stack,
    /// Where its updater finds databases.
    pub mirror: Mirror,
    _scratch: TempDir,
}

impl World {
    /// A deployed stack, nothing published yet.
    pub async fn empty(parameters: &[(&str, &str)]) -> Self {
        Self::start(parameters, None, Mirror::start().await.expect("a mirror")).await
    }

    /// A stack that `nacre deploy` deployed, from a mirror that knows EICAR.
    pub async fn by_command(parameters: &[(&str, &str)]) -> Self {
        let programs = programs_directory().expect("the programs are built");
        let mirror = Mirror::start().await.expect("a mirror");
        mirror.put("main.cvd", main_database());
        mirror.put("daily.cvd", daily(1, false));
        Self::start(parameters, Some(programs.join("nacre")), mirror).await
    }

    async fn start(parameters: &[(&str, &str)], deployer: Option<PathBuf>, mirror: Mirror) -> Self {
        let programs = programs_directory().expect("the programs are built");
        let target = programs.parent().expect("it is in the target directory");
        // Under `target`, so that what a failing test leaves is found there.
        let scratch = tempfile::Builder::new().prefix("end-to-end-").tempdir_in(target).expect("a directory");
        let defaults = [
            ("Databases", "main,daily"),
            ("PrivateMirror", "True"),
            ("LocalVisibilityTimeout", "5"),
            ("ScanStalenessLimitHours", "10000000"),
        ];
        let parameters = defaults.iter().chain(parameters).map(|(name, value)| ((*name).into(), (*value).into()));
        let stack = Stack::start(StackOptions {
            python: install(target, |line| eprintln!("{line}")).await.expect("MiniStack is installed"),
            packages: Packages::of_built_programs().expect("the programs are packaged"),
            mirror: mirror.url().to_owned(),
            trust_anchors: SigningKeys::fixed().trust_anchors().to_json(),
            deployer,
            parameters: parameters.collect(),
            scratch: scratch.path().to_owned(),
        });
        Self { stack: stack.await.expect("the stack is deployed"), mirror, _scratch: scratch }
    }

    /// A deployed stack with a published generation that knows EICAR.
    pub async fn ready(parameters: &[(&str, &str)]) -> Self {
        let world = Self::empty(parameters).await;
        world.mirror.put("main.cvd", main_database());
        world.mirror.put("daily.cvd", daily(1, false));
        assert_eq!(published(&world.update().await), 1);
        world
    }

    /// Runs the update as its schedule does.
    pub async fn update(&self) -> InvokeOutcome {
        let event = json!({ "source": "aws.events", "detail-type": "Scheduled Event", "detail": {} });
        self.invoke("UpdaterFunction", event).await
    }

    /// Invokes a function by the name of its output.
    pub async fn invoke(&self, function: &str, payload: Value) -> InvokeOutcome {
        self.stack.invoke(self.stack.output(function), payload).await.expect("the function answers")
    }

    /// Ends everything and insists that nothing is left.
    pub async fn end(self) {
        self.stack.stop().await.expect("nothing is left running");
    }
}

/// The generation that an update published, or found published.
pub fn published(outcome: &InvokeOutcome) -> u64 {
    let generation = outcome.payload.get("generation").and_then(Value::as_u64);
    generation.unwrap_or_else(|| panic!("the update failed: {outcome:?}"))
}

/// `main`, which knows EICAR.
pub fn main_database() -> Vec<u8> {
    CvdBuilder::new("main").version(62).member("main.ndb", eicar_signature()).build(SigningKeys::fixed())
}

/// `daily`, which may know [`EVIL`].
pub fn daily(version: u32, knows_evil: bool) -> Vec<u8> {
    daily_builder(version, knows_evil).build(SigningKeys::fixed())
}

/// `daily`, for a test to spoil.
pub fn daily_builder(version: u32, knows_evil: bool) -> CvdBuilder {
    let pattern = hex::encode(EVIL);
    let evil = if knows_evil { format!("Test.Evil:0:*:{pattern}\n") } else { String::new() };
    let signatures = "Test.Nothing:0:*:6e6f7468696e67206c696b6520746869732065766572\n".to_owned() + &evil;
    // ClamAV's has a context too, which a delta engine loads whole.
    let daily = CvdBuilder::new("daily").version(version).member("daily.ndb", signatures);
    daily.member("daily.ign2", "Test.Withdrawn\n").member("daily.fp", format!("{}:68:trusted.txt\n", "0".repeat(32)))
}
