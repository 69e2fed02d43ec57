//! The databases of the demo's mirror, signed with keys made for the occasion.

use nacre_shared::testing::definitions::{CvdBuilder, SigningKeys, eicar_signature};

use super::corpus::LATENT_TEXT;

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
        self.elder().build(&self.keys)
    }

    /// Today's `daily`, with a new signature.
    pub(super) fn next_daily(&self) -> Vec<u8> {
        self.next().build(&self.keys)
    }

    /// The CDIFF that leads to it.
    pub(super) fn next_cdiff(&self) -> Vec<u8> {
        self.next().cdiff_from(&self.elder(), &self.keys)
    }

    fn elder(&self) -> CvdBuilder {
        self.version(100, "")
    }

    fn next(&self) -> CvdBuilder {
        self.version(101, &format!("{LATENT_SIGNATURE}:0:*:{}\n", hex::encode(LATENT_TEXT)))
    }

    fn version(&self, version: u32, added: &str) -> CvdBuilder {
        let known = "Nacre.Demo.Nothing:0:*:4e6163726520666f756e64206e6f7468696e672068657265\n".to_owned();
        CvdBuilder::new("daily").version(version).built(self.now).member("daily.ndb", known + added)
    }
}
