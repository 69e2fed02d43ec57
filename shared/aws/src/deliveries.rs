//! The queues that deliver messages to a function, in SQS.

use std::time::Duration;

use aws_config::SdkConfig;
use aws_sdk_sqs::Client;
use nacre_core::port::{Call, Deliveries, Delivery, StoreError};

use crate::store_error::{failed, unexpected};

/// Whichever queues a function's events come from: each names its own.
#[derive(Clone, Debug)]
pub struct SqsDeliveries {
    client: Client,
}

impl SqsDeliveries {
    /// Uses SQS.
    pub fn new(config: &SdkConfig) -> Self {
        Self { client: Client::new(config) }
    }
}

impl Deliveries for SqsDeliveries {
    async fn postpone(&self, delivery: &Delivery, wait: Duration) -> Result<(), StoreError> {
        let call = Call::new("ChangeMessageVisibility", &delivery.queue_arn);
        let url = queue_url(&delivery.queue_arn).ok_or_else(|| unexpected(&call, "not the ARN of an SQS queue"))?;
        let seconds = i32::try_from(wait.as_secs()).map_err(|_| unexpected(&call, "the wait is too long"))?;
        let request = self.client.change_message_visibility().queue_url(url).receipt_handle(&delivery.receipt);
        request.visibility_timeout(seconds).send().await.map(|_| ()).map_err(failed(call))
    }
}

/// The URL of the queue with this ARN. Events have the ARN, and calls the URL; to ask SQS for it would be a call more.
fn queue_url(arn: &str) -> Option<String> {
    let parts: Vec<&str> = arn.split(':').collect();
    let ["arn", partition, "sqs", region, account, name] = parts[..] else { return None };
    let domain = if partition == "aws-cn" { "amazonaws.com.cn" } else { "amazonaws.com" };
    Some(format!("https://sqs.{region}.{domain}/{account}/{name}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_queues_url_is_made_of_its_arn() {
        for (arn, url) in [
            ("arn:aws:sqs:eu-west-1:210987654321:q", Some("https://sqs.eu-west-1.amazonaws.com/210987654321/q")),
            ("arn:aws-us-gov:sqs:us-gov-west-1:1:q", Some("https://sqs.us-gov-west-1.amazonaws.com/1/q")),
            ("arn:aws-cn:sqs:cn-north-1:1:q", Some("https://sqs.cn-north-1.amazonaws.com.cn/1/q")),
            ("arn:aws:sns:eu-west-1:1:topic", None),
            ("arn:aws:sqs:eu-west-1:1:q:more", None),
            ("", None),
        ] {
            assert_eq!(queue_url(arn).as_deref(), url, "{arn}");
        }
    }
}
