//! The template's alarms, judged by what their metrics are.
//!
//! MiniStack keeps alarms and has their actions done, and Lambda's metrics; `launch.py` adds those of the functions' own log lines and of
//! SNS's deliveries, and leaves judgement to us: MiniStack judges an alarm by all metrics of its name, whatever their dimensions, and
//! publishes no metric of a queue. So the judgement is made here, from the alarm as `DescribeAlarms` returns it, from the metrics of its
//! dimensions, and from the queue that it names; `SetAlarmState` does the rest. Where AWS differs:
//! - it judges whole periods of its own clock. Here periods end at the time that the caller says it is, so that nobody waits for hours;
//! - it samples queues once a minute, so a state follows its queue after minutes. Here a queue is taken to have been as it is for as long
//!   as the alarm asks, and the state follows at once;
//! - it publishes nothing of a queue that was not used for six hours. Here an empty queue is judged both by 0 and by missing data, and
//!   it is an error when the two differ;
//! - messages that were received three times have no age, and reading an age receives none. Here it receives up to ten.

mod calls;
mod expression;

use std::{
    collections::BTreeMap,
    io,
    time::{Duration, SystemTime},
};

use aws_sdk_sqs::types::{MessageSystemAttributeName, QueueAttributeName};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::{
    Stack,
    deploy::alarms,
    error::{StackError, call},
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
    #[serde(default)]
    metric_name: Option<String>,
    #[serde(default)]
    namespace: Option<String>,
    #[serde(default)]
    dimensions: Vec<Dimension>,
    #[serde(default)]
    statistic: Option<Statistic>,
    #[serde(default)]
    period: Option<f64>,
    evaluation_periods: u32,
    #[serde(default, rename = "DatapointsToAlarm")]
    breaching: Option<u32>,
    threshold: f64,
    comparison_operator: Comparison,
    treat_missing_data: WithoutData,
    state_value: String,
    /// An expression and its metrics, in place of one metric.
    #[serde(default)]
    metrics: Vec<Query>,
    #[serde(default)]
    warm_up_configuration: Option<WarmUp>,
    #[serde(rename = "AlarmConfigurationUpdatedTimestamp")]
    configured: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct WarmUp {
    warm_up_period_duration_in_minutes: f64,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Query {
    id: String,
    #[serde(default)]
    expression: Option<String>,
    #[serde(default)]
    metric_stat: Option<MetricStat>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct MetricStat {
    metric: Metric,
    period: f64,
    stat: Statistic,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "PascalCase")]
struct Metric {
    namespace: String,
    #[serde(rename = "MetricName")]
    name: String,
    dimensions: Vec<Dimension>,
}

#[derive(Clone, Debug, Deserialize, Serialize)]
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

impl Statistic {
    fn name(self) -> &'static str {
        match self {
            Self::SampleCount => "SampleCount",
            Self::Sum => "Sum",
            Self::Average => "Average",
            Self::Minimum => "Minimum",
            Self::Maximum => "Maximum",
        }
    }
}

impl Alarm {
    /// Its state by the values of as many periods as it evaluates, at this time since the epoch.
    fn judge(&self, values: &[Option<f64>], now: f64) -> &str {
        let is_complete = values.iter().all(Option::is_some);
        let warm = |warm_up: &WarmUp| now < self.configured + 60.0 * warm_up.warm_up_period_duration_in_minutes;
        if !is_complete && self.warm_up_configuration.as_ref().is_some_and(warm) {
            return "INSUFFICIENT_DATA";
        }
        if values.iter().all(Option::is_none) {
            return match self.treat_missing_data {
                WithoutData::Breaching => "ALARM",
                WithoutData::NotBreaching => "OK",
                WithoutData::Ignore => &self.state_value,
                WithoutData::Missing => "INSUFFICIENT_DATA",
            };
        }
        let breaches = |value: &Option<f64>| match value {
            None => matches!(self.treat_missing_data, WithoutData::Breaching),
            Some(value) => match self.comparison_operator {
                Comparison::GreaterThanOrEqualToThreshold => *value >= self.threshold,
                Comparison::GreaterThanThreshold => *value > self.threshold,
                Comparison::LessThanThreshold => *value < self.threshold,
                Comparison::LessThanOrEqualToThreshold => *value <= self.threshold,
            },
        };
        let breaching = values.iter().filter(|value| breaches(value)).count();
        let enough = self.breaching.unwrap_or(self.evaluation_periods);
        if breaching >= enough as usize { "ALARM" } else { "OK" }
    }

    /// The values of its periods when each sample of a queue was this one.
    fn of_samples(&self, sample: Option<f64>) -> Vec<Option<f64>> {
        let samples = self.period.unwrap_or_default() / SAMPLE;
        let value = sample.map(|sample| match self.statistic {
            Some(Statistic::SampleCount) => samples,
            Some(Statistic::Sum) => sample * samples,
            _ => sample,
        });
        vec![value; self.evaluation_periods as usize]
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
        self.judge(now, |alarm| alarm.namespace.as_deref() == Some("AWS/SQS")).await
    }

    /// Judges every alarm, as [`Stack::judge_queue_alarms`] does those on queues, by the metrics of the periods that end at `now`.
    ///
    /// # Errors
    /// As there.
    pub async fn judge_alarms(&self, now: SystemTime) -> Result<BTreeMap<String, String>, StackError> {
        self.judge(now, |_| true).await
    }

    async fn judge(
        &self,
        now: SystemTime,
        is_meant: impl Fn(&Alarm) -> bool,
    ) -> Result<BTreeMap<String, String>, StackError> {
        let names = alarms(self.sdk_config()).await?;
        let at = now.duration_since(SystemTime::UNIX_EPOCH).unwrap_or_default().as_secs_f64();
        for alarm in self.alarms().await?.into_iter().filter(&is_meant) {
            let values = if alarm.namespace.as_deref() == Some("AWS/SQS") {
                let sample = self.sample(&alarm, now).await?;
                if sample == Some(0.0)
                    && alarm.judge(&alarm.of_samples(None), at) != alarm.judge(&alarm.of_samples(sample), at)
                {
                    let doing = format!("judging {} of an empty queue", alarm.name);
                    return Err(call(doing)(io::Error::other("without data it has another state")));
                }
                alarm.of_samples(sample)
            } else {
                self.values(&alarm, at).await?
            };
            let (state, reason) = (alarm.judge(&values, at), format!("its periods have {values:?}"));
            let set = json!({ "AlarmName": alarm.name, "StateValue": state, "StateReason": reason });
            self.cloudwatch("SetAlarmState", &set).await?;
        }
        let state = |alarm: Alarm| Some((names.get(&alarm.name)?.clone(), alarm.state_value));
        Ok(self.alarms().await?.into_iter().filter(is_meant).filter_map(state).collect())
    }

    /// The values of an alarm's periods, the newest first.
    async fn values(&self, alarm: &Alarm, now: f64) -> Result<Vec<Option<f64>>, StackError> {
        let mut values = Vec::new();
        for ago in 0..alarm.evaluation_periods {
            let value = if alarm.metrics.is_empty() {
                let metric = Metric {
                    namespace: alarm.namespace.clone().unwrap_or_default(),
                    name: alarm.metric_name.clone().unwrap_or_default(),
                    dimensions: alarm.dimensions.clone(),
                };
                let (period, stat) = (alarm.period.unwrap_or_default(), alarm.statistic.unwrap_or(Statistic::Average));
                self.value(&MetricStat { metric, period, stat }, ago, now).await?
            } else {
                let (mut known, mut expression) = (BTreeMap::new(), None);
                for query in &alarm.metrics {
                    if let Some(metric) = &query.metric_stat {
                        known.insert(query.id.clone(), self.value(metric, ago, now).await?);
                    }
                    expression = expression.or(query.expression.as_deref());
                }
                expression.and_then(|expression| expression::value(expression, &known))
            };
            values.push(value);
        }
        Ok(values)
    }

    /// The value of a metric in the period that ended so many periods ago.
    async fn value(&self, of: &MetricStat, ago: u32, now: f64) -> Result<Option<f64>, StackError> {
        let end = now - f64::from(ago) * of.period;
        let input = json!({
            "Namespace": of.metric.namespace, "MetricName": of.metric.name, "Dimensions": of.metric.dimensions,
            "StartTime": end - of.period, "EndTime": end, "Period": of.period, "Statistics": [of.stat.name()],
        });
        let found = self.cloudwatch("GetMetricStatistics", &input).await?;
        let points = found.get("Datapoints").and_then(Value::as_array).map(Vec::as_slice).unwrap_or_default();
        // A period of ours is in two of those of MiniStack's clock.
        let values = points.iter().filter_map(|point| point.get(of.stat.name()).and_then(Value::as_f64));
        Ok(values.reduce(|one, other| match of.stat {
            Statistic::Sum | Statistic::SampleCount => one + other,
            Statistic::Minimum => one.min(other),
            Statistic::Average | Statistic::Maximum => one.max(other),
        }))
    }

    async fn alarms(&self) -> Result<Vec<Alarm>, StackError> {
        let mut described = self.cloudwatch("DescribeAlarms", &json!({ "MaxRecords": 100 })).await?;
        let alarms = described.get_mut("MetricAlarms").and_then(Value::as_array_mut);
        let alarms = alarms.map(std::mem::take).unwrap_or_default();
        alarms.into_iter().map(|alarm| serde_json::from_value(alarm).map_err(call("understanding an alarm"))).collect()
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
        Ok(match alarm.metric_name.as_deref().unwrap_or_default() {
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
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_alarm_is_judged_as_it_is_defined() {
        let defined = |statistic: &str, comparison: &str, missing: &str| {
            let alarm = json!({
                "AlarmName": "a", "Namespace": "AWS/SQS", "MetricName": "m", "Statistic": statistic, "Period": 300,
                "EvaluationPeriods": 3, "DatapointsToAlarm": 2, "Threshold": 2.0, "ComparisonOperator": comparison,
                "TreatMissingData": missing, "StateValue": "before", "AlarmConfigurationUpdatedTimestamp": 0,
                "Dimensions": [{ "Name": "QueueName", "Value": "q" }],
            });
            serde_json::from_value::<Alarm>(alarm).unwrap()
        };
        let sampled = |alarm: &Alarm, sample| alarm.judge(&alarm.of_samples(sample), 0.0).to_owned();
        for (comparison, states) in [
            ("GreaterThanThreshold", ["OK", "OK", "ALARM"]),
            ("GreaterThanOrEqualToThreshold", ["OK", "ALARM", "ALARM"]),
            ("LessThanThreshold", ["ALARM", "OK", "OK"]),
            ("LessThanOrEqualToThreshold", ["ALARM", "ALARM", "OK"]),
        ] {
            let alarm = defined("Maximum", comparison, "missing");
            assert_eq!([1.0, 2.0, 3.0].map(|sample| sampled(&alarm, Some(sample))), states, "{comparison}");
        }
        assert_eq!(sampled(&defined("Sum", "GreaterThanThreshold", "missing"), Some(1.0)), "ALARM", "five samples");
        assert_eq!(sampled(&defined("SampleCount", "LessThanThreshold", "missing"), Some(1.0)), "OK", "five samples");
        for (missing, state) in
            [("breaching", "ALARM"), ("notBreaching", "OK"), ("ignore", "before"), ("missing", "INSUFFICIENT_DATA")]
        {
            assert_eq!(sampled(&defined("Maximum", "GreaterThanThreshold", missing), None), state);
        }
        // Two of three periods, of which some have no data.
        let breaching = defined("Maximum", "GreaterThanThreshold", "breaching");
        let quiet = defined("Maximum", "GreaterThanThreshold", "notBreaching");
        for (values, if_breaching, if_quiet) in [
            ([Some(3.0), Some(3.0), Some(0.0)], "ALARM", "ALARM"),
            ([Some(3.0), None, Some(0.0)], "ALARM", "OK"),
            ([Some(0.0), None, Some(0.0)], "OK", "OK"),
        ] {
            assert_eq!((breaching.judge(&values, 0.0), quiet.judge(&values, 0.0)), (if_breaching, if_quiet));
        }
        let warm_up_configuration = Some(WarmUp { warm_up_period_duration_in_minutes: 10.0 });
        let warming = Alarm { warm_up_configuration, ..breaching };
        assert_eq!([599.0, 600.0].map(|now| warming.judge(&[None; 3], now)), ["INSUFFICIENT_DATA", "ALARM"]);
        assert_eq!(warming.judge(&[Some(3.0); 3], 1.0), "ALARM", "enough is known");
        let mut other = defined("Maximum", "GreaterThanThreshold", "missing");
        assert_eq!(other.queue(), Some("q"));
        other.dimensions[0].name = "Queue".into();
        assert_eq!(other.queue(), None);
    }
}
