//! A scan record as an item of its table.

use std::collections::HashMap;

use aws_sdk_dynamodb::{primitives::Blob, types::AttributeValue};
use chrono::{DateTime, SecondsFormat, Utc};
use nacre_core::{
    generation::Generation,
    object::{ObjectId, Sequencer},
    rescan::{pass::PassId, request_mark::RequestMark},
    scan_record::{
        EngineVersion, FileTypes, FunctionalityLevel, RECORD_FORMAT, RecordSummary, RecordView, ScanRecord,
        layers_from_bytes, layers_to_bytes,
    },
    targets::Targets,
    verdict::{Reason, Verdict},
};
use serde::{Deserialize, Serialize};

/// An item, or its key.
pub(super) type Item = HashMap<String, AttributeValue>;

/// The attributes' names, and how to read them.
pub(super) mod attribute {
    use super::{AttributeValue, HashMap, Item};

    /// Partition key: `bucket/key`.
    pub(crate) const OBJECT: &str = "object";
    /// Sort key: the version id, or `null`.
    pub(crate) const VERSION_ID: &str = "version_id";
    pub(crate) const FORMAT: &str = "format";
    pub(crate) const ETAG: &str = "etag";
    pub(crate) const SIZE: &str = "size";
    pub(crate) const VERDICT: &str = "verdict";
    pub(crate) const SIGNATURES: &str = "signatures";
    pub(crate) const REASON: &str = "reason";
    pub(crate) const GENERATION: &str = "generation";
    pub(crate) const ENGINE: &str = "engine";
    pub(crate) const FUNCTIONALITY_LEVEL: &str = "functionality_level";
    pub(crate) const TARGETS: &str = "targets";
    pub(crate) const LAYERS: &str = "layers";
    pub(crate) const LAYER_COUNT: &str = "layer_count";
    /// Missing in records of older versions: then the types may be any.
    pub(crate) const TYPES: &str = "types";
    pub(crate) const SCANNED_AT: &str = "scanned_at";
    pub(crate) const WRITTEN_AT: &str = "written_at";
    pub(crate) const SEQUENCER: &str = "sequencer";
    pub(crate) const REPORTED: &str = "reported";
    /// Only while tags are missing: the result is out.
    pub(crate) const PUBLISHED: &str = "published";
    /// Only after a rescan was requested: the pass, and when.
    pub(crate) const REQUESTED: &str = "requested";
    /// Only after a rescan found the object archived: when.
    pub(crate) const ARCHIVED_AT: &str = "archived_at";
    /// Only where something hid content: the names of what did.
    pub(crate) const UNREAD: &str = "unread";
    /// Only on records of infected objects, and not on those that older versions wrote: since when.
    pub(crate) const FIRST_INFECTED: &str = "first_infected";
    /// Only on records that need a person's attention: the partition key of a sparse index.
    pub(crate) const ATTENTION: &str = "attention";

    /// What a rescan is planned by.
    pub(crate) const SUMMARY: [&str; 21] = [
        OBJECT,
        VERSION_ID,
        FORMAT,
        ETAG,
        SIZE,
        VERDICT,
        SIGNATURES,
        REASON,
        GENERATION,
        ENGINE,
        FUNCTIONALITY_LEVEL,
        TARGETS,
        LAYERS,
        TYPES,
        SCANNED_AT,
        WRITTEN_AT,
        SEQUENCER,
        REPORTED,
        REQUESTED,
        ARCHIVED_AT,
        FIRST_INFECTED,
    ];

    /// Names as expressions write them.
    pub(crate) fn names(names: &[&str]) -> HashMap<String, String> {
        names.iter().map(|name| (format!("#{name}"), (*name).to_owned())).collect()
    }

