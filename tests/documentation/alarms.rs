//! The alarms of the template and the sections of docs/runbook.md, and the metrics that alarms and dashboard name.

use std::collections::BTreeSet;

use nacre_core::telemetry::NAMESPACE;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const PAGE: &str = include_str!("../../docs/runbook.md");
const TELEMETRY: &str = include_str!("../../shared/core/src/telemetry.rs");

/// Each alarm's name and its properties.
fn alarms() -> Vec<(&'static str, String)> {
    let parts: Vec<&str> = TEMPLATE.split("\n    Type: AWS::CloudWatch::Alarm\n").collect();
    let named = parts.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let name = before.lines().last()?.trim().trim_end_matches(':');
        Some((name, after.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n")))
    });
    named.collect()
}

/// The sections of the runbook that are named like alarms.
fn sections() -> Vec<(&'static str, &'static str)> {
    let parts = PAGE.split("\n## ").skip(1).map(|part| part.split_once('\n').unwrap());
    parts.filter(|(title, _)| title.ends_with("Alarm")).collect()
}

#[test]
fn each_alarm_has_its_section_and_each_section_its_alarm() {
    let defined: BTreeSet<_> = alarms().iter().map(|(name, _)| *name).collect();
    let listed: BTreeSet<_> = sections().iter().map(|(title, _)| *title).collect();
    assert_eq!(defined, listed);
    assert!(defined.len() >= 25, "{}", defined.len());
    for (title, text) in sections() {
        for part in ["**When:** ", "**Means:** ", "**Do:** "] {
            assert!(text.contains(part), "{title} has no {part}");
        }
    }
}

#[test]
fn each_alarm_says_what_to_do_names_its_section_and_can_notify() {
    for (name, properties) in alarms() {
        let description = properties.lines().find_map(|line| line.trim().strip_prefix("AlarmDescription: ")).unwrap();
        let runbook = format!("Runbook docs/runbook.md#{}", name.to_lowercase());
        assert!(description.ends_with(&runbook), "{name}: {description}");
        // What it means, and what to do.
        assert!(description.matches(". ").count() >= 2 && description.len() <= 1024, "{name}: {description}");
        let topics = if name == "InfectedAlarm" { "" } else { "!Ref Alerts, " };
        for actions in ["AlarmActions", "OKActions"] {
            let line = format!("{actions}: [{topics}!If [HasAlarmTopic, !Ref AlarmTopic, !Ref AWS::NoValue]]");
            assert!(properties.lines().any(|found| found.trim() == line), "{name} has no {line}");
        }
        // A new stack has no data, and must not ring for it.
        let warms_up = properties.contains("WarmUpConfiguration:");
        assert!(properties.contains("TreatMissingData: notBreaching") || warms_up, "{name} rings on a new stack");
    }
}

/// Metrics of AWS that we name, by their namespaces ("AWS services that publish `CloudWatch` metrics").
const OF_AWS: [(&str, &[&str]); 3] = [
    ("AWS/Lambda", &["Duration", "Errors", "Invocations", "Throttles"]),
    (
        "AWS/SNS",
        &["NumberOfMessagesPublished", "NumberOfNotificationsFailed", "NumberOfNotificationsFailedToRedriveToDlq"],
    ),
    ("AWS/SQS", &["ApproximateAgeOfOldestMessage", "ApproximateNumberOfMessagesVisible"]),
];

/// Our own metrics, by the function that emits each; a source file of it names the variant.
fn emits(function: &str, metric: &str) -> bool {
    let known = TELEMETRY.contains(&format!("Self::{metric} => \"{metric}\","));
    let folder = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(function).join("src");
    let variant = format!("Metric::{metric}");
    known && names(&folder, &variant)
}

fn names(folder: &std::path::Path, text: &str) -> bool {
    let mut entries = std::fs::read_dir(folder).unwrap().map(|entry| entry.unwrap().path());
    entries.any(|path| {
        if path.is_dir() {
            return names(&path, text);
        }
        let is_test = path.file_name().is_some_and(|name| name == "tests.rs");
        let source = std::fs::read_to_string(&path).unwrap();
        let source = source.split("#[cfg(test)]").next().unwrap();
        // The name ends here, and is not the beginning of another's.
        !is_test
            && source
                .match_indices(text)
                .any(|(at, _)| !source[at + text.len()..].starts_with(|c: char| c.is_ascii_alphanumeric()))
    })
}

fn check(namespace: &str, metric: &str, function: Option<&str>, whose: &str) {
    if namespace == NAMESPACE {
        let function = function.unwrap_or_else(|| panic!("{whose}: {metric} is of no function"));
        assert!(emits(function, metric), "{whose}: {function} emits no {metric}");
    } else {
        let known = OF_AWS.iter().any(|(of, metrics)| *of == namespace && metrics.contains(&metric));
        assert!(known, "{whose}: {namespace} has no {metric}");
    }
}

#[test]
fn every_metric_of_an_alarm_is_one_that_is_emitted() {
    for (name, properties) in alarms() {
        let values = |key: &str| -> Vec<String> {
            let lines = properties.lines().map(str::trim);
            lines.filter_map(|line| line.strip_prefix(key)?.strip_prefix(": ")).map(str::to_owned).collect()
        };
        let (namespaces, metrics, dimensions) = (values("Namespace"), values("MetricName"), values("Dimensions"));
        assert!(
            !metrics.is_empty() && metrics.len() == namespaces.len() && metrics.len() == dimensions.len(),
            "{name}"
        );
        for ((namespace, metric), dimensions) in namespaces.iter().zip(&metrics).zip(&dimensions) {
            let function = dimensions.split_once("{Name: Function, Value: ").and_then(|(_, rest)| rest.split_once('}'));
            check(namespace, metric, function.map(|(function, _)| function), name);
        }
    }
}

#[test]
fn every_metric_of_the_dashboard_is_one_that_is_emitted_and_every_alarm_is_shown() {
    let body = TEMPLATE.split_once("      DashboardBody: !Sub >-\n").unwrap().1;
    let body: String = body.lines().take_while(|line| line.starts_with("        ")).map(str::trim).collect();
    let body: serde_json::Value = serde_json::from_str(&body).unwrap();
    let widgets = body["widgets"].as_array().unwrap();
    let mut checked = 0;
    for widget in widgets {
        let title = widget["properties"]["title"].as_str().unwrap();
        for metric in widget["properties"]["metrics"].as_array().map(Vec::as_slice).unwrap_or_default() {
            let text = |index: usize| metric[index].as_str();
            // An expression over others.
            let (Some(namespace), Some(name)) = (text(0), text(1)) else { continue };
            check(namespace, name, text(3).filter(|_| text(2) == Some("Function")), title);
            checked += 1;
        }
    }
    assert!(checked > 30, "{checked}");
    let shown = widgets[0]["properties"]["alarms"].as_array().unwrap();
    let shown: BTreeSet<_> = shown.iter().map(|arn| arn.as_str().unwrap().to_owned()).collect();
    assert_eq!(shown, alarms().iter().map(|(name, _)| format!("${{{name}.Arn}}")).collect());
}
