//! Calls of the functions that AWS refused or throttled, by what they logged.

use std::collections::BTreeMap;

use chrono::TimeDelta;
use nacre_aws::SystemClock;
use nacre_core::port::Clock;

use super::gather::GatherError;
use crate::{deployment::Deployment, function_logs::FunctionLogs};

/// What AWS's services call throttling.
const THROTTLING: [&str; 4] = ["ProvisionedThroughputExceededException", "Throttl", "RequestLimitExceeded", "SlowDown"];

/// Calls that the functions were refused in the last day, and those that were throttled, as they logged them.
pub(super) async fn failed_calls(deployment: &Deployment) -> Result<[BTreeMap<String, u64>; 2], GatherError> {
    let logs = FunctionLogs::open(deployment).await?;
    let mut calls = [BTreeMap::new(), BTreeMap::new()];
    for line in logs.errors(&[], SystemClock.now() - TimeDelta::days(1)).await?.lines {
        let cause = line.text("cause").unwrap_or_default();
        for (calls, call) in calls.iter_mut().zip([refused_call(cause), throttled_call(cause)]) {
            if let Some(call) = call {
                *calls.entry(call.to_owned()).or_default() += 1;
            }
        }
    }
    Ok(calls)
}

/// The call of a cause such as `…: PutObjectTagging of s3://bucket/key: access denied: …`.
fn refused_call(cause: &str) -> Option<&str> {
    call_before(cause, ": access denied")
}

/// The call of a cause such as `…: UpdateItem of records: unavailable: …: ProvisionedThroughputExceededException: …`.
fn throttled_call(cause: &str) -> Option<&str> {
    let is_throttling = THROTTLING.iter().any(|code| cause.contains(code));
    is_throttling.then(|| call_before(cause, ": service unavailable")).flatten()
}

fn call_before<'a>(cause: &'a str, outcome: &str) -> Option<&'a str> {
    let (before, _) = cause.split_once(outcome)?;
    let (call, _) = before.rsplit(": ").find_map(|layer| layer.split_once(" of "))?;
    (!call.is_empty() && call.bytes().all(|byte| byte.is_ascii_alphanumeric())).then_some(call)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_refused_call_is_found_in_its_cause() {
        let cause =
            "the object could not be scanned: PutObjectTagging of s3://b/a of b.txt: access denied: service error";
        assert_eq!(refused_call(cause), Some("PutObjectTagging"));
        assert_eq!(refused_call("PutObjectTagging of s3://b/k: service unavailable"), None);
        let cause = "cannot be recorded: UpdateItem of records: service unavailable: service error: \
                     ProvisionedThroughputExceededException: too fast";
        assert_eq!((throttled_call(cause), refused_call(cause)), (Some("UpdateItem"), None));
        assert_eq!(throttled_call("GetItem of records: service unavailable: dispatch failure"), None);
        assert_eq!(refused_call("odd\u{1b} of x: access denied"), None);
    }
}
