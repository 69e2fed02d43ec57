//! Calls a function directly, as its schedule or an operator does.

use aws_config::SdkConfig;
use aws_sdk_lambda::{config::retry::RetryConfig, primitives::Blob, types::LogType};
use serde_json::Value;

use crate::error::{StackError, call};

/// What came of an invocation.
#[derive(Clone, Debug, PartialEq)]
pub struct InvokeOutcome {
    /// HTTP status of the call; 200 also when the function failed.
    pub status: i32,
    /// Set when the function failed; `payload` then says how.
    pub function_error: Option<String>,
    /// The function's answer; null when it is not JSON.
    pub payload: Value,
    /// The last 4 KB of what the function logged.
    pub logs: String,
}

/// Calls `function` and waits for its answer.
///
/// # Errors
/// [`StackError::Call`] when the function could not be called; its own failure is an outcome.
pub(crate) async fn invoke(sdk: &SdkConfig, function: &str, payload: &Value) -> Result<InvokeOutcome, StackError> {
    // A second attempt would be a second invocation.
    let config = aws_sdk_lambda::config::Builder::from(sdk).retry_config(RetryConfig::disabled()).build();
    let request = aws_sdk_lambda::Client::from_conf(config).invoke().function_name(function).log_type(LogType::Tail);
    let answer = request.payload(Blob::new(payload.to_string())).send().await;
    let answer = answer.map_err(call(format!("invoking {function}")))?;
    let body = answer.payload().map(Blob::as_ref).unwrap_or_default();
    Ok(InvokeOutcome {
        status: answer.status_code(),
        function_error: answer.function_error().map(str::to_owned),
        payload: serde_json::from_slice(body).unwrap_or_default(),
        logs: answer.log_result().and_then(decoded).unwrap_or_default(),
    })
}

fn decoded(base64: &str) -> Option<String> {
    let bytes = aws_smithy_types::base64::decode(base64).ok()?;
    Some(String::from_utf8_lossy(&bytes).into_owned())
}
