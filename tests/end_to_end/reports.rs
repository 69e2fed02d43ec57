//! `nacre report` and `nacre console`, of a stack that has scanned something.

use std::{fs, process::Stdio, time::Duration};

use nacre_clamav::builder::eicar;
use nacre_test_support::{
    Browser, Stack, axe,
    deployed::{DEADLINE, World},
    programs_directory,
};
use nacre_testing::documented::assert_screen;
use nix::{
    sys::signal::{Signal, kill},
    unistd::Pid,
};
use tokio::{
    io::{AsyncBufReadExt, BufReader},
    process::Command,
};

use crate::operations::until;

const HOSTILE: &str = "<script>alert(1)</script>&\"'.txt";

#[tokio::test]
async fn a_report_says_what_is_clean_what_is_infected_and_by_what() {
    // The definitions of tests are old, and that would be a fault.
    let world = World::ready(&[("StalenessLimitHours", "10000000")]).await;
    let stack = &world.stack;
    for (key, content) in [("words.txt", b"words".repeat(9)), ("eicar.com", eicar()), (HOSTILE, eicar())] {
        stack.put(key, content).await.unwrap();
    }
    let three = |records: &[nacre_core::scan_record::ScanRecord]| records.iter().filter(|it| it.reported).count() == 3;
    let records = stack.await_records(DEADLINE, three).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    let [page, rows] = ["report.html", "records.csv"].map(|name| directory.path().join(name));
    let arguments = ["report", "--output", page.to_str().unwrap(), "--csv", rows.to_str().unwrap()];
    // Alarms and metrics of the first minute may come later than the records.
    let printed = until(stack, &arguments, |code, printed| code == Some(0) && !printed.contains("fault")).await;
    let command = "nacre report --output report.html --csv records.csv";
    for shown_in in ["operations.md", "report.md"] {
        assert_screen(shown_in, command, &printed, &[(page.to_str().unwrap(), "report.html")]);
    }

    let page = fs::read_to_string(page).unwrap();
    assert!(page.contains("2 of 3 objects are infected."), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;.txt"));
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    let generation = records[0].generation.0;
    let rows = fs::read_to_string(rows).unwrap();
    let clean = rows.lines().find(|line| line.contains("words.txt")).unwrap();
    let expected = format!("\"45\",\"CLEAN\",\"\",\"\",\"{generation}\",");
    assert!(clean.contains(&expected), "{clean}");
    assert_eq!(rows.lines().filter(|line| line.contains(",\"INFECTED\",")).count(), 2, "{rows}");
    assert_eq!(rows.lines().count(), 4, "{rows}");
    assert!(page.contains("<dt>dead letters</dt><dd>announcement 0,"), "{page}");

    shows_the_console(stack).await;
}

/// The console serves the same live, and ends with Ctrl-C.
async fn shows_the_console(stack: &Stack) {
    let mut command = Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("console").env_clear().envs(stack.operator_environment()).stdout(Stdio::piped()).kill_on_drop(true);
    let mut console = command.spawn().unwrap();
    let mut lines = BufReader::new(console.stdout.take().unwrap()).lines();
    let url = lines.next_line().await.unwrap().expect("the console prints its URL");
    let more = lines.next_line().await.unwrap().expect("the console says how it ends");
    assert_screen("report.md", "nacre console", &format!("{url}\n{more}\n"), &[]);
    if Browser::is_installed() {
        tokio::task::spawn_blocking(move || is_live_and_safe(&url)).await.unwrap();
    } else {
        println!("skipped: chromium is not installed: `make setup` installs it");
    }
    kill(Pid::from_raw(i32::try_from(console.id().unwrap()).unwrap()), Signal::SIGINT).unwrap();
    let ended = tokio::time::timeout(DEADLINE, console.wait()).await.expect("Ctrl-C ends it").unwrap();
    assert_eq!(ended.code(), Some(0));
}

fn is_live_and_safe(url: &str) {
    let mut browser = Browser::start().unwrap();
    browser.resize(1280).unwrap();
    browser.open(url).unwrap();
    let deadline = std::time::Instant::now() + DEADLINE;
    let mut text = |expression: &str| browser.evaluate(expression).unwrap().as_str().unwrap_or_default().to_owned();
    while !text("document.querySelector('.live').textContent").starts_with("Live, as of") {
        assert!(std::time::Instant::now() < deadline, "{}", text("document.querySelector('.live').textContent"));
        std::thread::sleep(Duration::from_millis(100));
    }
    let latest = text("document.querySelector('.latest').textContent");
    assert!(latest.contains("INFECTED") && latest.contains(HOSTILE), "{latest}");
    let lines = text("document.querySelector('.lines').textContent");
    assert!(lines.contains("dead letters") && lines.contains("backlog"), "{lines}");
    assert_eq!(text("document.querySelectorAll('script').length.toString()"), "1");
    browser.screenshot(&programs_directory().unwrap().join("../browser/console-1280.png")).unwrap();
    if let Some(axe) = axe() {
        assert_eq!(browser.accessibility(&axe, &[]).unwrap(), Vec::<String>::new());
    }
    assert_eq!(browser.problems(), Vec::<String>::new());
    assert!(browser.requests().iter().all(|request| request.starts_with(url)), "{:?}", browser.requests());
}
