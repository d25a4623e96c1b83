//! How much of what a request brought was written, as 2.0 answers it. What was noted and not stored, such as what says
//! that a series has ended, was taken as well.

use super::message::{Element, Message, tag};
use crate::protocols::protobuf::fields;
use crate::wire::item::Original;

/// Samples, histograms and exemplars.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    pub samples: u64,
    pub histograms: u64,
    pub exemplars: u64,
}

impl Written {
    /// What the body holds, without these rejected items; they come in their order.
    pub fn of(message: Message, body: &[u8], original: Option<&Original>, rejected: impl Iterator<Item = u32>) -> Self {
        let mut written = Self::default();
        for field in fields(body).map_while(Result::ok).filter(|field| field.number == message.series()) {
            written.add(count(message, field.value.bytes().unwrap_or_default()));
        }
        let Some(original) = original else { return written };
        let mut histogram = None;
        for item in rejected {
            let place = usize::try_from(item).ok().and_then(|item| original.places.get(item));
            match place.map(|place| place.tag) {
                Some(tag::SAMPLE) => written.take(Self { samples: 1, ..Self::default() }),
                Some(tag::EXEMPLAR) => written.take(Self { exemplars: 1, ..Self::default() }),
                Some(tag::HISTOGRAM) => {
                    histogram = Some(item);
                    written.take(Self { histograms: 1, ..Self::default() });
                }
                // Its count may have been rejected just before it.
                Some(tag::HISTOGRAM_SUM) if histogram != item.checked_sub(1) => {
                    written.take(Self { histograms: 1, ..Self::default() });
                }
                Some(tag::SERIES) => written.take(count(message, original.of(item))),
                Some(tag::WHOLE) => return Self::default(),
                _ => {}
            }
        }
        written
    }

    fn add(&mut self, more: Self) {
        self.samples += more.samples;
        self.histograms += more.histograms;
        self.exemplars += more.exemplars;
    }

    fn take(&mut self, less: Self) {
        self.samples = self.samples.saturating_sub(less.samples);
        self.histograms = self.histograms.saturating_sub(less.histograms);
        self.exemplars = self.exemplars.saturating_sub(less.exemplars);
    }
}

/// What a series brings.
fn count(message: Message, series: &[u8]) -> Written {
    let mut found = Written::default();
    for field in fields(series).map_while(Result::ok) {
        match message.element(field.number) {
            Some(Element::Sample) => found.samples += 1,
            Some(Element::Histogram) => found.histograms += 1,
            Some(Element::Exemplar) => found.exemplars += 1,
            None => {}
        }
    }
    found
}
