//! Generations: what is published, and the one pointer that says which.

use chrono::{DateTime, Utc};
use serde::{Deserialize, Serialize, de::DeserializeOwned};
use sha2::{Digest, Sha256};

use super::{
    archive::is_member_name,
    cvd::{VerifiedCvd, VerifiedMember},
    database::{ContainerKind, DatabaseName, DatabaseVersion, FunctionalityLevel},
    history::{History, Step, StepKind},
};

/// Key of the pointer: the only object of the definitions bucket that readers follow and that changes.
pub const POINTER_KEY: &str = "nacre/current.json";

/// Key of the updater's memory.
pub const UPDATER_STATE_KEY: &str = "nacre/updater.json";

/// Under this are the bodies, each named by its SHA-256.
pub const BODIES_PREFIX: &str = "nacre/databases/";

/// Under this are the manifests, one for each generation.
pub const MANIFESTS_PREFIX: &str = "nacre/manifests/";

/// Under this are the deltas, a folder for each.
pub const DELTAS_PREFIX: &str = "nacre/deltas/";

/// Under this are the reports of sets that did not pass their proof.
pub const REJECTED_PREFIX: &str = "nacre/rejected/";

/// Version of the manifest's and the pointer's format.
const FORMAT: u32 = 1;

/// The number of one published set of databases: *the* signature version of this system. Grows by one.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Generation(pub u64);

/// The immutable description of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Manifest {
    format: u32,
    /// Which.
    pub generation: Generation,
    /// When it was made.
    pub published: DateTime<Utc>,
    /// Whose keys its databases are signed by: `clamav`, or another name with its fingerprint.
    pub trust_anchor: String,
    /// What it consists of, by name.
    pub databases: Vec<DatabaseEntry>,
    /// Loose signature files that the operator adds to it, by name.
    #[serde(default)]
    pub custom: Vec<CustomEntry>,
    /// What changed since the generation before; absent when nothing was published before under the same trust anchors.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delta: Option<Delta>,
    /// What changed, signature by signature, over the last generations.
    #[serde(default)]
    pub history: History,
    /// What of each database a delta engine needs besides what was added.
    #[serde(default)]
    pub contexts: Vec<ContextEntry>,
    /// The generation whose databases an operator brought back with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Generation>,
    /// What a real engine made of it before it was published.
    pub engine: EngineProof,
}

/// One database of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseEntry {
    /// Which.
    pub name: DatabaseName,
    /// How it is packed.
    pub kind: ContainerKind,
    /// Its version.
    pub version: DatabaseVersion,
    /// When its makers built it, in seconds since the Unix epoch.
    pub built: u64,
    /// The functionality level that it was made for.
    pub functionality_level: FunctionalityLevel,
    /// Number of signatures.
    pub signatures: u32,
    /// Who built it.
    pub builder: String,
    /// Bytes of the whole file.
    pub size: u64,
    /// MD5 of the whole file, lower-case hexadecimal: the predecessor's `md5` tag.
    pub md5: String,
    /// SHA-256 of the whole file, lower-case hexadecimal.
    pub sha256: String,
    /// Where its body is: always the address that its SHA-256 implies.
    pub object_key: String,
    /// Its signed members.
    pub members: Vec<VerifiedMember>,
}

impl DatabaseEntry {
    /// Whether both are the same version with the same members, however they are packed.
    pub fn same_content(&self, other: &Self) -> bool {
        (&self.name, self.version, &self.members) == (&other.name, other.version, &other.members)
    }
}

/// A loose signature file of a generation, such as `local.ign2`. Nobody signed it but the operator's configuration.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct CustomEntry {
    /// Plain file name; its extension tells the kind of its signatures.
    pub name: String,
    /// Where it came from, without credentials or query.
    pub source: String,
    /// The ETag that it had there, by which it is asked for again.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub etag: Option<String>,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Where its body is: always the address that its SHA-256 implies.
    pub object_key: String,
}

/// A body of no name.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BodyEntry {
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Where it is: always the address that its SHA-256 implies, for a delta with the generations that it is between.
    pub object_key: String,
}

/// The members of one database that steer how an engine looks, as a tar archive of these alone.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContextEntry {
    /// The database.
    pub database: DatabaseName,
    /// Of the database's body that they are of, SHA-256.
    pub of: String,
    /// The archive.
    pub body: BodyEntry,
}

/// What changed from one generation to the next.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Delta {
    /// The generation that it leads from.
    pub from: Generation,
    /// The changes; what is not named did not change.
    pub changes: Vec<Change>,
}

