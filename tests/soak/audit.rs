//! What must be true in the end, object by object.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::Path,
};

use aws_sdk_dynamodb::types::Select;
use futures::{StreamExt, stream};
use nacre_core::{
    object::ObjectId,
    scan_record::ScanRecord,
    tag_policy::{Tag, signature_value, timestamp_value},
    verdict::{Reason, Verdict},
};
use nacre_test_support::{Environment, Stack};

use crate::upload::Version;

/// Tags that are read at a time.
const READERS: usize = 16;

/// Versions whose engines were killed until they were given up on: what a kill costs at worst, and another message mends.
pub(crate) fn given_up<'a>(versions: &'a [Version], records: &[ScanRecord]) -> Vec<&'a Version> {
    let died = |record: &&ScanRecord| record.verdict.reason() == Some(Reason::EngineDied);
    let died: BTreeSet<_> = records.iter().filter(died).map(|record| &record.object).collect();
    versions.iter().filter(|version| died.contains(&version.object)).collect()
}

/// Every departure from what should be, each named by its object.
pub(crate) async fn departures(
    stack: &Stack,
    versions: &[Version],
    records: &[ScanRecord],
    generation: u64,
) -> Vec<String> {
    let mut found = Vec::new();
    let remaining: BTreeMap<_, _> =
        versions.iter().filter(|version| !version.removed).map(|version| (&version.object, version)).collect();
    let there = listed(stack).await;
    for object in there.iter().filter(|object| !remaining.contains_key(object)) {
        found.push(format!("{object:?}: is there, and should not be"));
    }
    let by_object: BTreeMap<_, _> = records.iter().map(|record| (&record.object, record)).collect();
    for record in records.iter().filter(|record| !remaining.contains_key(&record.object)) {
        found.push(format!("{:?}: is gone or never was, and has a record: {:?}", record.object, record.verdict));
    }
    let items = items(stack).await;
    if items != by_object.len() {
        found.push(format!(
            "the table has {items} items, {} of which are records of distinct versions",
            by_object.len()
        ));
    }
    for (object, version) in &remaining {
        if !there.contains(*object) {
            found.push(format!("{object:?}: is not there, and should be"));
        }
        match by_object.get(object) {
            None => found.push(format!("{object:?} ({:?}): has no record", version.content)),
            Some(record) => found.extend(wrong_record(version, record, generation)),
        }
    }
    let read = remaining.values().map(async |version| (*version, stack.tags(&version.object).await));
    let mut read = stream::iter(read).buffer_unordered(READERS);
    while let Some((version, tags)) = read.next().await {
        let record = by_object.get(&version.object);
        found.extend(tags.map_or_else(
            |error| Some(format!("{:?}: {error}", version.object)),
            |tags| wrong_tags(version, tags, record.copied()),
        ));
    }
    found
}

fn wrong_record(version: &Version, record: &ScanRecord, generation: u64) -> Option<String> {
    // What convicted it stands in the newer generation: it was not scanned again.
    let generation = if version.content.is_infected_from_the_first() { record.generation.0 } else { generation };
    let (found, expected) = (
        (&record.verdict, record.generation.0, record.size, record.etag.trim_matches('"'), record.reported),
        (&version.content.verdict(), generation, version.size, version.etag.trim_matches('"'), true),
    );
    let right = found == expected;
    (!right).then(|| format!("{:?} ({:?}): recorded {found:?}, expected {expected:?}", version.object, version.content))
}

fn wrong_tags(version: &Version, mut found: Vec<Tag>, record: Option<&ScanRecord>) -> Option<String> {
    let verdict = version.content.verdict();
    let status = match verdict {
        Verdict::Clean => "CLEAN",
        Verdict::Infected { .. } => "INFECTED",
        Verdict::Unscannable { .. } | Verdict::Skipped { .. } => "UNSCANNABLE",
    };
    let mut expected = version.tags.clone();
    expected.extend([Tag::new("av-status", status), Tag::new("av-signature", signature_value(&verdict))]);
    expected.extend(verdict.reason().map(|reason| Tag::new("nacre-reason", reason.name())));
    // Of the scan that found it out first: a later one that changes nothing writes nothing.
    let stamp = found.iter().position(|tag| tag.key == "av-timestamp").map(|at| found.remove(at));
    let latest = record.map(|record| timestamp_value(record.scanned_at));
    let stamped = stamp.as_ref().is_some_and(|stamp| latest.as_ref().is_none_or(|latest| stamp.value <= *latest));
    found.sort();
    expected.sort();
    let right = found == expected && stamped;
    (!right).then(|| {
        format!("{:?} ({:?}): tagged {found:?} at {stamp:?}, expected {expected:?}", version.object, version.content)
    })
}

