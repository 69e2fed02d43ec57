use nacre_core::{
    generation::Generation,
    rescan::{pass::ObjectTotals, plan::Unaffected},
    verdict::{Reason, Verdict},
};

use super::*;
use crate::report::{
    passes::tests::pass,
    tally::{
        Row,
        tests::{infected, row},
    },
};

fn page(is_live: bool) -> Page {
    Page { nonce: "n0nce".into(), is_live }
}

fn report(rows: Vec<Row>) -> Report {
    let mut tally = Tally::default();
    for row in rows {
        tally.add(row);
    }
    let mut sum = Tally::default();
    sum.add_all(tally);
    let scope = Scope { buckets: Vec::new(), since: None, sampled_of: None };
    let now = Ok(Now { lines: vec![("dead letters".into(), "scan 0".into())], ..Now::default() });
    let (generations, passes) = (Vec::new(), Vec::new());
    Report { made_at: DateTime::UNIX_EPOCH, scope, tally: sum, generations, passes, action: None, now }
}

#[test]
fn the_state_is_one_sentence() {
    assert_eq!(report(vec![]).sentence(), "No object is recorded.");
    let rows = vec![
        row("a", Verdict::Clean),
        row("b", infected(&["A"])),
        row("c", Verdict::Unscannable { reason: Reason::Encrypted }),
    ];
    let expected = "1 of 3 objects is infected. 1 could not be scanned.";
    assert_eq!(report(rows).sentence(), expected);
}

#[test]
fn hostile_names_are_text_and_nothing_else() {
    let hostile = "</td><script>alert(1)</script><img src=x onerror='alert(2)'>\"\u{202e}";
    let page = html(
        &report(vec![
            row(hostile, infected(&[hostile])),
            row(hostile, Verdict::Unscannable { reason: Reason::Encrypted }),
        ]),
        &page(false),
    );
    assert_eq!(page.matches("<script").count(), 1);
    assert_eq!(page.matches("nonce=\"n0nce\"").count(), 2);
    assert!(!page.contains("<img") && !page.contains('\u{202e}'));
    assert_eq!(
        page.matches("&lt;script&gt;alert(1)&lt;/script&gt;").count(),
        5,
        "signature, what its number leads to, two keys, and its row"
    );
}

#[test]
fn it_loads_nothing_and_each_number_leads_to_its_rows() {
    let page = html(&report(vec![row("a", infected(&["A"]))]), &page(false));
    for reference in ["src=", "http://", "https://", "url(", "@import", "<link"] {
        assert!(!page.contains(reference), "{reference}");
    }
    for link in ["#coverage", "#infected", "#unscannable", "#generations"] {
        assert!(
            page.contains(&format!("href=\"{link}\"")) && page.contains(&format!("id=\"{}\"", &link[1..])),
            "{link}"
        );
    }
}

#[test]
fn a_sample_is_said_to_be_one() {
    let mut sample = report(vec![row("a", Verdict::Clean)]);
    sample.scope.sampled_of = Some(1_000_000);
    let page = html(&sample, &page(false));
    assert!(page.contains("None of 1 sampled objects is known to be infected."));
    assert!(page.contains("A sample: 1 records of about 1000000."));
}

#[test]
fn a_fault_of_the_deployment_is_in_the_first_sentence() {
    let mut faulty = report(vec![]);
    let wrong = vec!["3 messages are in the dead-letter queue <scan>".to_owned()];
    faulty.now = Ok(Now { wrong, ..Now::default() });
    let page = html(&faulty, &page(false));
    assert!(
        page.contains("The deployment has a fault.")
            && page.contains("<li>3 messages are in the dead-letter queue &lt;scan&gt;</li>")
    );
    faulty.now = Err("no <stack>".into());
    assert!(html(&faulty, &self::page(false)).contains("self-test are not known: no &lt;stack&gt;"));
}

#[test]
fn a_pass_is_a_picture_with_what_it_found_and_cost() {
    let mut report = report(vec![row("a", infected(&["A"]))]);
    let mut shown = pass(7, 3);
    shown.cleared = Some(2);
    let stats = &mut shown.progress.stats;
    stats.examined = 1_000;
    stats.unaffected.insert(Unaffected::NothingMatches, 990);
    stats.delta = ObjectTotals { objects: 10, bytes: 100 };
    report.tally.found.insert(Generation(7).0, 1);
    report.passes = vec![shown];
    let page = html(&report, &page(false));
    for part in [
        "1000 examined",
        "990 unaffected: not scanned again",
        "10 scanned by what was added",
        "1 newly infected",
        "2 cleared",
        "data-filter=\"generation:7\">1</a>",
        "0 of 4 segments done",
        "beside $",
    ] {
        assert!(page.contains(part), "{part}");
    }
}

#[test]
fn only_a_console_s_page_asks_for_anything() {
    let report = report(vec![]);
    let (file, console) = (html(&report, &page(false)), html(&report, &page(true)));
    assert!(!file.contains("connect-src") && !file.contains("data-live=\"live.json\""));
    assert!(console.contains("connect-src 'self'") && console.contains("data-live=\"live.json\""));
    for policy in [page(false).policy(), page(true).policy()] {
        assert!(policy.starts_with("default-src 'none';") && !policy.contains("unsafe"), "{policy}");
    }
}
