//! Reads events about objects, and writes rescan triggers.
//!
//! Accepted are raw S3 notifications, SNS envelopes, SQS envelopes of either, raw-delivery bodies, EventBridge's S3 events,
//! direct invocations, and the predecessor's stripped-down sample. Every record becomes one [`ObjectEvent`]:
//! a malformed part does not make a message fail as a whole.

mod envelope;
mod s3;
mod trigger;

pub use envelope::{Invocation, Message};
pub use trigger::{CAUSE_ATTRIBUTE, CAUSE_DEFINITIONS, PLAN_ATTRIBUTE, RescanKind, RescanTarget, RescanTrigger};

use chrono::{DateTime, Utc};

use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
};

/// The event that one record of a message reports.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ObjectEvent {
    /// The object has to be scanned.
    Scan(ScanRequest),
    /// The object version was removed for good.
    Removed {
        /// The object version.
        object: ObjectId,
        /// The removal's place in S3's order.
        sequencer: Option<Sequencer>,
    },
    /// Nothing to do.
    Ignored(Ignored),
    /// The record cannot be read; a retry would never help.
    Malformed(EventError),
}

/// A request to scan an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// The object, with its version where the event names one.
    pub object: ObjectId,
    /// S3's order stamp, where the event has one.
    pub sequencer: Option<Sequencer>,
    /// The cause of the request.
    pub cause: Cause,
    /// When S3 says that it was written; `None` for what S3 did not send.
    pub at: Option<DateTime<Utc>>,
}

/// Why an object is scanned.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was written, or a scan was requested by hand.
    Upload,
    /// New definitions were published.
    Definitions(Generation),
}

/// Why there is nothing to do.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Ignored {
    /// S3 tests its notification configuration.
    TestEvent,
    /// An empty object whose key ends in `/`, as consoles make for folders.
    FolderMarker,
    /// Not an event that writes or removes an object: tagging (our own among it), ACLs, replication, lifecycle moves.
    OtherEvent,
    /// Not an event of S3.
    ForeignEvent,
}

/// Why a record cannot be read.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum EventError {
    /// Not JSON, even with the predecessor's trailing commas forgiven.
    #[error("the message is not JSON")]
    NotJson,
    /// JSON of an unknown form.
    #[error("no records found in event")]
    NoRecords,
    /// Enveloped more often than any service does.
    #[error("the message is enveloped more than {0} times")]
    TooDeep(usize),
    /// A part of the record that must be there is missing or of the wrong type.
    #[error("no {0} found in event")]
    Missing(&'static str),
    /// The key is not form-encoded UTF-8.
    #[error("the object key is not form-encoded UTF-8")]
    KeyEncoding,
}

#[cfg(test)]
mod tests;
