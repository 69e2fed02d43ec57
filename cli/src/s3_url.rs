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
}
