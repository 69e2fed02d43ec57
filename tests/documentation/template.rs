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
    assert_eq!(ours.len(), 4);
    for (name, properties) in ours {
        assert!(properties.contains("{Name: Stack, Value: !Ref AWS::StackName}]"), "{name} is of any stack");
    }
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
