//! Encrypted documents of `OpenDocument`: what the manifest in their zip says.
//!
//! Source: `OpenDocument` 1.3, part 2, section 4.8 (`manifest:encryption-data`).

use super::bytes::text_start;

/// Longest manifest that is read.
const MAX_MANIFEST: usize = 16 << 20;
const NAME: &[u8] = b"encryption-data";

/// Whether `content` is a manifest with an encrypted entry.
pub(super) fn is_encrypted(content: &[u8]) -> bool {
    let text = text_start(content.get(..content.len().min(MAX_MANIFEST)).unwrap_or_default());
    text.starts_with(b"<")
        && root_element(text) == Some(b"manifest")
        && text.windows(NAME.len()).enumerate().any(|(at, name)| name == NAME && begins_element(text, at))
}

/// The root element's name without its prefix.
fn root_element(text: &[u8]) -> Option<&[u8]> {
    let starts = text.iter().enumerate().filter(|(_, byte)| **byte == b'<').take(8);
    let mut names = starts
        .filter_map(|(at, _)| text.get(at + 1..))
        .filter(|rest| !rest.starts_with(b"?") && !rest.starts_with(b"!"));
    let name = names.next()?.split(|byte| byte.is_ascii_whitespace() || matches!(byte, b'>' | b'/')).next()?;
    name.rsplit(|byte| *byte == b':').next()
}

/// Whether the name at `at` is that of an element: it follows `<`, with or without a prefix.
fn begins_element(text: &[u8], at: usize) -> bool {
    let before = text.get(at.saturating_sub(64)..at).unwrap_or_default();
    let prefix = before.rsplit(|byte| *byte == b'<').next().unwrap_or_default();
    prefix.len() < before.len() && (prefix.is_empty() || prefix.ends_with(b":") && !prefix.contains(&b' '))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_manifest_names_encrypted_entries() {
        let manifest = |entry: &str| {
            format!("<?xml version=\"1.0\"?>\n<!DOCTYPE x>\n<m:manifest xmlns:m=\"urn\">{entry}</m:manifest>")
                .into_bytes()
        };
        assert!(is_encrypted(&manifest("<m:file-entry><m:encryption-data m:checksum=\"x\"/></m:file-entry>")));
        assert!(is_encrypted(b"<manifest><encryption-data></encryption-data></manifest>"));
        assert!(!is_encrypted(&manifest("<m:file-entry m:full-path=\"encryption-data\"/>")));
        assert!(!is_encrypted(b"<grammar><element name=\"manifest:encryption-data\"/></grammar>"));
        assert!(!is_encrypted(b"<page><manifest:encryption-data/></page>"));
    }
}
