//! The template's alarms on queues, judged by the queues themselves.
//!
//! MiniStack keeps alarms and has their actions done. But it publishes no metric of a queue, and it judges an alarm by all metrics of
//! its name, whatever their dimensions. So the judgement is made here, from the alarm as `DescribeAlarms` returns it and from the queue
//! that it names, and `SetAlarmState` does the rest. Where AWS differs:
//! - it samples queues once a minute and judges the samples of whole periods, so a state follows its queue after minutes. Here a queue is
//!   taken to have been as it is for as long as the alarm asks, and the state follows at once;
//! - it publishes nothing of a queue that was not used for six hours. Here an empty queue is judged both by 0 and by missing data, and
//!   it is an error when the two differ;
//! - a message's age is its age now. Here the caller says what time it is, so that nobody waits for hours;
//! - messages that were received three times have no age, and reading an age receives none. Here it receives up to ten.

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, SystemTime},
};

use aws_sdk_s3::config::Credentials;
use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use aws_sigv4::{
    http_request::{SignableBody, SignableRequest, SigningSettings, sign},
    sign::v4,
};
use serde::Deserialize;
use serde_json::{Value, json};

use crate::{
    Stack,
    deploy::alarms,
    error::{StackError, call},
    ministack::{ACCOUNT, REGION},
};

/// How often AWS samples a queue.
const SAMPLE: f64 = 60.0;
/// SQS's longest, in seconds. A message that a function has just failed is back before.
const LONGEST_RECEIVE: i32 = 20;

/// An alarm, in as far as it decides about a state.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Alarm {
    #[serde(rename = "AlarmName")]
    name: String,
    metric_name: String,
    dimensions: Vec<Dimension>,
    statistic: Statistic,
    period: f64,
    threshold: f64,
    comparison_operator: Comparison,
    treat_missing_data: WithoutData,
    state_value: String,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Dimension {
    name: String,
    value: String,
}

#[derive(Clone, Copy, Debug, Deserialize)]
enum Statistic {
    SampleCount,
    Sum,
    Average,
    Minimum,
    Maximum,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[expect(clippy::enum_variant_names, reason = "AWS's names")]
enum Comparison {
    GreaterThanOrEqualToThreshold,
    GreaterThanThreshold,
    LessThanThreshold,
    LessThanOrEqualToThreshold,
}

#[derive(Clone, Copy, Debug, Deserialize)]
#[serde(rename_all = "camelCase")]
enum WithoutData {
    Breaching,
    NotBreaching,
    Ignore,
    Missing,
}

impl Alarm {
    /// Its state when each sample of a period was `sample`, or when there was none.
    fn judge(&self, sample: Option<f64>) -> &str {
        let Some(sample) = sample else {
            return match self.treat_missing_data {
                WithoutData::Breaching => "ALARM",
                WithoutData::NotBreaching => "OK",
                WithoutData::Ignore => &self.state_value,
                WithoutData::Missing => "INSUFFICIENT_DATA",
            };
        };
        let samples = self.period / SAMPLE;
        let value = match self.statistic {
            Statistic::SampleCount => samples,
            Statistic::Sum => sample * samples,
            Statistic::Average | Statistic::Minimum | Statistic::Maximum => sample,
        };
        let breaching = match self.comparison_operator {
            Comparison::GreaterThanOrEqualToThreshold => value >= self.threshold,
            Comparison::GreaterThanThreshold => value > self.threshold,
            Comparison::LessThanThreshold => value < self.threshold,
            Comparison::LessThanOrEqualToThreshold => value <= self.threshold,
        };
        if breaching { "ALARM" } else { "OK" }
    }

    /// The queue that it is about. An alarm with other dimensions is about no metric that AWS publishes.
    fn queue(&self) -> Option<&str> {
        match &*self.dimensions {
            [Dimension { name, value }] if name == "QueueName" => Some(value),
            _ => None,
        }
    }
}

impl Stack {
    /// Judges each alarm on a queue by how its queue is, with messages as old as they are at `now`, and sets its state. Answers the
    /// states that `CloudWatch` then has, by the alarms' names in the template.
    ///
    /// # Errors
    /// [`StackError::Call`], also when an alarm has another state of an empty queue than of one that nobody uses.
    pub async fn judge_queue_alarms(&self, now: SystemTime) -> Result<BTreeMap<String, String>, StackError> {
        let names = alarms(self.sdk_config()).await?;
        for alarm in self.queue_alarms().await? {
            let sample = self.sample(&alarm, now).await?;
            let state = alarm.judge(sample);
            if sample == Some(0.0) && alarm.judge(None) != state {
                let doing = format!("judging {} of an empty queue", alarm.name);
                return Err(call(doing)(io::Error::other("without data it has another state")));
            }
            let reason = format!("{} is {sample:?}", alarm.metric_name);
            let set = json!({ "AlarmName": alarm.name, "StateValue": state, "StateReason": reason });
            self.cloudwatch("SetAlarmState", &set).await?;
        }
        let state = |alarm: Alarm| Some((names.get(&alarm.name)?.clone(), alarm.state_value));
        Ok(self.queue_alarms().await?.into_iter().filter_map(state).collect())
    }

