//! A deployment as it was found: what the checks judge.

use std::collections::BTreeMap;

use serde_json::Value;

/// A deployment at one moment.
#[derive(Clone, Debug)]
pub(super) struct Snapshot {
    pub(super) stack: String,
    /// Such as `UPDATE_COMPLETE`.
    pub(super) stack_status: String,
    pub(super) parameters: BTreeMap<String, String>,
    /// The scanner's role, by its ARN.
    pub(super) scanner_role: String,
    pub(super) scanner_trigger: String,
    pub(super) bucket: Bucket,
    pub(super) queues: Vec<Queue>,
    pub(super) functions: Vec<Function>,
    pub(super) topics: Vec<Topic>,
    pub(super) table: Table,
    pub(super) definitions: Definitions,
    /// Calls that a function was refused in the last day, and how often.
    pub(super) refused: BTreeMap<String, u64>,
    /// Dead letters, by queue.
    pub(super) messages_given_up: BTreeMap<&'static str, u64>,
}

/// The scanned bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    pub(super) notifications: Vec<Notification>,
    pub(super) policy: Option<Value>,
    /// The KMS key that it encrypts with by default.
    pub(super) kms_key: Option<String>,
}

/// One destination of a bucket's events.
#[derive(Clone, Debug)]
pub(super) struct Notification {
    pub(super) destination: String,
    pub(super) events: Vec<String>,
    /// Only keys that begin or end so.
    pub(super) filter: Vec<String>,
}

/// A queue and how it is set.
#[derive(Clone, Debug)]
pub(super) struct Queue {
    /// The output's name.
    pub(super) name: &'static str,
    pub(super) arn: String,
    pub(super) visibility_seconds: u64,
    pub(super) retention_seconds: u64,
    pub(super) dead_letters: Option<String>,
    pub(super) policy: Option<Value>,
}

/// A function and what invokes it.
#[derive(Clone, Debug)]
pub(super) struct Function {
    /// The output's name.
    pub(super) name: &'static str,
    /// Such as `Active`.
    pub(super) state: String,
    /// Such as `Successful`.
    pub(super) last_update: String,
    pub(super) timeout_seconds: u64,
    /// Concurrent executions that are reserved for it.
    pub(super) reserved: Option<u64>,
    pub(super) environment: BTreeMap<String, String>,
    pub(super) sources: Vec<Source>,
}

/// A queue that invokes a function.
#[derive(Clone, Debug)]
pub(super) struct Source {
    pub(super) queue_arn: String,
    pub(super) enabled: bool,
    /// Whether messages fail one by one.
    pub(super) reports_failures: bool,
}

/// A topic and who gets its messages.
#[derive(Clone, Debug)]
pub(super) struct Topic {
    /// The output's name.
    pub(super) name: &'static str,
    pub(super) policy: Option<Value>,
    /// Endpoints of its confirmed subscriptions.
    pub(super) endpoints: Vec<String>,
}

/// The table of scan records.
#[derive(Clone, Debug)]
pub(super) struct Table {
    pub(super) name: String,
    pub(super) status: String,
    /// States by the indexes' names.
    pub(super) indexes: BTreeMap<String, String>,
}

/// What is published.
#[derive(Clone, Debug)]
pub(super) struct Definitions {
    /// Why it cannot be read.
    pub(super) unreadable: Option<String>,
    /// Hours since the newest of its databases was built; `None` when nothing is published.
    pub(super) age_hours: Option<i64>,
    pub(super) pinned: bool,
}
