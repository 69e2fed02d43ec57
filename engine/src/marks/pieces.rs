//! Content within a layer that libclamav does not reach and that needs no unpacking: each piece is scanned as a layer of its own.

use std::borrow::Cow;

use memchr::memmem;

use super::{armour, asn1, bytes::text_start, mail, onenote, parts, uuencode};

/// Bytes at the end of a PDF in which it has its end mark.
const PDF_END: usize = 2048;

/// The pieces of a layer that libclamav took for a file of this type, and whether there are more than are read. `read_whole` says
/// whether the second reader got out all that is in it.
pub(super) fn pieces<'a>(content: &'a [u8], file_type: &[u8], read_whole: bool) -> (Vec<Cow<'a, [u8]>>, bool) {
    if read_whole {
        return (Vec::new(), false);
    }
    let mut pieces: Vec<Cow<[u8]>> = onenote::files(content).into_iter().map(Cow::Borrowed).collect();
    pieces.extend(asn1::enclosed(content).map(Cow::Owned));
    pieces.extend(armour::message(content).map(Cow::Owned));
    pieces.extend(pdf_behind_a_prefix(content, file_type).map(Cow::Borrowed));
    pieces.extend(mail::recognisable(content, file_type).map(Cow::Owned));
    let (parts, too_many_parts) = parts::parts(content);
    let (files, too_many_files) = uuencode::files(content);
    pieces.extend(parts.into_iter().chain(files).map(Cow::Owned));
    (pieces, too_many_parts || too_many_files)
}

/// A PDF that begins where libclamav does not expect one.
fn pdf_behind_a_prefix<'a>(content: &'a [u8], file_type: &[u8]) -> Option<&'a [u8]> {
    if file_type == b"CL_TYPE_PDF" || text_start(content).starts_with(b"%PDF-") {
        return None;
    }
    let end = content.get(content.len().saturating_sub(PDF_END)..)?;
    memmem::find(end, b"%%EOF")?;
    memmem::find(content, b"%PDF-").filter(|at| *at > 0).and_then(|at| content.get(at..))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pdf_is_found_behind_any_prefix_if_it_is_whole() {
        let behind = |prefix: usize, end: &[u8]| [&vec![b'x'; prefix], &b"%PDF-1.7 words "[..], end].concat();
        for prefix in [1, 30, 1025, 100_000] {
            let content = behind(prefix, b"%%EOF");
            assert_eq!(pieces(&content, b"CL_TYPE_BINARY_DATA", false).0, [&content[prefix..]]);
            assert!(pieces(&content, b"CL_TYPE_BINARY_DATA", true).0.is_empty());
            assert!(pieces(&behind(prefix, b""), b"CL_TYPE_BINARY_DATA", false).0.is_empty());
        }
        assert!(pieces(&behind(0, b"%%EOF"), b"CL_TYPE_PDF", false).0.is_empty());
    }
}
