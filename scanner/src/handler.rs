//! The handler of invocations: reads the events of each message, scans what they name, and reports failed messages to SQS.

use std::{
    collections::HashMap,
    path::PathBuf,
    pin::pin,
    sync::Arc,
    time::{Duration, Instant},
};

use chrono::Utc;
use futures::{StreamExt, stream};
use lambda_runtime::{Diagnostic, tracing};
use nacre_core::{
    event::{Cause, Invocation, Message, ObjectEvent, RescanKind, RescanTarget, RescanTrigger, ScanRequest},
    generation::{Generation, manifest::Manifest},
    object::ObjectId,
    port::{Clock, Deliveries, RecordStore, StoreError, Topic},
    telemetry::{Metric, error_chain},
};
use nacre_engine_client::EnginePool;
use serde_json::{Value, json};
use tokio::sync::{Mutex, MutexGuard, OnceCell};

use crate::{
    batch_order::order,
    config::Config,
    containment::is_quarantined,
    counts::Counts,
    engine_cache::{EngineCache, Ready, ReadyError},
    inspect::{EngineInspector, Engines},
    local_definitions::{DefinitionsError, LocalDisk},
    log_outcome::log_outcome,
    ports::{Ports, Services},
    scan::{Outcome, ScanError, Scanner},
};

/// The function: its services, and the engines that it keeps warm between invocations.
pub struct Function<S: Services> {
    config: Config,
    ports: Ports<S>,
    engines: EngineCache,
}

/// The result of an invocation.
#[derive(Debug)]
pub struct Handled {
    /// The response, from which SQS reads the failed messages.
    pub response: Value,
    /// Metrics, with their values.
    pub counts: Vec<(Metric, u64)>,
}

/// Why an invocation failed as a whole; Lambda retries it.
#[derive(Debug, thiserror::Error)]
pub enum HandleError {
    /// Records failed that came without a queue, so that they cannot be returned one by one.
    #[error("{failed} of {all} records failed")]
    Direct {
        /// Records that failed.
        failed: usize,
        /// All records.
        all: usize,
        /// The first failure.
        #[source]
        source: EventError,
    },
}

impl From<HandleError> for Diagnostic {
    fn from(error: HandleError) -> Self {
        Self { error_type: "HandleError".into(), error_message: error_chain(&error) }
    }
}

