//! `docs/retries.md` says when messages come back, and how often.

use std::{fs, path::Path};

use nacre_core::redelivery::Backoff;

fn text(path: &str) -> String {
    fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("..").join(path)).unwrap()
}

#[test]
fn the_tables_rows_are_the_schedule_of_the_templates_queues() {
    let template = text("infra/template.yaml");
    let number_after = |text: &str| -> u32 { text.lines().next().unwrap().trim().parse().unwrap() };
    let timeout = template.split_once("\n  QueueVisibilityTimeout:\n    Type: Number\n    Default: ").unwrap().1;
    let backoff = Backoff { first: Backoff::FIRST, longest: number_after(timeout) };
    // The three queues of the scanner have the same number of attempts.
    let attempts = |dead_letters: &str| -> Vec<u32> {
        let before = format!("deadLetterTargetArn: !GetAtt {dead_letters}.Arn\n        maxReceiveCount: ");
        template.split(&before).skip(1).map(number_after).collect()
    };
    let (scans, rescans) = (attempts("ScanDeadLetters"), attempts("RescanDeadLetters"));
    assert_eq!((scans.len(), rescans.len()), (1, 2));
    assert!(rescans.iter().all(|rescan| *rescan == scans[0]), "{scans:?} {rescans:?}");

    let mut since = 0;
    let row = |attempt: u32| {
        let wait = backoff.longest_wait(attempt).as_secs();
        since += wait;
        let time = format!("{}:{:02}:{:02}", since / 3600, since / 60 % 60, since % 60);
        format!("| {attempt} | {wait} | {time} |\n")
    };
    let rows: String = (1..=scans[0]).map(row).collect();
    assert!(text("docs/retries.md").contains(&rows), "docs/retries.md should have these rows:\n{rows}");
}
