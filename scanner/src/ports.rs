//! The services that the scanner uses.

use nacre_core::port::{Clock, DefinitionsStore, Deliveries, EventBus, FindingImport, ObjectStore, RecordStore, Topic};

/// The type of each service. The function is built for AWS; tests choose others.
pub trait Services {
    /// The scanned objects.
    type Objects: ObjectStore;
    /// The scan records.
    type Records: RecordStore;
    /// Topics.
    type Topic: Topic;
    /// EventBridge buses.
    type Bus: EventBus;
    /// Security Hub.
    type Hub: FindingImport;
    /// The queues that messages come from.
    type Deliveries: Deliveries;
    /// The definitions bucket.
    type Definitions: DefinitionsStore;
    /// The clock.
    type Clock: Clock;
}

/// The services themselves.
pub struct Ports<S: Services> {
    /// The scanned objects.
    pub objects: S::Objects,
    /// The scan records.
    pub records: S::Records,
    /// The result topic; without it, nothing is published there.
    pub results: Option<S::Topic>,
    /// The topic of messages that a scan begins; without it, none are published.
    pub starts: Option<S::Topic>,
    /// The topic on which full scans are requested, where this function does none.
    pub rescans: Option<S::Topic>,
    /// The topic of messages for people; without it, nothing is published there.
    pub alerts: Option<S::Topic>,
    /// The EventBridge bus of results; without it, nothing is put there.
    pub bus: Option<S::Bus>,
    /// Security Hub; without it, nothing is imported there.
    pub hub: Option<S::Hub>,
    /// The queues that messages come from; without them, a message that failed waits for its queue's visibility timeout.
    pub deliveries: Option<S::Deliveries>,
    /// The definitions bucket.
    pub definitions: S::Definitions,
    /// The clock.
    pub clock: S::Clock,
}
