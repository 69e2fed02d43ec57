//! What the template must hold that no local service shows.

use std::{fs, path::Path};

/// A dead letter expires by the time at which its message was first sent (Amazon SQS Developer Guide, "Dead-letter queues"). With
/// equal retention, a message that waited long vanishes soon after it was given up on.
#[test]
fn dead_letters_outlive_the_queues_that_they_come_from() {
    let template = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../infra/template.yaml")).unwrap();
    let retention = |properties: &str| -> Option<u64> {
        properties.split_once("MessageRetentionPeriod: ")?.1.lines().next()?.trim().parse().ok()
    };
    let resources: Vec<&str> = template.split("\n    Type: AWS::SQS::Queue\n").collect();
    let (mut sources, mut targets) = (Vec::new(), Vec::new());
    for pair in resources.windows(2) {
        let [before, after] = pair else { continue };
        let name = before.lines().last().unwrap_or_default().trim().trim_end_matches(':');
        // Up to the next resource, which begins two spaces in.
        let properties: String =
            after.lines().take_while(|line| line.starts_with("    ")).collect::<Vec<_>>().join("\n");
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
