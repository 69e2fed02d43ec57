//! What a scan record writes into an object's tags, without touching anyone else's.

use chrono::{DateTime, Utc};

use crate::{dialect::Dialect, verdict::Verdict};

/// S3's limit of tags on one object version.
pub const MAX_TAGS: usize = 10;

/// S3's limit of characters in a tag value.
const MAX_VALUE_CHARS: usize = 256;

/// One object tag.
#[derive(Clone, Debug, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct Tag {
    /// Key, unique on its object.
    pub key: String,
    /// Value.
    pub value: String,
}

impl Tag {
    /// Makes a tag of its parts.
    pub fn new(key: impl Into<String>, value: impl Into<String>) -> Self {
        Self { key: key.into(), value: value.into() }
    }
}

/// Tag keys and status values, the predecessor's by default.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TagNames {
    /// Key of the status (`AV_STATUS_METADATA`).
    pub status: String,
    /// Key of the signature (`AV_SIGNATURE_METADATA`).
    pub signature: String,
    /// Key of the time of the scan (`AV_TIMESTAMP_METADATA`).
    pub timestamp: String,
    /// Key of the reason why an object has no scan result (`NACRE_REASON_METADATA`).
    pub reason: String,
    /// Status of a clean object (`AV_STATUS_CLEAN`).
    pub clean: String,
    /// Status of an infected object (`AV_STATUS_INFECTED`).
    pub infected: String,
    /// Status of a skipped object (`AV_STATUS_SKIPPED`).
    pub skipped: String,
    /// Status of an object that could not be scanned (`NACRE_STATUS_UNSCANNABLE`).
    pub unscannable: String,
    /// Products in whose words the status is reported as well (`NACRE_RESULT_DIALECTS`). The names above are always reported: the deny policy
    /// is written in them.
    pub dialects: Vec<Dialect>,
}

impl Default for TagNames {
    fn default() -> Self {
        Self {
            status: "av-status".into(),
            signature: "av-signature".into(),
            timestamp: "av-timestamp".into(),
            reason: "nacre-reason".into(),
            clean: "CLEAN".into(),
            infected: "INFECTED".into(),
            skipped: "SKIPPED".into(),
            unscannable: "UNSCANNABLE".into(),
            dialects: vec![Dialect::Predecessor],
        }
    }
}

impl TagNames {
    /// The status value of a verdict.
    pub fn status_of(&self, verdict: &Verdict) -> &str {
        match verdict {
            Verdict::Clean => &self.clean,
            Verdict::Infected { .. } => &self.infected,
            Verdict::Unscannable { .. } => &self.unscannable,
            Verdict::Skipped { .. } => &self.skipped,
        }
    }

    fn is_ours(&self, key: &str) -> bool {
        let dialects = self.dialects.iter().filter_map(|dialect| dialect.tag_key());
        let ours = [&self.status, &self.signature, &self.timestamp, &self.reason].map(String::as_str);
        ours.into_iter().chain(dialects).any(|ours| ours == key)
    }
}

/// The predecessor's signature value: `OK`, `<name> FOUND`, or `UNKNOWN`.
pub fn signature_value(verdict: &Verdict) -> String {
    match verdict {
        Verdict::Clean | Verdict::Skipped { .. } => "OK".into(),
        Verdict::Unscannable { .. } => "UNKNOWN".into(),
        Verdict::Infected { signatures } => {
            const SUFFIX: &str = " FOUND";
            let name = signatures.first().map_or("UNKNOWN", String::as_str);
            tag_value(name).chars().take(MAX_VALUE_CHARS - SUFFIX.len()).collect::<String>() + SUFFIX
        }
    }
}

/// The predecessor's time format.
pub fn timestamp_value(time: DateTime<Utc>) -> String {
    time.format("%Y/%m/%d %H:%M:%S UTC").to_string()
}

/// What to do with an object's tags.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum TagPlan {
    /// They already say it.
    Keep,
    /// Replace the tag set by this one.
    Put(Vec<Tag>),
    /// Ten foreign tags leave no room for the status.
    NoRoom,
}

