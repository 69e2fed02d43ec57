//! What a logical signature demands of the content that it matches, beside the matcher that must run on it.
//!
//! Source: `init_tdb` (`readdb.c`), `lsig_eval` and `cli_matchmeta` (`matcher.c`) of libclamav 1.4. What is not read with certainty demands nothing: a
//! rescan then costs more, and misses nothing.

use std::ops::RangeInclusive;

use crate::{
    file_types::FileTypes,
    signature::number,
    split::{field, fields},
};

/// `ATTRIB_TOKENS` of libclamav's `init_tdb`: it reads no attribute past these.
const MAX_ATTRIBUTES: usize = 10;

/// `EXPR_TOKEN_MAX` of libclamav's `init_tdb`: it reads no type past these.
const MAX_INTERMEDIATES: usize = 16;

/// What a signature demands of the content that it matches; where it demands nothing, content of any kind may match.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Narrowing {
    /// Bytes of the content: of the layer, or of what libclamav makes of it, that the matcher runs on.
    pub sizes: Option<RangeInclusive<u64>>,
    /// Whether the content must be within other content: it is not all that there is of an object.
    pub contained: bool,
    /// Of each of these sets, one must be the type of some layer.
    pub types: Vec<FileTypes>,
}

impl Narrowing {
    /// What a line of a logical signature demands.
    pub(crate) fn of_logical(line: &[u8]) -> Self {
        let description = field(line, b';', 1).unwrap_or_default();
        let mut narrowing = Self { sizes: only(description, b"FileSize").and_then(sizes), ..Self::default() };
        if let Some(container) = only(description, b"Container") {
            narrowing.within([container].into_iter());
        }
        let read_whole = |list: &&[u8]| fields(list, b'>').count() <= MAX_INTERMEDIATES;
        if let Some(intermediates) = only(description, b"Intermediates").filter(read_whole) {
            narrowing.within(fields(intermediates, b'>'));
        }
        if demands_image(line) {
            narrowing.types.push(FileTypes::IMAGES);
        }
        narrowing
    }

    /// What a line of metadata demands: that of archives of one type.
    pub(crate) fn of_metadata(line: &[u8]) -> Self {
        let reported = field(line, b':', 1).and_then(|name| FileTypes::reported(std::str::from_utf8(name).ok()?));
        Self { types: reported.into_iter().collect(), ..Self::default() }
    }

    /// Demands that the content is within layers of all of these types.
    fn within<'a>(&mut self, types: impl Iterator<Item = &'a [u8]>) {
        for name in types.filter_map(|name| std::str::from_utf8(name).ok()) {
            self.contained |= FileTypes::is_type(name);
            self.types.extend(FileTypes::reported(name));
        }
    }

    /// Whether it demands nothing.
    pub fn is_none(&self) -> bool {
        *self == Self::default()
    }
}

/// The attributes of a logical signature; `None` where there are none, or where libclamav reads only some.
pub(crate) fn attributes(line: &[u8]) -> Option<impl Iterator<Item = &[u8]>> {
    let description = field(line, b';', 1)?;
    (fields(description, b',').count() <= MAX_ATTRIBUTES).then(|| fields(description, b','))
}

/// Whether nothing but an image with a fuzzy hash can match: all subsignatures of the expression must, and one is such a hash.
fn demands_image(line: &[u8]) -> bool {
    // Within a regular expression, `;` ends no subsignature, so that their numbers are others.
    if line.contains(&b'/') {
        return false;
    }
    let expression = field(line, b';', 2).unwrap_or_default();
    let all: Option<Vec<usize>> = fields(expression, b'&').map(number::<usize>).collect();
    let is_hash = |index: &usize| {
        index.checked_add(3).and_then(|at| field(line, b';', at)).is_some_and(|text| text.starts_with(b"fuzzy_img#"))
    };
    all.is_some_and(|all| all.iter().any(is_hash))
}

/// The value of a key that is there once: of several, libclamav takes the last.
fn only<'a>(description: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    let mut values = fields(description, b',').filter(|pair| field(pair, b':', 0) == Some(key));
    let value = values.next()?.get(key.len() + 1..);
    if values.next().is_some() { None } else { value }
}