/// A change to one database or loose file.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "change", rename_all = "snake_case", deny_unknown_fields)]
pub enum Change {
    /// These scripts, applied in order, turned the one into the other.
    Patched {
        /// The database.
        name: String,
        /// The scripts.
        scripts: Vec<ScriptEntry>,
    },
    /// It came, or came anew as a whole: what changed in it is only told by comparing the two.
    Replaced {
        /// The database or loose file.
        name: String,
    },
    /// It is gone.
    Removed {
        /// The database or loose file.
        name: String,
    },
}

/// The script of one CDIFF, as it was applied.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ScriptEntry {
    /// The version that it leads to.
    pub version: DatabaseVersion,
    /// Bytes.
    pub size: u64,
    /// SHA-256, lower-case hexadecimal.
    pub sha256: String,
    /// Where it is: `nacre/deltas/<from>-<to>/<database>-<version>.script`.
    pub object_key: String,
}

/// What a real engine made of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineProof {
    /// libclamav's version.
    pub clamav_version: String,
    /// Its functionality level.
    pub functionality_level: u32,
    /// Signatures that it loaded.
    pub signatures: u64,
    /// What they found in the EICAR test file.
    pub eicar: Vec<String>,
    /// Signatures that the databases' headers promise.
    #[serde(default)]
    pub expected_signatures: u64,
    /// Clean files, ours and the operator's canaries, in which nothing was found.
    #[serde(default)]
    pub clean_files: u64,
}

/// The pointer: which generation is current.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Pointer {
    format: u32,
    /// Which.
    pub generation: Generation,
    /// Where its manifest is.
    pub manifest_key: String,
    /// SHA-256 of the manifest, lower-case hexadecimal.
    pub manifest_sha256: String,
    /// Whether an operator wants this generation kept: the updater publishes no other until that is taken back.
    #[serde(default)]
    pub pinned: bool,
}

/// Why bytes are no manifest and no pointer.
#[derive(Debug, thiserror::Error)]
pub enum ManifestError {
    /// Not the JSON that it should be.
    #[error("it is not a document of this kind")]
    Shape(#[source] serde_json::Error),
    /// Written by a later version of this program.
    #[error("it has format {found}, and this program knows format {FORMAT}: update this program")]
    Format {
        /// Its format.
        found: u32,
    },
    /// An address, a digest or an order that it never has.
    #[error("its {0} is not what it must be")]
    Field(&'static str),
}

impl Manifest {
    /// Describes a generation; databases are put in order.
    pub fn new(
        generation: Generation,
        published: DateTime<Utc>,
        trust_anchor: String,
        mut databases: Vec<DatabaseEntry>,
        engine: EngineProof,
    ) -> Self {
        databases.sort_by(|a, b| a.name.cmp(&b.name));
        Self {
            format: FORMAT,
            generation,
            published,
            trust_anchor,
            databases,
            custom: Vec::new(),
            delta: None,
            history: History::default(),
            contexts: Vec::new(),
            restores: None,
            engine,
        }
    }

    /// Adds loose signature files; they are put in order.
    #[must_use]
    pub fn with_custom(self, mut custom: Vec<CustomEntry>) -> Self {
        custom.sort_by(|a, b| a.name.cmp(&b.name));
        Self { custom, ..self }
    }

    /// The same databases as a later generation, after `before`, which says whose they are.
    #[must_use]
    pub fn restored_after(self, before: &Self, generation: Generation, published: DateTime<Utc>) -> Self {
        let step = Step { to: generation, kind: StepKind::Restored { generation: self.generation } };
        let same_keys = self.trust_anchor == before.trust_anchor;
        let history = if same_keys { before.history.clone().then(step) } else { History::default() };
        let restores = Some(self.generation);
        Self { generation, published, restores, delta: None, history, ..self }
    }

    /// Every key that this generation cannot do without, its own manifest's among them.
    pub fn object_keys(&self) -> impl Iterator<Item = String> {
        let databases = self.databases.iter().map(|database| &database.object_key);
        let custom = self.custom.iter().map(|custom| &custom.object_key);
        let scripts = self.delta.iter().flat_map(|delta| &delta.changes).flat_map(Change::scripts);
        let deltas = self.history.bodies().map(|delta| &delta.object_key);
        let contexts = self.contexts.iter().map(|context| &context.body.object_key);
        let scripts = scripts.map(|script| &script.object_key);
        let keys = databases.chain(custom).chain(scripts).chain(deltas).chain(contexts).cloned();
        keys.chain([Self::object_key(self.generation)])
    }

    /// When the newest of its databases was built: how old what they know is.
    pub fn newest_built(&self) -> DateTime<Utc> {
        let newest = self.databases.iter().map(|entry| entry.built).max().unwrap_or_default();
        i64::try_from(newest).ok().and_then(|built| DateTime::from_timestamp(built, 0)).unwrap_or_default()
    }

    /// Key of a generation's manifest.
    pub fn object_key(generation: Generation) -> String {
        format!("{MANIFESTS_PREFIX}{}.json", generation.0)
    }

    /// Reads a manifest.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let manifest: Self = parse(bytes)?;
        if !manifest.databases.is_sorted_by(|a, b| a.name < b.name) {
            return Err(ManifestError::Field("order of databases"));
        }
        for database in &manifest.databases {
            if !is_sha256(&database.sha256) {
                return Err(ManifestError::Field("SHA-256"));
            }
            // An address of another form could point a reader at something that nobody verified.
            if database.object_key != body_object_key(&database.sha256) {
                return Err(ManifestError::Field("object key"));
            }
        }
        if !manifest.custom.is_sorted_by(|a, b| a.name < b.name) {
            return Err(ManifestError::Field("order of loose files"));
        }
        for custom in &manifest.custom {
            // The name becomes a file's name wherever the generation is loaded.
            if !is_member_name(&custom.name) {
                return Err(ManifestError::Field("name of a loose file"));
            }
            if !is_sha256(&custom.sha256) || custom.object_key != body_object_key(&custom.sha256) {
                return Err(ManifestError::Field("object key"));
            }
        }
        if !manifest.history.leads_to(manifest.generation) {
            return Err(ManifestError::Field("order of its history"));
        }
        if !manifest.contexts.iter().all(|context| context.body.is_addressed()) {
            return Err(ManifestError::Field("object key"));
        }
        Ok(manifest)
    }

    /// Writes the manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl DatabaseEntry {
    /// Describes a verified database.
    pub fn of(cvd: &VerifiedCvd) -> Self {
        Self {
            name: cvd.name.clone(),
            kind: cvd.kind,
            version: cvd.header.version,
            built: cvd.header.stime,
            functionality_level: cvd.header.functionality_level,
            signatures: cvd.header.signatures,
            builder: cvd.header.builder.clone(),
            size: cvd.size,
            md5: cvd.md5.clone(),
            sha256: cvd.sha256.clone(),
            object_key: body_object_key(&cvd.sha256),
            members: cvd.members.clone(),
        }
    }

    /// The file name on mirrors and in the flat prefix, such as `daily.cvd`.
    pub fn file_name(&self) -> String {
        format!("{}.{}", self.name, self.kind.extension())
    }
}

impl BodyEntry {
    /// Describes a body.
    pub fn of(bytes: &[u8]) -> Self {
        let sha256 = sha256_hex(bytes);
        let object_key = body_object_key(&sha256);
        Self { size: bytes.len() as u64, sha256, object_key }
    }