    /// A string.
    pub(crate) fn text<'a>(item: &'a Item, name: &str) -> Option<&'a str> {
        item.get(name).and_then(|value| value.as_s().ok()).map(String::as_str)
    }

    /// A whole number.
    pub(crate) fn number(item: &Item, name: &str) -> Option<u64> {
        item.get(name).and_then(|value| value.as_n().ok()).and_then(|number| number.parse().ok())
    }

    /// Whether a mark is set.
    pub(crate) fn flag(item: &Item, name: &str) -> bool {
        item.get(name).and_then(|value| value.as_bool().ok()).copied().unwrap_or_default()
    }

    /// A set of strings, sorted.
    pub(crate) fn texts(item: &Item, name: &str) -> Option<Vec<String>> {
        let mut texts = item.get(name).and_then(|value| value.as_ss().ok()).cloned()?;
        texts.sort();
        Some(texts)
    }

    /// A number's value.
    pub(crate) fn n(number: impl Into<u64>) -> AttributeValue {
        AttributeValue::N(number.into().to_string())
    }

    /// A string's value.
    pub(crate) fn s(text: &str) -> AttributeValue {
        AttributeValue::S(text.to_owned())
    }
}

/// The key of an item: where a page of the table ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordKey {
    object: String,
    version_id: String,
}

impl RecordKey {
    /// Reads an item's key.
    pub(super) fn of(item: &Item) -> Option<Self> {
        let text = |name| attribute::text(item, name).map(str::to_owned);
        Some(Self { object: text(attribute::OBJECT)?, version_id: text(attribute::VERSION_ID)? })
    }

    /// The object that it is the record's key of.
    pub(super) fn object(self) -> Option<ObjectId> {
        ObjectId::from_record_keys(&self.object, &self.version_id)
    }

    /// Writes it as DynamoDB takes it.
    pub(super) fn into_item(self) -> Item {
        let Self { object, version_id } = self;
        let parts = [(attribute::OBJECT, object), (attribute::VERSION_ID, version_id)];
        parts.into_iter().map(|(name, value)| (name.to_owned(), AttributeValue::S(value))).collect()
    }
}

/// The key of an object's record.
pub(super) fn key(object: &ObjectId) -> Item {
    HashMap::from([
        (attribute::OBJECT.to_owned(), AttributeValue::S(object.partition_key())),
        (attribute::VERSION_ID.to_owned(), attribute::s(object.sort_key())),
    ])
}

/// Writes a record.
pub(super) fn item_of(record: &ScanRecord) -> Item {
    let verdict = record.verdict.name();
    let signatures = record.verdict.signatures();
    let attention = matches!(record.verdict, Verdict::Infected { .. } | Verdict::Unscannable { .. });
    let layers = record.layers.as_deref().map(|layers| AttributeValue::B(Blob::new(layers_to_bytes(layers))));
    let attributes = [
        (attribute::FORMAT, Some(attribute::n(RECORD_FORMAT))),
        (attribute::ETAG, Some(attribute::s(&record.etag))),
        (attribute::SIZE, Some(attribute::n(record.size))),
        (attribute::VERDICT, Some(attribute::s(verdict))),
        (attribute::SIGNATURES, (!signatures.is_empty()).then(|| AttributeValue::Ss(signatures.to_vec()))),
        (attribute::REASON, record.verdict.reason().map(|reason| attribute::s(reason.name()))),
        (attribute::GENERATION, Some(attribute::n(record.generation.0))),
        (attribute::ENGINE, Some(attribute::s(&record.engine.version))),
        (attribute::FUNCTIONALITY_LEVEL, Some(attribute::n(record.engine.functionality_level.0))),
        (attribute::TARGETS, Some(attribute::n(record.targets.bits()))),
        (attribute::LAYERS, layers),
        (attribute::LAYER_COUNT, Some(attribute::n(record.layer_count))),
        (attribute::TYPES, record.types.map(|types| AttributeValue::B(Blob::new(types.to_bytes())))),
        (attribute::SCANNED_AT, Some(time(record.scanned_at))),
        (attribute::WRITTEN_AT, record.written_at.map(time)),
        (attribute::SEQUENCER, record.sequencer.as_ref().map(|sequencer| attribute::s(sequencer.as_str()))),
        (attribute::REPORTED, Some(AttributeValue::Bool(record.reported))),
        (attribute::PUBLISHED, record.published.then_some(AttributeValue::Bool(true))),
        (attribute::REQUESTED, record.requested.map(requested)),
        (attribute::ARCHIVED_AT, record.archived_at.map(time)),
        (attribute::UNREAD, (!record.unread.is_empty()).then(|| AttributeValue::Ss(record.unread.clone()))),
        (attribute::FIRST_INFECTED, record.first_infected.map(time)),
        (attribute::ATTENTION, attention.then(|| attribute::s(verdict))),
    ];
    let present = attributes.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?)));
    key(&record.object).into_iter().chain(present).collect()
}