/// Plans the tag set of an object with these `existing` tags.
///
/// Foreign tags stay as they are, in their order. Where ten tags are not enough, ours give way in the order timestamp,
/// signature, reason, other dialects; the status never does. A tag set that already has status, signature and reason is
/// kept, and with it the time when that was first found out: a rescan that changes nothing writes nothing.
pub fn plan_tags(existing: &[Tag], verdict: &Verdict, scanned_at: DateTime<Utc>, names: &TagNames) -> TagPlan {
    let foreign: Vec<Tag> = existing.iter().filter(|tag| !names.is_ours(&tag.key)).cloned().collect();
    let room = MAX_TAGS.saturating_sub(foreign.len());
    if room == 0 {
        return TagPlan::NoRoom;
    }
    // In the order of their worth: what has no room falls off the end.
    let mut ours = vec![Tag::new(&names.status, tag_value(names.status_of(verdict)))];
    ours.extend(names.dialects.iter().filter_map(|dialect| dialect.tag(verdict)));
    ours.extend(verdict.reason().map(|reason| Tag::new(&names.reason, reason.name())));
    ours.push(Tag::new(&names.signature, signature_value(verdict)));
    let timestamp_fits = ours.len() < room;
    ours.truncate(room);

    let reported: Vec<&Tag> =
        existing.iter().filter(|tag| names.is_ours(&tag.key) && tag.key != names.timestamp).collect();
    let stamped = existing.iter().any(|tag| tag.key == names.timestamp);
    if reported.len() == ours.len() && ours.iter().all(|tag| reported.contains(&tag)) && (stamped || !timestamp_fits) {
        return TagPlan::Keep;
    }
    if timestamp_fits {
        ours.push(Tag::new(&names.timestamp, timestamp_value(scanned_at)));
    }
    TagPlan::Put(foreign.into_iter().chain(ours).collect())
}

