//! Names of a PDF wherever they stand, with and without escapes.
//!
//! Source: ISO 32000-1, section 7.3.5.

use memchr::memmem;

/// Most escapes close behind a slash that are read. Attack: names of nothing else. Packed content has one in some ten thousand bytes by
/// chance.
const MAX_ESCAPES: usize = 1 << 18;

/// Where a name ends, each time that it stands there as it is, or as the beginning of a longer one.
pub(super) fn plain<'c>(content: &'c [u8], name: &'c str) -> impl Iterator<Item = usize> + 'c {
    memmem::find_iter(content, name.as_bytes()).map(|at| at + name.len())
}

/// Where a name ends, each time that it has an escape in it; `None` where there are more escapes than are read.
pub(super) fn escaped<'c>(content: &'c [u8], name: &'c str) -> impl Iterator<Item = Option<usize>> + 'c {
    let mut read = 0;
    // Each letter may be three.
    let longest = name.len() * 3;
    memchr::memchr_iter(b'#', content).filter_map(move |escape| {
        let from = escape.saturating_sub(longest);
        let before = content.get(from..escape)?;
        let at = from + memchr::memrchr(b'/', before)?;
        read += 1;
        if read > MAX_ESCAPES {
            return (read == MAX_ESCAPES + 1).then_some(None);
        }
        // The first escape of a name is enough.
        let is_first = memchr::memchr(b'#', content.get(at..escape)?).is_none();
        is_first.then(|| end(content, at, name).map(Some)).flatten()
    })
}

/// The end of the name at `at`, if it begins with `name`.
fn end(content: &[u8], at: usize, name: &str) -> Option<usize> {
    let mut rest = content.get(at..)?;
    for letter in name.bytes() {
        let (first, after) = rest.split_first()?;
        let escape = after.first_chunk::<2>().filter(|_| *first == b'#').and_then(|digits| value(*digits));
        rest = if escape.is_some() { after.get(2..)? } else { after };
        if escape.unwrap_or(*first) != letter {
            return None;
        }
    }
    Some(content.len() - rest.len())
}

/// What the two digits of an escape stand for.
pub(super) fn value(digits: [u8; 2]) -> Option<u8> {
    let [high, low] = digits.map(|digit| char::from(digit).to_digit(16).and_then(|digit| u8::try_from(digit).ok()));
    Some(high? << 4 | low?)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_are_found_with_and_without_escapes() {
        let text = b"/EF /E#46 /#45#46 /E#47 /X#45F /EF";
        assert_eq!(plain(text, "/EF").collect::<Vec<_>>(), [3, 34]);
        assert_eq!(escaped(text, "/EF").collect::<Vec<_>>(), [Some(9), Some(17)]);
        assert!(escaped(b"/#/#/#", "/EF").next().is_none());
    }

    #[test]
    fn no_more_escapes_are_read_than_a_number() {
        let found: Vec<_> = escaped(&b"/#".repeat(MAX_ESCAPES + 9), "/EF").collect();
        assert_eq!(found, [None]);
    }
}
