//! Security Hub, by signed requests: its SDK is the largest of all, for one call.

use std::time::{Duration, SystemTime};

use aws_config::SdkConfig;
use aws_sdk_s3::config::{ProvideCredentials, SharedCredentialsProvider};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use nacre_core::{
    finding::asff::Product,
    object::partition_of,
    port::{Call, FindingImport, StoreError},
};
use serde::Deserialize;
use serde_json::{Value, json};

/// How long one call may take.
const TIMEOUT: Duration = Duration::from_secs(10);

/// The service's name in signatures and hosts.
const SERVICE: &str = "securityhub";

/// Security Hub of a region.
#[derive(Clone, Debug)]
pub struct SecurityHub {
    http: reqwest::Client,
    credentials: Option<SharedCredentialsProvider>,
    region: String,
    url: String,
}

/// What the service answers.
#[derive(Debug, Default, Deserialize)]
#[serde(rename_all = "PascalCase", default)]
struct Imported {
    failed_findings: Vec<Failed>,
}

/// A finding that was not imported.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Failed {
    id: String,
    error_code: String,
}

impl SecurityHub {
    /// Uses the product's region, at the configuration's endpoint if it has one.
    ///
    /// # Errors
    /// [`StoreError::Unexpected`], when there is no HTTP client.
    pub fn new(config: &SdkConfig, product: &Product) -> Result<Self, StoreError> {
        let region = product.region().to_owned();
        let suffix = match partition_of(&region) {
            "aws-cn" => "amazonaws.com.cn",
            "aws-eusc" => "amazonaws.eu",
            _ => "amazonaws.com",
        };
        let endpoint = config.endpoint_url().map_or_else(
            || format!("https://{SERVICE}.{region}.{suffix}"),
            |endpoint| endpoint.trim_end_matches('/').to_owned(),
        );
        let http = reqwest::Client::builder().timeout(TIMEOUT).no_proxy().build();
        let http = http.map_err(|error| StoreError::Unexpected(call(), error.into()))?;
        Ok(Self {
            http,
            credentials: config.credentials_provider(),
            region,
            url: format!("{endpoint}/findings/import"),
        })
    }

    /// The headers that sign a body.
    #[expect(clippy::disallowed_methods, reason = "a signature is of the time at which it is made")]
    async fn signature(&self, body: &[u8]) -> Result<Vec<(String, String)>, Box<dyn std::error::Error + Send + Sync>> {
        let provider = self.credentials.as_ref().ok_or("there are no credentials")?;
        let identity = provider.provide_credentials().await?.into();
        let parameters = v4::SigningParams::builder().identity(&identity).region(&self.region).name(SERVICE);
        let parameters = parameters.time(SystemTime::now()).settings(SigningSettings::default()).build()?.into();
        let headers = [("content-type", "application/json")].into_iter();
        let request = SignableRequest::new("POST", &self.url, headers, SignableBody::Bytes(body))?;
        let (signed, _) = sign(request, &parameters)?.into_parts();
        Ok(signed.headers().map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
    }
}

impl FindingImport for SecurityHub {
    async fn import(&self, findings: &[Value]) -> Result<Vec<(String, String)>, StoreError> {
        let body = json!({ "Findings": findings }).to_string();
        let signature = self.signature(body.as_bytes()).await.map_err(|error| StoreError::Denied(call(), error))?;
        let mut request = self.http.post(&self.url).header("content-type", "application/json").body(body);
        for (name, value) in signature {
            request = request.header(name, value);
        }
        let unavailable = |error: reqwest::Error| StoreError::Unavailable(call(), error.without_url().into());
        let answer = request.send().await.map_err(unavailable)?;
        let status = answer.status().as_u16();
        let answer = answer.bytes().await.map_err(unavailable)?;
        if status != 200 {
            let said = String::from_utf8_lossy(answer.get(..500).unwrap_or(&answer)).into_owned();
            let error = format!("status {status}: {said}").into();
            return Err(match status {
                429 | 500.. => StoreError::Unavailable(call(), error),
                401 | 403 => StoreError::Denied(call(), error),
                _ => StoreError::Unexpected(call(), error),
            });
        }
        let imported: Imported =
            serde_json::from_slice(&answer).map_err(|error| StoreError::Unexpected(call(), error.into()))?;
        Ok(imported.failed_findings.into_iter().map(|failed| (failed.id, failed.error_code)).collect())
    }
}

fn call() -> Call {
    Call::new("BatchImportFindings", "Security Hub")
}

#[cfg(test)]
mod tests {
    use std::{
        io::{Read, Write},
        net::TcpListener,
        thread,
    };

