//! Request bodies made before the clock starts, so that the generator's work does not hide in a figure.
//!
//! A template is a body of `tidegate::load::Generator`. Sending it copies its bytes and writes new timestamps over the
//! old ones; from the second time on also other heads of the correlation ids, so that no row is like one before. Event
//! ids are the server's. Nothing is generated, formatted or allocated while a measurement runs.

use std::io::Write;

use memchr::memmem;
use tidegate::load::{Format, Generator};

use super::dataset::{Dataset, asset_name};

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
    /// Events in it.
    pub events: u64,
}

impl Template {
    /// The generator's body `number`, as NDJSON.
    pub fn new(generator: &Generator, number: u64, events: u64) -> Self {
        let mut bytes = Vec::new();
        generator.append(&mut bytes, Format::Ndjson, number, events, 0);
        Self::of(bytes, events)
    }

    /// These samples of a tenant, as NDJSON.
    pub fn samples(dataset: &Dataset, tenant: usize, numbers: std::ops::Range<u64>) -> Self {
        let events = numbers.end - numbers.start;
        let mut bytes = Vec::new();
        for number in numbers {
            let sample = dataset.sample(tenant, number);
            let (asset, (name, of_type)) = (asset_name(tenant, sample.asset), sample.metric);
            writeln!(
                bytes,
                r#"{{"timestamp":"1970-01-01T00:00:00.000000Z","asset_id":"{asset}","metric_type":"{of_type}","metric_name":"{name}","value":{:.6}}}"#,
                sample.value
            )
            .expect("a Vec takes everything");
        }
        Self::of(bytes, events)
    }

    fn of(bytes: Vec<u8>, events: u64) -> Self {
        let after = |name: &str| -> Vec<usize> {
            memmem::find_iter(&bytes, name.as_bytes()).map(|at| at + name.len()).collect()
        };
        let timestamps = after("\"timestamp\":\"");
        let value = |at: usize| {
            let digits = std::str::from_utf8(&bytes[at..at + HEAD_DIGITS]).expect("the generator writes ASCII");
            u32::from_str_radix(digits, 16).expect("a UUID begins with eight hexadecimal digits")
        };
        let correlations = after("\"correlation_id\":\"").into_iter().map(|at| (at, value(at))).collect();
        let point =
            |at: usize| at + bytes[at..].iter().position(|&byte| byte == b'.').expect("written with a fraction") + 1;
        let fractions = after("\"value\":").into_iter().map(point).collect();
        Self { timestamps, correlations, fractions, bytes, events }
    }

    /// Length of the body.
    pub fn len(&self) -> usize {
        self.bytes.len()
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
                write_hex(&mut body[at..at + HEAD_DIGITS], head ^ change);
            }
            for (&at, number) in self.fractions.iter().zip(0u32..) {
                write_decimal(&mut body[at..at + FRACTION_DIGITS], number.wrapping_mul(SPREAD) ^ change);
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
pub fn templates(generator: &Generator, count: u64, events: u64) -> Vec<Template> {
    (0..count).map(|number| Template::new(generator, number, events)).collect()
}

fn write_hex(out: &mut [u8], value: u32) {
    for (digit, place) in out.iter_mut().rev().zip(0..) {
        *digit = b"0123456789abcdef"[(value >> (4 * place)) as usize & 15];
    }
}

fn write_decimal(out: &mut [u8], mut value: u32) {
    for digit in out.iter_mut().rev() {
        *digit = b'0' + u8::try_from(value % 10).expect("a digit");
        value /= 10;
    }
}

/// Text of rising timestamps: the date is formatted once a second.
#[derive(Default)]
struct Clock {
    second: Option<i64>,
    text: [u8; TIMESTAMP_BYTES],
}

impl Clock {
    fn text(&mut self, at_us: i64) -> &[u8; TIMESTAMP_BYTES] {
        let second = at_us.div_euclid(1_000_000);
        if self.second != Some(second) {
            let at = jiff::Timestamp::from_second(second).expect("within the years 1 to 9999");
            self.text.copy_from_slice(format!("{at:.6}").as_bytes());
            self.second = Some(second);
        }
        let mut rest = at_us.rem_euclid(1_000_000);
        for digit in self.text[20..26].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        &self.text
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// 2026-01-31T12:34:56.999990Z: ten events on, the second changes.
    const FIRST_US: i64 = 1_769_862_896_999_990;

    fn events(round: u32) -> Vec<Value> {
        let mut body = Vec::new();
        Template::new(&Generator { seed: 7, assets: 10 }, 3, 200).append(&mut body, FIRST_US, round);
        serde_json::Deserializer::from_slice(&body).into_iter().collect::<Result<_, _>>().expect("valid JSON")
    }

    #[test]
    fn timestamps_are_fresh_and_rise_by_a_microsecond() {
        for (event, at_us) in events(0).iter().zip(FIRST_US..) {
            let at: jiff::Timestamp = event["timestamp"].as_str().expect("text").parse().expect("RFC 3339");
            assert_eq!(at.as_microsecond(), at_us);
        }
    }

    #[test]
    fn another_round_has_other_correlations_that_tie_the_same_events_together() {
        let ids = |events: &[Value]| -> Vec<String> {
            events.iter().filter_map(|event| Some(event["correlation_id"].as_str()?.to_owned())).collect()
        };
        let (first, second) = (ids(&events(0)), ids(&events(1)));
        assert!(!first.is_empty() && first.len() == second.len());
        let distinct = |ids: &[String]| ids.iter().cloned().collect::<BTreeSet<_>>();
        assert!(distinct(&first).is_disjoint(&distinct(&second)));
        assert_eq!(distinct(&first).len(), distinct(&second).len());
        assert!(second.iter().all(|id| uuid::Uuid::parse_str(id).is_ok()));
    }

    #[test]
    fn samples_have_other_values_in_another_round_and_stay_what_they_are() {
        use super::super::dataset::Span;
        let span = Span { from_us: 0, to_us: 1, per_tenant: 50 };
        let dataset = Dataset { tenants: 3, assets: 50, metrics_per_asset: 1, events: span, samples: span };
        let template = Template::samples(&dataset, 2, 0..50);
        let [first, second] = [0, 1].map(|round| {
            let mut body = Vec::new();
            template.append(&mut body, FIRST_US, round);
            serde_json::Deserializer::from_slice(&body)
                .into_iter()
                .collect::<Result<Vec<Value>, _>>()
                .expect("valid JSON")
        });
        assert_eq!((first.len(), second.len()), (50, 50));
        for (first, second) in first.iter().zip(&second) {
            assert!(
                first["asset_id"] == second["asset_id"]
                    && first["asset_id"].as_str().expect("text").starts_with("t02-")
            );
            let [one, two] = [first, second].map(|sample| sample["value"].as_f64().expect("a number"));
            assert!((one.floor() - two.floor()).abs() < 1e-9 && (one - two).abs() > 1e-9, "{one} {two}");
        }
    }

    #[test]
    fn nothing_else_changes() {
        let strip = |mut event: Value| {
            let fields = event.as_object_mut().expect("an object");
            fields.remove("timestamp");
            fields.remove("correlation_id");
            event
        };
        let [first, second] = [0, 5].map(|round| events(round).into_iter().map(strip).collect::<Vec<_>>());
        assert_eq!(first, second);
        assert_eq!(first.len(), 200);
    }
}
