//! Request bodies made before the clock starts, so that the generator's work does not hide in a figure.
//!
//! A template is a body of `tidegate::load::Generator`, or of a data set's samples. Sending it copies its bytes and writes new
//! timestamps over the old ones; from the second time on also other heads of the correlation ids, and fractions of the values,
//! so that no row is like one before. Event ids are the server's.

use std::ops::Range;

use memchr::memmem;
use tidegate::load::{Clock, Format};
use tidegate::model::Kind;

use super::dataset::{Dataset, GENERATOR};

/// `2026-01-31T12:34:56.000000Z`
const TIMESTAMP_BYTES: usize = 27;
/// Digits of a correlation id that are rewritten.
const HEAD_DIGITS: usize = 8;
/// Digits of a value's fraction.
const FRACTION_DIGITS: usize = 6;
/// An odd number: different rounds give different heads.
const SPREAD: u32 = 0x9E37_79B1;

/// One body, and where in it the fresh parts go.
pub struct Template {
    bytes: Vec<u8>,
    timestamps: Vec<usize>,
    /// Place and value of the first eight hexadecimal digits.
    correlations: Vec<(usize, u32)>,
    /// Where samples' values have their fraction.
    fractions: Vec<usize>,
    /// Events, or samples, in it.
    pub events: u64,
}

impl Template {
    /// The generator's body `number`, as NDJSON.
    pub fn new(number: u64, events: u64) -> Self {
        let mut bytes = Vec::new();
        GENERATOR.append(&mut bytes, Format::Ndjson, number, events, 0);
        Self::of(bytes, events)
    }

    /// These samples of a tenant, as NDJSON.
    pub fn samples(dataset: &Dataset, tenant: usize, numbers: Range<u64>) -> Self {
        let events = numbers.end - numbers.start;
        Self::of(dataset.body(Kind::Metrics, tenant, numbers), events)
    }

    /// These events of a tenant, with times of the moment, or with those that they have in the data set.
    pub fn events(dataset: &Dataset, tenant: usize, numbers: Range<u64>, of_the_moment: bool) -> Self {
        let (events, bytes) = (numbers.end - numbers.start, dataset.body(Kind::Events, tenant, numbers));
        if of_the_moment { Self::of(bytes, events) } else { Self::fixed(bytes, events) }
    }

    /// A body that is sent as it is.
    pub fn fixed(bytes: Vec<u8>, events: u64) -> Self {
        Self { bytes, timestamps: Vec::new(), correlations: Vec::new(), fractions: Vec::new(), events }
    }

    fn of(bytes: Vec<u8>, events: u64) -> Self {
        let after = |name: &str| -> Vec<usize> {
            memmem::find_iter(&bytes, name.as_bytes()).map(|at| at + name.len()).collect()
        };
        let head = |at: usize| {
            let digits = std::str::from_utf8(&bytes[at..at + HEAD_DIGITS]).expect("the generator writes ASCII");
            u32::from_str_radix(digits, 16).expect("a UUID begins with eight hexadecimal digits")
        };
        let fraction = |at: usize| at + memchr::memchr(b'.', &bytes[at..]).expect("written with a fraction") + 1;
        Self {
            timestamps: after("\"timestamp\":\""),
            correlations: after("\"correlation_id\":\"").into_iter().map(|at| (at, head(at))).collect(),
            fractions: after("\"value\":").into_iter().map(fraction).collect(),
            bytes,
            events,
        }
    }

    /// Appends the body with timestamps from `first_us` (microseconds since 1970) on, one microsecond apart.
    pub fn append(&self, out: &mut Vec<u8>, first_us: i64, round: u32) {
        let start = out.len();
        out.extend_from_slice(&self.bytes);
        let body = &mut out[start..];
        let mut clock = Clock::default();
        for (&at, at_us) in self.timestamps.iter().zip(first_us..) {
            body[at..at + TIMESTAMP_BYTES].copy_from_slice(clock.text(at_us));
        }
        if round > 0 {
            let change = round.wrapping_mul(SPREAD);
            for &(at, head) in &self.correlations {
                write_digits(&mut body[at..at + HEAD_DIGITS], head ^ change, 16);
            }
            for (&at, number) in self.fractions.iter().zip(0u32..) {
                write_digits(&mut body[at..at + FRACTION_DIGITS], number.wrapping_mul(SPREAD) ^ change, 10);
            }
        }
    }

    /// The same with timestamps that end now.
    pub fn append_now(&self, out: &mut Vec<u8>, round: u32) {
        let length_us = i64::try_from(self.events).expect("a body has few events");
        self.append(out, jiff::Timestamp::now().as_microsecond() - length_us, round);
    }
}

/// `count` bodies of `events` events each.
pub fn templates(count: u64, events: u64) -> Vec<Template> {
    (0..count).map(|number| Template::new(number, events)).collect()
}

fn write_digits(out: &mut [u8], mut value: u32, base: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b"0123456789abcdef"[(value % base) as usize];
        value /= base;
    }
}

#[cfg(test)]
mod tests {
    use serde_json::Value;

    use super::super::dataset::Span;
    use super::*;

    /// 2026-01-31T12:34:56.999990Z: ten events on, the second changes.
    const FIRST_US: i64 = 1_769_862_896_999_990;

    fn items(template: &Template, round: u32) -> Vec<Value> {
        let mut body = Vec::new();
        template.append(&mut body, FIRST_US, round);
        serde_json::Deserializer::from_slice(&body).into_iter().collect::<Result<_, _>>().expect("valid JSON")
    }

    #[test]
    fn times_and_correlations_are_fresh_and_nothing_else_changes() {
        let template = Template::new(3, 200);
        let (mut first, mut second) = (items(&template, 0), items(&template, 1));
        let mut heads = std::collections::HashMap::new();
        for ((one, two), at_us) in first.iter_mut().zip(&mut second).zip(FIRST_US..) {
            let [one, two] = [one, two].map(|event| event.as_object_mut().expect("an object"));
            let [at, again] = [&mut *one, &mut *two].map(|event| event.remove("timestamp").expect("a time"));
            let at_time: jiff::Timestamp = at.as_str().expect("text").parse().expect("RFC 3339");
            assert_eq!((at_time.as_microsecond(), &again), (at_us, &at));
            if let Some(id) = one.remove("correlation_id") {
                let other = two.remove("correlation_id").expect("in both");
                assert!(id != other && uuid::Uuid::parse_str(other.as_str().expect("text")).is_ok());
                // Those that were alike are alike.
                assert_eq!(heads.entry(id).or_insert_with(|| other.clone()), &other);
            }
        }
        assert!(first == second && first.len() == 200 && heads.len() > 10);
    }

    #[test]
    fn samples_have_other_values_in_another_round_and_stay_what_they_are() {
        let span = Span { from_us: 0, to_us: 1, per_tenant: 50 };
        let dataset =
            Dataset { tenants: 3, assets: 50, metrics_per_asset: 1, dimension_sets: 0, events: span, samples: span };
        let template = Template::samples(&dataset, 2, 0..50);
        let (first, second) = (items(&template, 0), items(&template, 1));
        assert_eq!((first.len(), second.len()), (50, 50));
        for (first, second) in first.iter().zip(&second) {
            let asset = first["asset_id"].as_str().expect("text");
            assert!(asset.starts_with("t02-") && first["asset_id"] == second["asset_id"]);
            let [one, two] = [first, second].map(|sample| sample["value"].as_f64().expect("a number"));
            assert!((one.floor() - two.floor()).abs() < 1e-9 && (one - two).abs() > 1e-9, "{one} {two}");
        }
    }
}
