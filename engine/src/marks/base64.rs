//! Base64 as readers of mail decode it: what is no letter of it is passed over.

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

/// What a text of base64 may be decoded to: up to its first padding; where letters follow that, all of it, each piece by itself or as if
/// there were none; and without the two letters that only addresses have.
pub(super) fn readings(text: &[u8]) -> Vec<Vec<u8>> {
    let pieces = text.split(|byte| *byte == b'=').filter(|piece| piece.iter().any(|letter| value(*letter).is_some()));
    let is_joined = pieces.clone().nth(1).is_some();
    let first = pieces.clone().next().map(|piece| decoded(piece, usize::MAX));
    // Each piece after a padding begins anew.
    let whole = is_joined.then(|| self::pieces(text));
    let mut readings: Vec<Vec<u8>> = first.into_iter().chain(whole).collect();
    if is_joined {
        readings.push(decoded(text, usize::MAX));
    }
    if text.iter().any(|letter| matches!(letter, b'-' | b'_')) {
        let plain: Vec<u8> = text.iter().copied().filter(|letter| !matches!(letter, b'-' | b'_')).collect();
        readings.push(decoded(&plain, usize::MAX));
    }
    readings.dedup();
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
    fn what_follows_a_padding_is_read_and_left_out() {
        assert_eq!(readings(b"d29yZHM=\r\n"), [b"words"]);
        let all = readings(b"d29yZHM=d29yZHM=");
        assert_eq!((&all[0], &all[1]), (&b"words".to_vec(), &b"wordswords".to_vec()));
        assert!(readings(b"d2=9yZHM=").contains(&b"words".to_vec()));
        assert!(readings(b"d2-9yZHM=").contains(&b"words".to_vec()));
        assert!(readings(b"==").is_empty());
    }
}
