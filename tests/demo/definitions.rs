//! The databases of the demo's mirror, signed with keys made for the occasion.

use nacre_clamav::{
    builder::{CvdBuilder, eicar_signature},
    digest::Sha256Digest,
    signing::SigningKeys,
};

use super::corpus::latent_member;

/// The name of the signature that arrives later.
pub(super) const LATENT_SIGNATURE: &str = "Nacre.Demo.MacroLure";

/// `main` and `daily`, in the versions that the mirror serves.
pub(super) struct Databases {
    keys: SigningKeys,
    now: u64,
}

impl Databases {
    /// Makes keys; `now` is in seconds since the Unix epoch.
    #[expect(clippy::expect_used, reason = "the name is not ClamAV's")]
    pub(super) fn new(now: u64) -> Self {
        Self { keys: SigningKeys::generate("nacre-demo").expect("a name other than clamav"), now }
    }

    /// The public keys, as the functions' configuration has them.
    pub(super) fn trust_anchors(&self) -> String {
        self.keys.trust_anchors().to_json()
    }

    /// `main`, which never changes here: it knows EICAR.
    pub(super) fn main(&self) -> Vec<u8> {
        CvdBuilder::new("main").version(62).built(self.now).member("main.ndb", eicar_signature()).build(&self.keys)
    }

    /// Yesterday's `daily`.
    pub(super) fn daily(&self) -> Vec<u8> {
        self.previous().build(&self.keys)
    }

    /// Today's `daily`, with a new signature.
    pub(super) fn next_daily(&self) -> Vec<u8> {
        self.next().build(&self.keys)
    }

    /// The CDIFF that leads to it.
    pub(super) fn next_cdiff(&self) -> Vec<u8> {
        self.next().cdiff_from(&self.previous(), &self.keys)
    }

    fn previous(&self) -> CvdBuilder {
        self.version(100, "")
    }

    fn next(&self) -> CvdBuilder {
        let member = latent_member();
        let digest = Sha256Digest::of(member.as_bytes());
        self.version(101, &format!("{digest}:{}:{LATENT_SIGNATURE}:73\n", member.len()))
    }

    fn version(&self, version: u32, added: &str) -> CvdBuilder {
        let known = format!("{}:4711:Nacre.Demo.Nothing:73\n", Sha256Digest::of(b"nothing here"));
        let daily = CvdBuilder::new("daily").version(version).built(self.now).member("daily.hsb", known + added);
        // As ClamAV's, it ignores signatures that were withdrawn.
        daily.member("daily.ign2", "Nacre.Demo.Withdrawn\n")
    }
}
