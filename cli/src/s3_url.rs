//! Objects as operators name them: `s3://bucket/key`, with `?versionId=` where one version is meant.

use nacre_core::object::ObjectId;

/// Between a key and a version, as S3's own URLs have it.
const VERSION: &str = "?versionId=";

/// Reads an object's URL, as [`ObjectId`] writes it. The key is taken as it is: nothing in it is decoded.
pub(crate) fn parse_object(url: &str) -> Result<ObjectId, String> {
    let rest = url.strip_prefix("s3://").ok_or("it does not begin with s3://")?;
    let (bucket, key) = rest.split_once('/').unwrap_or((rest, ""));
    // A key may have the word, too; a version id has none of these characters.
    let (key, version) = match key.rsplit_once(VERSION) {
        Some((key, version)) if !version.is_empty() && !version.contains(['/', '?', ' ']) => (key, Some(version)),
        _ => (key, None),
    };
    if bucket.is_empty() || key.is_empty() {
        return Err("it names no object: it is s3://BUCKET/KEY, or s3://BUCKET/KEY?versionId=ID".into());
    }
    Ok(ObjectId::new(bucket, key, version.map(str::to_owned)))
}

/// A bucket, or the part of it whose keys begin with a prefix.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Place {
    pub(crate) bucket: String,
    pub(crate) prefix: String,
}

impl Place {
    /// Reads `s3://BUCKET` or `s3://BUCKET/PREFIX`.
    pub(crate) fn parse(url: &str) -> Result<Self, String> {
        let rest = url.strip_prefix("s3://").ok_or("it does not begin with s3://")?;
        let (bucket, prefix) = rest.split_once('/').unwrap_or((rest, ""));
        let is_name = |c: char| c.is_ascii_lowercase() || c.is_ascii_digit() || c == '-' || c == '.';
        if !(3..=63).contains(&bucket.len()) || !bucket.chars().all(is_name) {
            return Err("it names no bucket: it is s3://BUCKET or s3://BUCKET/PREFIX".into());
        }
        Ok(Self { bucket: bucket.to_owned(), prefix: prefix.to_owned() })
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn what_an_object_writes_is_read_back(key in "[ -~äß€\n]{1,40}", version in proptest::option::of("[A-Za-z0-9._-]{1,32}")) {
            prop_assume!(!key.contains(VERSION));
            let object = ObjectId::new("bucket", key, version);
            prop_assert_eq!(parse_object(&object.to_string()), Ok(object));
        }
    }

    #[test]
    fn what_names_no_object_is_refused() {
        for bad in ["bucket/key", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/?versionId=1"] {
            assert!(parse_object(bad).is_err(), "{bad}");
        }
        let odd = parse_object("s3://b/a?versionId=/c").unwrap();
        assert_eq!((odd.key.as_str(), odd.version_id), ("a?versionId=/c", None));
    }

    #[test]
    fn places_are_buckets_with_or_without_a_prefix() {
        let place = |bucket: &str, prefix: &str| Ok(Place { bucket: bucket.into(), prefix: prefix.into() });
        assert_eq!(Place::parse("s3://uploads"), place("uploads", ""));
        assert_eq!(Place::parse("s3://uploads/"), place("uploads", ""));
        assert_eq!(Place::parse("s3://uploads/a b/c"), place("uploads", "a b/c"));
        assert!(Place::parse("uploads/a").is_err() && Place::parse("s3:///a").is_err());
    }
}