/// Why one record of a message failed.
#[derive(Debug, thiserror::Error)]
pub enum EventError {
    /// The object's scan failed.
    #[error("the object could not be scanned")]
    Scan(#[from] ScanError),
    /// No engine is ready.
    #[error("no definitions are ready")]
    Ready(#[from] ReadyError),
    /// A full scan could not be requested.
    #[error("a full scan could not be requested")]
    Forward(#[source] StoreError),
    /// The record of a removed object could not be removed.
    #[error("the record of a removed object could not be removed")]
    Remove(#[source] StoreError),
}

/// How long to ask SQS to deliver a message sooner. It is of use only while the rest of the batch is not delayed by it.
const TIME_TO_POSTPONE: Duration = Duration::from_secs(10);

/// State that the messages of one invocation share.
struct Batch {
    /// When the invocation ends.
    deadline: Instant,
    /// The published manifest, read once.
    manifest: OnceCell<Arc<Manifest>>,
    /// An engine with its definitions, made ready by the first object that needs it.
    ready: OnceCell<Ready>,
    /// A lock for each object that an event names.
    objects: HashMap<(String, String), Mutex<()>>,
}

fn locks(messages: &[Message]) -> HashMap<(String, String), Mutex<()>> {
    let events = messages.iter().flat_map(|message| &message.events);
    events.filter_map(object_of).map(|object| ((object.bucket.clone(), object.key.clone()), Mutex::new(()))).collect()
}

/// Waits until no other event about this object is handled.
async fn lock_object<'a>(object: &ObjectId, batch: &'a Batch) -> Option<MutexGuard<'a, ()>> {
    match batch.objects.get(&(object.bucket.clone(), object.key.clone())) {
        Some(lock) => Some(lock.lock().await),
        None => None,
    }
}

impl<S: Services> Function<S> {
    /// Sets the function up; `engine` is the program to start.
    ///
    /// # Errors
    /// [`DefinitionsError::Disk`] when the local directory cannot be made.
    pub fn new(config: Config, engine: PathBuf, ports: Ports<S>) -> Result<Self, DefinitionsError> {
        let disk =
            LocalDisk::new(&config.definitions_path, config.trust_anchors.clone())?.with_scan_sets(config.scan_sets);
        let pool = EnginePool::new(engine, config.scratch_path.clone())
            .with_scans(config.parallelism)
            .with_policy(config.sandbox);
        let engines = EngineCache::new(disk, config.trust_anchors.clone(), pool);
        Ok(Self { config, ports, engines })
    }

    /// Loads the published definitions ahead of the first message.
    ///
    /// # Errors
    /// As a scan's; the first message retries.
    pub async fn warm_up(&self) -> Result<(), EventError> {
        if self.config.full_scans {
            let manifest = self.engines.published(&self.ports.definitions).await.map_err(ReadyError::from)?;
            self.engines.ready(&self.ports.definitions, &manifest).await?;
        }
        Ok(())
    }

    /// Handles one invocation: every record of every message, several messages at a time.
    ///
    /// # Errors
    /// [`HandleError`] when records failed that came without a queue.
    pub async fn handle(&self, payload: &Value, deadline: Instant) -> Result<Handled, HandleError> {
        let mut counts = Counts::default();
        let (mut returned, mut direct) = (Vec::new(), Vec::new());
        let invocation = Invocation::read(payload);
        let all = invocation.messages.iter().map(|message| message.events.len()).sum();
        let objects = locks(&invocation.messages);
        let batch = Batch { deadline, manifest: OnceCell::new(), ready: OnceCell::new(), objects };
        let (together, alone) = order(invocation.messages);
        self.scan_while_loading(&together, &batch).await;
        let handle = |message| self.handle_message(message, &batch);
        let together = stream::iter(together).map(handle).buffer_unordered(self.config.parallelism);
        let mut handling = pin!(together.chain(stream::iter(alone).then(handle)));
        while let Some((message, counted, failures)) = handling.next().await {
            counts.extend(counted);
            match (message.id, failures.is_empty()) {
                (_, true) => {}
                (Some(id), false) => returned.push(json!({ "itemIdentifier": id })),
                (None, false) => direct.extend(failures),
            }
        }
        let mut counts = counts.into_metrics();
        counts.extend(self.engines.take_times());
        let failed = direct.len();
        match direct.into_iter().next() {
            Some(source) => Err(HandleError::Direct { failed, all, source }),
            None => Ok(Handled { response: json!({ "batchItemFailures": returned }), counts }),
        }
    }

    async fn handle_message(&self, message: Message, batch: &Batch) -> (Message, Counts, Vec<EventError>) {
        let (mut counts, mut failures) = (Counts::default(), Vec::new());
        for event in &message.events {
            if let Err(error) = self.handle_event(event, batch, &mut counts).await {
                let about = object_of(event);
                tracing::error!(
                    s3.bucket = about.map(|object| object.bucket.as_str()),
                    s3.key = about.map(|object| object.key.as_str()),
                    s3.version_id = about.and_then(|object| object.version_id.as_deref()),
                    cause = error_chain(&error),
                    "record failed and will be retried"
                );
                counts.count(Metric::Failed);
                failures.push(error);
            }
        }
        if !failures.is_empty() {
            self.postpone(&message).await;
        }
        (message, counts, failures)
    }

    /// Lets a message that failed come back after seconds. What goes wrong here is harmless: it comes back by its queue's visibility
    /// timeout, as it does when the function is killed.
    async fn postpone(&self, message: &Message) {
        let (Some(queues), Some(id), Some(delivery)) = (&self.ports.deliveries, &message.id, &message.delivery) else {
            return;
        };
        let wait = self.config.backoff.wait(id, delivery.receives);
        let outcome = tokio::time::timeout(TIME_TO_POSTPONE, queues.postpone(delivery, wait)).await;
        let cause = match outcome {
            Ok(Ok(())) => return,
            Ok(Err(error)) => error_chain(&error),
            Err(_) => format!("SQS did not answer in {} s", TIME_TO_POSTPONE.as_secs()),
        };
        tracing::warn!(cause, receives = delivery.receives, "failed message waits for its queue's visibility timeout");
    }

    async fn handle_event(&self, event: &ObjectEvent, batch: &Batch, counts: &mut Counts) -> Result<(), EventError> {
        // Two events about one object are handled one after the other: the record of the first answers the second.
        let _lock = match object_of(event) {
            Some(object) => lock_object(object, batch).await,
            None => None,
        };
        match event {
            // Our own copies there, or a notification that covers too much: scanned again, it would be moved for ever.
            ObjectEvent::Scan(request) if is_quarantined(&request.object, &self.config.infected) => {
                tracing::info!(reason = "quarantined", "record ignored");
                counts.count(Metric::Ignored);
            }
            // A rescan is of what was scanned before, whatever the setting was then.
            ObjectEvent::Scan(ScanRequest { object, cause: Cause::Upload, .. })
                if !self.config.scan_only.admits(&object.bucket, &object.key) =>
            {
                tracing::info!(s3.bucket = object.bucket, s3.key = object.key, "object left out by NACRE_SCAN_ONLY");
                counts.count(Metric::LeftOut);
            }
            ObjectEvent::Scan(request) => {
                let outcome = self.scan(request, batch).await?;
                for metric in log_outcome(request, &outcome) {
                    counts.count(*metric);
                }
                if let (Some(at), Cause::Upload, true) = (request.at, request.cause, outcome.is_verdict()) {
                    counts.waited(self.now() - at);
                }
            }
            ObjectEvent::Removed { object, sequencer } => {
                self.ports.records.remove(object, sequencer.as_ref()).await.map_err(EventError::Remove)?;
                counts.count(Metric::Gone);
            }
            ObjectEvent::Ignored(ignored) => {
                tracing::info!(reason = ?ignored, "record ignored");
                counts.count(Metric::Ignored);
            }
            ObjectEvent::Malformed(error) => {
                // A retry would never help, so it is acknowledged.
                tracing::error!(cause = error_chain(error), "record malformed");
                counts.count(Metric::Malformed);
            }
        }
        Ok(())
    }

    async fn scan(&self, request: &ScanRequest, batch: &Batch) -> Result<Outcome, EventError> {
        let store = &self.ports.definitions;
        let published = || async { self.engines.published(store).await.map_err(ReadyError::from) };
        let manifest = batch.manifest.get_or_try_init(published).await?;
        let engines = Engines::Published {
            cache: &self.engines,
            store,
            manifest,
            ready: &batch.ready,
            engine: self.engines.engine().await.map_err(ReadyError::from)?,
            full_scans: self.config.full_scans,
        };
        // Boxed: the future of a scan is large.
        match (Box::pin(self.scan_with(engines, request, batch.deadline)).await, &self.ports.rescans) {
            (Err(ScanError::NeedsFullScan), Some(topic)) => {
                self.forward(request, manifest.generation, topic).await.map_err(EventError::Forward)?;
                Ok(Outcome::Forwarded)
            }
            (outcome, _) => Ok(outcome?),
        }
    }

    /// Requests a scan by a function that has all definitions loaded. That function reads ETag and size from the object itself; a
    /// size of 0 would make a key that ends in `/` a folder marker.
    async fn forward(&self, request: &ScanRequest, generation: Generation, topic: &S::Topic) -> Result<(), StoreError> {
        let (region, at) = (&self.config.region, self.ports.clock.now());
        let trigger = RescanTrigger { generation, kind: RescanKind::Full, region, at };
        let sequencer = request.sequencer.as_ref();
        let recorded = RescanTarget { object: &request.object, etag: "", size: 1, sequencer };
        topic.publish(&trigger.message([recorded])).await
    }

    async fn scan_with(
        &self,
        engines: Engines<'_, S::Definitions>,
        request: &ScanRequest,
        deadline: Instant,
    ) -> Result<Outcome, ScanError> {
        let mut inspector = EngineInspector {
            objects: &self.ports.objects,
            engines,
            limits: self.config.limits,
            function_memory: self.config.function_memory,
            parallelism: self.config.parallelism,
            scan_timeout: self.config.scan_timeout,
            skip_larger_than: self.config.skip_larger_than,
            deadline,
            now: self.ports.clock.now(),
            staleness_limit: self.config.staleness_limit,
        };
        let scanner = Scanner {
            ports: &self.ports,
            tags: &self.config.tags,
            results: &self.config.results,
            infected: &self.config.infected,
        };
        scanner.scan(request, &mut inspector).await
    }

    /// Scans uploads with the warm definitions while newer ones are fetched and loaded, so that no upload waits for them. Each is
    /// scanned again afterwards with the newer ones: a pass may have read its record in the meantime. A failure here is
    /// retried by that scan.
    async fn scan_while_loading(&self, messages: &[Message], batch: &Batch) {
        let uploads = messages.iter().flat_map(|message| &message.events).filter_map(|event| match event {
            ObjectEvent::Scan(request) if request.cause == Cause::Upload => Some(request),
            _ => None,
        });
        let uploads: Vec<&ScanRequest> =
            uploads.filter(|request| !is_quarantined(&request.object, &self.config.infected)).collect();
        let Some(warm) = self.engines.warm() else { return };
        if uploads.is_empty() {
            return;
        }
        // The scan that needs the manifest reports the error.
        let Ok(manifest) = self.engines.published(&self.ports.definitions).await else { return };
        let _ = batch.manifest.set(Arc::clone(&manifest));
        if manifest.generation == warm.definitions.generation {
            let _ = batch.ready.set(warm);
            return;
        }
        if !self.engines.has_room_beside(&warm).await {
            return;
        }
        let scanning = stream::iter(uploads).for_each_concurrent(self.config.parallelism, |request| {
            let warm = &warm;
            async move {
                // Another message may be about the same object.
                let _lock = lock_object(&request.object, batch).await;
                if batch.ready.get().is_some() {
                    return;
                }
                let engines = Engines::Warm { cache: &self.engines, store: &self.ports.definitions, ready: warm };
                match self.scan_with(engines, request, batch.deadline).await {
                    Ok(outcome) => {
                        log_outcome(request, &outcome);
                    }
                    Err(error) => tracing::warn!(cause = error_chain(&error), "object waits for newer definitions"),
                }
            }
        });
        let preparing = batch.ready.get_or_try_init(|| self.engines.ready(&self.ports.definitions, &manifest));
        if let (Err(error), ()) = futures::join!(preparing, scanning) {
            tracing::error!(cause = error_chain(&error), "newer definitions cannot be made ready");
        }
    }

    /// The time of day.
    pub fn now(&self) -> chrono::DateTime<Utc> {
        self.ports.clock.now()
    }
}

fn object_of(event: &ObjectEvent) -> Option<&ObjectId> {
    match event {
        ObjectEvent::Scan(request) => Some(&request.object),
        ObjectEvent::Removed { object, .. } => Some(object),
        ObjectEvent::Ignored(_) | ObjectEvent::Malformed(_) => None,
    }
}
