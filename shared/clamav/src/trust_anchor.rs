//! The keys that databases must be signed by.

use num_bigint::BigUint;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use crate::{
    detached_signature::{CertificateError, RootCertificate},
    digital_signature::RsaPublicKey,
};

/// The name of ClamAV's own keys, which no others may take.
const CLAMAV: &str = "clamav";

/// ClamAV's keys, as its releases carry them. Source: libclamav `dsig.c`, `cdiff.rs`.
const CONTAINER_MODULUS: &str = "118640995551645342603070001658453189751527774412027743746599405743243142607464144767361060640655844749760788890022283424922762488917565551002467771109669598189410434699034532232228621591089508178591428456220796841621637175567590476666928698770143328137383952820383197532047771780196576957695822641224262693037";
const CONTAINER_EXPONENT: u32 = 100_001_027;
const INFO_MODULUS: &str = "11088894983048545473659556106627194923928941791795047620591658697413581043322715912172496806525381055880964520618400224333320534660299233983755341740679502866829909679955734391392668378361221524205396631090105151641270857277080310734320951653700508941717419168723942507890702904702707587451621691050754307850383399865346487203798464178537392211402786481359824461197231102895415093770394216666324484593935762408468516826633192140826667923494822045805347809932848454845886971706424360558667862775876072059437703365380209101697738577515476935085469455279994113145977994084618328482151013142393373316337519977244732747977";
const INFO_EXPONENT: u32 = 100_002_049;
const CDIFF_MODULUS: &str = "14783905874077467090262228516557917570254599638376203532031989214105552847269687489771975792123442185817287694951949800908791527542017115600501303394778618535864845235700041590056318230102449612217458549016089313306591388590790796515819654102320725712300822356348724011232654837503241736177907784198700834440681124727060540035754699658105895050096576226753008596881698828185652424901921668758326578462003247906470982092298106789657211905488986281078346361469524484829559560886227198091995498440676639639830463593211386055065360288422394053998134458623712540683294034953818412458362198117811990006021989844180721010947";
const CDIFF_EXPONENT: u32 = 100_002_053;

/// Three public keys, a certificate, and a name for them. Any other than ClamAV's own are named in every manifest and log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TrustAnchors {
    /// A person's name for the keys; `clamav` is ClamAV's.
    name: String,
    /// Signs a CVD's MD5.
    pub container: RsaPublicKey,
    /// Signs an `.info`.
    pub info: RsaPublicKey,
    /// Signs a CDIFF.
    pub cdiff: RsaPublicKey,
    /// What a detached signature must chain to; `None` where there are no such signatures.
    pub certificate: Option<RootCertificate>,
}

