//! Everything that announces an object, in, and rescan triggers, out.
//!
//! Read are: raw S3 notifications, SNS envelopes, SQS envelopes of either, raw-delivery bodies, EventBridge's S3 events,
//! direct invocations, and the predecessor's stripped-down sample. Whatever arrives ends as one [`Notice`] per record:
//! nothing is refused as a whole because a part of it is odd.

mod envelope;
mod s3;
mod trigger;

pub use envelope::{Invocation, Message};
pub use trigger::{CAUSE_ATTRIBUTE, CAUSE_DEFINITIONS, PLAN_ATTRIBUTE, Recorded, RescanKind, RescanTrigger};

use crate::{
    generation::Generation,
    object::{ObjectId, Sequencer},
};

/// What one record of a message says.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Notice {
    /// Look at this object.
    Scan(ScanRequest),
    /// This object version is gone for good.
    Removed {
        /// Which.
        object: ObjectId,
        /// When, in S3's order.
        sequencer: Option<Sequencer>,
    },
    /// Nothing to do.
    Ignored(Ignored),
    /// No record that anybody could read; trying again would never help.
    Malformed(EventError),
}

/// A request to look at an object.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ScanRequest {
    /// Which object, and which version where the event names one.
    pub object: ObjectId,
    /// S3's order stamp, where the event has one.
    pub sequencer: Option<Sequencer>,
    /// Why.
    pub cause: Cause,
}

/// Why an object is looked at.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Cause {
    /// It was written, or somebody asks.
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
    /// JSON of no shape that we know.
    #[error("no records found in event")]
    NoRecords,
    /// Enveloped deeper than anything real.
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
