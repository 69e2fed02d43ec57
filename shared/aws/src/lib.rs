//! Adapters of the ports to S3, DynamoDB, SNS, SQS, EventBridge and Security Hub, one for each service.

mod bus;
mod clock;
mod credentials;
mod definitions;
mod deliveries;
mod download;
mod function;
mod objects;
mod queue;
mod queue_lengths;
mod records;
mod security_hub;
mod store_error;
mod test_objects;
mod topic;

use std::time::Duration;

use aws_config::{BehaviorVersion, SdkConfig, retry::RetryConfig, timeout::TimeoutConfig};
use aws_sdk_s3::config::SharedCredentialsProvider;
pub use bus::EventBridgeBus;
use chrono::{DateTime, Utc};
pub use clock::SystemClock;
pub use definitions::S3Definitions;
pub use deliveries::SqsDeliveries;
pub use function::run_function;
pub use objects::S3Objects;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
pub use queue::SqsQueue;
pub use queue_lengths::SqsLengths;
pub use records::{DynamoRecords, RecordKey};
pub use security_hub::SecurityHub;
pub use test_objects::S3TestObjects;
pub use topic::SnsTopic;

/// The configuration of a function: as [`sdk_config`], with the credentials taken out of the environment.
pub async fn function_config() -> SdkConfig {
    let credentials = credentials::take_credentials().unwrap_or_else(|error| {
        lambda_runtime::tracing::warn!(cause = %error, "the credentials stay in the environment");
        None
    });
    let config = sdk_config().await;
    match credentials {
        Some(credentials) => {
            let provider = SharedCredentialsProvider::new(credentials);
            config.into_builder().credentials_provider(provider).build()
        }
        None => config,
    }
}

/// The clients' common configuration: region, credentials and endpoints from the standard variables, bounded waits.
pub async fn sdk_config() -> SdkConfig {
    // From a request's first byte to the response's: a body of 160 MB is sent in that time, and not always from within AWS.
    let timeouts =
        TimeoutConfig::builder().connect_timeout(Duration::from_secs(3)).read_timeout(Duration::from_mins(3)).build();
    aws_config::defaults(BehaviorVersion::latest())
        .retry_config(RetryConfig::standard().with_max_attempts(4))
        .timeout_config(timeouts)
        .load()
        .await
}

/// The same configuration for work that nobody waits for: it slows down where a service throttles it, and asks more often.
pub fn with_background_retries(config: &SdkConfig) -> SdkConfig {
    config.clone().into_builder().retry_config(RetryConfig::adaptive().with_max_attempts(8)).build()
}

/// The same configuration with another endpoint, where one is given.
pub fn at_endpoint(config: &SdkConfig, endpoint: Option<&str>) -> SdkConfig {
    match endpoint {
        Some(endpoint) => config.clone().into_builder().endpoint_url(endpoint).build(),
        None => config.clone(),
    }
}

/// A time of the SDK; `None` for one outside the calendar.
fn instant(at: &aws_sdk_s3::primitives::DateTime) -> Option<DateTime<Utc>> {
    DateTime::from_timestamp(at.secs(), at.subsec_nanos())
}

/// An ETag as events and records have it: without the quotes of S3's headers.
fn bare_etag(etag: &str) -> String {
    etag.trim_matches('"').to_owned()
}

/// The source of a copy, which is the path of a URL: all but what is safe in any URL is encoded, slashes too.
fn copy_source(bucket: &str, key: &str, version_id: Option<&str>) -> String {
    let encoded = |text| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
    let version = version_id.map(|id| format!("?versionId={}", encoded(id))).unwrap_or_default();
    format!("{}/{}{version}", encoded(bucket), encoded(key))
}

/// An ETag as S3's headers have it.
fn quoted_etag(etag: &str) -> String {
    format!("\"{etag}\"")
}
