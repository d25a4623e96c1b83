//! A series of a request as items: one for each sample and exemplar, one or two for each native histogram.

use std::ops::Range;

use super::histogram::{Histogram, STALE};
use super::labels::{Labels, shown};
use super::message::{Element, LABELS, METADATA, Message, tag};
use super::metadata::Metadata;
use super::parts::{Exemplar, label, malformed, refer, sample};
use super::summary::summary;
use crate::protocols::convert::{Converter, Json, SeriesText};
use crate::protocols::protobuf::{Malformed, Value, fields};

const NS_PER_MS: i64 = 1_000_000;

/// Converts one series after another.
pub struct Series<'a> {
    message: Message,
    /// What references stand for; empty where labels are sent as they are.
    symbols: Vec<&'a [u8]>,
    labels: Labels<'a>,
    text: SeriesText,
    histogram: Histogram,
    /// Members of the series' items that make no series of their own.
    more: Vec<u8>,
}

/// What is known of a series before its samples are read.
#[derive(Default)]
struct About<'a> {
    metadata: Metadata<'a>,
    elements: usize,
    /// There is none before this place.
    first_element: usize,
}

impl<'a> Series<'a> {
    pub fn new(message: Message, symbols: Vec<&'a [u8]>) -> Self {
        let (labels, text, histogram, more) = Default::default();
        Self { message, symbols, labels, text, histogram, more }
    }

    /// Writes the items of a series, which stands at this place of the body.
    pub fn convert(&mut self, series: &'a [u8], place: Range<usize>, into: &mut Converter<'_>) {
        match self.read(series) {
            Ok(about) => self.write(series, &about, place, into),
            Err(why) => {
                let name = shown(self.labels.name());
                into.broken(place, tag::SERIES, format!("the series {name:?} {why}"));
            }
        }
    }

