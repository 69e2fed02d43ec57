//! What an encryption dictionary says: the key that an empty password gives, and what is encrypted how.
//!
//! Each value is one that writers write. Attack: readers take the length of a key, or a filter, from different places where those differ.
//!
//! Source: ISO 32000-2, sections 7.6.2, 7.6.4 and 7.6.6.

use std::collections::BTreeMap;

use super::{
    super::plain::Plain,
    cipher::Method,
    key::{self, Old},
    strings,
};

/// The lengths of the owner's and the user's sums, before AES-256 and with it. Old writers fill the latter up with zeros.
const OLD: usize = 32;
const NEW: usize = 48;

pub(super) struct Encryption {
    pub(super) key: Vec<u8>,
    pub(super) streams: Method,
    pub(super) strings: Method,
    pub(super) files: Method,
    /// By name, with their slash; none before version 4.
    pub(super) filters: BTreeMap<String, Method>,
    /// Metadata are encrypted as well.
    pub(super) metadata: bool,
}

impl Encryption {
    /// Reads a dictionary; `None` where an empty password does not open it, or readers may differ.
    pub(super) fn of(dictionary: &Plain<'_>, document: &[u8]) -> Option<Self> {
        let is_standard = dictionary.name("/Filter")? == "/Standard" && dictionary.get("/SubFilter").is_none();
        is_standard.then_some(())?;
        let (version, revision): (u32, u32) = (dictionary.whole("/V")?, dictionary.whole("/R")?);
        let bits: Option<usize> =
            dictionary.get("/Length").map_or(Some(None), |_| dictionary.whole("/Length").map(Some))?;
        let metadata = match dictionary.get("/EncryptMetadata").map(<[u8]>::trim_ascii) {
            None | Some(b"true") => true,
            Some(b"false") => false,
            _ => return None,
        };
        // Attack: readers of old versions differ on a key that came with version 4.
        (metadata || version >= 4).then_some(())?;
        let string = |key| strings::first(dictionary.get(key)?);
        let (owner, user) = (string("/O")?, string("/U")?);
        let length = match (version, revision, bits) {
            (1, 2, None | Some(40)) | (2, 3, None) => 5,
            (2, 3, Some(bits)) if bits.is_multiple_of(8) && (40..=128).contains(&bits) => bits / 8,
            (4, 4, None | Some(128)) => 16,
            (5, 5 | 6, None | Some(256)) => 32,
            _ => return None,
        };
        let key = if version == 5 {
            let is_filled = |sum: &[u8]| sum.len() >= NEW && sum.iter().skip(NEW).all(|byte| *byte == 0);
            let encrypted = string("/UE")?;
            (is_filled(&owner) && is_filled(&user) && encrypted.len() == 32).then_some(())?;
            key::of_aes_256(revision, &user, &encrypted)?
        } else {
            (owner.len() == OLD && user.len() == OLD).then_some(())?;
            let permissions: i64 = dictionary.whole("/P")?;
            // Some write them without a sign.
            let permissions = u32::try_from(permissions & i64::from(u32::MAX)).ok()?;
            Old { revision, length, owner: &owner, user: &user, permissions, document, metadata }.key()?
        };
        let mut filters = BTreeMap::new();
        if version >= 4 {
            filters = crypt_filters(dictionary, version)?;
        }
        let method = |key: &str, missing: Method| match dictionary.get(key) {
            _ if version < 4 => Some(Method::Rc4),
            None => Some(missing),
            Some(_) => filters.get(&dictionary.name(key)?).copied(),
        };
        let streams = method("/StmF", Method::Identity)?;
        let strings = method("/StrF", Method::Identity)?;
        let files = method("/EFF", streams)?;
        Some(Self { key, streams, strings, files, filters, metadata })
    }
}

/// The crypt filters of a dictionary, and the one that is always there.
fn crypt_filters(dictionary: &Plain<'_>, version: u32) -> Option<BTreeMap<String, Method>> {
    let mut filters = BTreeMap::from([("/Identity".to_owned(), Method::Identity)]);
    for (name, value) in Plain::dictionary(dictionary.get("/CF")?)?.entries() {
        let filter = Plain::dictionary(value)?;
        let method = match (version, filter.name("/CFM")?.as_str()) {
            (4, "/V2") => Method::Rc4,
            (4, "/AESV2") => Method::Aes128,
            (5, "/AESV3") => Method::Aes256,
            _ => return None,
        };
        // In bytes by the standard, in bits by some writers.
        let is_length = match (filter.get("/Length"), version) {
            (None, _) => true,
            (Some(_), 4) => matches!(filter.whole("/Length"), Some(16 | 128)),
            (Some(_), _) => matches!(filter.whole("/Length"), Some(32 | 256)),
        };
        // Attack: a filter of the name that means none.
        (is_length && filters.insert(name.to_owned(), method).is_none()).then_some(())?;
    }
    Some(filters)
}
