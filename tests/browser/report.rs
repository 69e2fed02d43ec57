//! A report of ten thousand infected objects with the worst keys.

use std::{
    path::{Path, PathBuf},
    process::Command,
};

use nacre_test_support::{Browser, GeneratedTable, axe, programs_directory, record_json};
use serde_json::Value;

/// Keys that would be more than text wherever one was not escaped.
const HOSTILE: [&str; 9] = [
    "</td></table><script>window.hacked = 1</script>",
    "<img src=x onerror='window.hacked = 2'>",
    "\"></a><svg onload=window.hacked=3>",
    "' onmouseover='window.hacked=4' x='",
    "</script><script>window.hacked = 5</script>",
    "<!--<script>",
    "javascript:window.hacked=6",
    "\u{202e}gpj.exe\u{0}\u{7}\u{feff}",
    "]]>&lt;b&gt;{{constructor}}${window.hacked=7}",
];

const INFECTED: u64 = 10_000;
const ALL: u64 = 12_000;

/// The record of a number: the infected first, then some that could not be scanned, then clean ones.
fn record(number: u64) -> String {
    let index = usize::try_from(number / 3).unwrap();
    let hostile = HOSTILE[index % HOSTILE.len()];
    let key = if number.is_multiple_of(3) { format!("{number}/{hostile}") } else { format!("{number}/file.zip") };
    let at = format!("2026-11-{:02}T10:00:00.000Z", 1 + number % 28);
    let signature = if number.is_multiple_of(10) { hostile } else { "Win.Test.EICAR_HDB-1" };
    let more = format!(",\"signatures\":{{\"SS\":[{}]}}", Value::from(signature));
    match number {
        0..INFECTED => record_json(&key, "infected", &more, &at),
        INFECTED..11_000 => record_json(&key, "unscannable", ",\"reason\":{\"S\":\"encrypted\"}", &at),
        _ => record_json(&key, "clean", "", &at),
    }
}

fn screenshots() -> PathBuf {
    programs_directory().unwrap().join("../browser")
}

async fn write_report(directory: &Path) -> PathBuf {
    let table = GeneratedTable::start(ALL, record).await.unwrap();
    let page = directory.join("report.html");
    let mut command = Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("report").arg("--output").arg(&page).env_clear().envs(table.environment()).env("HOME", directory);
    let output = tokio::task::spawn_blocking(move || command.output().unwrap()).await.unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    page
}

/// The number that an expression has in the page.
fn number(browser: &mut Browser, expression: &str) -> u64 {
    browser.evaluate(expression).unwrap().as_u64().unwrap_or_else(|| panic!("{expression} is no number"))
}

fn text(browser: &mut Browser, expression: &str) -> String {
    browser.evaluate(expression).unwrap().as_str().unwrap_or_else(|| panic!("{expression} is no text")).to_owned()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_page_of_ten_thousand_hostile_rows_is_safe_quick_and_accessible() {
    if !Browser::is_installed() {
        println!("skipped: chromium is not installed: `make setup` installs it");
        return;
    }
    let directory = tempfile::tempdir().unwrap();
    let page = write_report(directory.path()).await;
    let mut browser = Browser::start().unwrap();
    browser.open(&format!("file://{}", page.display())).unwrap();
    is_used_by_keyboard(&mut browser);
    for width in [360, 768, 1280] {
        browser.resize(width).unwrap();
        browser.screenshot(&screenshots().join(format!("report-{width}.png"))).unwrap();
        let overflow = "document.documentElement.scrollWidth - document.documentElement.clientWidth";
        assert_eq!(number(&mut browser, overflow), 0, "the page is wider than a window of {width}");
    }
    is_inert(&mut browser);
    shows_a_part_of_all(&mut browser);

    // Of the other scheme only the colours differ.
    for (scheme, rules) in [("light", &[][..]), ("dark", &["color-contrast"])] {
        browser.emulate(scheme, "").unwrap();
        match axe() {
            Some(axe) => assert_eq!(browser.accessibility(&axe, rules).unwrap(), Vec::<String>::new(), "{scheme}"),
            None => println!("skipped: axe-core is not there: `make setup` downloads it"),
        }
    }
    browser.screenshot(&screenshots().join("report-dark.png")).unwrap();
    browser.emulate("light", "print").unwrap();
    let shown = "[...document.querySelectorAll('label, .pager')].filter(it => it.offsetParent).length";
    assert_eq!(number(&mut browser, shown), 0, "what is for a screen is not printed");

    assert_eq!(browser.problems(), Vec::<String>::new());
    let foreign: Vec<_> = browser.requests().iter().filter(|url| !url.starts_with("file://")).collect();
    assert_eq!(foreign, Vec::<&String>::new(), "the page loads nothing");
}

/// No key is more than text, whether it came as an element or as data.
fn is_inert(browser: &mut Browser) {
    assert_eq!(text(browser, "typeof window.hacked"), "undefined");
    for (selector, expected) in [("script", 1), ("img, main svg [onload], [onmouseover], iframe, object", 0)] {
        assert_eq!(number(browser, &format!("document.querySelectorAll('{selector}').length")), expected, "{selector}");
    }
    let seen = text(browser, "document.querySelector('#infected [data-rows]').innerText");
    assert!(seen.contains("<script>window.hacked = 1</script>") && seen.contains("\\u{202e}gpj.exe"), "{seen:.2000}");
    assert!(!seen.contains(['\u{202e}', '\u{0}', '\u{feff}']));
}

fn shows_a_part_of_all(browser: &mut Browser) {
    let place = "document.querySelector('#infected [data-rows] ~ .pager [role=status]').textContent";
    assert_eq!(text(browser, place), "1 to 100 of 10000");
    let rows = "document.querySelectorAll('tr').length";
    assert!(number(browser, rows) < 600, "a browser lays out few rows of many");
    browser.evaluate("document.querySelector('#infected [data-rows] ~ .pager button:last-child').click()").unwrap();
    assert_eq!(text(browser, place), "101 to 200 of 10000");
    // A number leads to its rows.
    let link =
        "[...document.querySelectorAll('#infected a[data-filter]')].find(it => it.dataset.filter.includes('EICAR'))";
    let count = text(browser, &format!("{link}.textContent"));
    browser.evaluate(&format!("{link}.click()")).unwrap();
    assert_eq!((count.as_str(), text(browser, place).as_str()), ("9000", "1 to 100 of 9000"));
    let head = "[...document.querySelectorAll('#infected [data-rows] th')].find(it => it.textContent === 'Key')";
    for (direction, first) in [("ascending", "1/file.zip"), ("descending", "9999/")] {
        browser.evaluate(&format!("{head}.querySelector('button').click()")).unwrap();
        assert_eq!(text(browser, &format!("{head}.getAttribute('aria-sort')")), direction);
        let key = text(browser, "document.querySelector('#infected [data-rows] td:nth-child(2)').textContent");
        assert!(key.starts_with(first), "{direction}: {key}");
    }
    assert!(number(browser, rows) < 600);
}

fn is_used_by_keyboard(browser: &mut Browser) {
    browser.press("Tab").unwrap();
    assert_eq!(text(browser, "document.activeElement.className"), "skip");
    browser.evaluate("document.querySelector('#infected [data-rows] th button').focus()").unwrap();
    browser.press("Enter").unwrap();
    assert_eq!(text(browser, "document.activeElement.parentElement.getAttribute('aria-sort')"), "ascending");
    browser.evaluate("document.activeElement.blur(); scrollTo(0, 0)").unwrap();
}
