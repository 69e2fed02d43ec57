//! Calls of CloudWatch.

use std::{io, time::SystemTime};

use aws_sdk_s3::config::Credentials;
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde_json::{Value, json};

use crate::{
    Stack,
    error::{StackError, call},
    ministack::{ACCOUNT, REGION},
};

impl Stack {
    /// The text of the stack's dashboard, read.
    ///
    /// # Errors
    /// [`StackError::Call`], also when it is no JSON.
    pub async fn dashboard(&self) -> Result<Value, StackError> {
        let found = self.cloudwatch("GetDashboard", &json!({ "DashboardName": self.output("Dashboard") })).await?;
        let body = found.get("DashboardBody").and_then(Value::as_str);
        let body = body.ok_or_else(|| call("reading the dashboard")(io::Error::other("it has no body")))?;
        serde_json::from_str(body).map_err(call("reading the dashboard"))
    }

    /// Calls `CloudWatch` as the operator, by its JSON protocol: MiniStack's XML leaves dimensions out.
    #[expect(clippy::disallowed_methods, reason = "a signature is of the time at which it is made")]
    pub(super) async fn cloudwatch(&self, action: &str, input: &Value) -> Result<Value, StackError> {
        let doing = || format!("calling {action}");
        let (url, body) = (format!("{}/", self.endpoint()), input.to_string());
        let target = format!("GraniteServiceVersion20100801.{action}");
        let headers = [("content-type", "application/x-amz-json-1.0"), ("x-amz-target", &*target)];
        let identity = Credentials::new(ACCOUNT, "test", None, None, "local stack").into();
        let signing = v4::SigningParams::builder().identity(&identity).region(REGION).name("monitoring");
        let signing = signing.time(SystemTime::now()).settings(SigningSettings::default()).build();
        let signing = signing.map_err(call(doing()))?.into();
        let signable = SignableRequest::new("POST", &url, headers.into_iter(), SignableBody::Bytes(body.as_bytes()));
        let (signed, _) = sign(signable.map_err(call(doing()))?, &signing).map_err(call(doing()))?.into_parts();
        let client = reqwest::Client::builder().no_proxy().build().map_err(call(doing()))?;
        let mut request = client.post(&url).body(body);
        for (name, value) in headers.into_iter().chain(signed.headers()) {
            request = request.header(name, value);
        }
        let answer = request.send().await.and_then(reqwest::Response::error_for_status).map_err(call(doing()))?;
        let answer = answer.bytes().await.map_err(call(doing()))?;
        if answer.is_empty() { Ok(Value::Null) } else { serde_json::from_slice(&answer).map_err(call(doing())) }
    }
}
