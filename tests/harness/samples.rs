//! Bodies that tests send.

use std::io::Write;

use flate2::Compression;
use flate2::write::GzEncoder;
use jiff::{SignedDuration, Timestamp};
use serde_json::Value;

use crate::env::until;

/// An event with nothing but what is required; `n` tells it apart.
pub fn event(n: usize) -> String {
    format!(r#"{{"event_type":"sample","source_module":"tests","payload":{{"n":{n}}}}}"#)
}

/// An event that also has these members, such as `"asset_id":"a"`.
pub fn event_with(n: usize, members: &str) -> String {
    format!(r#"{{"event_type":"sample","source_module":"tests","payload":{{"n":{n}}},{members}}}"#)
}

/// A metric with nothing but what is required: a sample of one of eight assets.
pub fn metric(n: usize) -> String {
    metric_with(&format!("asset-{}", n % 8), &format!("\"value\":{n}"))
}

/// A metric of this asset that has these members, such as `"value":1`.
pub fn metric_with(asset_id: &str, members: &str) -> String {
    format!(r#"{{"asset_id":"{asset_id}","metric_name":"latency",{members}}}"#)
}

/// A JSON array.
pub fn array(items: impl IntoIterator<Item = impl AsRef<[u8]>>) -> Vec<u8> {
    let mut body = b"[".to_vec();
    for item in items {
        if body.len() > 1 {
            body.push(b',');
        }
        body.extend_from_slice(item.as_ref());
    }
    body.push(b']');
    body
}

/// An array of `count` ordinary events.
pub fn batch(count: usize) -> Vec<u8> {
    array((0..count).map(event))
}

/// An array of 1000 events, of which number 411 is this one.
pub fn thousand_with(poison: &[u8]) -> Vec<u8> {
    array((0..1000).map(|n| if n == 411 { poison.to_vec() } else { event(n).into_bytes() }))
}

pub fn gzip(body: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::default());
    encoder.write_all(body).unwrap();
    encoder.finish().unwrap()
}

/// Now, as fine as PostgreSQL keeps it.
pub fn now() -> Timestamp {
    Timestamp::from_microsecond(Timestamp::now().as_microsecond()).unwrap()
}

/// For tests that name today more than once: returns where the day, of UTC, is not about to end, not even for a machine on which
/// they take minutes.
pub fn on_one_day() {
    until("the next day has begun", || {
        let left_s = 86_400 - Timestamp::now().as_second().rem_euclid(86_400);
        (left_s > 150).then_some(())
    });
}

/// RFC 3339, so many hours from now (negative: ago), to the second.
pub fn hours_from_now(hours: i64) -> String {
    seconds_from_now(hours * 3600)
}

/// RFC 3339, so many seconds from now, to the second.
pub fn seconds_from_now(seconds: i64) -> String {
    let at = Timestamp::now().checked_add(SignedDuration::from_secs(seconds)).unwrap();
    format!("{at:.0}")
}

/// For a query string.
pub fn encode(text: &str) -> String {
    percent_encoding::utf8_percent_encode(text, percent_encoding::NON_ALPHANUMERIC).to_string()
}

/// The texts of one member of all items of a list.
pub fn texts<'a>(list: &'a Value, member: &str) -> Vec<&'a str> {
    list["data"].as_array().unwrap().iter().map(|item| item[member].as_str().unwrap_or("null")).collect()
}
