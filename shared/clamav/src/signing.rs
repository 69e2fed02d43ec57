//! Keys of one's own, and databases signed with them: for one's own mirror, for tests and for the demo.

use crypto_bigint::U1024;
use crypto_primes::{Flavor, random_prime};
use getrandom::{SysRng, rand_core::UnwrapErr};
use md5::{Digest, Md5};
use num_bigint::BigUint;
use serde::{Deserialize, Serialize};

use crate::{
    archive::to_tar_gz,
    cdiff::to_signed_part,
    cvd::{COPYING, CvdHeader},
    database::{DatabaseName, DatabaseVersion},
    digest::Sha256Digest,
    digital_signature::{RsaPublicKey, encode, pss_encode},
    trust_anchor::{TrustAnchorError, TrustAnchors},
    unpacked::Unpacked,
};

/// A key pair.
#[derive(Clone, Debug)]
struct KeyPair {
    public: RsaPublicKey,
    private_exponent: BigUint,
}

impl KeyPair {
    /// Makes a key of exactly this many bits.
    fn generate(bits: u32) -> Self {
        let mut random = UnwrapErr(SysRng);
        let mut prime = |bits| {
            let prime = random_prime::<U1024, _>(&mut random, Flavor::Any, bits);
            BigUint::from_bytes_be(prime.to_be_bytes().as_ref())
        };
        let exponent = BigUint::from(65_537_u32);
        loop {
            let (p, q) = (prime(bits.div_ceil(2)), prime(bits / 2));
            let (modulus, order) = (&p * &q, (&p - 1_u32) * (&q - 1_u32));
            if let Some(private_exponent) = exponent.modinv(&order).filter(|_| modulus.bits() == u64::from(bits)) {
                return Self { public: RsaPublicKey { modulus, exponent }, private_exponent };
            }
        }
    }

    fn sign(&self, block: &BigUint) -> String {
        encode(&block.modpow(&self.private_exponent, &self.public.modulus))
    }

    /// Signs content by PSS. A modulus of 2,047 bits has no room for some blocks, and ClamAV before 1.5 takes none that begins
    /// with a zero (its pull request 1415): then the next salt is taken.
    fn sign_pss(&self, content: &[u8], salt: &[u8; 32]) -> String {
        let salts = (0_u32..).map(|turn| [salt.get(4..).unwrap_or_default(), &turn.to_be_bytes()].concat());
        let blocks = salts.map(|salt| pss_encode(content, &salt));
        let whole = |block: &BigUint| block.bits().div_ceil(8) == self.public.modulus.bits().div_ceil(8);
        let block = blocks.into_iter().find(|block| *block < self.public.modulus && whole(block));
        self.sign(&block.unwrap_or_default())
    }
}

/// Why a text holds no keys.
#[derive(Debug, thiserror::Error)]
pub enum KeyFileError {
    /// Not the JSON that [`SigningKeys::to_json`] writes.
    #[error("it is not a valid key file: make one with `nacre definitions keygen`")]
    Shape(#[source] serde_json::Error),
    /// The public side makes no trust anchors.
    #[error("its keys are no trust anchors")]
    Anchors(#[from] TrustAnchorError),
    /// A private exponent does not belong to its public key.
    #[error("its private keys do not belong to its public ones")]
    Mismatch,
}

/// The private keys as a file holds them, beside their trust anchors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyFile {
    trust_anchors: serde_json::Value,
    container_d: String,
    info_d: String,
    cdiff_d: String,
}

/// Keys to sign databases with; of the same sizes as ClamAV's own.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    anchors: TrustAnchors,
    container: KeyPair,
    info: KeyPair,
    cdiff: KeyPair,
}

impl SigningKeys {
    /// Makes fresh keys under this name.
    ///
    /// # Errors
    /// [`TrustAnchorError`], when the name is ClamAV's, empty or too long.
    pub fn generate(name: impl Into<String>) -> Result<Self, TrustAnchorError> {
        let (container, info, cdiff) = (KeyPair::generate(1024), KeyPair::generate(2047), KeyPair::generate(2047));
        let public = |pair: &KeyPair| pair.public.clone();
        let anchors = TrustAnchors::new(name, public(&container), public(&info), public(&cdiff))?;
        Ok(Self { anchors, container, info, cdiff })
    }

    /// Reads keys from the JSON of a key file.
    pub fn from_json(text: &str) -> Result<Self, KeyFileError> {
        let file: KeyFile = serde_json::from_str(text).map_err(KeyFileError::Shape)?;
        let anchors = TrustAnchors::from_json(&file.trust_anchors.to_string())?;
        let pair = |public: &RsaPublicKey, d: &str| {
            let private_exponent = BigUint::parse_bytes(d.as_bytes(), 16).ok_or(KeyFileError::Mismatch)?;
            let pair = KeyPair { public: public.clone(), private_exponent };
            let opened = BigUint::from(2_u32).modpow(&pair.private_exponent, &public.modulus);
            let restored = opened.modpow(&public.exponent, &public.modulus);
            if restored == BigUint::from(2_u32) { Ok(pair) } else { Err(KeyFileError::Mismatch) }
        };
        Ok(Self {
            container: pair(&anchors.container, &file.container_d)?,
            info: pair(&anchors.info, &file.info_d)?,
            cdiff: pair(&anchors.cdiff, &file.cdiff_d)?,
            anchors,
        })
    }

