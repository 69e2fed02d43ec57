//! Numbers within bytes, by their place.

/// The bytes of a fixed length at `at`.
pub(super) fn array<const N: usize>(content: &[u8], at: usize) -> Option<[u8; N]> {
    content.get(at..)?.first_chunk().copied()
}

pub(super) fn le16(content: &[u8], at: usize) -> Option<u16> {
    array(content, at).map(u16::from_le_bytes)
}

pub(super) fn le32(content: &[u8], at: usize) -> Option<u32> {
    array(content, at).map(u32::from_le_bytes)
}

pub(super) fn le64(content: &[u8], at: usize) -> Option<u64> {
    array(content, at).map(u64::from_le_bytes)
}

/// Whether `content` has `mark` at `at`.
pub(super) fn has(content: &[u8], at: usize, mark: &[u8]) -> bool {
    content.get(at..).is_some_and(|content| content.starts_with(mark))
}

/// White space of PDF: that of texts, and the byte zero. Source: ISO 32000-1, 7.2.2.
pub(super) fn is_pdf_space(byte: u8) -> bool {
    byte.is_ascii_whitespace() || byte == 0
}

/// What follows white space of PDF.
pub(super) fn after_pdf_space(text: &[u8]) -> &[u8] {
    let start = text.iter().position(|byte| !is_pdf_space(*byte)).unwrap_or(text.len());
    text.get(start..).unwrap_or_default()
}

/// A text without the byte order mark of UTF-8, and white space, before it.
pub(super) fn text_start(content: &[u8]) -> &[u8] {
    content.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(content).trim_ascii_start()
}
