//! A document that any reader opens unasked, as an empty password does: written anew without its encryption, to be scanned as a layer.
//!
//! Only an owner password protects it, against printing and the like. libclamav decrypts some of its streams: not those without a filter,
//! and not those that it takes for metadata or images. What it finds in the document as it is, it finds beside this.
//!
//! Keys depend on numbers, lengths and tables, on which readers differ: a document must be written as the standard has it from its first
//! byte to its last, and its tables must say what it shows. Any other stays encrypted.
//!
//! Source: ISO 32000-2, section 7.6.

mod cipher;
mod crypt_filter;
mod document;
mod encryption;
mod key;
mod strings;
mod tables;

use std::{collections::BTreeSet, ops::Range};

use self::{
    cipher::{Id, Method},
    crypt_filter::CryptFilter,
    document::{Document, Object},
    encryption::Encryption,
};
use super::plain::{Plain, Token, is_regular, token};

/// The key of encryption, and what stands there instead.
const ENCRYPT: &str = "/Encrypt";
const OPENED: &str = "/WasEncrypted";
/// The number of what only some readers take for the content of a stream. No document has an object of it.
const NO_OBJECT: &[u8] = b"0 0 obj\n";

/// Most bytes of a document. It is held twice while it is written.
const MAX_LENGTH: usize = 128 << 20;

/// The document without its encryption; `None` where an empty password does not open it, or readers may differ.
pub(in crate::marks) fn opened(content: &[u8]) -> Option<Vec<u8>> {
    if content.len() > MAX_LENGTH {
        return None;
    }
    let document = Document::read(content)?;
    let trailer = tables::agree(content, &document)?;
    let identifier = trailer.identifier.map_or(Some(Vec::new()), tables::first_of)?;
    let (dictionary, at) = match tables::reference(trailer.encrypt) {
        None => (trailer.encrypt, None),
        Some(id) => {
            let mut all = document.objects.iter().filter(|object| object.id.number == id.number);
            let (Some(object), None) = (all.next(), all.next()) else { return None };
            (object.id == id && object.stream.is_none()).then_some(())?;
            (content.get(object.value.clone())?, Some(object.at))
        }
    };
    let encryption = Encryption::of(&Plain::dictionary(dictionary)?, &identifier)?;
    let mut writer =
        Writer { content, encryption, out: Vec::with_capacity(content.len()), others: Vec::new(), copied: 0 };
    let mut trailers = document.tables.iter().map(|table| &table.trailer).peekable();
    for object in &document.objects {
        while let Some(trailer) = trailers.next_if(|trailer| trailer.start < object.at) {
            writer.copy_to(trailer.start);
            writer.trailer(trailer.clone())?;
        }
        writer.copy_to(object.value.start);
        if at == Some(object.at) {
            continue;
        }
        writer.object(object)?;
    }
    for trailer in trailers {
        writer.copy_to(trailer.start);
        writer.trailer(trailer.clone())?;
    }
    writer.copy_to(content.len());
    writer.out.push(b'\n');
    writer.out.append(&mut writer.others);
    Some(writer.out)
}

struct Writer<'c> {
    content: &'c [u8],
    encryption: Encryption,
    out: Vec<u8>,
    /// What only some readers take for the content of streams.
    others: Vec<u8>,
    /// What comes before this place is written.
    copied: usize,
}

/// Values that replace those of a dictionary, or take the place of a key that is left out.
type Edits<'e> = Vec<(&'e str, Option<Vec<u8>>)>;