    /// Writes the keys as [`Self::from_json`] reads them: a secret.
    pub fn to_json(&self) -> String {
        let d = |pair: &KeyPair| pair.private_exponent.to_str_radix(16);
        let trust_anchors = serde_json::from_str(&self.anchors.to_json()).unwrap_or_default();
        let (container_d, info_d, cdiff_d) = (d(&self.container), d(&self.info), d(&self.cdiff));
        let file = KeyFile { trust_anchors, container_d, info_d, cdiff_d };
        serde_json::to_string_pretty(&file).unwrap_or_default()
    }

    /// The public side.
    pub fn trust_anchors(&self) -> TrustAnchors {
        self.anchors.clone()
    }

    /// Signs the content of an `.info`.
    pub fn sign_info(&self, content: &[u8], salt: &[u8; 32]) -> String {
        self.info.sign_pss(content, salt)
    }

    /// Writes a signed `.info` for these members: every one that a script or a member could change without a trace otherwise.
    pub fn info(&self, header: &CvdHeader, name: &DatabaseName, members: &Unpacked<'_>) -> String {
        let content = info_content(header, name, members);
        // Signing the same again gives the same: builds can be reproduced.
        let signature = self.sign_info(content.as_bytes(), &[7; 32]);
        content + &format!("DSIG:{signature}\n")
    }

    /// Packs members into a CVD with a signed header. `compression` is from 0 to 9; another is taken where the payload's MD5
    /// would begin with a zero, which ClamAV before 1.5 takes for unsigned.
    pub fn cvd<'m>(
        &self,
        header: &CvdHeader,
        members: impl Iterator<Item = (&'m str, &'m [u8])> + Clone,
        compression: u32,
    ) -> Vec<u8> {
        let packed = move |level| {
            let payload = to_tar_gz(members.clone(), level);
            (Md5::digest(&payload), payload)
        };
        let mut others = (1..=9).map(&packed).filter(|(md5, _)| has_no_zero_first(md5));
        let wanted = Some(packed(compression)).filter(|(md5, _)| has_no_zero_first(md5));
        // Where there is none, it is signed as it is: newer versions take it.
        let (md5, payload) = wanted.or_else(|| others.next()).unwrap_or_else(|| packed(compression));
        let dsig = self.container.sign(&BigUint::from_bytes_be(&md5));
        let header = CvdHeader { md5: Some(hex::encode(md5)), dsig: Some(dsig), ..header.clone() };
        [header.to_bytes(), payload].concat()
    }

    /// Signs a script as the CDIFF that leads to this version.
    pub fn cdiff(&self, version: DatabaseVersion, script: &[u8]) -> Vec<u8> {
        let signed = to_signed_part(version, script);
        let signature = self.cdiff.sign_pss(&signed, &[9; 32]);
        [&signed, b":".as_slice(), signature.as_bytes()].concat()
    }
}

fn has_no_zero_first(digest: &[u8]) -> bool {
    digest.first().is_some_and(|first| *first != 0)
}

/// Writes the content of an `.info`, which is what its signature is over: every member but `COPYING` and itself.
pub fn info_content(header: &CvdHeader, name: &DatabaseName, members: &Unpacked<'_>) -> String {
    let info_name = format!("{name}.info");
    let listed = members.members.iter().filter(|(member, _)| *member != COPYING && **member != info_name);
    let line = |(member, bytes): (&String, _)| format!("{member}:{}:{}\n", <[u8]>::len(bytes), Sha256Digest::of(bytes));
    let lines: String = listed.map(|(member, bytes)| line((member, &**bytes))).collect();
    CvdHeader { md5: None, dsig: None, ..header.clone() }.to_line() + "\n" + &lines
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::digital_signature::decode;

    #[test]
    fn no_signature_begins_with_a_zero() {
        let (keys, salt) = (SigningKeys::fixed(), [7; 32]);
        let first_salt = [&[7; 28][..], &[0; 4]].concat();
        // One in 128, by its first salt.
        let content =
            (0..100_000_u32).map(u32::to_be_bytes).find(|n| pss_encode(n, &first_salt).bits() <= 2040).unwrap();
        let signature = keys.sign_info(&content, &salt);
        let public = &keys.trust_anchors().info;
        public.verify_pss(&content, &signature).unwrap();
        assert!(decode(&signature).unwrap().modpow(&public.exponent, &public.modulus).bits() > 2040);
    }

    #[test]
    fn no_container_has_a_digest_that_begins_with_a_zero() {
        let keys = SigningKeys::fixed();
        let packed_again = (0..2000_u32).filter(|n| {
            let text = n.to_string();
            let members = [("COPYING", text.as_bytes())];
            let header = CvdHeader::parse_line("ClamAV-VDB:01 Jan 2026 00-00 +0000:1:1:90:X:X:test:1").unwrap();
            let cvd = keys.cvd(&header, members.into_iter(), 6);
            let digest = Md5::digest(&cvd[512..]);
            assert!(has_no_zero_first(&digest), "{n}");
            cvd[512..] != to_tar_gz(members.into_iter(), 6)
        });
        assert!(packed_again.count() > 0, "one in 256 was to be packed anew");
    }
}
