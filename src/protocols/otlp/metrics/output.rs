//! The items that data points become, whatever form they were sent in. What a metric's points have in common is written
//! once, and not before one of them is stored: none costs more than what it adds to the items.

use std::ops::Range;

use super::estimate::{Known, Summary, explicit_buckets, exponential_buckets, summary};
use super::fault::Fault;
use super::form::Form;
use super::point::{Data, Point, Temporality};
use super::text::{explicit, exponential, member, rewrite, separate};
use crate::limits::{ASSET_ID_CHARS_MAX, METRIC_NAME_CHARS_MAX};
use crate::protocols::Converter;
use crate::protocols::convert::{Json, SeriesText};
use crate::protocols::otlp::value::{Attribute, note_repeated, unique};

/// Which attribute of a resource says what was measured there: the first of these that it has.
const ASSETS: [&[u8]; 3] = [b"host.name", b"service.instance.id", b"service.name"];
const UNKNOWN: &[u8] = b"unknown";

/// What a summary's count and sum are called behind its name.
const COUNT: &str = "_count";
const SUM: &str = "_sum";

/// Bytes of a metric's name in a message.
const NAME_SHOWN_BYTES: usize = 100;

/// A tag: the item's place says all.
const POINT: u8 = 0;

/// Which of a point's items is written: what it is, and what is behind the metric's name.
type Part = (&'static str, &'static str);

pub(super) struct Output<'o, 'c> {
    into: &'o mut Converter<'c>,
    asset: Vec<u8>,
    /// Dimensions of the resource, of the scope, and of a point, written out.
    resource: Vec<u8>,
    scope: Vec<u8>,
    dimensions: Vec<u8>,
    name: Vec<u8>,
    unit: Vec<u8>,
    data: Data,
    /// Of the metric, and which part it is of; None: not written yet.
    series: SeriesText,
    written: Option<Part>,
    /// What keeps all points from being stored: of the resource, the scope and the metric.
    faults: [Option<Fault>; 3],
}

impl<'o, 'c> Output<'o, 'c> {
    pub fn new(into: &'o mut Converter<'c>) -> Self {
        let (asset, resource, scope, dimensions, name, unit) = Default::default();
        let (series, written, faults) = Default::default();
        let data = Data::Gauge;
        Self { into, asset, resource, scope, dimensions, name, unit, data, series, written, faults }
    }

    pub fn is_full(&self) -> bool {
        self.into.is_full()
    }

    pub fn note(&mut self, name: &'static str, count: u64) {
        if count > 0 {
            self.into.note(name, count);
        }
    }

    /// Begins a resource, whose attributes were read, or could not be.
    pub fn resource<F: Form>(&mut self, attributes: &mut Vec<Attribute<'_>>, read: Result<(), Fault>) {
        self.written = None;
        note_repeated(self.into, unique(attributes));
        let text = |key: &[u8]| {
            let (_, value) = attributes.iter().find(|(sent, _)| *sent == key)?;
            value.and_then(F::text).filter(|text| !text.is_empty())
        };
        let asset = ASSETS.into_iter().find_map(|key| text(key).map(|text| (key, text)));
        self.asset.clear();
        self.asset.extend_from_slice(asset.as_ref().map_or(UNKNOWN, |(_, text)| text));
        let used = asset.map(|(key, _)| key);
        let others = attributes.iter().filter(|(key, _)| Some(*key) != used);
        let written = rewrite(&mut self.resource, |json| {
            others.into_iter().try_for_each(|attribute| member::<F>(json, b"resource.", attribute))
        });
        self.faults = [read.and(written).err(), None, None];
    }

    /// Begins a scope; name and version may be empty.
    pub fn scope<F: Form>(
        &mut self,
        name: &[u8],
        version: &[u8],
        attributes: &mut Vec<Attribute<'_>>,
        read: Result<(), Fault>,
    ) {
        note_repeated(self.into, unique(attributes));
        let written = rewrite(&mut self.scope, |json| {
            for (key, text) in [(&b"scope.name"[..], name), (b"scope.version", version)] {
                if !text.is_empty() {
                    separate(json);
                    json.key(key);
                    json.string(text);
                }
            }
            attributes.iter().try_for_each(|attribute| {
                let is_taken = matches!(attribute.0, b"name" | b"version") || attribute.0.starts_with(b"attribute.");
                member::<F>(json, if is_taken { b"scope.attribute." } else { b"scope." }, attribute)
            })
        });
        self.faults[1] = read.and(written).err();
        self.faults[2] = None;
    }

    /// Begins a metric.
    pub fn metric(&mut self, name: &[u8], unit: &[u8], data: Data) {
        self.name.clear();
        self.name.extend_from_slice(name);
        self.unit.clear();
        self.unit.extend_from_slice(unit);
        (self.data, self.written) = (data, None);
        self.faults[2] = name.is_empty().then(|| "the metric has no name; send one".into());
        let is_said = matches!(data, Data::Gauge | Data::Summary) || data.temporality().is_some();
        self.note("unspecified_temporality", (!is_said).into());
    }

