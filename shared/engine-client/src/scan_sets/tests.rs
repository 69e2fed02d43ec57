use super::*;

fn sets(official: bool, custom: &[(&str, &str)]) -> (tempfile::TempDir, ScanSets) {
    let place = tempfile::tempdir().expect("a directory");
    let directory = place.path().join("1");
    fs::create_dir(&directory).expect("a directory");
    for (name, text) in custom {
        fs::write(directory.join(name), text).expect("a file");
    }
    let custom = custom.iter().map(|(name, _)| (*name).to_owned()).collect();
    (place, ScanSets::new(directory, Vec::new(), custom, official))
}

fn report(alerts: &[&str]) -> Report {
    Report { alerts: alerts.iter().map(|alert| (*alert).to_owned()).collect(), ..Report::default() }
}

#[test]
fn names_are_those_of_the_whole_databases() {
    let names = |official, custom: &[(&str, &str)]| {
        let (_place, sets) = sets(official, custom);
        let body = report(&["A.UNOFFICIAL", "B.UNOFFICIAL", "C"]);
        sets.decided(body, Some(report(&["D.UNOFFICIAL"]))).expect("decided").alerts
    };
    assert_eq!(names(true, &[]), ["A", "B", "C", "D"]);
    assert_eq!(names(true, &[("own.ndb", "B:0:*:61\n")]), ["A", "B.UNOFFICIAL", "C", "D"]);
    assert_eq!(names(false, &[]), ["A.UNOFFICIAL", "B.UNOFFICIAL", "C", "D.UNOFFICIAL"]);
}

#[test]
fn what_could_not_be_looked_up_is_never_decided_as_clean() {
    let (_place, sets) = sets(false, &[]);
    let unlooked = |alerts: &[&str]| Report { unlooked: 2, ..report(alerts) };
    assert!(matches!(sets.decided(unlooked(&[]), None), Err(DecideError::Unlooked(2))));
    assert!(matches!(sets.decided(unlooked(&[]), Some(report(&[]))), Err(DecideError::Unlooked(2))));
    // A match is a match.
    assert_eq!(sets.decided(unlooked(&["A"]), None).expect("decided").alerts, ["A"]);
    assert_eq!(sets.decided(unlooked(&[]), Some(report(&["A"]))).expect("decided").alerts, ["A"]);
}

#[test]
fn what_stopped_the_mini_engine_speaks_against_clean() {
    let (_place, sets) = sets(false, &[]);
    let limit = "Heuristics.Limits.Exceeded.MaxScanTime".to_owned();
    let mini = Report { status: 20, limits_exceeded: vec![limit.clone()], ..report(&[]) };
    let decided = sets.decided(report(&[]), Some(mini)).expect("decided");
    assert_eq!((decided.status, decided.limits_exceeded), (20, vec![limit]));
}

#[tokio::test]
async fn a_proposal_of_no_filter_is_an_error() {
    let (place, sets) = sets(false, &[]);
    let proposal = Proposal { filter: "other".into(), of: Proposed::File, digest: "00".repeat(16), size: None };
    let report = Report { proposals: vec![proposal], ..report(&[]) };
    let pool = EnginePool::new("none".into(), place.path().to_owned());
    let compared = sets.compare(&nacre_testing::memory_definitions::MemoryDefinitions::default(), &report, &pool).await;
    assert!(matches!(compared, Err(DecideError::Proposal { .. })));
}
