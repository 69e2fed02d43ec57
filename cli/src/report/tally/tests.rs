use nacre_core::{
    object::ObjectId,
    verdict::{Reason, Verdict},
};

use super::*;

pub(in crate::report) fn infected(names: &[&str]) -> Verdict {
    Verdict::Infected { signatures: names.iter().map(|name| (*name).to_owned()).collect() }
}

pub(in crate::report) fn row(key: &str, verdict: Verdict) -> Row {
    Row {
        object: ObjectId::new("uploads", key, Some("v1".to_owned())),
        size: 10,
        generation: 7,
        engine: "1.4.6".to_owned(),
        written_at: Some("2026-11-20T10:00:00Z".parse().unwrap()),
        scanned_at: Some("2026-11-28T10:00:00Z".parse().unwrap()),
        first_infected: Some("2026-11-25T10:00:00Z".parse().unwrap()).filter(|_| verdict.is_infected()),
        reported: true,
        verdict: Some(verdict),
    }
}

#[test]
fn parts_add_up_to_the_whole() {
    let rows = [
        row("a", Verdict::Clean),
        row("b", infected(&["A", "B"])),
        row("c", infected(&["A"])),
        row("d/e.v.ZIP", Verdict::Unscannable { reason: Reason::Encrypted }),
        Row { verdict: None, reported: false, scanned_at: None, ..row("e", Verdict::Clean) },
    ];
    let starts = BTreeMap::from([(7, "2026-11-27T00:00:00Z".parse().unwrap())]);
    let tally = || Tally::of_passes(starts.clone());
    let (mut whole, mut halves) = (tally(), [tally(), tally()]);
    for (at, row) in rows.into_iter().enumerate() {
        whole.add(row.clone());
        halves[at % 2].add(row);
    }
    let mut sum = Tally::default();
    for half in halves {
        sum.add_all(half);
    }
    assert_eq!(sum.totals, whole.totals);
    assert_eq!((sum.total().objects, sum.total().bytes), (5, 50));
    assert_eq!((&sum.buckets, &sum.generations, &sum.days), (&whole.buckets, &whole.generations, &whole.days));
    assert_eq!((&sum.conclusions, sum.conclusions.len()), (&whole.conclusions, 4));
    assert_eq!(sum.signatures, BTreeMap::from([("A".to_owned(), 2), ("B".to_owned(), 1)]));
    assert_eq!(sum.reasons, BTreeMap::from([(("encrypted", "zip".to_owned()), 1)]));
    assert_eq!((&sum.found, &whole.found), (&BTreeMap::from([(7, 2)]), &sum.found));
    let number = |kind| sum.rows(kind).len();
    assert_eq!((sum.unreported, Kind::ALL.map(number)), (1, [2, 1, 1, 0, 1]));
}

#[test]
fn the_auditor_sees_what_was_clean_by_what_and_from_when_to_when() {
    let mut tally = Tally::default();
    let on = |day: &str| Some(format!("{day}T00:00:00Z").parse().unwrap());
    for (key, day) in [("a", "2026-11-03"), ("b", "2026-11-01"), ("c", "2026-11-02")] {
        tally.add(Row { scanned_at: on(day), ..row(key, Verdict::Clean) });
    }
    let clean = &tally.conclusions[&(Kind::Clean, 7, "1.4.6".to_owned())];
    assert_eq!((clean.totals.objects, clean.first, clean.last), (3, on("2026-11-01"), on("2026-11-03")));
}

#[test]
fn what_an_upload_brought_is_not_found_by_the_pass() {
    let mut tally = Tally::of_passes(BTreeMap::from([(7, "2026-11-01T00:00:00Z".parse().unwrap())]));
    tally.add(row("a", infected(&["A"])));
    assert_eq!(tally.found, BTreeMap::new());
}

#[test]
fn memory_is_bounded_and_the_newest_stay() {
    let mut tally = Tally::default();
    for n in 0..i64::try_from(3 * MAX_ROWS).unwrap() {
        let at = DateTime::from_timestamp(n, 0);
        tally.add(Row { scanned_at: at, ..row("a", infected(&[&format!("A{n}")])) });
        let reason = Reason::Encrypted;
        tally.add(Row { engine: n.to_string(), ..row(&format!("a.{n}"), Verdict::Unscannable { reason }) });
        tally.add(row(&n.to_string(), Verdict::Clean));
        assert!(tally.rows.values().all(|rows| rows.len() < 2 * MAX_ROWS));
    }
    let mut sum = Tally::default();
    sum.add_all(tally);
    assert_eq!((sum.rows(Kind::Infected).len(), sum.rows(Kind::Clean).len()), (MAX_ROWS, MAX_EXAMPLES));
    assert_eq!(sum.rows(Kind::Infected)[0].signatures(), [format!("A{}", 3 * MAX_ROWS - 1)]);
    let names = [sum.signatures.len(), sum.reasons.len(), sum.conclusions.len()];
    assert!(names.into_iter().all(|names| names <= MAX_NAMES + 2), "{names:?}");
    assert_eq!(sum.signatures.values().sum::<u64>(), 3 * MAX_ROWS as u64);
    assert_eq!(sum.of(Kind::Infected).objects, 3 * MAX_ROWS as u64);
}
