//! Generations: what is published, and the one pointer that says which.

mod entries;

use crate::bucket_keys::MANIFESTS_PREFIX;
use chrono::{DateTime, Utc};
use entries::body_object_key;
pub use entries::{BodyEntry, ContextEntry, CustomEntry, DatabaseEntry, ScanSetEntry};
use nacre_clamav::{archive::is_member_name, database::FunctionalityLevel, digest::Sha256Digest};
use serde::{
    Deserialize, Deserializer, Serialize,
    de::{DeserializeOwned, IgnoredAny},
};

use super::{
    Generation,
    history::{History, Step, StepKind},
};

/// Version of the manifest's and the pointer's format.
const FORMAT: u32 = 1;

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
    /// The scripts of the applied CDIFFs, which earlier versions wrote and nobody reads. It is still accepted and never written.
    #[serde(default, rename = "delta", skip_serializing, deserialize_with = "ignore")]
    script_delta: (),
    /// What changed, signature by signature, over the last generations.
    #[serde(default)]
    pub history: History,
    /// What of each database a delta engine needs besides what was added.
    #[serde(default)]
    pub contexts: Vec<ContextEntry>,
    /// What a cold start loads of the large databases instead of them.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub scan_sets: Vec<ScanSetEntry>,
    /// The generation whose databases an operator restored with this one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub restores: Option<Generation>,
    /// What a real engine made of it before it was published.
    pub engine: EngineProof,
}

/// What a real engine made of a generation.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct EngineProof {
    /// libclamav's version.
    pub clamav_version: String,
    /// Its functionality level.
    pub functionality_level: FunctionalityLevel,
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
    /// SHA-256 of the manifest.
    pub manifest_sha256: Sha256Digest,
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
            script_delta: (),
            history: History::default(),
            contexts: Vec::new(),
            scan_sets: Vec::new(),
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
        Self { generation, published, history, restores, ..self }
    }

    /// Every key that this generation cannot do without, its own manifest's among them.
    pub fn object_keys(&self) -> impl Iterator<Item = String> {
        let databases = self.databases.iter().map(|database| &database.object_key);
        let custom = self.custom.iter().map(|custom| &custom.object_key);
        let deltas = self.history.bodies().map(|delta| &delta.object_key);
        let contexts = self.contexts.iter().map(|context| &context.body.object_key);
        let scan_sets = self.scan_sets.iter().flat_map(ScanSetEntry::bodies).map(|body| &body.object_key);
        let keys = databases.chain(custom).chain(deltas).chain(contexts).chain(scan_sets).cloned();
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
            // An address of another form could point a reader at something that nobody verified.
            if database.object_key != body_object_key(database.sha256) {
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
            if custom.object_key != body_object_key(custom.sha256) {
                return Err(ManifestError::Field("object key"));
            }
        }
        if !manifest.history.leads_to(manifest.generation) {
            return Err(ManifestError::Field("order of its history"));
        }
        if !manifest.contexts.iter().all(|context| context.body.is_addressed()) {
            return Err(ManifestError::Field("object key"));
        }
        if !manifest.scan_sets.iter().flat_map(ScanSetEntry::bodies).all(BodyEntry::is_of_scan_set) {
            return Err(ManifestError::Field("object key"));
        }
        Ok(manifest)
    }

    /// What a cold start loads of a database, if there is such a set of exactly this body.
    pub fn scan_set(&self, database: &DatabaseEntry) -> Option<&ScanSetEntry> {
        self.scan_sets.iter().find(|set| set.database == database.name && set.of == database.sha256)
    }

    /// Writes the manifest.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
}

impl Pointer {
    /// Points to a manifest of these bytes.
    pub fn to(generation: Generation, manifest: &[u8]) -> Self {
        let manifest_key = Manifest::object_key(generation);
        Self { format: FORMAT, generation, manifest_key, manifest_sha256: Sha256Digest::of(manifest), pinned: false }
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
        Ok(pointer)
    }

    /// Writes the pointer.
    pub fn to_bytes(&self) -> Vec<u8> {
        to_json(self)
    }
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

/// Accepts any value.
fn ignore<'de, D: Deserializer<'de>>(value: D) -> Result<(), D::Error> {
    IgnoredAny::deserialize(value).map(drop)
}

fn to_json(document: &impl Serialize) -> Vec<u8> {
    // Serialising these types to memory cannot fail: their keys are strings and their numbers finite.
    serde_json::to_vec_pretty(document).unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;
    use nacre_clamav::{
        archive::ArchiveLimits, builder::CvdBuilder, cvd::Cvd, database::DatabaseName, signing::SigningKeys,
    };

    fn manifest() -> Manifest {
        let entry = |name: &str| {
            let file = CvdBuilder::new(name).member(&format!("{name}.ndb"), "x\n").build(SigningKeys::fixed());
            let (name, anchors) = (DatabaseName::new(name).unwrap(), SigningKeys::fixed().trust_anchors());
            DatabaseEntry::of(&Cvd::parse(&file).unwrap().verify(&name, &anchors, ArchiveLimits::default()).unwrap())
        };
        let engine = EngineProof { signatures: 2, ..crate::builder::engine_proof() };
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

    /// A manifest as versions wrote it that published the scripts of CDIFFs.
    const WITH_SCRIPTS: &str = r#"{
        "format": 1, "generation": 2, "published": "2026-01-02T00:00:00Z", "trust_anchor": "clamav", "databases": [],
        "delta": {"from": 1, "changes": [
            {"change": "patched", "name": "daily", "scripts": [{
                "version": 2, "size": 3, "sha256": "ab", "object_key": "nacre/deltas/1-2/daily-2.script"
            }]},
            {"change": "replaced", "name": "main"}, {"change": "removed", "name": "local.ndb"}
        ]},
        "engine": {"clamav_version": "1.4.6", "functionality_level": 216, "signatures": 2, "eicar": []}
    }"#;

    #[test]
    fn scripts_of_earlier_versions_are_read_over_and_not_kept() {
        let manifest = Manifest::parse(WITH_SCRIPTS.as_bytes()).unwrap();
        assert!(manifest.object_keys().eq(["nacre/manifests/2.json".to_owned()]), "retention keeps no script");
        assert!(!String::from_utf8(manifest.to_bytes()).unwrap().contains("delta"));
        let unknown = WITH_SCRIPTS.replace("\"delta\"", "\"unknown\"");
        assert!(matches!(Manifest::parse(unknown.as_bytes()), Err(ManifestError::Shape(_))));
    }

    #[test]
    fn a_manifest_points_only_at_what_its_digests_imply() {
        let mut elsewhere = manifest();
        elsewhere.databases[0].object_key = "clamav_defs/daily.cvd".into();
        assert!(matches!(Manifest::parse(&elsewhere.to_bytes()), Err(ManifestError::Field("object key"))));
        let mut elsewhere = manifest();
        let part = BodyEntry::of_scan_set(b"part");
        elsewhere.scan_sets = vec![ScanSetEntry {
            database: DatabaseName::new("daily").unwrap(),
            of: elsewhere.databases[0].sha256,
            body: part.clone(),
            filter: part.clone(),
            shards: part,
            lines: 0,
        }];
        let read = Manifest::parse(&elsewhere.to_bytes()).unwrap();
        assert_eq!(read, elsewhere);
        assert_eq!(read.scan_set(&read.databases[0]), read.scan_sets.first());
        assert_eq!(read.scan_set(&read.databases[1]), None);
        assert!(read.object_keys().any(|key| key.starts_with("nacre/scan-sets/")));
        elsewhere.scan_sets[0].shards = BodyEntry::of(b"part");
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
