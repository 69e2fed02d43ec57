//! How long we wait for services that throttle us.

use std::time::Duration;

use crate::port::StoreError;

/// How often a call is made that may work later, and the first wait; each wait is twice the one before.
///
/// The SDK's own attempts are within each of these: they cover a moment's throttling, these a table that is being scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct RetryPolicy {
    /// Calls, at least one.
    pub attempts: u32,
    /// Before the second.
    pub first_wait: Duration,
}

impl Default for RetryPolicy {
    // try / 0.5 s / try / 1 s / try / 2 s / try
    fn default() -> Self {
        Self { attempts: 4, first_wait: Duration::from_millis(500) }
    }
}

impl RetryPolicy {
    /// The waits between the attempts.
    pub fn waits(self) -> impl Iterator<Item = Duration> {
        (1..self.attempts).map(move |attempt| self.first_wait.saturating_mul(1 << (attempt - 1).min(16)))
    }

    /// Calls until the result is another than that the same call may work later; `sleep` waits between two attempts.
    ///
    /// # Errors
    /// The last call's.
    pub async fn call<T, Call, Sleep>(
        self,
        sleep: impl Fn(Duration) -> Sleep,
        mut call: impl FnMut() -> Call,
    ) -> Result<T, StoreError>
    where
        Call: Future<Output = Result<T, StoreError>>,
        Sleep: Future<Output = ()>,
    {
        for wait in self.waits() {
            match call().await {
                Err(StoreError::Unavailable(..)) => sleep(wait).await,
                outcome => return outcome,
            }
        }
        call().await
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Mutex;

    use super::*;
    use crate::port::Call;

    fn call() -> Call {
        Call::new("GetObject", "s3://bucket/key")
    }

    #[tokio::test]
    async fn what_may_work_later_is_tried_as_often_as_said_and_nothing_else_is() {
        let retry = RetryPolicy { attempts: 3, first_wait: Duration::from_secs(1) };
        for (failure, expected, waits) in [(true, 3, vec![1, 2]), (false, 1, vec![])] {
            let (mut calls, waited) = (0, Mutex::new(Vec::new()));
            let sleep = |wait: Duration| {
                waited.lock().unwrap().push(wait.as_secs());
                std::future::ready(())
            };
            let outcome: Result<(), _> = retry
                .call(sleep, || {
                    calls += 1;
                    let error = if failure {
                        StoreError::Unavailable(call(), "throttled".into())
                    } else {
                        StoreError::NotFound(call())
                    };
                    async { Err(error) }
                })
                .await;
            assert!(outcome.is_err());
            assert_eq!(calls, expected);
            assert_eq!(waited.into_inner().unwrap(), waits);
        }
    }

    #[test]
    fn each_wait_is_twice_the_one_before() {
        let waits: Vec<u128> = RetryPolicy::default().waits().map(|wait| wait.as_millis()).collect();
        assert_eq!(waits, [500, 1000, 2000]);
    }
}