/// Why a text is not a valid set of keys.
#[derive(Debug, thiserror::Error)]
pub enum TrustAnchorError {
    /// Not JSON of the expected shape.
    #[error("JSON with name, container, info and cdiff, each key with hexadecimal n and e ({0})")]
    Shape(String),
    /// A number is not hexadecimal, or too small or large for a key.
    #[error("JSON in which {0} is a hexadecimal number of a sensible size")]
    Number(&'static str),
    /// The name is ClamAV's, empty or too long.
    #[error("JSON with a name of 1 to 40 characters other than clamav")]
    Name,
    /// The certificate is not one that others may chain to.
    #[error("JSON in which certificate is the PEM of a root certificate")]
    Certificate(#[source] CertificateError),
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Text {
    name: String,
    container: KeyText,
    info: KeyText,
    cdiff: KeyText,
    certificate: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct KeyText {
    n: String,
    e: String,
}

impl TrustAnchors {
    /// ClamAV's own keys.
    pub fn clamav() -> Self {
        let key = |modulus: &str, exponent: u32| RsaPublicKey {
            modulus: BigUint::parse_bytes(modulus.as_bytes(), 10).unwrap_or_default(),
            exponent: exponent.into(),
        };
        Self {
            name: CLAMAV.into(),
            container: key(CONTAINER_MODULUS, CONTAINER_EXPONENT),
            info: key(INFO_MODULUS, INFO_EXPONENT),
            cdiff: key(CDIFF_MODULUS, CDIFF_EXPONENT),
            certificate: Some(RootCertificate::clamav()),
        }
    }

    /// Names three keys. There is no certificate yet.
    ///
    /// # Errors
    /// [`TrustAnchorError::Name`].
    pub fn new(
        name: impl Into<String>,
        container: RsaPublicKey,
        info: RsaPublicKey,
        cdiff: RsaPublicKey,
    ) -> Result<Self, TrustAnchorError> {
        let name = name.into();
        let printable = name.chars().all(|c| c.is_ascii_graphic() || c == ' ');
        if name == CLAMAV || name.is_empty() || name.len() > 40 || !printable {
            return Err(TrustAnchorError::Name);
        }
        Ok(Self { name, container, info, cdiff, certificate: None })
    }

    /// Adds what detached signatures must chain to.
    #[must_use]
    pub fn with_certificate(self, certificate: RootCertificate) -> Self {
        Self { certificate: Some(certificate), ..self }
    }

    /// Whether these are ClamAV's own keys.
    pub fn is_clamav(&self) -> bool {
        self.name == CLAMAV
    }

    /// What manifests and logs call these keys: `clamav`, or the name with a fingerprint, so that two sets of keys of the
    /// same name are distinguished.
    pub fn identity(&self) -> String {
        if self.is_clamav() {
            return CLAMAV.into();
        }
        let fingerprint = hex::encode(Sha256::digest(self.to_json()));
        format!("{}#{}", self.name, fingerprint.get(..16).unwrap_or_default())
    }

    /// Reads keys from the JSON that configuration carries:
    /// `{"name":…,"container":{"n":…,"e":…},"info":{…},"cdiff":{…}}`, numbers in hexadecimal; `"certificate"`, in PEM, may be
    /// there or not.
    ///
    /// # Errors
    /// [`TrustAnchorError`], worded as what was expected.
    pub fn from_json(text: &str) -> Result<Self, TrustAnchorError> {
        let text: Text = serde_json::from_str(text).map_err(|error| TrustAnchorError::Shape(error.to_string()))?;
        let certificate = text.certificate.as_deref().map(RootCertificate::from_pem).transpose();
        let certificate = certificate.map_err(TrustAnchorError::Certificate)?;
        let keys = Self::new(text.name, text.container.key(1023)?, text.info.key(2046)?, text.cdiff.key(2046)?)?;
        Ok(Self { certificate, ..keys })
    }

    /// Writes the keys as [`Self::from_json`] reads them.
    pub fn to_json(&self) -> String {
        let key = |key: &RsaPublicKey| json!({ "n": key.modulus.to_str_radix(16), "e": key.exponent.to_str_radix(16) });
        let (container, info, cdiff) = (key(&self.container), key(&self.info), key(&self.cdiff));
        let mut text = json!({ "name": self.name, "container": container, "info": info, "cdiff": cdiff });
        // Left out when there is none, so that the fingerprint of keys alone stays what it was.
        if let Some((certificate, members)) = self.certificate.as_ref().zip(text.as_object_mut()) {
            members.insert("certificate".into(), certificate.to_pem().into());
        }
        text.to_string()
    }
}

impl KeyText {
    /// The key; a modulus of fewer bits than ClamAV's would be a weaker anchor, one of more than 2,048 no PSS block.
    fn key(&self, at_least: u64) -> Result<RsaPublicKey, TrustAnchorError> {
        let number = |text: &str, name| {
            let short = text.len() <= 512;
            short.then(|| BigUint::parse_bytes(text.as_bytes(), 16)).flatten().ok_or(TrustAnchorError::Number(name))
        };
        let key = RsaPublicKey { modulus: number(&self.n, "n")?, exponent: number(&self.e, "e")? };
        if !(at_least..=2048).contains(&key.modulus.bits()) {
            return Err(TrustAnchorError::Number("n"));
        }
        if key.exponent < BigUint::from(3_u32) || key.exponent.bits() > 64 {
            return Err(TrustAnchorError::Number("e"));
        }
        Ok(key)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        builder::{certificates::SigningCertificates, shared_data},
        signing::SigningKeys,
    };

    #[test]
    fn clamavs_keys_have_clamavs_sizes() {
        let anchors = TrustAnchors::clamav();
        let bits = [&anchors.container, &anchors.info, &anchors.cdiff].map(|key| key.modulus.bits());
        assert_eq!(bits, [1024, 2047, 2047]);
        assert_eq!(anchors.identity(), "clamav");
    }

    #[test]
    fn a_real_cdiff_verifies_under_the_cdiff_key() {
        let Some(path) = shared_data("freshclam/test-2.cdiff") else { return };
        let file = std::fs::read(path).unwrap();
        let at = file.iter().rposition(|byte| *byte == b':').unwrap();
        let signature = std::str::from_utf8(&file[at + 1..]).unwrap();
        assert_eq!(TrustAnchors::clamav().cdiff.verify_pss(&file[..at], signature), Ok(()));
    }

    #[test]
    fn keys_survive_their_configuration() {
        let anchors = SigningKeys::fixed().trust_anchors();
        let text = anchors.to_json();
        assert_eq!(TrustAnchors::from_json(&text).unwrap(), anchors);
        assert!(text.len() < 2_500, "Lambda's environment holds 4 KiB");
        assert!(anchors.identity().starts_with("test#"));
    }

    #[test]
    fn a_certificate_survives_its_configuration_and_is_part_of_the_identity() {
        let bare = SigningKeys::fixed().trust_anchors();
        let anchors = bare.clone().with_certificate(SigningCertificates::fixed().root());
        let text = anchors.to_json();
        assert_eq!(TrustAnchors::from_json(&text).unwrap(), anchors);
        assert!(text.len() < 4_000, "Lambda's environment holds 4 KiB");
        assert_ne!(anchors.identity(), bare.identity());
        assert!(!bare.to_json().contains("certificate"), "the identity of keys alone is what it was");

        let wrong = bare.to_json().replacen('{', r#"{"certificate":"-----BEGIN-----","#, 1);
        assert!(matches!(TrustAnchors::from_json(&wrong), Err(TrustAnchorError::Certificate(CertificateError::Pem))));
    }

    #[test]
    fn clamavs_certificate_is_the_one_that_its_releases_install() {
        let root = TrustAnchors::clamav().certificate.unwrap();
        assert_eq!(root.sha256(), "6b3d4e1b5e26318c0bb6a22fb1206d287fa3fb0c5fe34eebbf8613954f8a64a7");
        assert_eq!(root, RootCertificate::from_pem(&root.to_pem()).unwrap());
    }

    #[test]
    fn no_other_key_is_clamav() {
        let text = SigningKeys::fixed().trust_anchors().to_json();
        for (wrong, error) in [
            (text.replace("\"test\"", "\"clamav\""), "a name of 1 to 40 characters other than clamav"),
            (text.replace("\"n\":\"", "\"n\":\"x"), "in which n is a hexadecimal number"),
            (text.replace("\"e\":\"", "\"e\":\"-"), "in which e is a hexadecimal number"),
            ("{}".into(), "missing field"),
        ] {
            let message = TrustAnchors::from_json(&wrong).unwrap_err().to_string();
            assert!(message.contains(error), "{message}");
        }
    }
}
