//! Realistic samples of metrics, made from a seed straight into a request body; as [`super::Generator`] makes events.

use super::generate::{REGIONS, append_number, append_thousandths, put, write_body};
use super::options::Format;
use crate::rng::Rng;

/// A metric that hosts report: its name, its type, and the thousandths that its value is below.
struct MetricShape {
    metric_name: &'static str,
    metric_type: &'static str,
    below: u32,
}

const fn shape(metric_name: &'static str, metric_type: &'static str, below: u32) -> MetricShape {
    MetricShape { metric_name, metric_type, below }
}

const SHAPES: [MetricShape; 10] = [
    shape("cpu_utilization", "gauge", 100_000),
    shape("memory_used_mb", "gauge", 64_000_000),
    shape("disk_read_bytes", "counter", 900_000_000),
    shape("disk_write_bytes", "counter", 900_000_000),
    shape("network_in_bytes", "counter", 2_000_000_000),
    shape("network_out_bytes", "counter", 2_000_000_000),
    shape("request_latency_ms", "histogram", 250_000),
    shape("queue_depth", "gauge", 5_000_000),
    shape("tokens_per_second", "gauge", 180_000),
    shape("temperature_c", "gauge", 95_000),
];

#[derive(Clone, Copy, Debug)]
pub struct SampleGenerator {
    /// Equal seeds make equal samples.
    pub seed: u64,
    /// Distinct assets; each reports every metric.
    pub assets: u32,
}

impl SampleGenerator {
    /// Appends a whole body of `samples` samples to `out`. Their timestamps are `first_us` and the microseconds after it.
    pub fn append(&self, out: &mut Vec<u8>, format: Format, number: u64, samples: u64, first_us: i64) {
        let mut rng = Rng::for_batch(self.seed, number);
        write_body(out, format, samples, first_us, |out, timestamp| self.append_sample(out, &mut rng, timestamp));
    }

    fn append_sample(&self, out: &mut Vec<u8>, rng: &mut Rng, timestamp: &[u8]) {
        let shape = rng.pick(&SHAPES);
        let asset = rng.below(self.assets);
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(timestamp);
        put(out, &["\",\"asset_id\":\"asset-"]);
        append_number(out, asset, 5);
        put(out, &["\",\"metric_type\":\"", shape.metric_type, "\",\"metric_name\":\"", shape.metric_name]);
        put(out, &["\",\"value\":"]);
        append_thousandths(out, rng.below(shape.below));
        // An asset stays where it is.
        put(out, &[",\"dimensions\":{\"region\":\"", REGIONS[asset as usize % REGIONS.len()], "\"}}"]);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    fn body(seed: u64, format: Format, number: u64) -> Vec<u8> {
        let mut out = Vec::new();
        SampleGenerator { seed, assets: 200 }.append(&mut out, format, number, 3000, 1_769_862_896_999_990);
        out
    }

    #[test]
    fn the_same_seed_and_number_make_the_same_bytes() {
        assert_eq!(body(1, Format::Json, 5), body(1, Format::Json, 5));
        assert_ne!(body(1, Format::Json, 5), body(2, Format::Json, 5));
        assert_ne!(body(1, Format::Json, 5), body(1, Format::Json, 6));
    }

    #[test]
    fn samples_are_valid_and_of_many_series() {
        let samples: Vec<Value> = serde_json::from_slice(&body(42, Format::Json, 0)).expect("valid JSON");
        assert_eq!(samples.len(), 3000);
        let distinct = |field: &str| samples.iter().filter_map(|s| s[field].as_str()).collect::<BTreeSet<_>>().len();
        assert_eq!((distinct("asset_id"), distinct("metric_name"), distinct("metric_type")), (200, 10, 3));
        assert_eq!(distinct("timestamp"), 3000);
        assert!(samples.iter().all(|sample| sample["value"].is_f64() && sample["dimensions"]["region"].is_string()));
        let lines = body(42, Format::Ndjson, 0);
        let lines: Vec<Value> =
            serde_json::Deserializer::from_slice(&lines).into_iter().collect::<Result<_, _>>().expect("valid lines");
        assert_eq!(lines, samples);
    }
}
