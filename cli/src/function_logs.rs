//! What the functions logged, read from their log groups.

use std::fmt;

use aws_sdk_cloudwatchlogs::Client;
use chrono::{DateTime, SecondsFormat, TimeDelta, Utc};
use nacre_core::object::ObjectId;
use serde::Serialize;
use serde_json::{Map, Value};

use crate::deployment::{Deployment, DeploymentError};

/// The log groups by their names in the template, and whose they are.
const GROUPS: [(&str, &str); 4] =
    [("UpdaterLogs", "updater"), ("RescannerLogs", "rescanner"), ("ScannerLogs", "scanner"), ("RescanLogs", "rescan")];

/// Most pages that are read of a log group: each may be empty, as CloudWatch searches a part of the group for each.
const MAX_PAGES: usize = 200;

/// What the scanner logs of a message that failed.
pub(crate) const FAILED: &str = "record failed and will be retried";

/// Why logs cannot be read.
#[derive(Debug, thiserror::Error)]
pub(crate) enum LogsError {
    #[error(transparent)]
    Deployment(#[from] DeploymentError),
    #[error("the log group {group} cannot be read: check that the credentials may call logs:FilterLogEvents")]
    Read {
        group: String,
        #[source]
        source: Box<dyn std::error::Error + Send + Sync>,
    },
}

/// A line of a function's structured log.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub(crate) struct Line {
    pub(crate) at: DateTime<Utc>,
    pub(crate) function: &'static str,
    pub(crate) level: String,
    pub(crate) message: String,
    /// Its other fields.
    pub(crate) fields: Map<String, Value>,
}

impl Line {
    /// Reads a line; `None` for what is no structured line, such as Lambda's own. Pure.
    fn parse(function: &'static str, milliseconds: i64, text: &str) -> Option<Self> {
        let Ok(Value::Object(mut line)) = serde_json::from_str(text) else { return None };
        // The subscriber nests an event's fields, or does not.
        let mut fields = match line.remove("fields") {
            Some(Value::Object(fields)) => fields,
            _ => line.clone(),
        };
        let text = |value: Option<Value>| value.and_then(|value| value.as_str().map(str::to_owned));
        let message = text(fields.remove("message"))?;
        let level = text(line.remove("level")).unwrap_or_default();
        for known in ["timestamp", "level", "target", "span", "spans"] {
            fields.remove(known);
        }
        let at = DateTime::from_timestamp_millis(milliseconds)?;
        Some(Self { at, function, level, message, fields })
    }

    /// A field of text.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.fields.get(name).and_then(Value::as_str)
    }

    /// Whether it is about this object; about this version of it, where both name one.
    pub(crate) fn is_about(&self, object: &ObjectId) -> bool {
        let named = (self.text("s3.bucket"), self.text("s3.key"));
        let version = match (self.text("s3.version_id"), &object.version_id) {
            (Some(logged), Some(wanted)) => logged == wanted,
            _ => true,
        };
        named == (Some(object.bucket.as_str()), Some(object.key.as_str())) && version
    }
}

impl fmt::Display for Line {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let time = self.at.to_rfc3339_opts(SecondsFormat::Millis, true);
        write!(f, "{time}  {:9}  {:5}  {}", self.function, self.level, self.message)?;
        for (name, value) in &self.fields {
            match value {
                Value::Null => {}
                Value::String(text) => write!(f, "  {name}={text}")?,
                value => write!(f, "  {name}={value}")?,
            }
        }
        Ok(())
    }
}

/// The functions' logs.
pub(crate) struct FunctionLogs {
    client: Client,
    groups: Vec<(&'static str, String)>,
}

/// Lines, and whether there may be more than were read.
#[derive(Debug, Default)]
pub(crate) struct Lines {
    pub(crate) lines: Vec<Line>,
    pub(crate) cut: bool,
}

impl FunctionLogs {
    pub(crate) async fn open(deployment: &Deployment) -> Result<Self, LogsError> {
        let named = deployment.resources("AWS::Logs::LogGroup").await?;
        let group = |(logical, function)| named.get(logical).map(|group: &String| (function, group.clone()));
        Ok(Self { client: Client::new(&deployment.sdk), groups: GROUPS.into_iter().filter_map(group).collect() })
    }

