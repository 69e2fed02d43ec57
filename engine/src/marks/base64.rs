//! Base64 as readers of mail decode it: what is no letter of it is passed over.

use super::bytes::text_start;

/// The first bytes of base64, of so many letters.
pub(super) fn decoded(text: &[u8], letters: usize) -> Vec<u8> {
    let mut bytes = Vec::with_capacity(text.len().min(letters) / 4 * 3);
    let (mut number, mut held) = (0_u32, 0);
    for value in text.iter().copied().filter_map(value).take(letters) {
        number = number << 6 | u32::from(value);
        held += 6;
        if held >= 8 {
            held -= 8;
            bytes.push(u8::try_from(number >> held & 0xFF).unwrap_or_default());
        }
        number &= 0xFFFF;
    }
    bytes
}

/// Fewest letters of a text that is nothing but base64.
const MIN_LETTERS: usize = 16;

/// What a file of nothing but base64 holds; `None` for another.
pub(super) fn whole(content: &[u8]) -> Option<Vec<u8>> {
    let text = text_start(content).trim_ascii_end();
    let letters = text.iter().rposition(|byte| *byte != b'=').map_or(0, |last| last + 1);
    let letters =
        text.get(..letters).filter(|letters| letters.len() >= MIN_LETTERS && letters.len() + 2 >= text.len())?;
    let is_of_it = |byte: &u8| value(*byte).is_some() || byte.is_ascii_whitespace();
    letters.iter().all(is_of_it).then(|| decoded(letters, usize::MAX))
}

/// Most paddings of a text up to each of which it is read. One of each line has its own.
const MAX_PADDINGS: usize = 8;

/// What a text of base64 may be decoded to: up to its first padding; where letters follow that, all of it and up to each further one, each
/// piece by itself or as if there were none; and all that without the two letters that only addresses have.
pub(super) fn readings(text: &[u8]) -> Vec<Vec<u8>> {
    let mut readings = around_paddings(text);
    if text.iter().any(|letter| matches!(letter, b'-' | b'_')) {
        let plain: Vec<u8> = text.iter().copied().filter(|letter| !matches!(letter, b'-' | b'_')).collect();
        readings.extend(around_paddings(&plain));
    }
    let mut known: Vec<Vec<u8>> = Vec::new();
    for reading in readings.into_iter().filter(|reading| !reading.is_empty()) {
        if !known.contains(&reading) {
            known.push(reading);
        }
    }
    known
}

fn around_paddings(text: &[u8]) -> Vec<Vec<u8>> {
    let is_letter = |letter: &u8| value(*letter).is_some();
    // Behind the letters of each piece that has any.
    let mut ends = memchr::memchr_iter(b'=', text).scan(0, |from, at| Some((std::mem::replace(from, at + 1), at)));
    let ends: Vec<usize> = ends
        .by_ref()
        .filter(|(from, at)| text.get(*from..*at).is_some_and(|piece| piece.iter().any(is_letter)))
        .map(|(_, at)| at)
        .take(MAX_PADDINGS)
        .collect();
    let Some(first) = ends.first().copied() else { return vec![decoded(text, usize::MAX)] };
    let up_to = |end: usize| text.get(..end).unwrap_or_default();
    let mut readings = vec![decoded(up_to(first), usize::MAX)];
    if text.get(first..).is_some_and(|rest| rest.iter().any(is_letter)) {
        // Each piece after a padding begins anew.
        readings.push(pieces(text));
        for end in ends.iter().skip(1).copied().chain([text.len()]) {
            readings.extend([decoded(up_to(end), usize::MAX), pieces(up_to(end))]);
        }
    }
    readings
}

/// All pieces of a text between its paddings, each decoded by itself.
pub(super) fn pieces(text: &[u8]) -> Vec<u8> {
    text.split(|byte| *byte == b'=').flat_map(|piece| decoded(piece, usize::MAX)).collect()
}

fn value(letter: u8) -> Option<u8> {
    match letter {
        b'A'..=b'Z' => Some(letter - b'A'),
        b'a'..=b'z' => Some(letter - b'a' + 26),
        b'0'..=b'9' => Some(letter - b'0' + 52),
        b'+' | b'-' => Some(62),
        b'/' | b'_' => Some(63),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_is_decoded_to_its_end() {
        assert_eq!(decoded(b"d29y\nZHM=", usize::MAX), b"words");
        assert_eq!(decoded(b"d29yZHM=", 4), b"wor");
    }

    #[test]
    fn a_file_of_nothing_else_is_decoded() {
        let words = Some(b"words and words".to_vec());
        for text in ["d29yZHMgYW5kIHdvcmRz", "\u{FEFF}d29yZHMgYW5kIH\r\ndvcmRz\r\n"] {
            assert_eq!(whole(text.as_bytes()), words, "{text}");
        }
        assert_eq!(whole(b"d29yZHMgYW5kIHdvcmQ=\n"), Some(b"words and word".to_vec()));
        for text in ["d29yZHM=", "d29yZHMgYW5kIHdvcmR.", "d29yZHMgYW5kI=HdvcmR", "d29yZHMgYW5kIHdvcmQ====", ""] {
            assert_eq!(whole(text.as_bytes()), None, "{text}");
        }
    }

    #[test]
    fn what_follows_a_padding_is_read_and_left_out() {
        assert_eq!(readings(b"d29yZHM=\r\n"), [b"words"]);
        let all = readings(b"d29yZHM=d29yZHM=");
        assert_eq!((&all[0], &all[1]), (&b"words".to_vec(), &b"wordswords".to_vec()));
        for text in [&b"d2=9yZHM="[..], b"d=29yZHM=AAAA", b"d2=!9yZHM=\r\nAAAA", b"=d29y-ZHM=AAAA", b"d=2=9yZHM==A"] {
            assert!(readings(text).contains(&b"words".to_vec()), "{}", String::from_utf8_lossy(text));
        }
        assert!(readings(b"d2-9yZHM=").contains(&b"words".to_vec()));
        assert!(readings(b"==").is_empty());
    }
}