    /// Makes items of a data point of the metric, which stands in `place`, or a broken one if it could not be read.
    pub fn point<F: Form>(&mut self, point: &mut Point<'_>, read: Result<(), Fault>, place: Range<usize>) {
        let stored = read.and_then(|()| self.store::<F>(point, &place));
        if let Err(Fault(what)) = stored {
            let shown = &self.name[..self.name.len().min(NAME_SHOWN_BYTES)];
            let message = format!("a data point of metric \"{}\": {what}", String::from_utf8_lossy(shown));
            self.into.broken(place, POINT, message);
        }
    }

    /// A part of a request that is not what the schema says.
    pub fn broken(&mut self, Fault(what): Fault, place: Range<usize>) {
        let message = format!("a part of the request cannot be read: {what}");
        self.into.broken(place, POINT, message);
    }

    fn store<F: Form>(&mut self, point: &mut Point<'_>, place: &Range<usize>) -> Result<(), Fault> {
        self.note("exemplars", point.exemplars);
        if point.is_stale() {
            self.note("stale_marker", 1);
            return Ok(());
        }
        if let Some(fault) = self.faults.iter().flatten().next() {
            return Err(fault.clone());
        }
        if point.time_ns == 0 {
            return Err("it has no time; send time_unix_nano, the end of what was measured".into());
        }
        self.own_dimensions::<F>(&mut point.attributes)?;
        if let Some(sum) = point.sum.filter(|sum| !sum.is_finite() && self.data != Data::Summary) {
            self.note(not_finite(sum), 1);
            return Ok(());
        }
        match self.data {
            Data::Gauge => self.number("gauge", point, place),
            Data::Sum { temporality, monotonic } => {
                let metric_type = match temporality {
                    Temporality::Delta => "delta",
                    Temporality::Cumulative if monotonic => "counter",
                    Temporality::Cumulative => "gauge",
                    Temporality::Unspecified => "untyped",
                };
                self.number(metric_type, point, place);
            }
            Data::Histogram(Temporality::Cumulative) => {
                drop(explicit_buckets(point)?);
                self.since_start(point, place, |json| explicit(json, point));
            }
            Data::ExponentialHistogram(Temporality::Cumulative) => {
                self.since_start(point, place, |json| exponential(json, point));
            }
            Data::Histogram(_) => {
                let buckets = explicit_buckets(point)?;
                let made = summary(known(point), buckets)?;
                self.histogram(point, made, place, |json| explicit(json, point));
            }
            Data::ExponentialHistogram(_) => {
                let made = summary(known(point), exponential_buckets(point))?;
                self.histogram(point, made, place, |json| exponential(json, point));
            }
            Data::Summary => self.quantiles(point, place),
        }
        Ok(())
    }

    /// Writes the dimensions that are the point's own. One of a name that others have here is `attribute.` and its
    /// name.
    fn own_dimensions<F: Form>(&mut self, attributes: &mut Vec<Attribute<'_>>) -> Result<(), Fault> {
        note_repeated(self.into, unique(attributes));
        let Self { data, unit, asset, name, .. } = self;
        let is_taken = |key: &[u8]| match key {
            b"unit" => !unit.is_empty(),
            b"temporality" => data.temporality().is_some(),
            b"monotonic" => data.monotonic().is_some(),
            b"quantile" => *data == Data::Summary,
            b"asset_id" => asset.len() > ASSET_ID_CHARS_MAX,
            b"metric_name" => name.len() + COUNT.len() > METRIC_NAME_CHARS_MAX,
            _ => [&b"resource."[..], b"scope.", b"attribute."].iter().any(|prefix| key.starts_with(prefix)),
        };
        rewrite(&mut self.dimensions, |json| {
            attributes.iter().try_for_each(|attribute| {
                member::<F>(json, if is_taken(attribute.0) { b"attribute." } else { b"" }, attribute)
            })
        })
    }

    fn number(&mut self, metric_type: &'static str, point: &Point<'_>, place: &Range<usize>) {
        match point.value {
            Some(value) => self.sample((metric_type, ""), point, value, None, place),
            None => self.note("no_value", 1),
        }
    }

    /// Writes what of a metric all items of this part have in common.
    fn series(&mut self, part: Part) {
        if self.written == Some(part) {
            return;
        }
        self.written = Some(part);
        let (metric_type, suffix) = part;
        let own = self.name.len();
        self.name.extend_from_slice(suffix.as_bytes());
        self.series.begin(&self.asset, metric_type, &self.name);
        self.name.truncate(own);
        if !self.unit.is_empty() && suffix != COUNT {
            self.series.dimension(b"unit", &self.unit);
        }
        if let Some(temporality) = self.data.temporality() {
            self.series.dimension(b"temporality", temporality.as_bytes());
        }
        if let Some(monotonic) = self.data.monotonic() {
            self.series.dimension_with(b"monotonic", |json| json.bool(monotonic));
        }
    }