    async fn queue_alarms(&self) -> Result<Vec<Alarm>, StackError> {
        let mut described = self.cloudwatch("DescribeAlarms", &json!({ "MaxRecords": 100 })).await?;
        let alarms = described.get_mut("MetricAlarms").and_then(Value::as_array_mut);
        let alarms = alarms.map(std::mem::take).unwrap_or_default();
        let of_queues =
            alarms.into_iter().filter(|alarm| alarm.get("Namespace").is_some_and(|namespace| namespace == "AWS/SQS"));
        of_queues.map(|alarm| serde_json::from_value(alarm).map_err(call("understanding an alarm"))).collect()
    }

    /// What AWS would publish of the alarm's queue; `None` where it publishes nothing of that name.
    async fn sample(&self, alarm: &Alarm, now: SystemTime) -> Result<Option<f64>, StackError> {
        let Some(queue) = alarm.queue() else { return Ok(None) };
        let doing = || format!("looking at the queue {queue}");
        let found = self.sqs().get_queue_url().queue_name(queue).send().await.map_err(call(doing()))?;
        let (waiting, under_way) = (
            QueueAttributeName::ApproximateNumberOfMessages,
            QueueAttributeName::ApproximateNumberOfMessagesNotVisible,
        );
        let url = found.queue_url().unwrap_or_default();
        let asked = self.sqs().get_queue_attributes().queue_url(url);
        let asked = asked.attribute_names(waiting.clone()).attribute_names(under_way.clone());
        let attributes = asked.send().await.map_err(call(doing()))?.attributes.unwrap_or_default();
        let count =
            |name| attributes.get(name).and_then(|count: &String| count.parse::<f64>().ok()).unwrap_or_default();
        Ok(match &*alarm.metric_name {
            "ApproximateNumberOfMessagesVisible" => Some(count(&waiting)),
            "ApproximateNumberOfMessagesNotVisible" => Some(count(&under_way)),
            "ApproximateAgeOfOldestMessage" if count(&waiting) + count(&under_way) == 0.0 => Some(0.0),
            "ApproximateAgeOfOldestMessage" => Some(self.age(url, now).await?.as_secs_f64()),
            _ => None,
        })
    }

    /// Age of the oldest message of a queue that has some.
    async fn age(&self, queue_url: &str, now: SystemTime) -> Result<Duration, StackError> {
        let sent = MessageSystemAttributeName::SentTimestamp;
        let receive = self.sqs().receive_message().queue_url(queue_url).wait_time_seconds(LONGEST_RECEIVE);
        let receive = receive.max_number_of_messages(10).visibility_timeout(0);
        let received = receive.message_system_attribute_names(sent.clone()).send().await;
        let received = received.map_err(call("reading a message's age"))?;
        let milliseconds = |message: &aws_sdk_sqs::types::Message| message.attributes()?.get(&sent)?.parse().ok();
        let oldest = received.messages().iter().filter_map(milliseconds).min();
        let oldest = oldest.ok_or_else(|| call("reading a message's age")(io::Error::other("none can be received")))?;
        Ok(now.duration_since(SystemTime::UNIX_EPOCH + Duration::from_millis(oldest)).unwrap_or_default())
    }

    /// Calls `CloudWatch` as the operator, by its JSON protocol: MiniStack's XML leaves dimensions out.
    #[expect(clippy::disallowed_methods, reason = "a signature is of the time at which it is made")]
    async fn cloudwatch(&self, action: &str, input: &Value) -> Result<Value, StackError> {
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_judged_as_it_is_defined() {
        let defined = |statistic: &str, comparison: &str, missing: &str| {
            let alarm = json!({
                "AlarmName": "a", "Namespace": "AWS/SQS", "MetricName": "m", "Statistic": statistic, "Period": 300,
                "Threshold": 2.0, "ComparisonOperator": comparison, "TreatMissingData": missing,
                "StateValue": "before", "Dimensions": [{ "Name": "QueueName", "Value": "q" }],
            });
            serde_json::from_value::<Alarm>(alarm).unwrap()
        };
        for (comparison, states) in [
            ("GreaterThanThreshold", ["OK", "OK", "ALARM"]),
            ("GreaterThanOrEqualToThreshold", ["OK", "ALARM", "ALARM"]),
            ("LessThanThreshold", ["ALARM", "OK", "OK"]),
            ("LessThanOrEqualToThreshold", ["ALARM", "ALARM", "OK"]),
        ] {
            let alarm = defined("Maximum", comparison, "missing");
            assert_eq!([1.0, 2.0, 3.0].map(|sample| alarm.judge(Some(sample))), states, "{comparison}");
        }
        assert_eq!(defined("Sum", "GreaterThanThreshold", "missing").judge(Some(1.0)), "ALARM", "five samples");
        assert_eq!(defined("SampleCount", "LessThanThreshold", "missing").judge(Some(1.0)), "OK", "five samples");
        for (missing, state) in
            [("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "before"), ("missing", "INSUFFICIENT_DATA")]
        {
            assert_eq!(defined("Maximum", "GreaterThanThreshold", missing).judge(None), state);
        }
        let mut other = defined("Maximum", "GreaterThanThreshold", "missing");
        assert_eq!(other.queue(), Some("q"));
        other.dimensions[0].name = "Queue".into();
        assert_eq!(other.queue(), None);
    }
}
