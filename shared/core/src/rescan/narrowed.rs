//! Added signatures that demand more of an object than that their matcher ran on it.

use nacre_clamav::{file_types::FileTypes, narrowing::Narrowing};

use crate::{
    scan_record::{LayerDigest, RecordView},
    targets::Targets,
};

/// What signatures of one form demand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Narrowed {
    /// The matchers that look for them.
    pub(super) targets: Targets,
    /// Least and greatest number of bytes.
    sizes: Option<(u64, u64)>,
    /// Whether they match within other content alone.
    contained: bool,
    /// Of each of these sets, one must be the type of a layer.
    types: Vec<FileTypes>,
}

impl Narrowed {
    /// `None` for signatures that demand nothing else.
    pub(super) fn of(targets: Targets, narrowing: &Narrowing) -> Option<Self> {
        let sizes = narrowing.sizes.as_ref().map(|sizes| (*sizes.start(), *sizes.end()));
        let (contained, types) = (narrowing.contained, narrowing.types.clone());
        (!narrowing.is_none()).then_some(Self { targets, sizes, contained, types })
    }

    /// Whether one of them may match an object of which a scan saw this.
    pub(super) fn may_match(&self, view: &RecordView) -> bool {
        let layers = view.layers.as_deref();
        self.targets.intersects(view.targets) && self.has_size(layers) && self.is_within(layers) && self.has_types(view)
    }

    /// What is matched on within other content is a layer, or is made of one: beside the object, something is recorded.
    fn is_within(&self, layers: Option<&[LayerDigest]>) -> bool {
        !self.contained || layers.is_none_or(|layers| layers.len() > 1)
    }

    fn has_types(&self, view: &RecordView) -> bool {
        view.types.is_none_or(|types| self.types.iter().all(|demanded| demanded.intersects(types)))
    }

    /// libclamav compares with the size of the content that it matches on: a layer, or what it makes of one, which is recorded, too. Only
    /// what is empty is not recorded.
    fn has_size(&self, layers: Option<&[LayerDigest]>) -> bool {
        match (self.sizes, layers) {
            (None | Some((0, _)), _) | (_, None) => true,
            (Some((least, greatest)), Some(layers)) => {
                layers.iter().any(|layer| (least..=greatest).contains(&layer.size))
            }
        }
    }
}