/// Reads a record of our format; `None` when it is none.
pub(super) fn record_of(object: &ObjectId, item: &Item) -> Option<ScanRecord> {
    let RecordView { verdict, engine, targets, layers, types } = view_of(item)?;
    Some(ScanRecord {
        object: object.clone(),
        etag: attribute::text(item, attribute::ETAG)?.to_owned(),
        size: attribute::number(item, attribute::SIZE)?,
        verdict,
        generation: Generation(attribute::number(item, attribute::GENERATION)?),
        engine,
        targets,
        layers,
        layer_count: attribute::number(item, attribute::LAYER_COUNT)?,
        types,
        scanned_at: instant(item, attribute::SCANNED_AT)?,
        written_at: instant(item, attribute::WRITTEN_AT),
        sequencer: sequencer_of(item),
        reported: *item.get(attribute::REPORTED)?.as_bool().ok()?,
        requested: requested_of(item),
        archived_at: instant(item, attribute::ARCHIVED_AT),
        published: attribute::flag(item, attribute::PUBLISHED),
        unread: attribute::texts(item, attribute::UNREAD).unwrap_or_default(),
        first_infected: instant(item, attribute::FIRST_INFECTED),
    })
}

/// Reads what a scan saw.
fn view_of(item: &Item) -> Option<RecordView> {
    let reason = || attribute::text(item, attribute::REASON).and_then(Reason::from_name);
    let verdict = match attribute::text(item, attribute::VERDICT)? {
        "clean" => Verdict::Clean,
        "infected" => {
            Verdict::Infected { signatures: attribute::texts(item, attribute::SIGNATURES).unwrap_or_default() }
        }
        "unscannable" => Verdict::Unscannable { reason: reason()? },
        "skipped" => Verdict::Skipped { reason: reason()? },
        _ => return None,
    };
    let layers = match item.get(attribute::LAYERS) {
        Some(layers) => Some(layers_from_bytes(layers.as_b().ok()?.as_ref())?),
        None => None,
    };
    let engine = EngineVersion {
        version: attribute::text(item, attribute::ENGINE)?.to_owned(),
        functionality_level: FunctionalityLevel(
            attribute::number(item, attribute::FUNCTIONALITY_LEVEL)?.try_into().ok()?,
        ),
    };
    let targets = Targets::from_bits(attribute::number(item, attribute::TARGETS)?.try_into().ok()?);
    let types = match item.get(attribute::TYPES) {
        Some(types) => Some(FileTypes::from_bytes(types.as_b().ok()?.as_ref().try_into().ok()?)),
        None => None,
    };
    Some(RecordView { verdict, engine, targets, layers, types })
}

/// Reads what a rescan is planned by; `None` when the item is no record at all. A record of another format proves nothing
/// about any generation, so it reads as older than all.
pub(super) fn summary_of(item: &Item) -> Option<RecordSummary> {
    let partition_key = attribute::text(item, attribute::OBJECT)?;
    let ours = attribute::number(item, attribute::FORMAT) == Some(u64::from(RECORD_FORMAT));
    let generation = attribute::number(item, attribute::GENERATION).filter(|_| ours);
    Some(RecordSummary {
        object: ObjectId::from_record_keys(partition_key, attribute::text(item, attribute::VERSION_ID)?)?,
        etag: attribute::text(item, attribute::ETAG).unwrap_or_default().to_owned(),
        size: attribute::number(item, attribute::SIZE).unwrap_or_default(),
        generation: Generation(generation.unwrap_or_default()),
        sequencer: sequencer_of(item),
        written_at: instant(item, attribute::WRITTEN_AT).or_else(|| instant(item, attribute::SCANNED_AT)),
        scanned_at: instant(item, attribute::SCANNED_AT),
        reported: attribute::flag(item, attribute::REPORTED),
        requested: requested_of(item),
        archived_at: instant(item, attribute::ARCHIVED_AT),
        first_infected: instant(item, attribute::FIRST_INFECTED),
        view: view_of(item).filter(|_| ours),
    })
}

