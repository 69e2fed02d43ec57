use super::*;

fn healthy() -> Snapshot {
    let at = DateTime::UNIX_EPOCH + TimeDelta::days(20_000);
    let definitions = Definitions {
        generation: Generation(7),
        age_hours: 5,
        limit_hours: 72,
        pinned: false,
        last_check: Some(at),
        last_success: None,
    };
    let pass = PassState {
        attempt: 1,
        state: State::Working,
        segments_done: 3,
        segments: 4,
        updated: at - TimeDelta::hours(1),
    };
    Snapshot {
        at,
        definitions: Some(definitions),
        pass: Some(pass),
        queues: vec![Waiting {
            name: "new objects",
            messages: 12,
            in_flight: 3,
            stalled: false,
            source: Some("Enabled".into()),
        }],
        dead_letters: ["scan", "rescan"].map(|name| (name, 0)).into(),
        errors: BTreeMap::new(),
        sandbox_layers: Some(2),
        self_tests: [("uploads".to_owned(), SelfTest { at: at - TimeDelta::minutes(20), failure: None })].into(),
        attention: [("uploads".to_owned(), Attention { infected: 2, unscannable: 1 })].into(),
        alarms: vec![Alarm { name: INFECTED.into(), since: None }],
    }
}

fn wrong(change: impl FnOnce(&mut Snapshot)) -> String {
    let mut snapshot = healthy();
    change(&mut snapshot);
    let wrong = snapshot.wrong();
    assert_eq!(wrong.len(), 1, "{wrong:?}");
    wrong.concat()
}

#[test]
fn a_deployment_that_is_well_is_one_screen() {
    let snapshot = healthy();
    assert_eq!(snapshot.wrong(), Vec::<String>::new());
    assert_eq!(
        snapshot.lines(&[]),
        [
            "definitions   generation 7, 5 hours old, of 72 allowed",
            "updater       last success never, last check 2024-10-04T00:00:00Z",
            "pass          under way, 3 of 4 segments done, last report 2024-10-03T23:00:00Z",
            "backlog       new objects: 12 waiting, 3 in flight",
            "dead letters  rescan 0, scan 0",
            "errors        none (last hour)",
            "sandbox       2 of 4 layers",
            "self-test     uploads: passed 2024-10-03T23:40:00Z",
            "verdicts      uploads: 2 infected, 1 unscannable",
            "alarms        InfectedAlarm",
            "well          nothing is wrong",
        ]
    );
    let json = snapshot.with_findings(&[]);
    assert_eq!((&json["definitions"]["generation"], &json["wrong"]), (&json!(7), &json!([])));
}

#[test]
fn each_fault_is_named_with_its_remedy() {
    assert!(wrong(|it| it.definitions = None).contains("nacre logs --function updater"));
    let age = |hours| move |it: &mut Snapshot| it.definitions.as_mut().unwrap().age_hours = hours;
    assert!(wrong(age(73)).contains("73 hours old, of 72 allowed"));
    let pinned = wrong(|it| {
        age(73)(it);
        it.definitions.as_mut().unwrap().pinned = true;
    });
    assert!(pinned.contains("unpin"));
    assert!(wrong(|it| *it.dead_letters.get_mut("scan").unwrap() = 4).contains("nacre dlq show scan"));
    let stuck = wrong(|it| it.pass.as_mut().unwrap().updated -= TimeDelta::hours(9));
    assert!(stuck.contains("for 10 hours") && stuck.contains("nacre rescan start"));
    let disabled = wrong(|it| it.queues[0].source = Some("Disabled".into()));
    assert!(disabled.contains("nothing takes new objects") && disabled.contains("where 12 wait"));
    assert!(wrong(|it| it.queues[0].source = None).contains("mapping is missing"));
    assert!(wrong(|it| it.queues[0].stalled = true).contains("12 messages wait and none is in flight"));
    let test = |minutes, failure: Option<&str>| {
        let failure = failure.map(str::to_owned);
        move |it: &mut Snapshot| {
            let test = SelfTest { at: it.at - TimeDelta::minutes(minutes), failure };
            it.self_tests = [("uploads".to_owned(), test)].into();
        }
    };
    assert!(wrong(test(20, Some("EICAR is readable (200)"))).contains("in uploads failed: EICAR is readable"));
    assert!(wrong(test(300, None)).contains("last made 5 hours ago"));
    let ringing = wrong(|it| it.alarms.push(Alarm { name: "ScanDelayAlarm".into(), since: Some(it.at) }));
    assert!(ringing.contains("ScanDelayAlarm rings since 2024-10-04T00:00:00Z"));
    assert!(ringing.ends_with("runbook.md#scandelayalarm"));
    let error = wrong(|it| {
        it.errors.insert("scanner", 2);
    });
    assert!(error.contains("scanner logged 2 errors"));
    let mut finished = healthy();
    let pass = finished.pass.as_mut().unwrap();
    (pass.state, pass.updated) = (State::Finished, DateTime::UNIX_EPOCH);
    assert!(finished.wrong().is_empty());
}

#[test]
fn a_bucket_that_is_tested_no_longer_is_not_shown() {
    let test = |bucket: &str, minutes, failure: Option<&str>| {
        let failure = failure.map(str::to_owned);
        (bucket.to_owned(), SelfTest { at: DateTime::UNIX_EPOCH + TimeDelta::minutes(minutes), failure })
    };
    let tests = of_last_run(vec![
        test("detached", 0, Some("it is gone")),
        test("uploads", 0, Some("no verdict")),
        test("invoices", 60, None),
        test("uploads", 63, None),
    ]);
    let shown: Vec<_> = tests.iter().map(|(bucket, test)| (bucket.as_str(), test.failure.is_some())).collect();
    assert_eq!(shown, [("invoices", false), ("uploads", false)]);
    assert!(of_last_run(Vec::new()).is_empty());
}

#[test]
fn the_documentation_shows_this_screen() {
    let time = |hour: i64, minute: i64| {
        "2026-11-27T00:00:00Z".parse::<DateTime<Utc>>().unwrap() + TimeDelta::minutes(hour * 60 + minute)
    };
    let mut shown = healthy();
    shown.at = time(12, 0);
    let definitions = shown.definitions.as_mut().unwrap();
    (definitions.last_check, definitions.last_success) = (Some(time(12, 0)), Some(time(9, 0)));
    let pass = shown.pass.as_mut().unwrap();
    (pass.state, pass.segments_done, pass.updated) = (State::Finished, 4, time(9, 4));
    for name in ["rescans", "full rescans", "segments of passes"] {
        let source = Some("Enabled".into());
        shown.queues.push(Waiting { name, messages: 0, in_flight: 0, stalled: false, source });
    }
    shown.dead_letters = [("scan", 2), ("rescan", 0), ("pass", 0), ("announcement", 0)].into();
    shown.errors = [("scanner", 24)].into();
    shown.self_tests = [("uploads".to_owned(), SelfTest { at: time(11, 40), failure: None })].into();
    shown.alarms.push(Alarm { name: "ScanDeadLettersAlarm".into(), since: Some(time(11, 58)) });
    let screen = shown.lines(&shown.wrong()).join("\n");
    let page = include_str!("../../../../docs/operations.md");
    assert!(page.contains(&format!("$ nacre status\n{screen}\n```")), "docs/operations.md lacks\n{screen}");
}
