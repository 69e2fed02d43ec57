//! The scanner's function over records and topics in memory.

use std::{marker::PhantomData, path::PathBuf};

use nacre_aws::SystemClock;
use nacre_core::port::{DefinitionsStore, ObjectStore};
use nacre_scanner::{Function, Ports, Services, config::Config, local_definitions::DefinitionsError};
use nacre_testing::{
    failing::{Failing, Plan},
    memory_deliveries::MemoryDeliveries,
    memory_records::MemoryRecords,
    memory_topic::{MemoryBus, MemoryHub, MemoryTopic},
};

/// What a scanner works with, besides its definitions.
pub struct ScannerWorld<Objects> {
    /// The scanned buckets.
    pub objects: Objects,
    /// The table.
    pub records: MemoryRecords,
    /// The topic of results.
    pub results: MemoryTopic,
    /// The topic of rescans that others are to do.
    pub rescans: MemoryTopic,
    /// The messages that come back sooner.
    pub deliveries: MemoryDeliveries,
    /// Which of its calls fails.
    pub plan: Plan,
}

/// The services of a world's function.
pub struct ScannerFakes<'a, Objects, Definitions>(PhantomData<(&'a Objects, Definitions)>);

impl<'a, Objects, Definitions> Services for ScannerFakes<'a, Objects, Definitions>
where
    Objects: ObjectStore + Sync + 'a,
    Definitions: DefinitionsStore + Send + Sync,
{
    type Objects = Failing<'a, Objects>;
    type Records = Failing<'a, MemoryRecords>;
    type Topic = Failing<'a, MemoryTopic>;
    type Bus = MemoryBus;
    type Hub = MemoryHub;
    type Deliveries = Failing<'a, MemoryDeliveries>;
    type Definitions = Definitions;
    type Clock = SystemClock;
}

/// A scanner over a world.
pub type Scanner<'a, Objects, Definitions> = Function<ScannerFakes<'a, Objects, Definitions>>;

impl<Objects: ObjectStore + Sync> ScannerWorld<Objects> {
    /// Nothing recorded, and no call fails.
    pub fn new(objects: Objects) -> Self {
        let (records, results, rescans) = <(MemoryRecords, MemoryTopic, MemoryTopic)>::default();
        let deliveries = MemoryDeliveries::default();
        Self { objects, records, results, rescans, deliveries, plan: Plan::never() }
    }

    /// A function with these settings, this engine program and these definitions.
    ///
    /// # Errors
    /// The function's.
    pub fn scanner<Definitions: DefinitionsStore + Send + Sync>(
        &self,
        config: Config,
        engine: PathBuf,
        definitions: Definitions,
    ) -> Result<Scanner<'_, Objects, Definitions>, DefinitionsError> {
        let plan = &self.plan;
        let ports = Ports::<ScannerFakes<'_, Objects, Definitions>> {
            objects: Failing { port: &self.objects, plan },
            records: Failing { port: &self.records, plan },
            results: Some(Failing { port: &self.results, plan }),
            starts: None,
            rescans: Some(Failing { port: &self.rescans, plan }),
            alerts: None,
            bus: None,
            hub: None,
            deliveries: Some(Failing { port: &self.deliveries, plan }),
            definitions,
            clock: SystemClock,
        };
        Function::new(config, engine, ports)
    }
}
