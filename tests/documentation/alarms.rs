//! The alarms that docs/deploy.md lists, and those of the template.

use std::collections::BTreeSet;

const TEMPLATE: &str = include_str!("../../infra/template.yaml");
const PAGE: &str = include_str!("../../docs/deploy.md");

#[test]
fn every_alarm_is_documented_and_can_notify() {
    let lines: Vec<_> = TEMPLATE.lines().collect();
    let resources = lines.windows(2).filter(|pair| pair[1] == "    Type: AWS::CloudWatch::Alarm");
    let defined: BTreeSet<_> = resources.map(|pair| pair[0].trim().trim_end_matches(':')).collect();
    let rows = PAGE.lines().filter_map(|line| line.strip_prefix("| `")?.split_once('`'));
    let listed: BTreeSet<_> = rows.map(|(name, _)| name).filter(|name| name.ends_with("Alarm")).collect();
    assert_eq!(defined, listed);
    let action = "      AlarmActions: [!If [HasAlarmTopic, !Ref AlarmTopic, !Ref AWS::NoValue]]";
    assert_eq!(lines.iter().filter(|line| **line == action).count(), defined.len());
}
