//! What a scan of an object's bytes found, and the interface of those who scan them.

use std::future::Future;

use nacre_core::{
    generation::Generation,
    object::ObjectId,
    port::ObjectHead,
    scan_record::{EngineVersion, FileTypes, LayerDigest, ScanRecord},
    targets::Targets,
    verdict::Verdict,
};

use super::ScanError;

/// The result of scanning an object's bytes.
#[derive(Clone, Debug)]
pub struct Inspection {
    /// The verdict.
    pub verdict: Verdict,
    /// The matcher targets that ran.
    pub targets: Targets,
    /// The layers, when all were recorded.
    pub layers: Option<Vec<LayerDigest>>,
    /// Number of layers.
    pub layer_count: u64,
    /// The types of all layers, where they are known.
    pub types: Option<FileTypes>,
    /// Names of what hid content.
    pub unread: Vec<String>,
}

impl Inspection {
    /// The verdict on bytes that were not scanned.
    pub fn not_scanned(verdict: Verdict) -> Self {
        Self { verdict, targets: Targets::NONE, layers: None, layer_count: 0, types: None, unread: Vec::new() }
    }
}

/// Scans an object's bytes.
pub trait Inspector {
    /// The generation of its definitions.
    fn generation(&self) -> Generation;

    /// Its engine.
    fn engine(&self) -> EngineVersion;

    /// Whether a recorded object has to be scanned again, provided that its bytes are the same.
    ///
    /// # Errors
    /// [`ScanError::Ready`] when the published changes cannot be read.
    fn needs_scan(&mut self, record: &ScanRecord, head: &ObjectHead) -> impl Future<Output = Result<bool, ScanError>>;

    /// Whether a record proves nothing, though it is of no older definitions: it is of a generation that was never published here, or
    /// its object was refused for its size and is not too large any more.
    ///
    /// # Errors
    /// [`ScanError::Ready`] when what is published cannot be read.
    fn is_obsolete(
        &mut self,
        _record: &ScanRecord,
        _head: &ObjectHead,
    ) -> impl Future<Output = Result<bool, ScanError>> {
        std::future::ready(Ok(false))
    }

    /// Reads exactly these bytes and scans them with all definitions.
    ///
    /// # Errors
    /// [`ScanError::Read`] with [`nacre_core::port::StoreError::PreconditionFailed`] or
    /// [`nacre_core::port::StoreError::NotFound`] when the bytes changed.
    fn inspect(&mut self, object: &ObjectId, head: &ObjectHead) -> impl Future<Output = Result<Inspection, ScanError>>;

    /// Scans the bytes of a record with what was added since; `None` when only a full scan can decide.
    ///
    /// # Errors
    /// As [`Inspector::inspect`].
    fn reinspect(
        &mut self,
        record: &ScanRecord,
        head: &ObjectHead,
    ) -> impl Future<Output = Result<Option<Inspection>, ScanError>>;
}