    /// Describes the delta that leads to a generation from the one before.
    pub fn of_delta(to: Generation, bytes: &[u8]) -> Self {
        let body = Self::of(bytes);
        Self { object_key: delta_object_key(to, &body.sha256), ..body }
    }

    fn is_addressed(&self) -> bool {
        is_sha256(&self.sha256) && self.object_key == body_object_key(&self.sha256)
    }

    /// Whether it is where the delta to this generation is.
    pub(super) fn is_delta_to(&self, to: Generation) -> bool {
        is_sha256(&self.sha256) && self.object_key == delta_object_key(to, &self.sha256)
    }
}

impl CustomEntry {
    /// Describes a loose file that came from `source`.
    pub fn of(name: String, source: String, etag: Option<String>, bytes: &[u8]) -> Self {
        let sha256 = sha256_hex(bytes);
        let object_key = body_object_key(&sha256);
        Self { name, source, etag, size: bytes.len() as u64, sha256, object_key }
    }
}

impl Change {
    fn scripts(&self) -> &[ScriptEntry] {
        if let Self::Patched { scripts, .. } = self { scripts } else { &[] }
    }
}

impl ScriptEntry {
    /// Describes a script that leads to a version of a database, in the delta between two generations.
    pub fn of(
        from: Generation,
        to: Generation,
        database: &DatabaseName,
        version: DatabaseVersion,
        script: &[u8],
    ) -> Self {
        let object_key = format!("{DELTAS_PREFIX}{}-{}/{database}-{}.script", from.0, to.0, version.0);
        Self { version, size: script.len() as u64, sha256: sha256_hex(script), object_key }
    }
}

impl Pointer {
    /// Points to a manifest of these bytes.
    pub fn to(generation: Generation, manifest: &[u8]) -> Self {
        let manifest_key = Manifest::object_key(generation);
        Self { format: FORMAT, generation, manifest_key, manifest_sha256: sha256_hex(manifest), pinned: false }
    }