/// Makes any text a valid tag value: S3 takes letters, digits, spaces and `+-=._:/@`, at most 256 characters.
fn tag_value(text: &str) -> String {
    let allowed = |c: char| c.is_alphanumeric() || " +-=._:/@".contains(c);
    text.chars().map(|c| if allowed(c) { c } else { '_' }).take(MAX_VALUE_CHARS).collect()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::verdict::Reason;

    fn any_verdict() -> impl Strategy<Value = Verdict> {
        prop_oneof![
            Just(Verdict::Clean),
            "\\PC{1,300}".prop_map(|name| Verdict::Infected { signatures: vec![name] }),
            prop::sample::select(Reason::ALL).prop_map(|reason| Verdict::Unscannable { reason }),
            Just(Verdict::Skipped { reason: Reason::TooLarge }),
        ]
    }

    /// Up to ten tags with distinct keys, some of them ours.
    fn any_tags() -> impl Strategy<Value = Vec<Tag>> {
        let names = TagNames::default();
        let keys: Vec<String> = (0..9)
            .map(|n| format!("foreign-{n}"))
            .chain([names.status, names.signature, names.timestamp, names.reason])
            .collect();
        (prop::sample::subsequence(keys, 0..=10), "[A-Z]{1,8}")
            .prop_map(|(keys, value)| keys.into_iter().map(|key| Tag::new(key, value.clone())).collect())
    }

    fn plan(existing: &[Tag], verdict: &Verdict) -> TagPlan {
        plan_tags(existing, verdict, DateTime::UNIX_EPOCH, &TagNames::default())
    }

    proptest! {
        #[test]
        fn foreign_tags_survive_and_ten_are_never_exceeded(existing in any_tags(), verdict in any_verdict()) {
            let TagPlan::Put(tags) = plan(&existing, &verdict) else { return Ok(()) };
            prop_assert!(tags.len() <= MAX_TAGS);
            prop_assert!(existing.iter().filter(|tag| tag.key.starts_with("foreign")).all(|tag| tags.contains(tag)));
            let status = Tag::new("av-status", TagNames::default().status_of(&verdict));
            prop_assert_eq!(tags.iter().filter(|tag| **tag == status).count(), 1);
        }

        #[test]
        fn tagging_twice_equals_once(existing in any_tags(), verdict in any_verdict()) {
            let TagPlan::Put(tags) = plan(&existing, &verdict) else { return Ok(()) };
            prop_assert_eq!(plan(&tags, &verdict), TagPlan::Keep);
        }

        #[test]
        fn every_value_is_one_that_s3_takes(verdict in any_verdict()) {
            let TagPlan::Put(tags) = plan(&[], &verdict) else { panic!("no tags") };
            for tag in tags {
                prop_assert!(tag.value.chars().count() <= MAX_VALUE_CHARS);
                prop_assert!(tag.value.chars().all(|c| c.is_alphanumeric() || " +-=._:/@".contains(c)));
            }
        }
    }

    #[test]
    fn values_are_the_predecessors() {
        let infected = Verdict::Infected { signatures: vec!["Eicar-Test-Signature".into(), "Other".into()] };
        let TagPlan::Put(tags) = plan(&[], &infected) else { panic!("no tags") };
        let expected = [
            ("av-status", "INFECTED"),
            ("av-signature", "Eicar-Test-Signature FOUND"),
            ("av-timestamp", "1970/01/01 00:00:00 UTC"),
        ];
        assert_eq!(tags, expected.map(|(key, value)| Tag::new(key, value)));
    }

    #[test]
    fn ours_give_way_timestamp_first_and_status_never() {
        let foreign = |n: usize| (0..n).map(|n| Tag::new(format!("t{n}"), "v")).collect::<Vec<_>>();
        let keys = |existing: &[Tag]| match plan(existing, &Verdict::Unscannable { reason: Reason::Encrypted }) {
            TagPlan::Put(tags) => tags.into_iter().skip(existing.len()).map(|tag| tag.key).collect(),
            _ => vec![],
        };
        assert_eq!(keys(&foreign(6)), ["av-status", "nacre-reason", "av-signature", "av-timestamp"]);
        assert_eq!(keys(&foreign(7)), ["av-status", "nacre-reason", "av-signature"]);
        assert_eq!(keys(&foreign(8)), ["av-status", "nacre-reason"]);
        assert_eq!(keys(&foreign(9)), ["av-status"]);
        assert_eq!(plan(&foreign(10), &Verdict::Clean), TagPlan::NoRoom);
    }

    #[test]
    fn further_dialects_have_the_status_in_their_words_and_give_way_before_it() {
        let names = TagNames { dialects: Dialect::ALL.to_vec(), ..TagNames::default() };
        let keys = |existing: &[Tag]| {
            let verdict = Verdict::Unscannable { reason: Reason::Encrypted };
            match plan_tags(existing, &verdict, DateTime::UNIX_EPOCH, &names) {
                TagPlan::Put(tags) => tags.into_iter().skip(existing.len()).map(|tag| tag.key).collect::<Vec<_>>(),
                _ => vec![],
            }
        };
        let foreign = |n: usize| (0..n).map(|n| Tag::new(format!("t{n}"), "v")).collect::<Vec<_>>();
        let all =
            ["av-status", "GuardDutyMalwareScanStatus", "scan-status", "nacre-reason", "av-signature", "av-timestamp"];
        assert_eq!(keys(&[]), all);
        for room in 1..=5 {
            assert_eq!(keys(&foreign(MAX_TAGS - room)), all[..room]);
        }
        // What such a product said before is not a foreign tag.
        let stale = [Tag::new("scan-status", "CLEAN")];
        let infected = Verdict::Infected { signatures: vec!["A".into()] };
        let TagPlan::Put(tags) = plan_tags(&stale, &infected, DateTime::UNIX_EPOCH, &names) else { panic!("no tags") };
        assert!(tags.contains(&Tag::new("scan-status", "INFECTED")) && !tags.contains(&stale[0]));
    }

    #[test]
    fn a_new_verdict_replaces_all_of_the_old_one() {
        let TagPlan::Put(unscannable) = plan(&[], &Verdict::Unscannable { reason: Reason::Encrypted }) else {
            panic!()
        };
        let TagPlan::Put(clean) = plan(&unscannable, &Verdict::Clean) else { panic!() };
        assert!(!clean.iter().any(|tag| tag.key == "nacre-reason"));
    }
}
