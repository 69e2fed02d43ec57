//! The scanner: scans what its messages name, tags, records the verdict, reports.

pub mod bus_events;
pub mod config;
pub mod containment;
mod delta_engines;
pub mod inspect;
pub mod local_definitions;
mod readiness;
pub mod reports;
pub mod result_message;
pub mod scan;

use std::{
    collections::{BTreeMap, HashMap},
    path::PathBuf,
    sync::Arc,
    time::Instant,
};

use chrono::Utc;
use config::Config;
use containment::is_quarantined;
use futures::{StreamExt, stream};
use inspect::{EngineInspector, Engines};
use lambda_runtime::{Diagnostic, tracing};
use local_definitions::{DefinitionsError, LocalDisk};
use nacre_core::{
    event::{Cause, Invocation, Message, Notice, Recorded, RescanKind, RescanTrigger, ScanRequest},
    generation::{Generation, manifest::Manifest},
    object::ObjectId,
    port::{Clock, DefinitionsStore, EventBus, ObjectStore, RecordStore, StoreError, Topic},
    telemetry::{Metric, error_chain},
    verdict::Verdict,
};
use nacre_engine_client::EnginePool;
use readiness::{Readiness, Ready, ReadyError};
use reports::Reports;
use scan::{Outcome, ScanError, Scanner};
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

/// What the scanner speaks to.
pub struct Ports<Objects, Records, Results, Bus, Definitions, Time> {
    /// The scanned objects.
    pub objects: Objects,
    /// The scan records.
    pub records: Records,
    /// The result topic; `None` publishes nothing.
    pub results: Option<Results>,
    /// The topic that is told when a scan begins; `None` tells nobody.
    pub starts: Option<Results>,
    /// The topic that rescans with everything are asked for on, where they are not done here.
    pub rescans: Option<Results>,
    /// The EventBridge bus of results; `None` puts nothing.
    pub bus: Option<Bus>,
    /// The definitions bucket.
    pub definitions: Definitions,
    /// The time of day.
    pub clock: Time,
}

/// The function: what it speaks to, and what it keeps warm between invocations.
pub struct Function<Objects, Records, Results, Bus, Definitions, Time> {
    config: Config,
    ports: Ports<Objects, Records, Results, Bus, Definitions, Time>,
    readiness: Readiness,
}

/// What an invocation came to.
#[derive(Debug)]
pub struct Handled {
    /// The answer: SQS reads the failed messages from it.
    pub response: Value,
    /// What happened, counted.
    pub counts: Vec<(Metric, u64)>,
}

/// Why an invocation failed as a whole; it comes again.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// A message that came without a queue failed, and there is no other way to say so.
    #[error("{failed} of {all} records failed")]
    Direct {
        /// How many.
        failed: usize,
        /// Of how many.
        all: usize,
        /// The first failure.
        #[source]
        source: NoticeError,
    },
}

impl From<HandleError> for Diagnostic {
    fn from(error: HandleError) -> Self {
        Self { error_type: "HandleError".into(), error_message: error_chain(&error) }
    }
}