    /// The lines since then that have this text, of these functions (all when none is named), oldest first.
    pub(crate) async fn search(
        &self,
        functions: &[&str],
        since: DateTime<Utc>,
        text: Option<&str>,
    ) -> Result<Lines, LogsError> {
        let (raw, cut) = self.read(functions, since, text).await?;
        let parse = |(function, at, line): &(&'static str, i64, String)| Line::parse(function, *at, line);
        let mut lines: Vec<Line> = raw.iter().filter_map(parse).collect();
        lines.sort_by_key(|line| line.at);
        Ok(Lines { lines, cut })
    }

    /// The newest value of a metric that the scanner printed since then.
    pub(crate) async fn newest_metric(&self, name: &str, since: DateTime<Utc>) -> Result<Option<u64>, LogsError> {
        let (raw, _) = self.read(&["scanner"], since, Some(name)).await?;
        let value = |(_, at, line): &(_, i64, String)| {
            let line: Value = serde_json::from_str(line).ok()?;
            Some((*at, line.get(name)?.as_u64()?))
        };
        Ok(raw.iter().filter_map(value).max_by_key(|(at, _)| *at).map(|(_, value)| value))
    }

    /// Lines as they were printed, with their functions and times in milliseconds.
    async fn read(
        &self,
        functions: &[&str],
        since: DateTime<Utc>,
        text: Option<&str>,
    ) -> Result<(Vec<(&'static str, i64, String)>, bool), LogsError> {
        let (mut lines, mut cut) = (Vec::new(), false);
        for (function, group) in &self.groups {
            if !functions.is_empty() && !functions.contains(function) {
                continue;
            }
            let request = self.client.filter_log_events().log_group_name(group).start_time(since.timestamp_millis());
            let request =
                request.set_filter_pattern(text.filter(|text| is_plain(text)).map(|text| format!("\"{text}\"")));
            let (mut pages, mut read) = (request.into_paginator().send(), 0);
            while let Some(page) = pages.next().await {
                let page = page.map_err(|error| LogsError::Read { group: group.clone(), source: error.into() })?;
                lines.extend(page.events().iter().filter_map(|event| {
                    let line = event.message().filter(|line| text.is_none_or(|text| has(line, text)))?;
                    Some((*function, event.timestamp()?, line.to_owned()))
                }));
                read += 1;
                if read == MAX_PAGES {
                    cut = true;
                    break;
                }
            }
        }
        Ok((lines, cut))
    }

    /// The messages' failures that these functions logged since then.
    pub(crate) async fn failures(&self, functions: &[&str], since: DateTime<Utc>) -> Result<Lines, LogsError> {
        self.search(functions, since, Some(FAILED)).await
    }

    /// The errors that these functions logged since then.
    pub(crate) async fn errors(&self, functions: &[&str], since: DateTime<Utc>) -> Result<Lines, LogsError> {
        let mut found = self.search(functions, since, Some("ERROR")).await?;
        found.lines.retain(|line| line.level == "ERROR");
        Ok(found)
    }
}

/// Whether a text stands in a filter pattern as it is.
fn is_plain(text: &str) -> bool {
    !text.is_empty() && text.chars().all(|c| c.is_ascii_alphanumeric() || " /._-".contains(c))
}

/// Whether a line has a text, as JSON writes it.
fn has(line: &str, text: &str) -> bool {
    let json = Value::from(text).to_string();
    let within = json.strip_prefix('"').and_then(|json| json.strip_suffix('"')).unwrap_or_default();
    line.contains(within)
}

/// A duration such as `90m`, `12h`, `14d`.
pub(crate) fn parse_duration(text: &str) -> Result<TimeDelta, String> {
    let unit = text.chars().next_back().unwrap_or_default();
    let number = text.strip_suffix(unit).and_then(|number| number.parse().ok()).unwrap_or_default();
    let duration = match unit {
        'm' => TimeDelta::try_minutes(number),
        'h' => TimeDelta::try_hours(number),
        'd' => TimeDelta::try_days(number),
        _ => None,
    };
    let is_sensible = |it: &TimeDelta| *it > TimeDelta::zero() && *it < TimeDelta::days(36_500);
    duration.filter(is_sensible).ok_or_else(|| "it is a number and m, h or d, such as 12h".into())
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn line(key: &str, version: Option<&str>) -> Line {
        let fields =
            json!({ "message": FAILED, "cause": "no", "s3.bucket": "b", "s3.key": key, "s3.version_id": version });
        let text = json!({ "timestamp": "now", "level": "ERROR", "fields": fields, "target": "scanner" }).to_string();
        assert!(has(&text, key) && has(&text, FAILED));
        Line::parse("scanner", 1_000, &text).unwrap()
    }

    #[test]
    fn a_line_is_read_with_its_object() {
        for key in ["a/b.txt", "a \"quoted\"\n\u{1b}key\\"] {
            let line = line(key, Some("1"));
            assert_eq!((line.message.as_str(), line.level.as_str(), line.text("cause")), (FAILED, "ERROR", Some("no")));
            let object = |version: Option<&str>| ObjectId::new("b", key, version.map(str::to_owned));
            assert!(line.is_about(&object(None)) && line.is_about(&object(Some("1"))));
            assert!(!line.is_about(&object(Some("2"))) && !line.is_about(&ObjectId::new("c", key, None)));
        }
        let flat = r#"{"level":"INFO","message":"object scanned","s3.key":"k","target":"x"}"#;
        assert_eq!(Line::parse("scanner", 0, flat).unwrap().fields.len(), 1);
        for other in ["START RequestId: 1", "{}", "[]", r#"{"_aws":{}}"#] {
            assert_eq!(Line::parse("scanner", 0, other), None, "{other}");
        }
    }

    #[test]
    fn durations_have_a_unit() {
        assert_eq!(parse_duration("90m"), Ok(TimeDelta::minutes(90)));
        assert_eq!(parse_duration("14d"), Ok(TimeDelta::days(14)));
        for bad in ["", "h", "12", "-1h", "0m", "9999999999999999d", "1ü"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }
}
