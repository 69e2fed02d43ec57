//! `nacre report`, of a stack that has scanned something.

use std::fs;

use nacre_clamav::builder::eicar;
use nacre_test_support::{
    deployed::{DEADLINE, World},
    programs_directory,
};

#[tokio::test]
async fn a_report_says_what_is_clean_what_is_infected_and_by_what() {
    let world = World::ready(&[]).await;
    let stack = &world.stack;
    let hostile = "<script>alert(1)</script>&\"'.txt";
    for (key, content) in [("words.txt", b"words".repeat(9)), ("eicar.com", eicar()), (hostile, eicar())] {
        stack.put(key, content).await.unwrap();
    }
    let three = |records: &[nacre_core::scan_record::ScanRecord]| records.iter().filter(|it| it.reported).count() == 3;
    let records = stack.await_records(DEADLINE, three).await.unwrap();
    let directory = tempfile::tempdir().unwrap();
    stack.write_report(&programs_directory().unwrap().join("nacre"), directory.path()).await.unwrap();

    let page = fs::read_to_string(directory.path().join("report.html")).unwrap();
    assert!(page.contains("2 of 3 objects are infected."), "{page}");
    assert!(page.contains("&lt;script&gt;alert(1)&lt;/script&gt;&amp;&quot;&#39;.txt"));
    assert_eq!(page.matches("<script").count(), 1, "the page's own");
    let generation = records[0].generation.0;
    let rows = fs::read_to_string(directory.path().join("records.csv")).unwrap();
    let clean = rows.lines().find(|line| line.contains("words.txt")).unwrap();
    let expected = format!("\"45\",\"CLEAN\",\"\",\"\",\"{generation}\",");
    assert!(clean.contains(&expected), "{clean}");
    assert_eq!(rows.lines().filter(|line| line.contains(",\"INFECTED\",")).count(), 2, "{rows}");
    assert_eq!(rows.lines().count(), 4, "{rows}");
}