    /// The same pointer, pinned or not.
    #[must_use]
    pub fn pinned(self, pinned: bool) -> Self {
        Self { pinned, ..self }
    }

    /// Reads a pointer.
    ///
    /// # Errors
    /// [`ManifestError`].
    pub fn parse(bytes: &[u8]) -> Result<Self, ManifestError> {
        let pointer: Self = parse(bytes)?;
        if pointer.manifest_key != Manifest::object_key(pointer.generation) {
            return Err(ManifestError::Field("manifest key"));
        }
        if is_sha256(&pointer.manifest_sha256) { Ok(pointer) } else { Err(ManifestError::Field("SHA-256")) }
    }

    /// Writes the pointer.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

/// SHA-256 in lower-case hexadecimal.
pub fn sha256_hex(bytes: &[u8]) -> String {
    hex::encode(Sha256::digest(bytes))
}

/// Key of the delta with this SHA-256 that leads to a generation.
fn delta_object_key(to: Generation, sha256: &str) -> String {
    format!("{DELTAS_PREFIX}{}-{}/{sha256}", to.0.saturating_sub(1), to.0)
}

/// Key of a body with this SHA-256.
fn body_object_key(sha256: &str) -> String {
    format!("{BODIES_PREFIX}{sha256}")
}

fn is_sha256(text: &str) -> bool {
    text.len() == 64 && text.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'a'..=b'f'))
}

fn parse<Document: DeserializeOwned>(bytes: &[u8]) -> Result<Document, ManifestError> {
    #[derive(Deserialize)]
    struct Envelope {
        format: u32,
    }
    // The format first: a later one may have any other fields.
    let Envelope { format } = serde_json::from_slice(bytes).map_err(ManifestError::Shape)?;
    if format != FORMAT {
        return Err(ManifestError::Format { found: format });
    }
    serde_json::from_slice(bytes).map_err(ManifestError::Shape)
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    // Serialising these types to memory cannot fail: their keys are strings and their numbers finite.
    serde_json::to_vec_pretty(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::{
        definitions::{archive::ArchiveLimits, cvd::Cvd},
        testing::definitions::{CvdBuilder, SigningKeys},
    };

    fn manifest() -> Manifest {
        let entry = |name: &str| {
            let file = CvdBuilder::new(name).member(&format!("{name}.ndb"), "x\n").build(SigningKeys::fixed());
            let (name, anchors) = (DatabaseName::new(name).unwrap(), SigningKeys::fixed().trust_anchors());
            DatabaseEntry::of(&Cvd::parse(&file).unwrap().verify(&name, &anchors, ArchiveLimits::default()).unwrap())
        };
        let engine = EngineProof {
            clamav_version: "1.4.6".into(),
            functionality_level: 216,
            signatures: 2,
            eicar: vec![],
            expected_signatures: 1,
            clean_files: 0,
        };
        let databases = vec![entry("main"), entry("daily")];
        Manifest::new(Generation(3), DateTime::UNIX_EPOCH, "test#0".into(), databases, engine)
    }

    #[test]
    fn documents_survive_their_bytes() {
        let manifest = manifest();
        assert_eq!(Manifest::parse(&manifest.to_bytes()).unwrap(), manifest);
        assert_eq!(manifest.databases[0].file_name(), "daily.cvd");
        let pointer = Pointer::to(manifest.generation, &manifest.to_bytes());
        assert_eq!(Pointer::parse(&pointer.to_bytes()).unwrap(), pointer);
        assert_eq!(pointer.manifest_key, "nacre/manifests/3.json");
    }

    #[test]
    fn a_manifest_points_only_at_what_its_digests_imply() {
        let mut elsewhere = manifest();
        elsewhere.databases[0].object_key = "clamav_defs/daily.cvd".into();
        assert!(matches!(Manifest::parse(&elsewhere.to_bytes()), Err(ManifestError::Field("object key"))));
        let mut pointer = Pointer::to(Generation(3), b"");
        pointer.manifest_key = "nacre/manifests/2.json".into();
        assert!(matches!(Pointer::parse(&pointer.to_bytes()), Err(ManifestError::Field("manifest key"))));
    }

    #[test]
    fn a_later_format_asks_for_a_later_program() {
        let error = Pointer::parse(br#"{"format":2,"anything":true}"#).unwrap_err();
        assert_eq!(error.to_string(), "it has format 2, and this program knows format 1: update this program");
        for wrong in ["", "{}", "[]", "{\"format\":1}"] {
            assert!(matches!(Manifest::parse(wrong.as_bytes()), Err(ManifestError::Shape(_))), "{wrong}");
        }
    }
}
