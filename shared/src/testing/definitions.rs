//! Builds databases and signs them with keys made for the occasion.

use std::{io::Write, sync::OnceLock};

use chrono::DateTime;
use crypto_bigint::U1024;
use crypto_primes::{Flavor, random_prime};
use flate2::{Compression, write::GzEncoder};
use getrandom::{SysRng, rand_core::UnwrapErr};
use md5::{Digest, Md5};
use num_bigint::BigUint;

use crate::definitions::{
    archive::to_tar,
    cvd::CvdHeader,
    database::{DatabaseVersion, FunctionalityLevel},
    digital_signature::{RsaPublicKey, encode, pss_encode},
    manifest::sha256_hex,
    trust_anchor::TrustAnchors,
};

/// The EICAR test file, put together at run time so that nothing flags this repository.
pub fn eicar() -> Vec<u8> {
    [r"X5O!P%@AP[4\PZX54(P^)7CC)7}$EICAR-STANDARD-", "ANTIVIRUS-TEST-FILE!$H+H*"].concat().into_bytes()
}

/// A signature line of a `.ndb` that finds the EICAR test file at the beginning of any layer.
pub fn eicar_signature() -> String {
    format!("Eicar-Test-Signature:0:0:{}\n", hex::encode(eicar()))
}

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
}

/// Keys to sign databases with; of the same sizes as ClamAV's own.
#[derive(Clone, Debug)]
pub struct SigningKeys {
    name: String,
    container: KeyPair,
    info: KeyPair,
    cdiff: KeyPair,
}

impl SigningKeys {
    /// Makes fresh keys under this name.
    pub fn generate(name: impl Into<String>) -> Self {
        let (container, info, cdiff) = (KeyPair::generate(1024), KeyPair::generate(2047), KeyPair::generate(2047));
        Self { name: name.into(), container, info, cdiff }
    }

    /// Keys that are made once in a process: the same for all of its tests.
    pub fn fixed() -> &'static Self {
        static KEYS: OnceLock<SigningKeys> = OnceLock::new();
        KEYS.get_or_init(|| Self::generate("test"))
    }

    /// The public side.
    ///
    /// # Panics
    /// When the name is ClamAV's.
    #[expect(clippy::expect_used, reason = "a test kit may insist on its caller's name")]
    pub fn trust_anchors(&self) -> TrustAnchors {
        let public = |pair: &KeyPair| pair.public.clone();
        let anchors = TrustAnchors::new(&self.name, public(&self.container), public(&self.info), public(&self.cdiff));
        anchors.expect("a name other than clamav")
    }

    /// Signs the content of an `.info`. A modulus of 2,047 bits has no room for some blocks: then the next salt is taken.
    pub fn sign_info(&self, content: &[u8], salt: &[u8; 32]) -> String {
        let salts = (0_u32..).map(|turn| [salt.get(4..).unwrap_or_default(), &turn.to_be_bytes()].concat());
        let blocks = salts.map(|salt| pss_encode(content, &salt));
        let block = blocks.into_iter().find(|block| *block < self.info.public.modulus);
        self.info.sign(&block.unwrap_or_default())
    }

    fn sign_container(&self, md5: &[u8]) -> String {
        self.container.sign(&BigUint::from_bytes_be(md5))
    }
}

/// Builds a CVD, right or wrong in one way.
#[derive(Clone, Debug)]
pub struct CvdBuilder {
    name: String,
    version: u32,
    header_version: Option<u32>,
    stime: u64,
    members: Vec<(String, String)>,
    dropped: Vec<String>,
    added: Vec<(String, String)>,
    signed: bool,
    info_signed: bool,
}

impl CvdBuilder {
    /// Begins version 1 of a database.
    pub fn new(name: impl Into<String>) -> Self {
        Self {
            name: name.into(),
            version: 1,
            header_version: None,
            stime: 1_700_000_000,
            members: Vec::new(),
            dropped: Vec::new(),
            added: Vec::new(),
            signed: true,
            info_signed: true,
        }
    }

