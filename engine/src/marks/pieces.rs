//! Content within a layer that libclamav does not reach and that needs no unpacking: each piece is scanned as a layer of its own.

use std::ops::Range;

use memchr::memmem;

use super::{
    armour, asn1, base64, bytes::text_start, compressed_objects, compressed_rtf, forks, intel_hex, mail, ole2, onenote,
    openpgp, package, parts, pdf, resources, tnef, uuencode,
};

/// Bytes at the end of a PDF in which it has its end mark.
const PDF_END: usize = 2048;

/// What a file of `BinHex` begins with.
const BINHEX: &[u8] = b"(This file must be converted with BinHex";

/// Gives the pieces of a layer that libclamav took for a file of this type to `keep`, and returns whether there are more than are read:
/// the name of what has so many. The streams of a PDF that `is_opened` are read as they are all the same, for readers that do not decrypt
/// them; what they should be is read in the document that was written anew.
pub(super) fn pieces(
    content: &[u8],
    file_type: &[u8],
    is_opened: bool,
    keep: &mut dyn FnMut(&[u8]),
) -> Option<&'static str> {
    onenote::files(content).into_iter().for_each(&mut *keep);
    let made = [asn1::enclosed(content), armour::message(content), mail::recognisable(content, file_type)];
    made.iter().flatten().chain(&base64::whole(content)).for_each(|piece| keep(piece));
    for piece in intel_hex::areas(content).into_iter().chain(armour::messages_within(content)) {
        keep(&piece);
    }
    openpgp::literal(content).into_iter().chain(forks::forks(content)).for_each(&mut *keep);
    let (attached, too_many_attached) = tnef::files(content);
    attached.into_iter().for_each(&mut *keep);
    binhex_behind_words(content).into_iter().for_each(&mut *keep);
    let is_packed = compressed_objects::unpacked(content, keep);
    pdf_behind_a_prefix(content, file_type).into_iter().for_each(&mut *keep);
    let (parts, too_many_parts) = parts::parts(content);
    let (files, too_many_files) = uuencode::files(content);
    parts.iter().chain(&files).for_each(|piece| keep(piece));
    let streams = pdf::contents(content, keep);
    let too_many_objects = package::objects(content, keep);
    let (compound, too_many_compound) = ole2::within(content);
    compound.into_iter().for_each(&mut *keep);
    let too_many_texts = compressed_rtf::texts(content, keep);
    let too_many_resources = resources::resources(content, keep);
    let too_many = [
        (too_many_parts || too_many_files, "a mail of too many parts"),
        (streams.too_many && !is_opened, "a PDF of too many streams"),
        (streams.packed && !is_opened, "a stream of a PDF that stays packed"),
        (too_many_objects, "a document of too many objects"),
        (too_many_compound, "too many compound files within another file"),
        (too_many_resources, "a program of too many resources"),
        (too_many_attached || too_many_texts, "an envelope of Outlook of too many files"),
        (is_packed, "an object of Office that stays packed"),
    ];
    too_many.into_iter().find_map(|(is_so, name)| is_so.then_some(name))
}

/// Gives the pieces of an archive, and of what lies behind its end, to `keep`, as of any layer. `members` are its parts that are layers by
/// themselves. They are read with what is around them only where something begins there. Attack: a mail whose header is the name of a
/// member, and whose body is that member.
pub(super) fn around(
    content: &[u8],
    members: &[Range<usize>],
    file_type: &[u8],
    is_opened: bool,
    keep: &mut dyn FnMut(&[u8]),
) -> Option<&'static str> {
    if members.is_empty() {
        return pieces(content, file_type, is_opened, keep);
    }
    let (mut at, mut holes) = (0, Vec::new());
    for member in members {
        holes.extend_from_slice(content.get(at..member.start).unwrap_or_default());
        at = member.end;
    }
    holes.extend_from_slice(content.get(at..).unwrap_or_default());
    let mut is_any = begins(&holes);
    let named = pieces(&holes, file_type, is_opened, &mut |piece| {
        is_any = true;
        keep(piece);
    });
    if is_any || named.is_some() { named.or(pieces(content, file_type, is_opened, keep)) } else { None }
}

/// Whether something may begin here that goes on elsewhere.
fn begins(holes: &[u8]) -> bool {
    memmem::find(holes, b"%PDF-").is_some() || uuencode::begins(holes) || mail::has_body(holes)
}

/// Files of `BinHex` behind other text, each up to the next: libclamav decodes one that a layer begins with.
fn binhex_behind_words(content: &[u8]) -> Vec<&[u8]> {
    let places: Vec<usize> = memmem::find_iter(content, BINHEX).filter(|at| *at > 0).collect();
    let ends = places.iter().skip(1).copied().chain([content.len()]);
    places.iter().zip(ends).filter_map(|(at, end)| content.get(*at..end)).collect()
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
    fn pieces(content: &[u8], file_type: &[u8]) -> Vec<Vec<u8>> {
        let mut pieces = Vec::new();
        super::pieces(content, file_type, false, &mut |piece| pieces.push(piece.to_vec()));
        pieces
    }

    #[test]
    fn files_of_binhex_are_found_behind_words() {
        let file = |words: &str| [super::BINHEX, words.as_bytes()].concat();
        let content = [b"words", &file("one")[..], &file("two")].concat();
        assert_eq!(pieces(&content, b"CL_TYPE_TEXT_ASCII"), [file("one"), file("two")]);
        assert!(pieces(&file("one"), b"CL_TYPE_BINHEX").is_empty());
    }

    #[test]
    fn a_pdf_is_found_behind_any_prefix_if_it_is_whole() {
        let behind = |prefix: usize, end: &[u8]| [&vec![b'x'; prefix], &b"%PDF-1.7 words "[..], end].concat();
        for prefix in [1, 30, 1025, 100_000] {
            let content = behind(prefix, b"%%EOF");
            assert_eq!(pieces(&content, b"CL_TYPE_BINARY_DATA"), [&content[prefix..]]);
            assert!(pieces(&behind(prefix, b""), b"CL_TYPE_BINARY_DATA").is_empty());
        }
        assert!(pieces(&behind(0, b"%%EOF"), b"CL_TYPE_PDF").is_empty());
    }

    #[test]
    fn stored_members_are_read_where_something_begins_around_them() {
        let around = |before: &[u8], member: &[u8]| {
            let (mut pieces, content) = (Vec::new(), [before, member, b" and after"].concat());
            let stored = before.len()..before.len() + member.len();
            let named = super::around(&content, &[stored], b"CL_TYPE_POSIX_TAR", false, &mut |piece| {
                pieces.push(piece.to_vec());
            });
            assert_eq!(named, None);
            pieces.concat()
        };
        let pdf = b"%PDF-1.7 words %%EOF";
        let text = b"\nbegin 644 x\n%=V]R9',`\n`\nend\n";
        let is_read = |before: &[u8], member: &[u8]| memchr::memmem::find(&around(before, member), b"words").is_some();
        assert!(!is_read(b"a tar, and ", pdf) && !is_read(b"a tar, and ", text));
        assert!(is_read(b"a tar, and %PDF-1.7 ", b"words %%EOF"));
        assert!(is_read(b"a tar, and \nbegin 644 x\n", b"%=V]R9',`\n`\nend\n"));
        assert!(is_read(&text[..], b"a member"));
        assert!(is_read(b"Content-Transfer-Encoding: base64\nX: ", b"x\n\nd29yZHM=\n"));
    }
}
