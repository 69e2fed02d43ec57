//! The code of the Lambda function, with files for objects, a directory for the definitions bucket, and a table and a topic in memory.

use std::{marker::PhantomData, path::Path};

use nacre_aws::SystemClock;
use nacre_core::verdict::Verdict;
use nacre_scanner::{Function, Ports, Services, config::Config};
use nacre_testing::{
    failing::{Failing, Plan},
    memory_deliveries::MemoryDeliveries,
    memory_records::MemoryRecords,
    memory_topic::{MemoryBus, MemoryTopic},
};

use crate::{
    directory_objects::DirectoryObjects, error::BenchError, material::DirectoryDefinitions, measured::Verdicts,
    ours::Run,
};

/// What a function speaks to.
pub(crate) struct World {
    objects: DirectoryObjects,
    records: MemoryRecords,
    results: MemoryTopic,
    plan: Plan,
}

/// The services of a world's function.
pub(crate) struct Fakes<'a>(PhantomData<&'a World>);

impl<'a> Services for Fakes<'a> {
    type Objects = Failing<'a, DirectoryObjects>;
    type Records = Failing<'a, MemoryRecords>;
    type Topic = Failing<'a, MemoryTopic>;
    type Bus = MemoryBus;
    type Deliveries = MemoryDeliveries;
    type Definitions = DirectoryDefinitions;
    type Clock = SystemClock;
}

/// A function over a world.
pub(crate) type Scanner<'a> = Function<Fakes<'a>>;

impl World {
    /// Objects are the files of this directory.
    pub(crate) fn new(objects: &Path) -> Self {
        let objects = DirectoryObjects::new(objects.to_owned());
        Self { objects, records: MemoryRecords::default(), results: MemoryTopic::default(), plan: Plan::never() }
    }

    /// A function that scans so many objects at once.
    pub(crate) fn scanner(&self, run: &Run, parallelism: usize) -> Result<Scanner<'_>, BenchError> {
        let config = Config { parallelism, ..run.config()? };
        let (plan, definitions) = (&self.plan, DirectoryDefinitions { root: run.bucket.clone() });
        let ports = Ports::<Fakes<'_>> {
            objects: Failing { port: &self.objects, plan },
            records: Failing { port: &self.records, plan },
            results: Some(Failing { port: &self.results, plan }),
            starts: None,
            rescans: None,
            bus: None,
            deliveries: None,
            definitions,
            clock: SystemClock,
        };
        Ok(Function::new(config, run.engine.clone(), ports)?)
    }

    /// What was recorded of each file, of all rounds together.
    pub(crate) fn verdicts(&self) -> Verdicts {
        let mut verdicts = Verdicts::new();
        for record in self.records.records() {
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