/// Every version in the scanned bucket.
async fn listed(stack: &Stack) -> BTreeSet<ObjectId> {
    let (mut found, mut key, mut version) = (BTreeSet::new(), None, None);
    loop {
        let list = stack.s3().list_object_versions().bucket(stack.scanned_bucket());
        let page = list.set_key_marker(key).set_version_id_marker(version).send().await.unwrap();
        let object = |listed: &aws_sdk_s3::types::ObjectVersion| {
            ObjectId::new(stack.scanned_bucket(), listed.key().unwrap_or_default(), listed.version_id.clone())
        };
        found.extend(page.versions().iter().map(object));
        if page.is_truncated() != Some(true) {
            return found;
        }
        (key, version) = (page.next_key_marker, page.next_version_id_marker);
    }
}

/// Items in the table of records, whatever they are.
async fn items(stack: &Stack) -> usize {
    let (mut count, mut after) = (0, None);
    loop {
        let scan = stack.dynamodb().scan().table_name(stack.output("ScanRecords")).select(Select::Count);
        let page = scan.set_exclusive_start_key(after).send().await.unwrap();
        count += usize::try_from(page.count()).unwrap();
        after = page.last_evaluated_key.filter(|key| !key.is_empty());
        if after.is_none() {
            return count;
        }
    }
}

/// Most engines that a function keeps: one with everything, and those with what was added since some generations.
const MAX_ENGINES: usize = 5;

/// What lies in the environments' `/tmp` and should not, while nothing is scanned: objects, unpacked files, directories that nobody
/// has claimed, and more directories than one of definitions and one for each engine.
pub(crate) fn litter(environments: &[Environment]) -> Vec<String> {
    environments.iter().flat_map(|environment| litter_of(&environment.tmp())).collect()
}

fn litter_of(tmp: &Path) -> Vec<String> {
    let mut litter = Vec::new();
    let definitions = tmp.join("clamav_defs");
    for (place, prefix, allowed) in [(tmp, "engine-", MAX_ENGINES), (&definitions, "nacre-", 1)] {
        let mut claimed = 0;
        for path in fs::read_dir(place).into_iter().flatten().flatten().map(|entry| entry.path()) {
            let lock = path.extension().is_some_and(|extension| extension == "lock");
            if path == definitions || (lock && path.with_extension("").exists()) {
                continue;
            }
            let ours = path.file_name().is_some_and(|name| name.to_string_lossy().starts_with(prefix));
            let lock = fs::File::open(path.with_added_extension("lock"));
            if !ours || !lock.is_ok_and(|lock| lock.try_lock().is_err()) {
                litter.push(format!("{}: nobody's", path.display()));
                continue;
            }
            claimed += 1;
            if prefix == "engine-" {
                litter.extend(files(&path).into_iter().map(|file| format!("{file}: no scan is under way")));
            }
        }
        if claimed > allowed {
            litter.push(format!("{}: {claimed} directories", place.display()));
        }
    }
    litter
}

/// Everything below a directory but the engine's own empty working place.
fn files(directory: &Path) -> Vec<String> {
    let entries = || fs::read_dir(directory).into_iter().flatten().flatten().map(|entry| entry.path());
    let below = entries().flat_map(|path| if path.is_dir() { files(&path) } else { vec![path.display().to_string()] });
    let odd = entries().filter(|path| path.is_dir() && path.file_name().is_none_or(|name| name != "tmp"));
    below.chain(odd.map(|path| path.display().to_string())).collect()
}