    /// Reads its labels, and what else stands beside what it brings.
    fn read(&mut self, series: &'a [u8]) -> Result<About<'a>, String> {
        self.labels.clear();
        let mut about = About::default();
        let (mut has_samples, mut has_histograms) = (false, false);
        // Whether a reference is to follow, which is a label's value.
        let mut half = None;
        // Where the fields before end.
        let mut end = 0;
        for field in fields(series) {
            let field = field.map_err(malformed)?;
            if let Some(element) = self.message.element(field.number) {
                if about.elements == 0 {
                    about.first_element = end;
                }
                about.elements += 1;
                has_samples |= element == Element::Sample;
                has_histograms |= element == Element::Histogram;
            } else if field.number == LABELS {
                match self.message {
                    Message::WriteRequest => {
                        let (name, value) = field.value.bytes().and_then(label).map_err(malformed)?;
                        self.labels.add(name, value);
                    }
                    Message::Request => {
                        let Self { labels, symbols, .. } = self;
                        refer(symbols, field, &mut half, |name, value| labels.add(name, value))?;
                    }
                }
            } else if (self.message, field.number) == (Message::Request, METADATA) {
                about.metadata = Metadata::read(field.value.bytes().map_err(malformed)?, &self.symbols)?;
            }
            if let Value::Bytes(bytes) = field.value {
                end = field.at + bytes.len();
            }
        }
        if half.is_some() {
            return Err("has an odd number of labels_refs; send a name and a value each".into());
        }
        self.labels.check()?;
        if self.message == Message::Request && has_samples && has_histograms {
            return Err("has both samples and histograms; send a series for each".into());
        }
        Ok(about)
    }

    fn write(&mut self, series: &'a [u8], about: &About<'_>, place: Range<usize>, into: &mut Converter<'_>) {
        let metadata = &about.metadata;
        if metadata.has_help {
            into.note("metadata", 1);
        }
        self.more.clear();
        if !metadata.unit.is_empty() {
            let mut json = Json::onto(std::mem::take(&mut self.more));
            json.raw(b",\"unit\":");
            json.string(metadata.unit);
            self.more = json.into_text();
        }
        let sample_type = metadata.sample_type(self.labels.name());
        let mut has_begun = false;
        let elements = series.get(about.first_element..).unwrap_or_default();
        for field in fields(elements).map_while(Result::ok) {
            let Some(element) = self.message.element(field.number) else { continue };
            let Ok(bytes) = field.value.bytes() else {
                let what = format!("{element:?} of the series {:?} is no message", shown(self.labels.name()));
                // Its own byte alone, or the series would be kept for each of them.
                let at = place.start + about.first_element + field.at;
                into.broken(at..at + 1, element.tag(), what);
                continue;
            };
            // Of several each has its own, so that all of them together are no larger than the body.
            let start = place.start + about.first_element + field.at;
            let place = if about.elements == 1 { place.clone() } else { start..start + bytes.len() };
            match element {
                Element::Sample => {
                    if !has_begun {
                        self.labels.begin(&mut self.text, sample_type, "");
                        has_begun = true;
                    }
                    self.sample(bytes, place, into);
                }
                Element::Histogram => {
                    has_begun = false;
                    self.histogram(bytes, metadata, place, into);
                }
                Element::Exemplar => {
                    has_begun = false;
                    self.exemplar(bytes, place, into);
                }
            }
            if into.is_full() {
                return;
            }
        }
    }

    fn sample(&mut self, message: &[u8], place: Range<usize>, into: &mut Converter<'_>) {
        match sample(message) {
            Err(error) => into.broken(place, tag::SAMPLE, self.unreadable("a sample", error)),
            Ok((value, ..)) if value.to_bits() == STALE => into.note("stale_marker", 1),
            Ok((value, timestamp_ms, start_ms)) => {
                let timestamp_ns = Some(nanoseconds(timestamp_ms));
                if !value.is_finite() || (start_ms == 0 && self.more.is_empty()) {
                    into.sample(&self.text, timestamp_ns, value, place, tag::SAMPLE);
                } else {
                    self.begin(value, timestamp_ns, into);
                    self.end(start_ms, place, tag::SAMPLE, into);
                }
            }
        }
    }

    /// A cumulative histogram is what its parts would be as samples, since both only ever add up; one that is measured
    /// each time is a summary.
    fn histogram(&mut self, message: &[u8], metadata: &Metadata<'_>, place: Range<usize>, into: &mut Converter<'_>) {
        if let Err(error) = self.histogram.read(message) {
            return into.broken(place, tag::HISTOGRAM, self.unreadable("a histogram", error));
        }
        if self.histogram.is_stale() {
            return into.note("stale_marker", 1);
        }
        if let Err(why) = self.histogram.check() {
            let name = shown(self.labels.name());
            return into.broken(place, tag::HISTOGRAM, format!("a histogram of the series {name:?} is none: {why}"));
        }
        let timestamp_ns = Some(nanoseconds(self.histogram.timestamp_ms));
        if self.histogram.is_gauge() || metadata.is_gauge_histogram() {
            return self.gauge_histogram(timestamp_ns, place, into);
        }
        let metric_type = metadata.part_type();
        self.labels.begin(&mut self.text, metric_type, "_count");
        self.begin(self.histogram.count.as_f64(), timestamp_ns, into);
        self.histogram.write_buckets(into.item());
        self.end(self.histogram.start_ms, place.clone(), tag::HISTOGRAM, into);
        let sum = self.histogram.sum;
        self.labels.begin(&mut self.text, metric_type, "_sum");
        if sum.is_finite() {
            self.begin(sum, timestamp_ns, into);
            self.end(self.histogram.start_ms, place, tag::HISTOGRAM_SUM, into);
        } else {
            into.sample(&self.text, timestamp_ns, sum, place, tag::HISTOGRAM_SUM);
        }
    }

    fn gauge_histogram(&mut self, timestamp_ns: Option<i64>, place: Range<usize>, into: &mut Converter<'_>) {
        let sum = self.histogram.sum;
        if !sum.is_finite() {
            return into.note(if sum.is_nan() { "not_a_number" } else { "infinite" }, 1);
        }
        let Some(summary) = summary(&self.histogram) else { return into.note("empty_histogram", 1) };
        self.labels.begin(&mut self.text, "histogram", "");
        into.begin(&self.text, timestamp_ns);
        let json = into.item();
        for (name, value) in
            [("count", summary.count), ("sum", summary.sum), ("min", summary.min), ("max", summary.max)]
        {
            json.raw(b",");
            json.key(name.as_bytes());
            json.f64(value);
        }
        if let Some(stddev) = summary.stddev {
            json.raw(b",\"stddev\":");
            json.f64(stddev);
        }
        self.histogram.write_buckets(json);
        self.end(self.histogram.start_ms, place, tag::HISTOGRAM, into);
    }

    /// An exemplar is a sample of a series of its own, with its labels beside it.
    fn exemplar(&mut self, message: &'a [u8], place: Range<usize>, into: &mut Converter<'_>) {
        let exemplar = match Exemplar::read(message, self.message, &self.symbols) {
            Ok(exemplar) => exemplar,
            Err(why) => {
                let name = shown(self.labels.name());
                return into.broken(place, tag::EXEMPLAR, format!("an exemplar of the series {name:?} {why}"));
            }
        };
        // It may have none: it is then of the time when it was received.
        let timestamp_ns = Some(exemplar.timestamp_ms).filter(|ms| *ms != 0).map(nanoseconds);
        if !exemplar.value.is_finite() {
            // Noted, before its labels are written for nothing.
            return into.sample(&self.text, timestamp_ns, exemplar.value, place, tag::EXEMPLAR);
        }
        self.labels.begin(&mut self.text, "exemplar", "_exemplar");
        self.begin(exemplar.value, timestamp_ns, into);
        let json = into.item();
        json.raw(b",\"exemplar\":{");
        for (n, (name, value)) in exemplar.labels.iter().enumerate() {
            json.raw(if n == 0 { b"" } else { b"," });
            json.key(name);
            json.string(value);
        }
        json.raw(b"}}");
        into.end(place, tag::EXEMPLAR);
    }

    fn begin(&self, value: f64, timestamp_ns: Option<i64>, into: &mut Converter<'_>) {
        into.begin(&self.text, timestamp_ns);
        into.item().raw(b",\"value\":");
        into.item().f64(value);
    }

    /// Ends an item with what is no part of its series.
    fn end(&self, start_ms: i64, place: Range<usize>, tag: u8, into: &mut Converter<'_>) {
        let json = into.item();
        json.raw(&self.more);
        if start_ms != 0 {
            json.raw(b",\"start_timestamp_ms\":");
            json.i64(start_ms);
        }
        json.raw(b"}");
        into.end(place, tag);
    }

    fn unreadable(&self, what: &str, error: Malformed) -> String {
        format!("{what} of the series {:?} cannot be read: {}", shown(self.labels.name()), error.what)
    }
}

/// What is beyond all times that are stored stays so.
fn nanoseconds(ms: i64) -> i64 {
    ms.saturating_mul(NS_PER_MS)
}
