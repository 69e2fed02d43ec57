//! What becomes of an infected object, for those who keep findings.

use super::*;

/// What the bus and Security Hub were given: the activity or the state of the record, and for how many objects.
fn given(world: &World) -> (Vec<u64>, Vec<String>) {
    let events = world.bus.events().into_iter().filter(|event| event.source == "nacre.ocsf");
    let details: Vec<serde_json::Value> = events.map(|event| serde_json::from_str(&event.detail).unwrap()).collect();
    let findings = world.hub.findings();
    let ids: std::collections::BTreeSet<_> = findings
        .iter()
        .map(|finding| finding["Id"].to_string())
        .chain(details.iter().map(|of| of["finding_info"]["uid"].to_string()))
        .collect();
    assert!(ids.len() <= 1, "one finding: {ids:?}");
    let states = findings.iter().map(|finding| {
        format!(
            "{} {}",
            finding["RecordState"].as_str().unwrap(),
            finding["ProductFields"]["nacre/state"].as_str().unwrap()
        )
    });
    (details.iter().map(|of| of["activity_id"].as_u64().unwrap()).collect(), states.collect())
}

fn states(expected: &[&str]) -> Vec<String> {
    expected.iter().map(|state| (*state).to_owned()).collect()
}

#[tokio::test]
async fn a_finding_is_found_found_again_and_cleared() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    for generation in [1, 1, 2] {
        world.scan(&object, &mut Reader::new(&world.objects, generation)).await.unwrap();
    }
    world.objects.put("plain", "key", "good");
    assert_eq!(world.scan(&object, &mut Reader::new(&world.objects, 3)).await.unwrap(), Outcome::Cleared);
    world.scan(&object, &mut Reader::new(&world.objects, 4)).await.unwrap();
    let expected = states(&["ACTIVE found", "ACTIVE found_again", "ARCHIVED cleared"]);
    assert_eq!(given(&world), (vec![1, 2, 3], expected));
}

#[tokio::test]
async fn a_contained_object_is_nobodys_finding_any_more() {
    for (infected, state) in [
        (InfectedSettings { delete: true, quarantine_bucket: None }, "ARCHIVED deleted"),
        (InfectedSettings { delete: false, quarantine_bucket: Some("quarantine".into()) }, "ARCHIVED quarantined"),
    ] {
        let world = World { infected, ..World::default() };
        let object = world.objects.put("versioned", "key", "evil");
        world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
        assert_eq!(given(&world), (vec![1, 3], states(&["ACTIVE found", state])));
    }
}

#[tokio::test]
async fn an_infected_object_that_somebody_deleted_is_closed_when_that_is_seen() {
    let world = World::default();
    let object = world.objects.put("versioned", "key", "evil");
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    let head = world.objects.head(&object).await.unwrap();
    world.objects.delete(&object, &head.etag).await.unwrap();
    assert_eq!(world.scan(&object, &mut Reader::new(&world.objects, 2)).await.unwrap(), Outcome::Gone);
    assert_eq!(given(&world), (vec![1, 3], states(&["ACTIVE found", "ARCHIVED deleted"])));
}

#[tokio::test]
async fn clean_objects_and_such_as_cannot_be_scanned_are_no_findings() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "good");
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert_eq!(given(&world), (vec![], vec![]));
}
