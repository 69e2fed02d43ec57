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
    /// The stack's own, then those that are attached.
    pub(super) buckets: Vec<Bucket>,
    /// Attached buckets that cannot be read, and why.
    pub(super) unreadable: BTreeMap<String, String>,
    /// Keys of KMS that the parameters name.
    pub(super) keys: Vec<Key>,
    pub(super) queues: Vec<Queue>,
    pub(super) functions: Vec<Function>,
    pub(super) topics: Vec<Topic>,
    pub(super) table: Table,
    pub(super) definitions: Definitions,
    /// Calls that a function was refused in the last day, and how often.
    pub(super) refused: BTreeMap<String, u64>,
    /// Calls of a function that AWS answered with throttling in the last day, retries included, and how often.
    pub(super) throttled: BTreeMap<String, u64>,
    /// Dead letters, by queue.
    pub(super) messages_given_up: BTreeMap<&'static str, u64>,
    /// Variables that name parts of the stack.
    pub(super) expected: Vec<Expected>,
    /// Executions at a time that the account allows its functions, and no function has reserved.
    pub(super) concurrency: u64,
    /// By how much this machine's clock is ahead of AWS's; `None` when an answer had no time.
    pub(super) ahead_seconds: Option<i64>,
}

/// A variable of a function, as the template sets it.
#[derive(Clone, Debug)]
pub(super) struct Expected {
    /// The function's output.
    pub(super) function: &'static str,
    pub(super) variable: &'static str,
    pub(super) value: String,
}

/// A scanned bucket.
#[derive(Clone, Debug)]
pub(super) struct Bucket {
    pub(super) name: String,
    /// Whether it is the stack's own, which is scanned whole.
    pub(super) own: bool,
    /// Whether the stack takes its events from EventBridge.
    pub(super) by_event_bridge: bool,
    /// Whether it sends them there.
    pub(super) sends_to_event_bridge: bool,
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

/// A key of KMS, and what the functions do with it.
#[derive(Clone, Debug)]
pub(super) struct Key {
    pub(super) arn: String,
    /// The parameter that names it.
    pub(super) parameter: &'static str,
    pub(super) needs: Vec<Need>,
    pub(super) policy: KeyPolicy,
}

/// What a role does with a key.
#[derive(Clone, Debug)]
pub(super) struct Need {
    pub(super) role: String,
    /// The service that calls KMS for it, such as `s3`.
    pub(super) service: &'static str,
    pub(super) calls: &'static [&'static str],
}

/// A key's policy, or why there is none to judge.
#[derive(Clone, Debug)]
pub(super) enum KeyPolicy {
    Read(Value),
    Missing,
    /// The key's state, such as `PendingDeletion`.
    Disabled(String),
    /// Why.
    Unreadable(String),
    OfAnotherAccount,
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
    /// The KMS key that it is encrypted with.
    pub(super) kms_key: Option<String>,
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
    /// Its role, by its ARN.
    pub(super) role: String,
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
    pub(super) arn: String,
    pub(super) policy: Option<Value>,
    /// Endpoints of its subscriptions, each with its filter policy.
    pub(super) endpoints: BTreeMap<String, Option<Value>>,
    /// The KMS key that it is encrypted with.
    pub(super) kms_key: Option<String>,
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
