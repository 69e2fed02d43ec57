//! Importing findings into Security Hub: in batches, until each is accepted or refused for good.

use std::time::Duration;

use serde_json::Value;

use crate::{
    port::{Call, FindingImport, StoreError},
    retry::RetryPolicy,
};

/// Most findings of a call.
pub const MAX_BATCH: usize = 100;

/// Imports all, by batches; what a call left out because of the service's own trouble is sent again.
///
/// # Errors
/// [`StoreError::Unavailable`] when some were not accepted after all attempts, [`StoreError::Unexpected`] when one was refused.
pub async fn import<Sleep: Future<Output = ()>>(
    hub: &impl FindingImport,
    findings: &[Value],
    retry: RetryPolicy,
    sleep: impl Fn(Duration) -> Sleep,
) -> Result<(), StoreError> {
    for batch in findings.chunks(MAX_BATCH) {
        let mut left = batch.to_vec();
        let mut waits = retry.waits();
        loop {
            let failed = retry.call(&sleep, || hub.import(&left)).await?;
            if let Some((id, code)) = failed.iter().find(|(_, code)| !is_transient(code)) {
                let call = Call::new("BatchImportFindings", id.clone());
                return Err(StoreError::Unexpected(call, format!("the finding was refused: {code}").into()));
            }
            left.retain(|finding| failed.iter().any(|(id, _)| finding.get("Id").and_then(Value::as_str) == Some(id)));
            if left.is_empty() {
                break;
            }
            let Some(wait) = waits.next() else {
                let call = Call::new("BatchImportFindings", "Security Hub");
                return Err(StoreError::Unavailable(call, format!("{} findings not accepted", left.len()).into()));
            };
            sleep(wait).await;
        }
    }
    Ok(())
}

/// Whether a finding may be accepted when it is sent again.
fn is_transient(code: &str) -> bool {
    matches!(code, "InternalError" | "InternalException" | "ServiceUnavailable") || code.contains("Throttl")
}

#[cfg(test)]
mod tests {
    use std::{collections::BTreeMap, future::ready, sync::Mutex};

    use serde_json::json;

    use super::*;

    /// A hub that leaves out each finding so many times, for this reason.
    struct Hub {
        refusals: Mutex<BTreeMap<String, u32>>,
        code: &'static str,
        calls: Mutex<Vec<usize>>,
        accepted: Mutex<Vec<String>>,
    }

    impl Hub {
        fn new(refusals: &[(&str, u32)], code: &'static str) -> Self {
            let refusals = refusals.iter().map(|(id, times)| ((*id).to_owned(), *times)).collect();
            Self { refusals: Mutex::new(refusals), code, calls: Mutex::default(), accepted: Mutex::default() }
        }
    }

    impl FindingImport for Hub {
        async fn import(&self, findings: &[Value]) -> Result<Vec<(String, String)>, StoreError> {
            self.calls.lock().unwrap().push(findings.len());
            let mut failed = Vec::new();
            for finding in findings {
                let id = finding["Id"].as_str().unwrap().to_owned();
                let mut refusals = self.refusals.lock().unwrap();
                match refusals.get_mut(&id).filter(|times| **times > 0) {
                    Some(times) => {
                        *times -= 1;
                        failed.push((id, self.code.to_owned()));
                    }
                    None => self.accepted.lock().unwrap().push(id),
                }
            }
            Ok(failed)
        }
    }

    async fn imported(hub: &Hub, number: usize) -> Result<(), StoreError> {
        let findings: Vec<Value> = (0..number).map(|n| json!({ "Id": n.to_string() })).collect();
        import(hub, &findings, RetryPolicy::default(), |_| ready(())).await
    }

    #[tokio::test]
    async fn what_was_left_out_is_sent_again_and_nothing_else_is() {
        let hub = Hub::new(&[("3", 2), ("150", 1)], "ThrottlingException");
        imported(&hub, 201).await.unwrap();
        assert_eq!(*hub.calls.lock().unwrap(), [100, 1, 1, 100, 1, 1]);
        assert_eq!(hub.accepted.lock().unwrap().len(), 201);
    }

    #[tokio::test]
    async fn what_is_never_accepted_is_an_error() {
        let hub = Hub::new(&[("0", 99)], "InternalException");
        assert!(matches!(imported(&hub, 2).await, Err(StoreError::Unavailable(..))));
        let hub = Hub::new(&[("0", 99)], "InvalidInput");
        let error = imported(&hub, 2).await.unwrap_err();
        assert!(matches!(error, StoreError::Unexpected(..)), "{error:?}");
        assert_eq!(hub.calls.lock().unwrap().len(), 1);
    }
}