fn sequencer_of(item: &Item) -> Option<Sequencer> {
    attribute::text(item, attribute::SEQUENCER).and_then(|text| Sequencer::try_from(text.to_owned()).ok())
}

/// A time's value.
pub(super) fn time(at: DateTime<Utc>) -> AttributeValue {
    attribute::s(&at.to_rfc3339_opts(SecondsFormat::Millis, true))
}

/// A request's value.
pub(super) fn requested(mark: RequestMark) -> AttributeValue {
    AttributeValue::M(HashMap::from([
        (attribute::GENERATION.to_owned(), attribute::n(mark.pass.generation.0)),
        ("attempt".to_owned(), attribute::n(mark.pass.attempt)),
        ("at".to_owned(), time(mark.at)),
    ]))
}

fn requested_of(item: &Item) -> Option<RequestMark> {
    let mark = item.get(attribute::REQUESTED)?.as_m().ok()?;
    let generation = Generation(attribute::number(mark, attribute::GENERATION)?);
    let attempt = attribute::number(mark, "attempt")?.try_into().ok()?;
    Some(RequestMark { pass: PassId { generation, attempt }, at: instant(mark, "at")? })
}

fn instant(item: &Item, name: &str) -> Option<DateTime<Utc>> {
    let text = attribute::text(item, name)?;
    DateTime::parse_from_rfc3339(text).ok().map(|instant| instant.to_utc())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use nacre_testing::records::any_record;

    proptest! {
        #[test]
        fn a_record_survives_its_item(record in any_record()) {
            let item = item_of(&record);
            prop_assert_eq!(record_of(&record.object, &item), Some(record.clone()));
            let summary = summary_of(&item).unwrap();
            // A page names every version, `null` too.
            let object = record.object.at_version(Some(record.object.sort_key().to_owned()));
            prop_assert_eq!(summary, RecordSummary { object, ..RecordSummary::from(&record) });
        }
    }

    /// Of an older version of this program, or of a version that was rolled back to.
    #[test]
    fn a_record_without_types_may_have_any() {
        let record = ScanRecord { types: Some(FileTypes::IMAGES), ..nacre_core::builder::record("bucket", "key") };
        let mut item = item_of(&record);
        item.remove(attribute::TYPES);
        assert_eq!(record_of(&record.object, &item), Some(ScanRecord { types: None, ..record }));
    }

    #[test]
    fn only_what_needs_attention_is_in_the_index() {
        for (verdict, expected) in [
            (Verdict::Clean, None),
            (Verdict::Skipped { reason: Reason::TooLarge }, None),
            (Verdict::Infected { signatures: vec!["A".into()] }, Some("infected")),
            (Verdict::Unscannable { reason: Reason::Encrypted }, Some("unscannable")),
        ] {
            let item = item_of(&ScanRecord { verdict, ..nacre_core::builder::record("bucket", "key") });
            assert_eq!(attribute::text(&item, attribute::ATTENTION), expected);
        }
    }

    #[test]
    fn a_record_of_another_format_reads_as_older_than_all() {
        let mut item = item_of(&nacre_core::builder::record("bucket", "key"));
        item.insert(attribute::FORMAT.into(), attribute::n(RECORD_FORMAT + 1));
        assert_eq!(summary_of(&item).unwrap().generation, Generation(0));
        assert_eq!(summary_of(&HashMap::new()), None);
    }
}
