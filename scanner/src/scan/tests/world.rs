//! A world in memory, and a reader of objects in it.

use nacre_core::{dialect::Dialect, finding::asff::Product, scan_record::FunctionalityLevel, targets::Targets};
use std::marker::PhantomData;

use super::*;

/// Calls content that contains `evil` infected; may meddle with the object right after it has read it.
pub(super) struct Reader<'a> {
    pub(super) objects: &'a MemoryObjects,
    pub(super) generation: u64,
    pub(super) scans: u32,
    /// Whether records of this world are valid under its definitions.
    pub(super) unaffected: bool,
    pub(super) meddle: Option<Box<dyn FnOnce() + 'a>>,
}

impl<'a> Reader<'a> {
    pub(super) fn new(objects: &'a MemoryObjects, generation: u64) -> Self {
        Self { objects, generation, scans: 0, unaffected: false, meddle: None }
    }

    pub(super) fn meddling(objects: &'a MemoryObjects, meddle: impl FnOnce() + 'a) -> Self {
        Self { meddle: Some(Box::new(meddle)), ..Self::new(objects, 1) }
    }
}

impl Inspector for Reader<'_> {
    fn generation(&self) -> Generation {
        Generation(self.generation)
    }

    fn engine(&self) -> EngineVersion {
        EngineVersion { version: "1.4.6".into(), functionality_level: FunctionalityLevel(216) }
    }

    async fn inspect(&mut self, object: &ObjectId, head: &ObjectHead) -> Result<Inspection, ScanError> {
        self.scans += 1;
        let scratch = tempfile::tempdir().unwrap();
        let path = scratch.path().join("object");
        match self.objects.download(object, head, &path).await {
            Err(StoreError::Unreadable(obstacle, ..)) => {
                return Ok(Inspection::not_scanned(Verdict::Unscannable { reason: reason_of(obstacle) }));
            }
            downloaded => downloaded.map_err(ScanError::Read)?,
        }
        let content = std::fs::read_to_string(path).unwrap();
        let is_eicar = content.contains("EICAR-STANDARD");
        let infected = content.contains("evil") || is_eicar;
        if let Some(meddle) = self.meddle.take() {
            meddle();
        }
        let signatures = vec![if is_eicar { "Eicar-Test-Signature" } else { "Test.Evil" }.to_owned()];
        let verdict = if infected { Verdict::Infected { signatures } } else { Verdict::Clean };
        Ok(Inspection {
            verdict,
            targets: Targets::of(0),
            layers: None,
            layer_count: 1,
            types: None,
            unread: Vec::new(),
        })
    }

    async fn needs_scan(&mut self, _record: &ScanRecord, _head: &ObjectHead) -> Result<bool, ScanError> {
        Ok(!self.unaffected)
    }

    async fn reinspect(&mut self, _record: &ScanRecord, _head: &ObjectHead) -> Result<Option<Inspection>, ScanError> {
        Ok(None)
    }
}

#[derive(Default)]
pub(super) struct World {
    pub(super) objects: MemoryObjects,
    pub(super) records: MemoryRecords,
    pub(super) results: MemoryTopic,
    pub(super) starts: MemoryTopic,
    pub(super) alerts: MemoryTopic,
    pub(super) bus: MemoryBus,
    pub(super) hub: MemoryHub,
    pub(super) definitions: MemoryDefinitions,
    pub(super) infected: InfectedSettings,
}

/// The services of a world, of whose calls one may fail, with a store of objects of the test's own.
pub(super) struct Fakes<'a, Objects>(PhantomData<&'a Objects>);

impl<'a, Objects: ObjectStore> Services for Fakes<'a, Objects> {
    type Objects = Failing<'a, Objects>;
    type Records = Failing<'a, MemoryRecords>;
    type Topic = Failing<'a, MemoryTopic>;
    type Bus = Failing<'a, MemoryBus>;
    type Hub = &'a MemoryHub;
    type Deliveries = MemoryDeliveries;
    type Definitions = Failing<'a, MemoryDefinitions>;
    type Clock = FixedClock;
}

impl World {
    pub(super) async fn scan(&self, object: &ObjectId, reader: &mut Reader<'_>) -> Result<Outcome, ScanError> {
        self.scan_with(&self.objects, &Plan::never(), &upload(object), reader).await
    }

    /// Scans through another store of objects; the plan says which call fails.
    pub(super) async fn scan_with(
        &self,
        objects: &impl ObjectStore,
        plan: &Plan,
        request: &ScanRequest,
        reader: &mut Reader<'_>,
    ) -> Result<Outcome, ScanError> {
        let ports = Ports::<Fakes<'_, _>> {
            objects: Failing { port: objects, plan },
            records: Failing { port: &self.records, plan },
            results: Some(Failing { port: &self.results, plan }),
            starts: Some(Failing { port: &self.starts, plan }),
            rescans: None,
            alerts: Some(Failing { port: &self.alerts, plan }),
            bus: Some(Failing { port: &self.bus, plan }),
            hub: Some(&self.hub),
            deliveries: None,
            definitions: Failing { port: &self.definitions, plan },
            clock: FixedClock::default(),
        };
        let tags = &TagNames { dialects: vec![Dialect::Predecessor, Dialect::Ocsf], ..TagNames::default() };
        let results = &ResultSettings { security_hub: Some(product()), ..everything() };
        Scanner { ports: &ports, tags, results, infected: &self.infected }.scan(request, reader).await
    }

    pub(super) async fn status(&self, object: &ObjectId) -> Option<String> {
        let tags = self.objects.tags(object).await.unwrap();
        tags.into_iter().find(|tag| tag.key == "av-status").map(|tag| tag.value)
    }
}

/// Whose findings a world imports.
fn product() -> Product {
    Product::parse("arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default").unwrap()
}

pub(super) fn upload(object: &ObjectId) -> ScanRequest {
    ScanRequest { object: object.clone(), sequencer: None, cause: Cause::Upload, at: None }
}