    /// Sets the version.
    #[must_use]
    pub fn version(self, version: u32) -> Self {
        Self { version, ..self }
    }

    /// Sets the build time, in seconds since the Unix epoch.
    #[must_use]
    pub fn built(self, stime: u64) -> Self {
        Self { stime, ..self }
    }

    /// Adds a member.
    #[must_use]
    pub fn member(mut self, name: &str, text: impl Into<String>) -> Self {
        self.members.push((name.to_owned(), text.into()));
        self
    }

    /// Writes this version into the header alone.
    #[must_use]
    pub fn header_version(self, version: u32) -> Self {
        Self { header_version: Some(version), ..self }
    }

    /// Leaves MD5 and signature out of the header.
    #[must_use]
    pub fn unsigned(self) -> Self {
        Self { signed: false, ..self }
    }

    /// Signs the `.info` over other content.
    #[must_use]
    pub fn wrong_info_signature(self) -> Self {
        Self { info_signed: false, ..self }
    }

    /// Leaves a member out after the `.info` was signed.
    #[must_use]
    pub fn drop_after_signing(mut self, name: &str) -> Self {
        self.dropped.push(name.to_owned());
        self
    }

    /// Adds a member after the `.info` was signed.
    #[must_use]
    pub fn add_after_signing(mut self, name: &str, text: &str) -> Self {
        self.added.push((name.to_owned(), text.to_owned()));
        self
    }

    /// Builds and signs the file.
    ///
    /// # Panics
    /// Never: compressing to memory cannot fail.
    #[expect(clippy::expect_used, reason = "compressing to memory cannot fail")]
    pub fn build(&self, keys: &SigningKeys) -> Vec<u8> {
        let info = self.info(keys);
        let info_name = format!("{}.info", self.name);
        let text = |(name, text): &'_ (String, String)| (name.clone(), text.clone());
        let kept: Vec<(String, String)> = [("COPYING".into(), "Made for a test.\n".into()), (info_name, info)]
            .into_iter()
            .chain(self.members.iter().map(text))
            .filter(|(name, _)| !self.dropped.contains(name))
            .chain(self.added.iter().map(text))
            .collect();
        let members = kept.iter().map(|(name, text)| (name.as_str(), text.as_bytes()));
        let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
        encoder.write_all(&to_tar(members)).expect("memory takes everything");
        let payload = encoder.finish().expect("memory takes everything");

        let md5 = Md5::digest(&payload);
        let mut header = self.header();
        header.version = DatabaseVersion(self.header_version.unwrap_or(self.version));
        if self.signed {
            header.md5 = Some(hex::encode(md5));
            header.dsig = Some(keys.sign_container(&md5));
        }
        [header.to_bytes(), payload].concat()
    }

    fn info(&self, keys: &SigningKeys) -> String {
        let line = |(name, text): &(String, String)| format!("{name}:{}:{}\n", text.len(), sha256_hex(text.as_bytes()));
        let info = self.header().to_line() + "\n" + &self.members.iter().map(line).collect::<String>();
        let content = if self.info_signed { info.as_bytes() } else { b"other content" };
        // A fixed salt makes the same build the same bytes.
        let signature = keys.sign_info(content, &[7; 32]);
        info + &format!("DSIG:{signature}\n")
    }

    fn header(&self) -> CvdHeader {
        let signatures = self.members.iter().flat_map(|(_, text)| text.lines()).filter(|line| !line.starts_with('#'));
        let time = DateTime::from_timestamp(i64::try_from(self.stime).unwrap_or_default(), 0).unwrap_or_default();
        CvdHeader {
            time: time.format("%d %b %Y %H-%M +0000").to_string(),
            version: DatabaseVersion(self.version),
            signatures: u32::try_from(signatures.count()).unwrap_or(u32::MAX),
            functionality_level: FunctionalityLevel(90),
            md5: None,
            dsig: None,
            builder: "nacre".into(),
            stime: self.stime,
        }
    }
}
