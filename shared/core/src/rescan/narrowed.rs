//! Added signatures that demand more of an object than that their matcher ran on it.

use nacre_clamav::narrowing::Narrowing;

use crate::{scan_record::LayerDigest, targets::Targets};

/// What signatures of one form demand.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub(super) struct Narrowed {
    /// The matchers that look for them.
    pub(super) targets: Targets,
    /// Least and greatest number of bytes.
    sizes: Option<(u64, u64)>,
}

impl Narrowed {
    /// `None` for signatures that demand nothing else.
    pub(super) fn of(targets: Targets, narrowing: &Narrowing) -> Option<Self> {
        let sizes = narrowing.sizes.as_ref().map(|sizes| (*sizes.start(), *sizes.end()));
        (!narrowing.is_none()).then_some(Self { targets, sizes })
    }

    /// Whether one of them may match an object with these targets and layers; `None` for layers that are not known.
    pub(super) fn may_match(&self, targets: Targets, layers: Option<&[LayerDigest]>) -> bool {
        self.targets.intersects(targets) && self.has_size(layers)
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
