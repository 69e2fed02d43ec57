//! A stream, with what its dictionary says of it.

use super::{dictionary::Dictionary, filters, places::Place, plain::Plain, predictor::Predictor};

/// A stream of a PDF.
pub(super) struct Stream<'c> {
    pub(super) place: Place<'c>,
    pub(super) plain: Option<Plain<'c>>,
    /// Its words, whatever they belong to.
    pub(super) dictionary: Dictionary,
    /// The filters that it names.
    pub(super) named: Vec<usize>,
}

impl<'c> Stream<'c> {
    pub(super) fn at(place: Place<'c>) -> Self {
        let (plain, dictionary) = (place.plain(), Dictionary::read(place.text));
        let named = match &plain {
            Some(plain) => filters::named(&Dictionary::read(plain.filters())),
            None => filters::named(&dictionary),
        };
        Self { place, plain, dictionary, named }
    }

    /// Whether it is an image that is shown, to every reader. Attack: a stream of objects that says that it is an image as well.
    pub(super) fn is_image(&self) -> bool {
        let has_objects = self.dictionary.has("/ObjStm") || self.dictionary.has("/XRef");
        !has_objects && self.plain.as_ref().is_some_and(Plain::is_image)
    }

    /// The predictor of its filters.
    pub(super) fn predictor(&self) -> Option<Predictor> {
        match &self.plain {
            Some(plain) => Dictionary::read(plain.parameters()?).predictor(),
            None => self.dictionary.predictor(),
        }
    }

    /// Whether neither libclamav nor the reading here unpacks it.
    pub(super) fn stays_packed(&self) -> bool {
        let is_odd = |parameters: &[u8]| Dictionary::read(parameters).is_ambiguous();
        let plain = self.plain.as_ref();
        self.dictionary.stays_packed() || plain.is_none_or(|plain| plain.parameters().is_none_or(is_odd))
    }
}