/// `least-greatest`, in numbers that libclamav's `atoi` reads as they are.
fn sizes(text: &[u8]) -> Option<RangeInclusive<u64>> {
    let dash = memchr::memchr(b'-', text)?;
    let bound = |text: Option<&[u8]>| text.and_then(number::<i32>).and_then(|bound| u64::try_from(bound).ok());
    Some(bound(text.get(..dash))?..=bound(text.get(dash + 1..))?)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn sizes_of(description: &str) -> Option<RangeInclusive<u64>> {
        Narrowing::of_logical(format!("A;{description};0;00ff").as_bytes()).sizes
    }

    fn types(names: &[&str]) -> Vec<FileTypes> {
        names.iter().map(|name| FileTypes::of(&format!("CL_TYPE_{name}"))).collect()
    }

    #[test]
    fn what_is_in_a_container_demands_one_and_its_type_where_that_is_always_reported() {
        let of = |description: &str| Narrowing::of_logical(format!("A;Target:0,{description};0;00ff").as_bytes());
        for (description, contained, reported) in [
            ("Container:CL_TYPE_GZ", true, types(&["GZ"])),
            ("Container:CL_TYPE_ZIP", true, vec![]),
            ("Container:CL_TYPE_ANY", false, vec![]),
            ("Container:CL_TYPE_NEW", false, vec![]),
            ("Container:CL_TYPE_GZ,Container:CL_TYPE_XZ", false, vec![]),
            ("Intermediates:CL_TYPE_ZIP>CL_TYPE_RTF", true, types(&["RTF"])),
            ("Intermediates:CL_TYPE_XZ>CL_TYPE_ANY>CL_TYPE_GZ", true, types(&["XZ", "GZ"])),
            ("Intermediates:CL_TYPE_ANY", false, vec![]),
            // Of seventeen, libclamav does not read the last.
            (&format!("Intermediates:{}CL_TYPE_RTF", "CL_TYPE_ANY>".repeat(15)), true, types(&["RTF"])),
            (&format!("Intermediates:{}CL_TYPE_RTF", "CL_TYPE_ANY>".repeat(16)), false, vec![]),
        ] {
            assert_eq!(of(description), Narrowing { sizes: None, contained, types: reported }, "{description}");
        }
    }

    #[test]
    fn more_attributes_than_libclamav_reads_are_not_known() {
        let of = |targets: usize| format!("A;Engine:81-255,{}Target:1;0;00ff", "Target:0,".repeat(targets));
        assert_eq!(attributes(of(8).as_bytes()).map(Iterator::count), Some(10));
        assert!(attributes(of(9).as_bytes()).is_none(), "the eleventh is dropped");
    }

    #[test]
    fn metadata_demand_an_archive_of_a_type_that_is_always_reported() {
        let of = |name: &str| Narrowing::of_metadata(format!("A:{name}:*:x:*:*:*:1:*:*").as_bytes()).types;
        assert_eq!(of("CL_TYPE_POSIX_TAR"), types(&["POSIX_TAR"]));
        for wide in ["CL_TYPE_ZIP", "CL_TYPE_MAIL", "CL_TYPE_ANY", "*", "1", "CL_TYPE_NEW"] {
            assert_eq!(of(wide), [], "{wide}");
        }
    }

    #[test]
    fn a_hash_of_an_image_demands_one_only_where_it_must_match() {
        let of = |rest: &str| Narrowing::of_logical(format!("A;Target:0;{rest}").as_bytes()).types;
        let hash = "fuzzy_img#af2ad01ed42993c7#0";
        for demanding in [format!("0;{hash}"), format!("0&1;00ff;{hash}"), format!("1;00ff;{hash}")] {
            assert_eq!(of(&demanding), [FileTypes::IMAGES], "{demanding}");
        }
        for other in [
            format!("0|1;00ff;{hash}"),
            format!("0=0;{hash}"),
            format!("(0&1);{hash};00ff"),
            format!("0;00ff;{hash}"),
            format!("9999999999999999999999;{hash}"),
            format!(";{hash}"),
            "2;00ff;0/a;fuzzy_img#b/;00ff".into(),
        ] {
            assert_eq!(of(&other), [], "{other}");
        }
    }

    #[test]
    fn a_size_narrows_only_where_it_is_read_as_libclamav_reads_it() {
        assert_eq!(sizes_of("Engine:51-255,FileSize:10-20,Target:1"), Some(10..=20));
        assert_eq!(sizes_of("FileSize:0-2147483647"), Some(0..=2_147_483_647));
        for unsure in [
            "Target:1",
            "FileSize:10",
            "FileSize",
            "FileSize:-20",
            "FileSize:10-",
            "FileSize:10-20-30",
            "FileSize:10-2147483648",
            "FileSize:a-b",
            "FileSize:10-20,FileSize:30-40",
            "filesize:10-20",
        ] {
            assert_eq!(sizes_of(unsure), None, "{unsure}");
        }
    }
}