    use aws_config::BehaviorVersion;
    use aws_sdk_s3::config::Credentials;

    use super::*;

    /// Answers one request with this; returns what was requested.
    fn stand_in(status: &'static str, answer: &'static str) -> (String, thread::JoinHandle<String>) {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let served = thread::spawn(move || {
            let (mut stream, _) = listener.accept().unwrap();
            let (mut said, mut part) = (String::new(), [0; 4096]);
            loop {
                let read = stream.read(&mut part).unwrap();
                said.push_str(std::str::from_utf8(&part[..read]).unwrap());
                let length = |head: &str| {
                    let line = head.lines().find(|line| line.to_ascii_lowercase().starts_with("content-length:"))?;
                    line.split_once(':')?.1.trim().parse::<usize>().ok()
                };
                if said.split_once("\r\n\r\n").is_some_and(|(head, body)| Some(body.len()) == length(head)) {
                    break;
                }
            }
            write!(stream, "HTTP/1.1 {status}\r\ncontent-length: {}\r\n\r\n{answer}", answer.len()).unwrap();
            said
        });
        (url, served)
    }

    async fn imported(
        status: &'static str,
        answer: &'static str,
    ) -> (Result<Vec<(String, String)>, StoreError>, String) {
        let (url, served) = stand_in(status, answer);
        let credentials = Credentials::new("AKIDEXAMPLE", "secret", Some("token".into()), None, "test");
        let config = SdkConfig::builder().behavior_version(BehaviorVersion::latest()).endpoint_url(url);
        let config = config.credentials_provider(SharedCredentialsProvider::new(credentials)).build();
        let product =
            Product::parse("arn:aws:securityhub:eu-west-1:123456789012:product/123456789012/default").unwrap();
        let hub = SecurityHub::new(&config, &product).unwrap();
        let outcome = hub.import(&[json!({ "Id": "nacre/1" })]).await;
        (outcome, served.join().unwrap())
    }

    #[tokio::test]
    async fn a_call_is_signed_and_what_it_left_out_is_named() {
        let answer = r#"{"FailedCount":1,"SuccessCount":0,"FailedFindings":[{"Id":"nacre/1","ErrorCode":"InternalException","ErrorMessage":"x"}]}"#;
        let (outcome, said) = imported("200 OK", answer).await;
        assert_eq!(outcome.unwrap(), [("nacre/1".to_owned(), "InternalException".to_owned())]);
        assert!(said.starts_with("POST /findings/import HTTP/1.1\r\n"), "{said}");
        assert!(said.contains("/eu-west-1/securityhub/aws4_request, SignedHeaders="), "{said}");
        assert!(said.contains("x-amz-security-token: token") && said.ends_with(r#"{"Findings":[{"Id":"nacre/1"}]}"#));
    }

    #[tokio::test]
    async fn a_failure_says_whether_the_call_may_work_later() {
        let outcome = |status, answer| async move { imported(status, answer).await.0 };
        assert_eq!(outcome("200 OK", r#"{"FailedCount":0,"SuccessCount":1}"#).await.unwrap(), []);
        for status in ["429 Too Many Requests", "503 Service Unavailable"] {
            assert!(matches!(outcome(status, "{}").await, Err(StoreError::Unavailable(..))), "{status}");
        }
        assert!(matches!(outcome("403 Forbidden", "{}").await, Err(StoreError::Denied(..))));
        assert!(matches!(outcome("400 Bad Request", "{}").await, Err(StoreError::Unexpected(..))));
        assert!(matches!(outcome("200 OK", "<html>").await, Err(StoreError::Unexpected(..))));
    }
}
