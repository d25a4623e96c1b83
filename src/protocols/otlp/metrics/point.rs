//! A data point as it was read, of whatever kind. One is used for all points of a request, so that reading them takes
//! no memory of its own.

use super::fault::Fault;
use crate::protocols::otlp::value::Attribute;

/// Attributes of one data point, resource or scope, at most. SDKs keep 128.
const ATTRIBUTES_MAX: usize = 1000;
/// Buckets of one range of a histogram, and quantiles of a summary, at most. SDKs keep 160.
const BUCKETS_MAX: usize = 10_000;

/// Which data points a metric has.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Data {
    Gauge,
    Sum { temporality: Temporality, monotonic: bool },
    Histogram(Temporality),
    ExponentialHistogram(Temporality),
    Summary,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(super) enum Temporality {
    /// The specification does not allow it.
    #[default]
    Unspecified,
    Delta,
    Cumulative,
}

impl Temporality {
    pub fn of_text(text: &str) -> Self {
        match text {
            "1" | "AGGREGATION_TEMPORALITY_DELTA" => Self::Delta,
            "2" | "AGGREGATION_TEMPORALITY_CUMULATIVE" => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }

    pub fn of_number(number: u64) -> Self {
        match number {
            1 => Self::Delta,
            2 => Self::Cumulative,
            _ => Self::Unspecified,
        }
    }
}

/// One range of an exponential histogram.
#[derive(Default)]
pub(super) struct Buckets {
    pub offset: i32,
    pub counts: Vec<u64>,
}

#[derive(Default)]
pub(super) struct Point<'a> {
    pub attributes: Vec<Attribute<'a>>,
    pub start_ns: u64,
    pub time_ns: u64,
    pub flags: u64,
    pub exemplars: u64,
    /// Of a number.
    pub value: Option<f64>,
    pub count: u64,
    pub sum: Option<f64>,
    pub min: Option<f64>,
    pub max: Option<f64>,
    pub bounds: Vec<f64>,
    pub counts: Vec<u64>,
    pub scale: i32,
    pub zero_count: u64,
    pub zero_threshold: f64,
    pub positive: Buckets,
    pub negative: Buckets,
    /// Of a summary: which, and its value.
    pub quantiles: Vec<(f64, f64)>,
}

impl<'a> Point<'a> {
    pub fn clear(&mut self) {
        self.attributes.clear();
        (self.start_ns, self.time_ns, self.flags, self.exemplars) = (0, 0, 0, 0);
        (self.value, self.count, self.sum, self.min, self.max) = (None, 0, None, None, None);
        self.bounds.clear();
        self.counts.clear();
        (self.scale, self.zero_count, self.zero_threshold) = (0, 0, 0.0);
        for buckets in [&mut self.positive, &mut self.negative] {
            buckets.offset = 0;
            buckets.counts.clear();
        }
        self.quantiles.clear();
    }

    /// Whether it only says that there is nothing to say.
    pub fn is_stale(&self) -> bool {
        self.flags & 1 == 1
    }

    pub fn attribute(&mut self, attribute: Attribute<'a>) -> Result<(), Fault> {
        add_attribute(&mut self.attributes, attribute)
    }
}

pub(super) fn add_attribute<'a>(attributes: &mut Vec<Attribute<'a>>, attribute: Attribute<'a>) -> Result<(), Fault> {
    if attributes.len() == ATTRIBUTES_MAX {
        return Err("there are more than 1,000 attributes; send fewer".into());
    }
    attributes.push(attribute);
    Ok(())
}

/// Adds a bucket's count or bound, or a quantile.
pub(super) fn add<T>(to: &mut Vec<T>, value: T) -> Result<(), Fault> {
    if to.len() == BUCKETS_MAX {
        return Err("there are more than 10,000 buckets; send fewer, or use a smaller scale".into());
    }
    to.push(value);
    Ok(())
}

/// Whole numbers are stored as doubles: exactly up to 2^53, else as the nearest one.
#[expect(clippy::cast_precision_loss, reason = "the nearest double is meant")]
pub(super) fn as_double(number: i64) -> f64 {
    number as f64
}