/// Why one record of a message could not be done.
#[derive(Debug, thiserror::Error)]
pub enum NoticeError {
    /// The object's scan failed.
    #[error("the object could not be scanned")]
    Scan(#[from] ScanError),
    /// There is nothing to scan with.
    #[error("no definitions are ready")]
    Ready(#[from] ReadyError),
    /// A scan with everything could not be asked for.
    #[error("a scan with all definitions could not be asked for")]
    Forward(#[source] StoreError),
    /// The record of a removed object could not be removed.
    #[error("the record of a removed object could not be removed")]
    Remove(#[source] StoreError),
}

/// What the messages of one invocation share.
struct Batch {
    /// When the invocation ends.
    deadline: Instant,
    /// What is published, looked up once for all.
    manifest: OnceCell<Arc<Manifest>>,
    /// An engine with that, made ready by the first object that needs it.
    ready: OnceCell<Ready>,
    /// A lock for each object that is named.
    objects: HashMap<(String, String), Mutex<()>>,
}

fn locks(messages: &[Message]) -> HashMap<(String, String), Mutex<()>> {
    let notices = messages.iter().flat_map(|message| &message.notices);
    notices.filter_map(object_of).map(|object| ((object.bucket.clone(), object.key.clone()), Mutex::new(()))).collect()
}

/// Waits until no other message is about this object.
async fn turn<'a>(object: &ObjectId, batch: &'a Batch) -> Option<MutexGuard<'a, ()>> {
    match batch.objects.get(&(object.bucket.clone(), object.key.clone())) {
        Some(lock) => Some(lock.lock().await),
        None => None,
    }
}

/// Counts of one invocation.
type Counts = BTreeMap<&'static str, (Metric, u64)>;

impl<Objects, Records, Results, Bus, Definitions, Time> Function<Objects, Records, Results, Bus, Definitions, Time>
where
    Objects: ObjectStore,
    Records: RecordStore,
    Results: Topic,
    Bus: EventBus,
    Definitions: DefinitionsStore,
    Time: Clock,
{
    /// Sets the function up; `engine` is the program to start.
    ///
    /// # Errors
    /// [`DefinitionsError::Disk`] when the local directory cannot be made.
    pub fn new(
        config: Config,
        engine: PathBuf,
        ports: Ports<Objects, Records, Results, Bus, Definitions, Time>,
    ) -> Result<Self, DefinitionsError> {
        let disk = LocalDisk::new(&config.definitions_path, config.trust_anchors.clone())?;
        let pool = EnginePool::new(engine, config.scratch_path.clone()).with_scans(config.parallelism);
        let readiness = Readiness::new(disk, config.trust_anchors.clone(), pool);
        Ok(Self { config, ports, readiness })
    }

    /// Loads the published definitions ahead of the first message.
    ///
    /// # Errors
    /// As a scan's; the first message tries again.
    pub async fn warm_up(&self) -> Result<(), NoticeError> {
        if self.config.full_scans {
            let manifest = self.readiness.published(&self.ports.definitions).await.map_err(ReadyError::from)?;
            self.readiness.ready(&self.ports.definitions, &manifest).await?;
        }
        Ok(())
    }

    /// Handles one invocation: every record of every message, several messages at a time.
    ///
    /// # Errors
    /// [`HandleError`] when records failed that no queue can bring back one by one.
    pub async fn handle(&self, payload: &Value, deadline: Instant) -> Result<Handled, HandleError> {
        let mut counts = Counts::new();
        let (mut returned, mut direct) = (Vec::new(), Vec::new());
        let invocation = Invocation::read(payload);
        let all = invocation.messages.iter().map(|message| message.notices.len()).sum();
        let objects = locks(&invocation.messages);
        let batch = Batch { deadline, manifest: OnceCell::new(), ready: OnceCell::new(), objects };
        self.bridge(&invocation.messages, &batch).await;
        let handling = stream::iter(invocation.messages).map(|message| self.handle_message(message, &batch));
        let mut handling = handling.buffer_unordered(self.config.parallelism);
        while let Some((message, counted, failures)) = handling.next().await {
            for (metric, number) in counted.into_values() {
                counts.entry(metric.name()).or_insert((metric, 0)).1 += number;
            }
            match (message.id, failures.is_empty()) {
                (_, true) => {}
                (Some(id), false) => returned.push(json!({ "itemIdentifier": id })),
                (None, false) => direct.extend(failures),
            }
        }
        for (metric, number) in self.readiness.take_times() {
            counts.insert(metric.name(), (metric, number));
        }
        let failed = direct.len();
        match direct.into_iter().next() {
            Some(source) => Err(HandleError::Direct { failed, all, source }),
            None => Ok(Handled {
                response: json!({ "batchItemFailures": returned }),
                counts: counts.into_values().collect(),
            }),
        }
    }

    async fn handle_message(&self, message: Message, batch: &Batch) -> (Message, Counts, Vec<NoticeError>) {
        let (mut counts, mut failures) = (Counts::new(), Vec::new());
        for notice in &message.notices {
            if let Err(error) = self.handle_notice(notice, batch, &mut counts).await {
                let about = object_of(notice);
                tracing::error!(
                    s3.bucket = about.map(|object| object.bucket.as_str()),
                    s3.key = about.map(|object| object.key.as_str()),
                    s3.version_id = about.and_then(|object| object.version_id.as_deref()),
                    cause = error_chain(&error),
                    "record failed and will come again"
                );
                count(&mut counts, Metric::Failed);
                failures.push(error);
            }
        }
        (message, counts, failures)
    }

    async fn handle_notice(&self, notice: &Notice, batch: &Batch, counts: &mut Counts) -> Result<(), NoticeError> {
        // Two messages about one object take turns: the second is answered by the record of the first.
        let _turn = match object_of(notice) {
            Some(object) => turn(object, batch).await,
            None => None,
        };
        match notice {
            // Our own copies there, or a notification that covers too much: scanned again, it would be moved for ever.
            Notice::Scan(request) if is_quarantined(&request.object, &self.config.infected) => {
                tracing::info!(reason = "quarantined", "record ignored");
                count(counts, Metric::Ignored);
            }
            Notice::Scan(request) => {
                let outcome = self.scan(request, batch).await?;
                for metric in tell(request, &outcome) {
                    count(counts, *metric);
                }
            }
            Notice::Removed { object, sequencer } => {
                self.ports.records.remove(object, sequencer.as_ref()).await.map_err(NoticeError::Remove)?;
                count(counts, Metric::Gone);
            }
            Notice::Ignored(ignored) => {
                tracing::info!(reason = ?ignored, "record ignored");
                count(counts, Metric::Ignored);
            }
            Notice::Malformed(error) => {
                // Trying again would never help, so it is acknowledged.
                tracing::error!(cause = error_chain(error), "record malformed");
                count(counts, Metric::Malformed);
            }
        }
        Ok(())
    }

    async fn scan(&self, request: &ScanRequest, batch: &Batch) -> Result<Outcome, NoticeError> {
        let store = &self.ports.definitions;
        let published = || async { self.readiness.published(store).await.map_err(ReadyError::from) };
        let manifest = batch.manifest.get_or_try_init(published).await?;
        let engines = Engines::Published {
            readiness: &self.readiness,
            store,
            manifest,
            ready: &batch.ready,
            engine: self.readiness.engine().await.map_err(ReadyError::from)?,
            full_scans: self.config.full_scans,
        };
        // Boxed: what a scan waits for is deep.
        match (Box::pin(self.scan_with(engines, request, batch.deadline)).await, &self.ports.rescans) {
            (Err(ScanError::NeedsEverything), Some(topic)) => {
                self.forward(request, manifest.generation, topic).await.map_err(NoticeError::Forward)?;
                Ok(Outcome::Forwarded)
            }
            (outcome, _) => Ok(outcome?),
        }
    }

    /// Asks those who have all definitions loaded.
    async fn forward(&self, request: &ScanRequest, generation: Generation, topic: &Results) -> Result<(), StoreError> {
        let (region, at) = (&self.config.region, self.ports.clock.now());
        let trigger = RescanTrigger { generation, kind: RescanKind::Full, region, at };
        let sequencer = request.sequencer.as_ref();
        let recorded = Recorded { object: &request.object, etag: "", size: 1, sequencer };
        topic.publish(&trigger.message([recorded])).await
    }

    async fn scan_with(
        &self,
        engines: Engines<'_, Definitions>,
        request: &ScanRequest,
        deadline: Instant,
    ) -> Result<Outcome, ScanError> {
        let mut inspector = EngineInspector {
            objects: &self.ports.objects,
            engines,
            limits: self.config.limits,
            scan_timeout: self.config.scan_timeout,
            skip_larger_than: self.config.skip_larger_than,
            deadline,
            now: self.ports.clock.now(),
            staleness_limit: self.config.staleness_limit,
        };
        let scanner = Scanner {
            objects: &self.ports.objects,
            records: &self.ports.records,
            reports: Reports {
                results: self.ports.results.as_ref(),
                starts: self.ports.starts.as_ref(),
                bus: self.ports.bus.as_ref(),
                names: &self.config.tags,
                settings: &self.config.results,
            },
            clock: &self.ports.clock,
            names: &self.config.tags,
            infected: &self.config.infected,
        };
        scanner.scan(request, &mut inspector).await
    }

    /// While newer definitions are fetched and loaded beside the warm ones, uploads are judged by the warm ones, so that none of them
    /// waits. All are judged again afterwards, by the newer: a rescan may have passed their records already. What fails here is
    /// made good then.
    async fn bridge(&self, messages: &[Message], batch: &Batch) {
        let uploads = messages.iter().flat_map(|message| &message.notices).filter_map(|notice| match notice {
            Notice::Scan(request) if request.cause == Cause::Upload => Some(request),
            _ => None,
        });
        let uploads: Vec<&ScanRequest> =
            uploads.filter(|request| !is_quarantined(&request.object, &self.config.infected)).collect();
        let Some(warm) = self.readiness.warm() else { return };
        if uploads.is_empty() {
            return;
        }
        // Whoever needs what cannot be had finds out what is wrong.
        let Ok(manifest) = self.readiness.published(&self.ports.definitions).await else { return };
        let _ = batch.manifest.set(Arc::clone(&manifest));
        if manifest.generation == warm.definitions.generation {
            let _ = batch.ready.set(warm);
            return;
        }
        if !self.readiness.has_room_beside(&warm).await {
            return;
        }
        let looking = stream::iter(uploads).for_each_concurrent(self.config.parallelism, |request| {
            let warm = &warm;
            async move {
                // One turn each: nothing else of this batch is at work yet but other messages about the same object.
                let _turn = turn(&request.object, batch).await;
                if batch.ready.get().is_some() {
                    return;
                }
                let engines = Engines::Warm { readiness: &self.readiness, ready: warm };
                match self.scan_with(engines, request, batch.deadline).await {
                    Ok(outcome) => {
                        tell(request, &outcome);
                    }
                    Err(error) => tracing::warn!(cause = error_chain(&error), "object waits for newer definitions"),
                }
            }
        });
        let preparing = batch.ready.get_or_try_init(|| self.readiness.ready(&self.ports.definitions, &manifest));
        if let (Err(error), ()) = futures::join!(preparing, looking) {
            tracing::error!(cause = error_chain(&error), "newer definitions cannot be made ready");
        }
    }

    /// The time of day.
    pub fn now(&self) -> chrono::DateTime<Utc> {
        self.ports.clock.now()
    }
}

/// Logs an outcome and names the metrics that it counts for.
fn tell(request: &ScanRequest, outcome: &Outcome) -> &'static [Metric] {
    let object = &request.object;
    macro_rules! log {
        ($level:ident, $verdict:expr, $message:literal) => {
            tracing::$level!(
                s3.bucket = object.bucket,
                s3.key = object.key,
                s3.version_id = object.version_id,
                verdict = $verdict.map(Verdict::name),
                signatures = $verdict.map(|verdict: &Verdict| verdict.signatures().join(" ")),
                reason = $verdict.and_then(Verdict::reason).map(|reason| reason.name()),
                $message
            )
        };
    }
    match outcome {
        Outcome::Scanned(verdict @ Verdict::Infected { .. }) => {
            log!(warn, Some(verdict), "object scanned");
            &[Metric::Scanned, Metric::Infected]
        }
        Outcome::Scanned(verdict @ Verdict::Clean) => {
            log!(info, Some(verdict), "object scanned");
            &[Metric::Scanned, Metric::Clean]
        }
        Outcome::Scanned(verdict) => {
            log!(warn, Some(verdict), "object not scanned");
            &[Metric::Unscanned]
        }
        Outcome::Cleared => {
            log!(warn, Some(&Verdict::Clean), "object cleared: what convicted it is gone");
            &[Metric::Scanned, Metric::Clean, Metric::Cleared]
        }
        Outcome::Forwarded => {
            log!(info, None, "object needs a scan with all definitions");
            &[Metric::Forwarded]
        }
        Outcome::AlreadyScanned(verdict) => {
            log!(info, Some(verdict), "object already scanned");
            &[Metric::AlreadyScanned]
        }
        Outcome::Gone => {
            log!(info, None, "object gone");
            &[Metric::Gone]
        }
    }
}

fn object_of(notice: &Notice) -> Option<&ObjectId> {
    match notice {
        Notice::Scan(request) => Some(&request.object),
        Notice::Removed { object, .. } => Some(object),
        Notice::Ignored(_) | Notice::Malformed(_) => None,
    }
}

fn count(counts: &mut Counts, metric: Metric) {
    counts.entry(metric.name()).or_insert((metric, 0)).1 += 1;
}
