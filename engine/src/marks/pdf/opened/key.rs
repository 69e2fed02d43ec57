//! The key of a document that opens with an empty password.
//!
//! Source: ISO 32000-2, section 7.6.4; Adobe's supplement to ISO 32000-1, level 3, for revision 5.

use aes::{Aes128, Aes256};
use cbc::{
    Encryptor,
    cipher::{Array, BlockModeEncrypt, KeyIvInit, array::typenum::U16},
};
use md5::{Digest, Md5};
use sha2::{Sha256, Sha384, Sha512};

use super::cipher::{BLOCK, blocks, rc4};

/// What an empty password is padded to.
const PADDING: [u8; 32] = *b"\x28\xBF\x4E\x5E\x4E\x75\x8A\x41\x64\x00\x4E\x56\xFF\xFA\x01\x08\
    \x2E\x2E\x00\xB6\xD0\x68\x3E\x80\x2F\x0C\xA9\xFE\x64\x53\x69\x7A";
/// The lengths of a sum of revision 5 and later, and of each salt behind it.
const SUM: usize = 32;
const SALT: usize = 8;
/// How often the input of a round of revision 6 is repeated, and after how many rounds it may end. The last byte of a round decides: no
/// more than 255 + 32 are possible.
const REPEATED: usize = 64;
const MIN_ROUNDS: usize = 64;
const MAX_ROUNDS: usize = 288;

/// What an encryption dictionary says of the key, before AES-256.
pub(super) struct Old<'d> {
    pub(super) revision: u32,
    /// In bytes.
    pub(super) length: usize,
    pub(super) owner: &'d [u8],
    pub(super) user: &'d [u8],
    pub(super) permissions: u32,
    pub(super) document: &'d [u8],
    pub(super) metadata: bool,
}

impl Old<'_> {
    /// The key, if an empty password opens the document.
    pub(super) fn key(&self) -> Option<Vec<u8>> {
        let key = self.made()?;
        let length = if self.revision == 2 { 32 } else { 16 };
        (self.user.get(..length)? == self.shown(&key).get(..length)?).then_some(key)
    }

    /// The key by an empty password, be it right or not.
    pub(super) fn made(&self) -> Option<Vec<u8>> {
        let mut sum = Md5::new();
        sum.update(PADDING);
        sum.update(self.owner);
        sum.update(self.permissions.to_le_bytes());
        sum.update(self.document);
        if self.revision >= 4 && !self.metadata {
            sum.update([0xFF; 4]);
        }
        let mut key = sum.finalize().to_vec();
        if self.revision >= 3 {
            for _ in 0..50 {
                key = Md5::digest(key.get(..self.length)?).to_vec();
            }
        }
        key.truncate(self.length);
        Some(key)
    }

    /// What the dictionary has where the key is right.
    pub(super) fn shown(&self, key: &[u8]) -> Vec<u8> {
        if self.revision == 2 {
            return rc4(key, &PADDING);
        }
        let mut sum = Md5::new();
        sum.update(PADDING);
        sum.update(self.document);
        (0..20_u8).fold(sum.finalize().to_vec(), |shown, round| {
            let key: Vec<u8> = key.iter().map(|byte| byte ^ round).collect();
            rc4(&key, &shown)
        })
    }
}

/// The key of revision 5 or 6, if an empty password opens the document: from the user's sum with its salts, and the key's cipher.
pub(super) fn of_aes_256(revision: u32, user: &[u8], encrypted: &[u8]) -> Option<Vec<u8>> {
    let (sum, salts) = user.split_at_checked(SUM)?;
    let hash = |salt: &[u8]| if revision == 5 { Some(Sha256::digest(salt).to_vec()) } else { hardened(salt) };
    if hash(salts.get(..SALT)?)? != sum {
        return None;
    }
    let key = hash(salts.get(SALT..2 * SALT)?)?;
    Some(blocks::<Aes256>(&key, &[0; BLOCK], encrypted.get(..SUM)?))
}

/// The hash of revision 6, of an empty password.
fn hardened(salt: &[u8]) -> Option<Vec<u8>> {
    let mut key = Sha256::digest(salt).to_vec();
    for round in 1..=MAX_ROUNDS {
        let mut text = key.repeat(REPEATED);
        let (cipher_key, start) = (key.get(..BLOCK)?, key.get(BLOCK..2 * BLOCK)?);
        let mut cipher = Encryptor::<Aes128>::new_from_slices(cipher_key, start).ok()?;
        let (blocks, _) = Array::<u8, U16>::slice_as_chunks_mut(&mut text);
        cipher.encrypt_blocks(blocks);
        // The first block, as a number modulo three.
        let digits: u32 = text.iter().take(BLOCK).map(|byte| u32::from(*byte)).sum();
        key = match digits % 3 {
            0 => Sha256::digest(&text).to_vec(),
            1 => Sha384::digest(&text).to_vec(),
            _ => Sha512::digest(&text).to_vec(),
        };
        if round >= MIN_ROUNDS && usize::from(*text.last()?) + 32 <= round {
            key.truncate(SUM);
            return Some(key);
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn a_key_of_revision_6_is_opened() {
        // What qpdf wrote.
        let user = hex::decode(
            "fe4efb4c9fd519a33333cee04fcc437c2b6303c253529ea05b37bc1c1201d6fd312ab3c172aa199ac2f7c5e2c709996e",
        )
        .unwrap();
        let encrypted = hex::decode("e61b0df5fb320cd24d56d0891873495b1e33238252d139c0d76656f6e4a5674d").unwrap();
        assert_eq!(of_aes_256(6, &user, &encrypted).map(|key| key.len()), Some(32));
        assert_eq!(of_aes_256(5, &user, &encrypted), None);
        for at in 0..40 {
            let mut other = user.clone();
            other[at] ^= 1;
            assert_eq!(of_aes_256(6, &other, &encrypted), None, "{at}");
        }
    }

    proptest! {
        #[test]
        fn no_bytes_panic_it(user: Vec<u8>, encrypted: Vec<u8>, length in 0_usize..40, revision in 2_u32..7) {
            of_aes_256(revision, &user, &encrypted);
            let old = Old { revision, length, owner: &user, user: &user, permissions: 0, document: &encrypted, metadata: true };
            old.key();
            prop_assert!(hardened(&user).is_some());
        }
    }
}
