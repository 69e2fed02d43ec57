//! The ciphers of the standard security handler.
//!
//! Source: ISO 32000-2, section 7.6.3.

use aes::{Aes128, Aes256};
use cbc::{
    Decryptor,
    cipher::{Array, BlockModeDecrypt, KeyInit, KeyIvInit, StreamCipher, array::typenum::U16},
};
use md5::{Digest, Md5};
use rc4::Rc4;

pub(super) const BLOCK: usize = 16;

/// How a stream or a string is encrypted.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Method {
    Identity,
    Rc4,
    Aes128,
    Aes256,
}

/// Of which object something is: keys differ by that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Id {
    pub(super) number: u32,
    pub(super) generation: u16,
}

impl Method {
    /// What every reader decrypts this to; `None` where they differ, as the padding is none.
    pub(super) fn strictly(self, key: &[u8], of: Id, content: &[u8]) -> Option<Vec<u8>> {
        let is_aes = matches!(self, Self::Aes128 | Self::Aes256);
        let plain = self.loosely(key, of, content);
        // Writers leave out the cipher of nothing, or all but its first block.
        let is_nothing = content.is_empty() || content.len() == BLOCK;
        let is_whole = content.len().is_multiple_of(BLOCK) && plain.len() + BLOCK < content.len();
        (!is_aes || is_nothing || is_whole).then_some(plain)
    }

    /// What some reader may decrypt this to: all whole blocks, and their padding only where it is one.
    pub(super) fn loosely(self, key: &[u8], of: Id, content: &[u8]) -> Vec<u8> {
        match self {
            Self::Identity => content.to_vec(),
            Self::Rc4 => rc4(&object_key(key, of, b""), content),
            Self::Aes128 => unpadded(chained::<Aes128>(&object_key(key, of, b"sAlT"), content)),
            Self::Aes256 => unpadded(chained::<Aes256>(key, content)),
        }
    }
}

/// The key of one object.
fn object_key(key: &[u8], of: Id, salt: &[u8]) -> Vec<u8> {
    let Id { number, generation } = of;
    let [low, middle, high, _] = number.to_le_bytes();
    let mut sum = Md5::new();
    for part in [key, &[low, middle, high], &generation.to_le_bytes(), salt] {
        sum.update(part);
    }
    sum.finalize().iter().copied().take(key.len() + 5).collect()
}

pub(super) fn rc4(key: &[u8], content: &[u8]) -> Vec<u8> {
    let mut content = content.to_vec();
    let Ok(mut cipher) = Rc4::new_from_slice(key) else { return Vec::new() };
    cipher.apply_keystream(&mut content);
    content
}

/// All whole blocks behind the first, which is what they are chained to.
fn chained<C>(key: &[u8], content: &[u8]) -> Vec<u8>
where
    Decryptor<C>: KeyIvInit + BlockModeDecrypt<BlockSize = U16>,
    C: cbc::cipher::BlockCipherDecrypt,
{
    content.split_at_checked(BLOCK).map(|(start, content)| blocks::<C>(key, start, content)).unwrap_or_default()
}

/// All whole blocks.
pub(super) fn blocks<C>(key: &[u8], start: &[u8], content: &[u8]) -> Vec<u8>
where
    Decryptor<C>: KeyIvInit + BlockModeDecrypt<BlockSize = U16>,
    C: cbc::cipher::BlockCipherDecrypt,
{
    let mut plain = content.to_vec();
    plain.truncate(content.len() / BLOCK * BLOCK);
    let Ok(mut cipher) = Decryptor::<C>::new_from_slices(key, start) else { return Vec::new() };
    let (blocks, _) = Array::<u8, U16>::slice_as_chunks_mut(&mut plain);
    cipher.decrypt_blocks(blocks);
    plain
}

/// Without the padding, if it is one.
fn unpadded(mut plain: Vec<u8>) -> Vec<u8> {
    let padding = plain.last().map_or(0, |last| usize::from(*last));
    let text = plain.len().checked_sub(padding).filter(|_| (1..=BLOCK).contains(&padding));
    if let Some(text) = text
        && plain.iter().skip(text).all(|byte| usize::from(*byte) == padding)
    {
        plain.truncate(text);
    }
    plain
}

#[cfg(test)]
mod tests {
    use super::*;

    const OF: Id = Id { number: 7, generation: 0 };

    #[test]
    fn ciphers_are_the_standards() {
        // RFC 6229 has the key stream, NIST SP 800-38A the blocks.
        assert_eq!(rc4(&[1, 2, 3, 4, 5], &[0; 4]), [0xB2, 0x39, 0x63, 0x05]);
        let key = hex::decode("2b7e151628aed2a6abf7158809cf4f3c").unwrap();
        let start: Vec<u8> = (0..16).collect();
        let block = hex::decode("7649abac8119b246cee98e9b12e9197d").unwrap();
        assert_eq!(hex::encode(blocks::<Aes128>(&key, &start, &block)), "6bc1bee22e409f96e93d7e117393172a");
    }

    #[test]
    fn a_padding_that_is_none_is_refused_where_it_counts() {
        for length in [0, 16] {
            assert_eq!(Method::Aes256.strictly(&[1; 32], OF, &vec![5; length]), Some(Vec::new()), "{length}");
        }
        for length in [1, 15, 17, 31, 32, 48] {
            assert_eq!(Method::Aes256.strictly(&[1; 32], OF, &vec![5; length]), None, "{length}");
        }
        assert_eq!(Method::Aes256.loosely(&[1; 32], OF, &[5; 47]).len(), 16);
        assert_eq!(Method::Rc4.strictly(&[1; 5], OF, &[5; 3]).map(|plain| plain.len()), Some(3));
    }

    #[test]
    fn only_a_whole_padding_is_taken_away() {
        assert_eq!(unpadded(b"words\x03\x03\x03".to_vec()), b"words");
        for text in [&b"words\x03\x02\x03"[..], b"words\x00", b"words\x11", b"\x02", b""] {
            assert_eq!(unpadded(text.to_vec()), text);
        }
    }
}