    /// Begins an item of a point, up to what was measured.
    fn begin(&mut self, part: Part, point: &Point<'_>, quantile: &[u8]) {
        self.series(part);
        let Self { series, resource, scope, dimensions, .. } = self;
        let time_ns = i64::try_from(point.time_ns).unwrap_or(i64::MAX);
        self.into.begin_with(series, &[resource, scope, dimensions, quantile], Some(time_ns));
    }

    fn sample(&mut self, part: Part, point: &Point<'_>, value: f64, quantile: Option<f64>, place: &Range<usize>) {
        if !value.is_finite() {
            return self.note(not_finite(value), 1);
        }
        let quantile = quantile.map(|quantile| format!("\"quantile\":\"{quantile}\"")).unwrap_or_default();
        self.begin(part, point, quantile.as_bytes());
        let json = self.into.item();
        json.raw(b",\"value\":");
        json.f64(value);
        self.end(point, place);
    }

    /// Ends an item. When counting began is kept of what counts on from there: of deltas it is the time of the one
    /// before.
    fn end(&mut self, point: &Point<'_>, place: &Range<usize>) {
        let json = self.into.item();
        if point.start_ns > 0 && self.data.is_cumulative() {
            json.raw(b",\"start_time_unix_nano\":");
            json.u64(point.start_ns);
        }
        json.raw(b"}");
        self.into.end(place.clone(), POINT);
    }

    fn histogram(
        &mut self,
        point: &Point<'_>,
        made: Option<Summary>,
        place: &Range<usize>,
        buckets: impl FnOnce(&mut Json<'_>),
    ) {
        let Some(made) = made else {
            return self.note("empty_histogram", 1);
        };
        self.note("estimated_histogram", made.is_estimated.into());
        self.note("inconsistent_histogram", made.is_fitted.into());
        self.begin(("histogram", ""), point, b"");
        let json = self.into.item();
        json.raw(b",\"count\":");
        json.u64(made.count);
        let numbers = [(&b",\"sum\":"[..], made.sum), (b",\"min\":", made.min), (b",\"max\":", made.max)];
        for (key, number) in numbers.into_iter().chain(made.stddev.map(|stddev| (&b",\"stddev\":"[..], stddev))) {
            json.raw(key);
            json.f64(number);
        }
        buckets(json);
        self.end(point, place);
    }

    /// A histogram of all that was seen since its start, as two counters: as a summary each point would be counted again
    /// with the next one. The buckets are with the count.
    fn since_start(&mut self, point: &Point<'_>, place: &Range<usize>, buckets: impl FnOnce(&mut Json<'_>)) {
        self.begin(("counter", COUNT), point, b"");
        let json = self.into.item();
        json.raw(b",\"value\":");
        json.f64(as_double(point.count));
        for (key, number) in [(&b",\"since_start_min\":"[..], point.min), (b",\"since_start_max\":", point.max)] {
            if let Some(number) = number {
                json.raw(key);
                json.f64(number);
            }
        }
        buckets(json);
        self.end(point, place);
        if let Some(sum) = point.sum {
            self.sample(("counter", SUM), point, sum, None, place);
        }
    }

    /// Count and sum as counters, and each quantile as a gauge, as Prometheus has them.
    fn quantiles(&mut self, point: &Point<'_>, place: &Range<usize>) {
        self.sample(("counter", COUNT), point, as_double(point.count), None, place);
        self.sample(("counter", SUM), point, point.sum.unwrap_or_default(), None, place);
        for (quantile, value) in &point.quantiles {
            self.sample(("gauge", ""), point, *value, Some(*quantile), place);
        }
    }
}

impl Data {
    fn temporality(self) -> Option<&'static str> {
        match self.said() {
            Temporality::Unspecified => None,
            Temporality::Delta => Some("delta"),
            Temporality::Cumulative => Some("cumulative"),
        }
    }

    fn said(self) -> Temporality {
        match self {
            Self::Sum { temporality, .. } | Self::Histogram(temporality) | Self::ExponentialHistogram(temporality) => {
                temporality
            }
            Self::Gauge | Self::Summary => Temporality::Unspecified,
        }
    }

    fn is_cumulative(self) -> bool {
        self == Self::Summary || self.said() == Temporality::Cumulative
    }

    /// Where the type does not say it.
    fn monotonic(self) -> Option<bool> {
        match self {
            Self::Sum { temporality: Temporality::Cumulative, monotonic: true } => None,
            Self::Sum { monotonic, .. } => Some(monotonic),
            _ => None,
        }
    }
}

fn known(point: &Point<'_>) -> Known {
    Known { count: point.count, sum: point.sum, min: point.min, max: point.max }
}

fn not_finite(value: f64) -> &'static str {
    if value.is_nan() { "not_a_number" } else { "infinite" }
}

#[expect(clippy::cast_precision_loss, reason = "the nearest double, as of every number that is sent")]
fn as_double(count: u64) -> f64 {
    count as f64
}
