//! What people hear of: infections and their end, once each, and nothing of a self-test.

use nacre_core::self_test::{PREFIX, infected_file};

use super::*;

fn titles(world: &World) -> Vec<String> {
    let title = |message: &nacre_core::port::TopicMessage| {
        let bodies: serde_json::Value = serde_json::from_str(&message.body).unwrap();
        let chat: serde_json::Value = serde_json::from_str(bodies["default"].as_str().unwrap()).unwrap();
        chat["content"]["title"].as_str().unwrap().to_owned()
    };
    world.alerts.messages().iter().map(title).collect()
}

#[tokio::test]
async fn people_hear_of_an_infection_once_and_of_no_clean_file() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    for generation in [1, 2, 3] {
        world.scan(&object, &mut Reader::new(&world.objects, generation)).await.unwrap();
        let clean = world.objects.put("plain", &format!("clean {generation}"), "good");
        world.scan(&clean, &mut Reader::new(&world.objects, generation)).await.unwrap();
    }
    assert_eq!(titles(&world), ["INFECTED: s3://plain/key"]);
}

#[tokio::test]
async fn people_hear_of_an_infection_whatever_call_fails() {
    for when in [When::Before, When::After] {
        for nth in 1.. {
            let world = World::default();
            let object = world.objects.put("plain", "key", "evil");
            let plan = &Plan::new(nth, when);
            let mut reader = Reader::new(&world.objects, 1);
            let _ = world.scan_with(&world.objects, plan, &upload(&object), &mut reader).await;
            world.scan(&object, &mut reader).await.unwrap();
            let titles = titles(&world);
            assert!(matches!(titles.len(), 1 | 2), "{titles:?} after {when:?} {nth}");
            if !plan.was_reached() {
                break;
            }
        }
    }
}

#[tokio::test]
async fn people_hear_that_an_object_is_clean_after_all() {
    let world = World::default();
    let object = world.objects.put("plain", "key", "evil");
    world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    world.objects.put("plain", "key", "good");
    let outcome = world.scan(&object, &mut Reader::new(&world.objects, 2)).await.unwrap();
    assert_eq!(outcome, Outcome::Cleared);
    assert_eq!(titles(&world), ["INFECTED: s3://plain/key", "Cleared: s3://plain/key"]);
}

#[tokio::test]
async fn a_self_tests_file_stays_and_only_programs_hear_of_it() {
    let infected = InfectedSettings { delete: true, quarantine_bucket: None };
    let world = World { infected, ..World::default() };
    let eicar = String::from_utf8(infected_file()).unwrap();
    let object = world.objects.put("versioned", &format!("{PREFIX}1/eicar.com"), eicar.as_str());
    let outcome = world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap();
    assert!(matches!(outcome, Outcome::TestFile(Verdict::Infected { .. })), "{outcome:?}");
    assert_eq!(world.status(&object).await.as_deref(), Some("INFECTED"));
    let results = world.results.messages();
    assert!(results[0].attributes.contains(&("nacre-self-test".to_owned(), "true".to_owned())), "{results:?}");
    assert_eq!(titles(&world), [""; 0]);

    // The same bytes elsewhere are as any other's, and so is all else under the prefix.
    for (key, content) in [("eicar.com".to_owned(), eicar), (format!("{PREFIX}1/other"), "evil".to_owned())] {
        let object = world.objects.put("versioned", &key, content.as_str());
        assert!(matches!(world.scan(&object, &mut Reader::new(&world.objects, 1)).await.unwrap(), Outcome::Scanned(_)));
        assert!(matches!(world.objects.head(&object).await, Err(StoreError::NotFound(_))), "{key} is deleted");
    }
    assert_eq!(titles(&world).len(), 2);
}
