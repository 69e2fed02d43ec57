//! What a definitions bucket must do.

use nacre_core::{
    port::{DefinitionsStore, StoreError, WriteCondition},
    tag_policy::Tag,
};

const KEY: &str = "contract/key";

/// Conditional writes win or lose as a whole, and of several at a time exactly one wins.
///
/// # Panics
/// When a law is broken.
pub async fn definitions_are_written_on_condition(store: &impl DefinitionsStore) {
    let write = async |bytes: &str, condition: WriteCondition<'_>| {
        store.write(KEY, bytes.into(), &[Tag::new("md5", "0a+/= b")], condition).await
    };
    let lost = |outcome: Result<String, StoreError>| matches!(outcome, Err(StoreError::PreconditionFailed(_)));

    assert!(matches!(store.read(KEY, 10).await, Err(StoreError::NotFound(_))));
    assert!(matches!(store.read_changed(KEY, Some("0a"), 10).await, Err(StoreError::NotFound(_))));
    assert!(lost(write("x", WriteCondition::Etag("0123456789abcdef")).await), "nothing has no ETag");
    let first = write("one", WriteCondition::Absent).await.expect("the first write wins");
    assert!(lost(write("two", WriteCondition::Absent).await), "the second first write loses");
    let moved = write("two", WriteCondition::Etag(&first)).await.expect("a write over the known one wins");
    assert!(lost(write("three", WriteCondition::Etag(&first)).await), "a write over an older version loses");

    let stored = store.read(KEY, 3).await.expect("it can be read");
    assert_eq!((stored.bytes.as_slice(), &stored.etag), (&b"two"[..], &moved));
    assert!(matches!(store.read(KEY, 2).await, Err(StoreError::Unexpected(..))), "no more than the limit is read");
    assert_eq!(store.read_changed(KEY, Some(&moved), 3).await.expect("it can be read"), None);
    for known in [Some(first.as_str()), None] {
        let changed = store.read_changed(KEY, known, 3).await.expect("it can be read");
        assert_eq!(changed, Some(stored.clone()));
    }
    assert_eq!(store.read_part(KEY, 1, 2).await.expect("a part can be read"), b"wo");
    for (from, length) in [(2, 2), (3, 1), (9, 1)] {
        let past_the_end = store.read_part(KEY, from, length).await;
        assert!(past_the_end.is_err(), "{length} bytes from {from} on are not there: {past_the_end:?}");
    }
    assert!(matches!(store.read_part("contract/missing", 0, 1).await, Err(StoreError::NotFound(_))));
    write("four", WriteCondition::Always).await.expect("an unconditional write always wins");

    races_have_one_winner(store).await;
}

/// Listings have every key under a prefix with the same metadata as a read, and a removed key is missing.
///
/// # Panics
/// When a law is broken.
pub async fn definitions_are_listed_and_removed(store: &impl DefinitionsStore) {
    for key in ["contract/list/b", "contract/list/a", "contract/listing"] {
        store.write(key, key.into(), &[], WriteCondition::Always).await.expect("it can be written");
    }
    let listed = store.list("contract/list/", 2).await.expect("it can be listed");
    assert_eq!(
        listed.iter().map(|listed| listed.key.as_str()).collect::<Vec<_>>(),
        ["contract/list/a", "contract/list/b"]
    );
    let first = listed.first().expect("two are listed");
    let stored = store.read(&first.key, 99).await.expect("it can be read");
    assert_eq!((first.size, &first.etag), (stored.bytes.len() as u64, &stored.etag));
    assert!(
        matches!(store.list("contract/list", 2).await, Err(StoreError::Unexpected(..))),
        "never a part of the truth"
    );
    assert!(store.list("contract/nothing", 2).await.expect("it can be listed").is_empty());

    store.remove("contract/list/a").await.expect("it can be removed");
    store.remove("contract/list/a").await.expect("a missing key can be removed");
    assert!(matches!(store.read("contract/list/a", 99).await, Err(StoreError::NotFound(_))));
    assert_eq!(store.list("contract/list/", 2).await.expect("it can be listed").len(), 1);
}

/// A copy has the bytes of its source and the tags that it is given, and takes the place of what was there.
///
/// # Panics
/// When a law is broken.
pub async fn definitions_are_copied(store: &impl DefinitionsStore) {
    let (from, to) = ("contract/copy/a b+c", "contract/copy/to");
    let missing = store.copy("contract/copy/missing", "0a", to, &[]).await;
    assert!(matches!(missing, Err(StoreError::NotFound(_))), "{missing:?}");
    for bytes in [b"first".as_slice(), b"second"] {
        let written = store.write(from, bytes.into(), &[], WriteCondition::Always).await;
        let written = written.expect("it can be written");
        let other = store.copy(from, "0a", to, &[]).await;
        assert!(matches!(other, Err(StoreError::PreconditionFailed(_))), "bytes of another ETag: {other:?}");
        let etag = store.copy(from, &written, to, &[Tag::new("md5", "a b")]).await.expect("it can be copied");
        let copy = store.read(to, 99).await.expect("it can be read");
        assert_eq!((copy.bytes.as_slice(), copy.etag), (bytes, etag));
    }
    store.remove(from).await.expect("it can be removed");
    assert!(store.read(to, 99).await.is_ok(), "a copy does not depend on its source");
}

async fn races_have_one_winner(store: &impl DefinitionsStore) {
    let mut known: Option<String> = None;
    for round in 0..5 {
        let condition = known.as_deref().map_or(WriteCondition::Absent, WriteCondition::Etag);
        let write = |writer: u8| store.write("contract/race", vec![b'0' + round, writer], &[], condition);
        let (a, b, c) = tokio::join!(write(b'a'), write(b'b'), write(b'c'));
        let mut winners = Vec::new();
        for outcome in [a, b, c] {
            match outcome {
                Ok(etag) => winners.push(etag),
                Err(StoreError::PreconditionFailed(_)) => {}
                Err(error) => panic!("a lost race has its own error: {error:?}"),
            }
        }
        assert_eq!(winners.len(), 1, "of writers under the same condition one wins");
        let stored = store.read("contract/race", 2).await.expect("it can be read");
        assert_eq!(winners, [stored.etag], "what the winner wrote is there");
        known = winners.pop();
    }
}
