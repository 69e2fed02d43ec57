//! The services that the rescanner uses.

use nacre_core::port::{Clock, DefinitionsStore, RecordPages, Topic, WorkQueue};

/// The type of each service. The function is built for AWS; tests choose others.
pub trait Services {
    /// The definitions bucket.
    type Definitions: DefinitionsStore;
    /// The scan records.
    type Records: RecordPages;
    /// The topic of rescan triggers.
    type Triggers: Topic;
    /// The queue of our own work.
    type Queue: WorkQueue;
    /// The clock.
    type Clock: Clock;
}

/// The services themselves.
pub struct Ports<S: Services> {
    /// The definitions bucket.
    pub definitions: S::Definitions,
    /// The scan records.
    pub records: S::Records,
    /// The topic on which rescans are requested.
    pub triggers: S::Triggers,
    /// The queue of our own work.
    pub queue: S::Queue,
    /// The clock: a pass is worked on for minutes, and its reports say when each was written.
    pub clock: S::Clock,
}
