//! The code of the Lambda function, with files for objects, a directory for the definitions bucket, and a table and a topic in memory.

use std::path::Path;

use nacre_core::verdict::Verdict;
use nacre_scanner::config::Config;

use crate::{directory_objects::DirectoryObjects, measured::Verdicts, ours::Run};
use nacre_test_support::{
    bench::{BenchError, DirectoryDefinitions},
    scanner_world::{self, ScannerWorld},
};

/// What a function speaks to.
pub(crate) struct World(ScannerWorld<DirectoryObjects>);

/// A function over a world.
pub(crate) type Scanner<'a> = scanner_world::Scanner<'a, DirectoryObjects, DirectoryDefinitions>;

impl World {
    /// Objects are the files of this directory.
    pub(crate) fn new(objects: &Path) -> Self {
        Self(ScannerWorld::new(DirectoryObjects::new(objects.to_owned())))
    }

    /// A function that scans so many objects at once.
    pub(crate) fn scanner(&self, run: &Run, parallelism: usize) -> Result<Scanner<'_>, BenchError> {
        let config = Config { parallelism, ..run.config()? };
        let definitions = DirectoryDefinitions { root: run.bucket.clone() };
        Ok(self.0.scanner(config, run.engine.clone(), definitions)?)
    }

    /// What was recorded of each file, of all rounds together.
    pub(crate) fn verdicts(&self) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for record in self.0.records.records() {
            let names =
                verdicts.entry(record.object.key.rsplit('/').next().unwrap_or_default().to_owned()).or_default();
            match &record.verdict {
                Verdict::Clean => {}
                Verdict::Infected { signatures } => names.extend(signatures.iter().cloned()),
                other => _ = names.insert(format!("{other:?}")),
            }
        }
        verdicts
    }
}
