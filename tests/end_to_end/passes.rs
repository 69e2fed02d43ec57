//! Passes over the scan records as an operator sees them: begun, watched, ended.

use std::time::Instant;

use nacre_core::rescan::pass::State;
use nacre_test_support::programs_directory;
use nacre_testing::documented::{assert_as_schema, assert_screen};
use serde_json::Value;

use nacre_test_support::deployed::{DEADLINE, EVIL, World, daily, published};

/// Runs `nacre rescan`; answers its exit status and what it printed.
async fn nacre(world: &World, arguments: &[&str]) -> (Option<i32>, String) {
    let mut command = tokio::process::Command::new(programs_directory().unwrap().join("nacre"));
    command.arg("rescan").args(arguments).env_clear().envs(world.stack.operator_environment());
    command.env("AV_DEFINITION_S3_BUCKET", world.stack.output("DefinitionsBucket"));
    command.env("NACRE_RECORDS_TABLE", world.stack.output("ScanRecords"));
    command.env("NACRE_RESCANNER_FUNCTION", world.stack.output("RescannerFunction"));
    let output = command.kill_on_drop(true).output().await.unwrap();
    let stdout = String::from_utf8(output.stdout).unwrap();
    assert_as_schema(&[&["rescan"], arguments].concat(), &stdout);
    (output.status.code(), stdout + &String::from_utf8(output.stderr).unwrap())
}

/// What `nacre rescan status` prints once the pass is done with.
async fn finished(world: &World) -> Value {
    let started = Instant::now();
    loop {
        let (code, printed) = nacre(world, &["status", "--json"]).await;
        if code == Some(0) {
            let printed: Value = serde_json::from_str(&printed).unwrap();
            if printed["state"] != "working" {
                return printed;
            }
        }
        assert!(started.elapsed() < DEADLINE, "{printed}");
        tokio::time::sleep(std::time::Duration::from_millis(250)).await;
    }
}

#[tokio::test]
async fn a_pass_is_started_by_an_announcement_or_by_hand_worked_in_segments_and_reported() {
    let world = World::ready(&[("RescanSegments", "3")]).await;
    let stack = &world.stack;
    for n in 0..6 {
        let content = if n == 0 { format!("{EVIL}\n") } else { format!("harmless {n}\n") };
        stack.put(&format!("file {n}.txt"), content).await.unwrap();
    }
    let records = stack.await_records(DEADLINE, |records| records.iter().filter(|record| record.reported).count() == 6);
    records.await.unwrap();

    world.mirror.put("daily.cvd", daily(2, true));
    assert_eq!(published(&world.update().await), 2);
    let printed = finished(&world).await;
    assert_eq!(
        (&printed["generation"], &printed["state"], &printed["cause"]),
        (&2.into(), &"finished".into(), &"announced".into())
    );
    let tally = &printed["tally"];
    assert_eq!((tally["examined"].as_u64(), printed["segments_done"].as_u64()), (Some(6), Some(3)));
    assert_eq!(tally["published"]["delta"]["objects"], 6, "{printed}");
    let records = stack.await_records(DEADLINE, |records| records.iter().all(|record| record.generation.0 == 2));
    records.await.unwrap();

    let (code, printed) = nacre(&world, &["plan", "--from", "1", "--json"]).await;
    assert_eq!(code, Some(0), "{printed}");
    let planned: Value = serde_json::from_str(&printed).unwrap();
    assert_eq!((&planned["to"], &planned["tally"]["delta"]["objects"]), (&2.into(), &5.into()), "{printed}");
    assert_eq!(planned["changed"]["ndb"], serde_json::json!([1, 0]), "{printed}");
    assert!(planned["dollars_total"].as_f64() < planned["dollars_full"].as_f64(), "{printed}");
    let (code, printed) = nacre(&world, &["plan"]).await;
    assert!(code == Some(0) && printed.contains("6 records, to generation 2\n  up to date 6\n"), "{printed}");
    let (code, printed) = nacre(&world, &["plan", "--to", "9"]).await;
    assert!(code == Some(2) && printed.contains("generation 9 is not kept any more"), "{printed}");

    let (code, printed) = nacre(&world, &["cancel"]).await;
    assert!(code == Some(2) && printed.contains("there is nothing to cancel"), "{printed}");
    let (code, printed) = nacre(&world, &["start"]).await;
    assert!(code == Some(0) && printed.contains("pass 2 for generation 2 has started, in 3 segments"), "{printed}");
    assert_screen("passes.md", "nacre rescan start", &printed, &[]);
    let again = finished(&world).await;
    assert_eq!((&again["tally"]["up_to_date"], &again["tally"]["published"]["messages"]), (&6.into(), &0.into()));
    let (code, printed) = nacre(&world, &["status"]).await;
    assert!(code == Some(0) && printed.contains("generation 2, pass 2: finished, 3 of 3 segments done"), "{printed}");
    assert_screen("passes.md", "nacre rescan status", &printed, &[]);
    let (code, printed) = nacre(&world, &["status", "--generation", "9"]).await;
    assert!(code == Some(2) && printed.contains("there is no pass for generation 9"), "{printed}");

    assert_eq!(stack.rescan(DEADLINE).await.unwrap().state, State::Finished);
    world.end().await;
}