impl Writer<'_> {
    fn copy_to(&mut self, at: usize) {
        self.out.extend(self.content.get(self.copied..at).unwrap_or_default());
        self.copied = at;
    }

    /// A trailer has no string that is encrypted.
    fn trailer(&mut self, place: Range<usize>) -> Option<()> {
        let trailer = self.dictionary(&Plain::dictionary(self.content.get(place.clone())?)?, None, &[]);
        self.out.extend(trailer);
        self.copied = place.end;
        Some(())
    }

    fn object(&mut self, object: &Object) -> Option<()> {
        let text = self.content.get(object.value.clone())?;
        let Some(place) = &object.stream else {
            let text = self.text(text, Some(object.id));
            self.out.extend(text);
            self.copied = object.value.end;
            return Some(());
        };
        let dictionary = Plain::dictionary(text)?;
        let stream = self.content.get(place.clone())?;
        let is_of = |kind: &str| dictionary.name("/Type").is_some_and(|it| it == kind);
        let (is_table, crypt) = (is_of("/XRef"), CryptFilter::of(&dictionary));
        let mut edits = Vec::new();
        let named = crypt.and_then(|crypt| Some((*self.encryption.filters.get(&crypt.name)?, crypt)));
        let method = match named {
            _ if is_table => Method::Identity,
            Some((method, crypt)) => {
                edits = vec![("/Filter", crypt.filters), ("/DecodeParms", crypt.parameters)];
                method
            }
            None if is_of("/Metadata") && !self.encryption.metadata => Method::Identity,
            None if is_of("/EmbeddedFile") => self.encryption.files,
            None => self.encryption.streams,
        };
        let id = (!is_table).then_some(object.id);
        let plain = method.strictly(&self.encryption.key, object.id, stream)?;
        let written = self.stream(&dictionary, id, edits.clone(), &plain);
        self.out.extend(written);
        let end = place.end + self.content.get(place.end..)?.iter().position(|byte| *byte == b'e')?;
        self.copied = end + b"endstream".len();
        // Attack: a type or a filter that some readers do not look at. As it is, the stream is read with the document as it is.
        let others = BTreeSet::from([self.encryption.streams, self.encryption.files]);
        for other in others.into_iter().filter(|other| ![method, Method::Identity].contains(other)) {
            let plain = other.loosely(&self.encryption.key, object.id, stream);
            let written = self.stream(&dictionary, id, edits.clone(), &plain);
            self.others.extend(NO_OBJECT);
            self.others.extend(written);
            self.others.extend(b"\nendobj\n");
        }
        Some(())
    }

    /// A stream with its dictionary, up to the word that ends it.
    fn stream(&self, dictionary: &Plain<'_>, id: Option<Id>, mut edits: Edits<'_>, content: &[u8]) -> Vec<u8> {
        edits.push(("/Length", Some(content.len().to_string().into_bytes())));
        [&self.dictionary(dictionary, id, &edits), &b"\nstream\n"[..], content, b"\nendstream"].concat()
    }

    fn dictionary(&self, dictionary: &Plain<'_>, id: Option<Id>, edits: &[(&str, Option<Vec<u8>>)]) -> Vec<u8> {
        let mut out = b"<<".to_vec();
        for (key, value) in dictionary.entries() {
            let value = match edits.iter().find(|(edited, _)| *edited == key) {
                Some((_, None)) => continue,
                Some((_, Some(value))) => value.clone(),
                None => self.text(value, id),
            };
            out.extend(if key == ENCRYPT { OPENED.as_bytes().to_vec() } else { name(key) });
            out.push(b' ');
            out.extend(value);
        }
        out.extend(b">>");
        out
    }

    /// A text with its strings decrypted, if they are those of an object.
    fn text(&self, text: &[u8], id: Option<Id>) -> Vec<u8> {
        let Some(id) = id.filter(|_| self.encryption.strings != Method::Identity) else { return text.to_vec() };
        let (mut out, mut rest) = (Vec::with_capacity(text.len()), text);
        while let Some((kind, after)) = token(rest) {
            let written = rest.get(..rest.len() - after.len()).unwrap_or_default();
            match strings::first(written).filter(|_| kind == Token::String) {
                Some(string) => {
                    let plain = self.encryption.strings.loosely(&self.encryption.key, id, &string);
                    out.extend(strings::written(&plain));
                }
                None => out.extend(written),
            }
            rest = after;
        }
        out.extend(rest);
        out
    }
}

/// A name as it is written.
fn name(name: &str) -> Vec<u8> {
    let mut out = vec![b'/'];
    for byte in name.bytes().skip(1) {
        if is_regular(byte) && byte != b'#' {
            out.push(byte);
        } else {
            out.extend(format!("#{byte:02X}").bytes());
        }
    }
    out
}

#[cfg(test)]
mod tests;
