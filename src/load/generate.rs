//! Realistic telemetry events, made from a seed straight into a request body.
//!
//! Each batch draws from its own random stream, so its content depends on the seed and its number only, whichever worker
//! makes it. Nothing is allocated per event: a load generator that is slower than the server measures itself.

use super::options::Format;
use crate::rng::Rng;

/// One kind of event: what it is, who emits it, what it talks about.
struct EventShape {
    event_type: &'static str,
    source_module: &'static str,
    method: &'static str,
    path: &'static str,
    message: &'static str,
}

const fn shape(
    event_type: &'static str,
    source_module: &'static str,
    method: &'static str,
    path: &'static str,
    message: &'static str,
) -> EventShape {
    EventShape { event_type, source_module, method, path, message }
}

const SHAPES: [EventShape; 12] = [
    shape(
        "http.request.completed",
        "edge-gateway",
        "GET",
        "/v1/catalog/items/",
        "request served from the upstream pool",
    ),
    shape(
        "http.request.failed",
        "edge-gateway",
        "GET",
        "/v1/search/results/",
        "upstream closed the stream while reading",
    ),
    shape("auth.session.opened", "identity", "POST", "/v1/sessions/", "session opened, second factor verified"),
    shape(
        "auth.login.failed",
        "identity",
        "POST",
        "/v1/sessions/",
        "credentials refused, attempt counted against account",
    ),
    shape("order.created", "checkout-api", "POST", "/v1/orders/", "order accepted and reserved in the warehouse"),
    shape("payment.captured", "payments", "POST", "/v1/payments/", "capture confirmed by the acquiring bank"),
    shape("payment.declined", "payments", "POST", "/v1/payments/", "issuer declined, customer asked for another card"),
    shape("inventory.updated", "inventory", "PUT", "/v1/stock/", "stock level written after a cycle count"),
    shape(
        "cache.entry.evicted",
        "catalog-cache",
        "DELETE",
        "/v1/cache/keys/",
        "evicted under memory pressure, oldest first",
    ),
    shape("queue.job.retried", "job-runner", "POST", "/v1/jobs/", "job returned to its queue after a timeout"),
    shape(
        "deploy.step.finished",
        "job-runner",
        "PATCH",
        "/v1/deployments/",
        "rolling update moved on to the next zone",
    ),
    shape("device.heartbeat", "telemetry-agent", "PUT", "/v1/devices/", "heartbeat received, clock offset in bounds"),
];
pub(super) const REGIONS: [&str; 6] =
    ["eu-west-1", "eu-central-1", "us-east-1", "us-west-2", "ap-south-1", "sa-east-1"];
const HEX: &[u8; 16] = b"0123456789abcdef";

#[derive(Clone, Copy, Debug)]
pub struct Generator {
    /// Equal seeds make equal events.
    pub seed: u64,
    pub assets: u32,
}

impl Generator {
    /// Appends a whole body of `events` events to `out`. Their timestamps are `first_us` and the microseconds after it.
    pub fn append(&self, out: &mut Vec<u8>, format: Format, number: u64, events: u64, first_us: i64) {
        let mut rng = Rng::for_batch(self.seed, number);
        // A correlation ties together a few neighbouring events, as one user's request does.
        let mut correlation = [rng.next(), rng.next()];
        write_body(out, format, events, first_us, |out, timestamp| {
            if rng.chance(20) {
                correlation = [rng.next(), rng.next()];
            }
            self.append_event(out, &mut rng, timestamp, correlation);
        });
    }

