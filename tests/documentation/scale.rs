//! `docs/scale.md` says what the model says.

use std::{fs, path::Path};

use nacre_core::{
    estimate::{Assumptions, Corpus, Prices, estimate, others},
    rescan::cost::{Concurrency, PassCost, PassTime, PassWork, cost, time},
};

/// A pass advances the generation of one record in so many: each when it is half as old as the oldest kept delta.
const RENEWED_ONE_IN: u64 = 45;

/// Objects that a change for programs of Windows concerns: one in so many.
const CONCERNED_ONE_IN: u64 = 100;

/// Bytes of a record: one with two or three layers.
const RECORD_BYTES: u64 = 600;

fn row(records: u64, at_once: Concurrency) -> String {
    let all = PassWork::of(records, RECORD_BYTES);
    let ours = PassWork { delta_objects: records / CONCERNED_ONE_IN, advanced: records / RENEWED_ONE_IN, ..all };
    let PassCost { reading, advancing, requesting, delta, .. } = cost(ours);
    let PassTime { reading: read, delta: scanning, .. } = time(ours, at_once);
    let everything = PassWork { full_objects: records, ..all };
    let (dollars, taken) = (cost(everything).total(), time(everything, at_once).total());
    let hours = |seconds: f64| format!("{:.2}", seconds / 3600.0);
    let Concurrency { segments, scans } = at_once;
    let total = reading + advancing + requesting + delta;
    format!(
        "| {records} | {segments} / {scans} | {reading:.2} | {advancing:.2} | {requesting:.2} | {delta:.2} | **{total:.2}** | {} | {} | {dollars:.0} | {} |\n",
        hours(read),
        hours(scanning),
        hours(taken),
    )
}

#[test]
fn the_tables_rows_are_what_the_model_says() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("..");
    let page = fs::read_to_string(root.join("docs/scale.md")).unwrap();
    let rows: String = [
        (1_000_000, Concurrency { segments: 10, scans: 10 }),
        (100_000_000, Concurrency { segments: 10, scans: 10 }),
        (1_000_000_000, Concurrency { segments: 10, scans: 100 }),
        (1_000_000_000, Concurrency { segments: 256, scans: 1000 }),
    ]
    .map(|(records, at_once)| row(records, at_once))
    .concat();
    assert!(page.contains(&rows), "docs/scale.md should have these rows:\n{rows}");
}

#[test]
fn the_prices_beside_others_are_what_the_estimate_says() {
    let mut corpus = Corpus::default();
    for _ in 0..1_000_000 {
        corpus.add(Some("STANDARD"), "a", 1 << 20);
    }
    let prices = Prices::default();
    let ours = estimate(&corpus, &Assumptions::default());
    let dollars = |amount: f64| {
        let whole = format!("{amount:.0}");
        // No price here has more than six digits.
        match whole.len() {
            0..=3 => format!("${whole}"),
            more => format!("${},{}", &whole[..more - 3], &whole[more - 3..]),
        }
    };
    let [guardduty, security, clamscan] = &others(&corpus, &prices)[..] else { panic!("three of them") };
    let page = fs::read_to_string(Path::new(env!("CARGO_MANIFEST_DIR")).join("../README.md")).unwrap();
    for row in [
        format!(
            "| first scan of 1,000,000 × 1 MiB | {} | {} | {} and agents | {} and EFS |",
            dollars(ours.first_scan.dollars(&prices)),
            dollars(guardduty.first_scan),
            dollars(security.first_scan),
            dollars(clamscan.first_scan)
        ),
        format!(
            "| everything again, by new signatures | ${:.2} for what a night concerns | {} | {} | {} |",
            ours.night.dollars(&prices),
            dollars(guardduty.full_rescan),
            dollars(security.full_rescan),
            dollars(clamscan.full_rescan)
        ),
    ] {
        assert!(page.contains(&row), "README.md should have this row:\n{row}");
    }
}
