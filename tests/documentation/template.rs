//! What the template must hold that no local service shows.

use std::{fs, path::Path};

/// The template's resources of a type: each one's name and its lines, which are indented by at least four.
fn resources<'t>(template: &'t str, of_type: &str) -> Vec<(&'t str, String)> {
    let before = format!("\n    Type: {of_type}\n");
    let parts: Vec<&str> = template.split(&before).collect();
    let named = parts.windows(2).filter_map(|pair| {
        let [before, after] = pair else { return None };
        let name = before.lines().last()?.trim().trim_end_matches(':');
        Some((name, after.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n")))
    });
    named.collect()
}

fn template() -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/template.yaml")).unwrap()
}

/// Metrics of two stacks would otherwise be the same: MiniStack judges an alarm by all metrics of its name, so nothing there shows it.
#[test]
fn alarms_on_our_own_metrics_are_of_their_own_stack() {
    let template = template();
    let functions = resources(&template, "AWS::Serverless::Function");
    assert_eq!(functions.len(), 4);
    for (name, properties) in functions {
        assert!(properties.contains("          NACRE_STACK: !Ref AWS::StackName"), "{name} does not name its stack");
    }
    let alarms = resources(&template, "AWS::CloudWatch::Alarm");
    let ours: Vec<_> = alarms.iter().filter(|(_, properties)| properties.contains("Namespace: Nacre")).collect();
    assert!(ours.len() >= 8, "{}", ours.len());
    for (name, properties) in ours {
        assert!(properties.contains("{Name: Stack, Value: !Ref AWS::StackName}]"), "{name} is of any stack");
    }
}

/// With `Retain`, a first deployment that fails leaves resources behind whose names a second one may need.
#[test]
fn what_outlives_its_stack_is_documented_and_does_not_outlive_a_failed_creation() {
    let template = template();
    let lines: Vec<&str> = template.lines().collect();
    let is_kept = |number: usize| lines[number].trim_start().starts_with("DeletionPolicy:");
    // The first update holds nothing: it is kept so that an updater that cannot answer does not hold up a deletion.
    let is_custom =
        |number: usize| lines[number.saturating_sub(5)..number].iter().any(|line| line.contains("Type: Custom::"));
    let kept = lines.iter().enumerate().filter(|(number, _)| is_kept(*number) && !is_custom(*number));
    let kept: Vec<&str> = kept
        .map(|(number, line)| {
            assert_eq!(line.trim(), "DeletionPolicy: RetainExceptOnCreate");
            let name =
                lines[..number].iter().rev().find(|line| !line.starts_with("   ") && !line.contains('#')).unwrap();
            name.trim().trim_end_matches(':')
        })
        .collect();
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/teardown.md")).unwrap();
    let listed = page.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`')).map(|(name, _)| name);
    let listed: Vec<&str> = listed.collect();
    assert_eq!((kept.len(), listed.len()), (6, 6));
    for name in kept {
        assert!(listed.contains(&name), "{name} is not in docs/teardown.md");
    }
}

/// Lambda refuses an event source whose queue brings a message back while a function may still work on it.
#[test]
fn no_visibility_timeout_can_be_shorter_than_its_functions_timeout() {
    let template = template();
    let number = |parameter: &str, property: &str| -> u64 {
        let rest = template.split_once(&format!("\n  {parameter}:\n")).unwrap().1;
        let rest = rest.split_once(&format!("    {property}: ")).unwrap().1;
        rest.lines().next().unwrap().parse().unwrap()
    };
    assert!(number("QueueVisibilityTimeout", "MinValue") >= number("ScannerTimeout", "MaxValue"));
    assert!(number("PassVisibilityTimeout", "MinValue") >= number("RescannerFunction", "  Timeout"));
}

/// A dead letter expires by the time at which its message was first sent (Amazon SQS Developer Guide, "Dead-letter queues"). With
/// equal retention, a message that waited long vanishes soon after it was given up on.
#[test]
fn dead_letters_outlive_the_queues_that_they_come_from() {
    let template = template();
    let retention = |properties: &str| -> Option<u64> {
        properties.split_once("MessageRetentionPeriod: ")?.1.lines().next()?.trim().parse().ok()
    };
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for (name, properties) in resources(&template, "AWS::SQS::Queue") {
        let seconds =
            retention(&properties).unwrap_or_else(|| panic!("{name} does not say how long it keeps messages"));
        if properties.contains("RedrivePolicy") { sources.push((name, seconds)) } else { targets.push((name, seconds)) }
    }
    assert_eq!((sources.len(), targets.len()), (4, 4), "{sources:?} {targets:?}");
    for (target, kept) in &targets {
        for (source, waiting) in &sources {
            assert!(*kept >= waiting + 7 * 24 * 60 * 60, "{target} keeps {kept} s, {source} {waiting} s");
        }
    }
}