    fn append_event(&self, out: &mut Vec<u8>, rng: &mut Rng, timestamp: &[u8], correlation: [u64; 2]) {
        let shape = rng.pick(&SHAPES);
        // 90 % fine, 7 % the caller's fault, 3 % ours.
        let (severity, status) = match rng.below(100) {
            0..90 => ("info", *rng.pick(&[200, 200, 200, 201, 204])),
            90..97 => ("warning", *rng.pick(&[400, 404, 409, 429])),
            _ => ("error", *rng.pick(&[500, 502, 503])),
        };
        let environment = if rng.chance(85) { "production" } else { "staging" };
        out.extend_from_slice(b"{\"timestamp\":\"");
        out.extend_from_slice(timestamp);
        put(out, &["\",\"source_module\":\"", shape.source_module, "\",\"event_type\":\"", shape.event_type]);
        put(out, &["\",\"severity\":\"", severity, "\",\"environment\":\"", environment]);
        put(out, &["\",\"asset_id\":\"asset-"]);
        append_number(out, rng.below(self.assets), 5);
        if rng.chance(30) {
            put(out, &["\",\"correlation_id\":\""]);
            append_uuid(out, correlation);
        }
        if rng.chance(40) {
            put(out, &["\",\"trace_id\":\""]);
            append_hex(out, rng.next(), 16);
            append_hex(out, rng.next(), 16);
        }
        put(out, &["\",\"payload\":{\"method\":\"", shape.method, "\",\"path\":\"", shape.path]);
        append_number(out, rng.below(1_000_000), 6);
        put(out, &["\",\"status\":"]);
        append_number(out, status, 1);
        put(out, &[",\"latency_ms\":"]);
        // The smaller of two draws: most are fast, a few are slow.
        append_thousandths(out, rng.below(250_000).min(rng.below(250_000)));
        let region = *rng.pick(&REGIONS);
        put(out, &[",\"region\":\"", region, "\",\"bytes\":"]);
        append_number(out, rng.below(65_536), 1);
        put(out, &[",\"message\":\"", shape.message, "\"}}"]);
    }
}

/// Appends a body of `items` items, each written by `append`, whose timestamps are a microsecond apart.
pub(super) fn write_body(
    out: &mut Vec<u8>,
    format: Format,
    items: u64,
    first_us: i64,
    mut append: impl FnMut(&mut Vec<u8>, &[u8]),
) {
    let mut clock = Clock::default();
    let (open, between, close): (&[u8], &[u8], &[u8]) = match format {
        Format::Json => (b"[", b",", b"]"),
        Format::Ndjson => (b"", b"\n", b"\n"),
    };
    out.extend_from_slice(open);
    for (at_us, index) in (first_us..).zip(0..items) {
        if index > 0 {
            out.extend_from_slice(between);
        }
        append(out, clock.text(at_us));
    }
    out.extend_from_slice(close);
}

/// Appends some texts, one behind the other.
pub(super) fn put(out: &mut Vec<u8>, texts: &[&str]) {
    texts.iter().for_each(|text| out.extend_from_slice(text.as_bytes()));
}

/// The text of rising timestamps: the date is written once a second, the fraction once an event.
#[derive(Default)]
pub struct Clock {
    second: Option<i64>,
    /// `2026-01-31T12:34:56.000000Z`
    text: Vec<u8>,
}

impl Clock {
    /// `2026-01-31T12:34:56.000000Z`
    pub fn text(&mut self, at_us: i64) -> &[u8] {
        let second = at_us.div_euclid(1_000_000);
        if self.second != Some(second) {
            let at = jiff::Timestamp::from_second(second).expect("the clock is within the years 1 to 9999");
            self.text = format!("{at:.6}").into_bytes();
            self.second = Some(second);
        }
        let fraction = self.text.len() - 7;
        let mut rest = at_us.rem_euclid(1_000_000);
        for digit in self.text[fraction..fraction + 6].iter_mut().rev() {
            *digit = b'0' + u8::try_from(rest % 10).expect("a digit");
            rest /= 10;
        }
        &self.text
    }
}

/// Appends `value` in decimal, padded with zeros to `width` digits.
pub(super) fn append_number(out: &mut Vec<u8>, mut value: u32, width: usize) {
    let mut digits = [b'0'; 10];
    let mut start = digits.len();
    while value > 0 {
        start -= 1;
        digits[start] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&digits[start.min(digits.len() - width)..]);
}

/// Appends a number of thousandths as a decimal.
pub(super) fn append_thousandths(out: &mut Vec<u8>, value: u32) {
    append_number(out, value / 1000, 1);
    out.push(b'.');
    append_number(out, value % 1000, 3);
}

/// Appends the lowest `digits` hexadecimal digits of `value`.
fn append_hex(out: &mut Vec<u8>, value: u64, digits: u32) {
    out.extend((0..digits).rev().map(|digit| HEX[((value >> (digit * 4)) & 15) as usize]));
}

