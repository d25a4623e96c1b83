//! What 2.0 says of a series' metric, and which type its items are of.

use super::parts::{malformed, symbol};
use crate::protocols::protobuf::fields;

/// What a series' metric is. 1.0 says nothing of it beside its series.
#[derive(Debug, Default)]
pub struct Metadata<'a> {
    metric: Metric,
    pub unit: &'a [u8],
    pub has_help: bool,
}

#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
enum Metric {
    #[default]
    Unspecified,
    Counter,
    Gauge,
    Histogram,
    GaugeHistogram,
    Summary,
    /// An info, or a set of states: 0 or 1.
    Info,
}

impl<'a> Metadata<'a> {
    pub fn read(message: &'a [u8], symbols: &[&'a [u8]]) -> Result<Self, String> {
        let mut metadata = Self::default();
        for field in fields(message) {
            let field = field.map_err(malformed)?;
            let number = || field.value.u64().map_err(malformed);
            match field.number {
                1 => {
                    metadata.metric = match number()? {
                        1 => Metric::Counter,
                        2 => Metric::Gauge,
                        3 => Metric::Histogram,
                        4 => Metric::GaugeHistogram,
                        5 => Metric::Summary,
                        6 | 7 => Metric::Info,
                        _ => Metric::Unspecified,
                    }
                }
                3 => metadata.has_help = !symbol(symbols, number()?)?.is_empty(),
                4 => metadata.unit = symbol(symbols, number()?)?,
                _ => {}
            }
        }
        Ok(metadata)
    }

    /// The type of samples. Parts of classic histograms and summaries are series of their own here, and most of them
    /// count.
    pub fn sample_type(&self, name: &[u8]) -> &'static str {
        match self.metric {
            Metric::Unspecified => "untyped",
            // When a series began.
            _ if name.ends_with(b"_created") => "gauge",
            Metric::Counter | Metric::Histogram => "counter",
            Metric::Summary if name.ends_with(b"_sum") || name.ends_with(b"_count") => "counter",
            Metric::Summary | Metric::Gauge | Metric::GaugeHistogram | Metric::Info => "gauge",
        }
    }

    /// The type of a cumulative native histogram's count and sum: the same as of a classic histogram's, for one may be
    /// sent as both.
    pub fn part_type(&self) -> &'static str {
        match self.metric {
            Metric::Unspecified => "untyped",
            _ => "counter",
        }
    }

    pub fn is_gauge_histogram(&self) -> bool {
        self.metric == Metric::GaugeHistogram
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_type_has_one_here() {
        for (metric, name, expected) in [
            (Metric::Unspecified, "a_created", "untyped"),
            (Metric::Counter, "a_total", "counter"),
            (Metric::Counter, "a_created", "gauge"),
            (Metric::Gauge, "a", "gauge"),
            (Metric::Histogram, "a_bucket", "counter"),
            (Metric::Histogram, "a_sum", "counter"),
            (Metric::GaugeHistogram, "a_gcount", "gauge"),
            (Metric::Summary, "a", "gauge"),
            (Metric::Summary, "a_sum", "counter"),
            (Metric::Summary, "a_count", "counter"),
            (Metric::Info, "a_info", "gauge"),
        ] {
            let metadata = Metadata { metric, ..Metadata::default() };
            assert_eq!(metadata.sample_type(name.as_bytes()), expected, "{metric:?} {name}");
        }
    }
}