/// Appends a version 4 UUID made of 122 of the 128 bits given.
fn append_uuid(out: &mut Vec<u8>, [high, low]: [u64; 2]) {
    append_hex(out, high >> 32, 8);
    out.push(b'-');
    append_hex(out, high >> 16, 4);
    out.extend_from_slice(b"-4");
    append_hex(out, high, 3);
    out.push(b'-');
    out.push(b"89ab"[(low >> 62) as usize]);
    append_hex(out, low >> 48, 3);
    out.push(b'-');
    append_hex(out, low, 12);
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use serde_json::Value;

    use super::*;

    /// 2026-01-31T12:34:56.999990Z: ten events further the second changes.
    const FIRST_US: i64 = 1_769_862_896_999_990;

    fn body(seed: u64, format: Format, number: u64, events: u64) -> Vec<u8> {
        let mut out = Vec::new();
        Generator { seed, assets: 2000 }.append(&mut out, format, number, events, FIRST_US);
        out
    }

    #[test]
    fn the_same_seed_and_number_make_the_same_bytes() {
        assert_eq!(body(1, Format::Json, 5, 100), body(1, Format::Json, 5, 100));
        assert_ne!(body(1, Format::Json, 5, 100), body(2, Format::Json, 5, 100));
        assert_ne!(body(1, Format::Json, 5, 100), body(1, Format::Json, 6, 100));
    }

    #[test]
    fn events_are_valid_and_about_400_bytes() {
        let lines = body(42, Format::Ndjson, 0, 5000);
        let events: Vec<Value> = lines
            .split(|&byte| byte == b'\n')
            .filter(|line| !line.is_empty())
            .map(|line| serde_json::from_slice(line).expect("valid JSON"))
            .collect();
        assert_eq!(events.len(), 5000);
        let mean = lines.len() / events.len();
        assert!((380..=420).contains(&mean), "mean event is {mean} bytes");
        let payload: usize = events.iter().map(|event| event["payload"].to_string().len()).sum();
        let payload = payload / events.len();
        assert!((160..=182).contains(&payload), "mean payload is {payload} bytes");

        let distinct = |field: &str| events.iter().filter_map(|e| e[field].as_str()).collect::<BTreeSet<_>>().len();
        assert_eq!(distinct("event_type"), 12);
        assert_eq!(distinct("source_module"), 8);
        assert_eq!(distinct("severity"), 3);
        assert!((1700..=2000).contains(&distinct("asset_id")));
        let correlated: Vec<&str> = events.iter().filter_map(|event| event["correlation_id"].as_str()).collect();
        assert!((1300..=1700).contains(&correlated.len()), "{} of 5000 are correlated", correlated.len());
        for id in correlated {
            assert_eq!(uuid::Uuid::parse_str(id).expect("a UUID").get_version_num(), 4);
        }
    }

    #[test]
    fn an_array_holds_the_same_events_as_lines() {
        let array: Vec<Value> = serde_json::from_slice(&body(3, Format::Json, 9, 50)).expect("valid JSON");
        let lines = body(3, Format::Ndjson, 9, 50);
        let lines: Vec<Value> =
            serde_json::Deserializer::from_slice(&lines).into_iter().collect::<Result<_, _>>().expect("valid lines");
        assert_eq!(array, lines);
    }

    #[test]
    fn timestamps_rise_by_a_microsecond_across_a_second() {
        let array: Vec<Value> = serde_json::from_slice(&body(3, Format::Json, 9, 20)).expect("valid JSON");
        for (index, event) in array.iter().enumerate() {
            let at: jiff::Timestamp = event["timestamp"].as_str().expect("text").parse().expect("RFC 3339");
            assert_eq!(at.as_microsecond(), FIRST_US + i64::try_from(index).expect("small"));
        }
        assert_eq!(array[10]["timestamp"], "2026-01-31T12:34:57.000000Z");
    }

    #[test]
    fn numbers_are_padded() {
        let mut out = Vec::new();
        for (value, width) in [(0, 1), (7, 3), (1234, 2), (u32::MAX, 1)] {
            append_number(&mut out, value, width);
            out.push(b' ');
        }
        assert_eq!(out, b"0 007 1234 4294967295 ");
    }
}
