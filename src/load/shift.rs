//! Finding and rewriting the timestamp of one NDJSON line, and nothing else of it.
//!
//! Real data is old, and a server refuses or expires what is old. Each stream (for metrics each series) is moved as a
//! whole, so that its newest item is now and the distances within it stay what they were.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::ops::Range;

use jiff::Timestamp;
use serde::Deserialize;
use serde::de::IgnoredAny;
use serde_json::value::RawValue;

use super::options::ItemKind;
use crate::timestamp::{parse_epoch, parse_rfc3339};

/// What a metric is when it does not say, as at the server.
const METRIC_TYPE_DEFAULT: &str = "gauge";

/// The top-level fields that decide a line's time and stream. A field given twice is an error, here as at the server.
#[derive(Deserialize)]
struct LineFields<'a> {
    #[serde(borrow)]
    timestamp: Option<&'a RawValue>,
    #[serde(borrow)]
    occurred_at: Option<&'a RawValue>,
    #[serde(borrow)]
    time: Option<&'a RawValue>,
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    stream_name: Option<&'a RawValue>,
    #[serde(borrow)]
    asset_id: Option<&'a RawValue>,
    #[serde(borrow)]
    metric_type: Option<&'a RawValue>,
    #[serde(borrow)]
    metric_name: Option<&'a RawValue>,
    #[serde(borrow)]
    r#type: Option<&'a RawValue>,
    #[serde(borrow)]
    name: Option<&'a RawValue>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
}

/// What a line says about time.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Stamp {
    /// Its time in microseconds, and where in the line the value is written, quotes included.
    At { us: i64, span: Range<usize> },
    /// None given: the server will stamp it.
    Missing,
    /// Something that is no time, or no JSON object: the server's to judge.
    Unreadable,
}

/// What was found in a line.
pub(crate) struct ScannedLine {
    /// Valid JSON, so that it can stand in an array without spoiling its neighbours.
    pub(crate) is_json: bool,
    pub(crate) stamp: Stamp,
    /// A metric with `values`, which makes several rows.
    pub(crate) spread: bool,
}

/// Looks at one line; the name of its stream or series is left in `stream`.
pub(crate) fn scan(kind: ItemKind, line: &[u8], stream: &mut Vec<u8>) -> ScannedLine {
    stream.clear();
    let Ok(text) = std::str::from_utf8(line) else {
        return ScannedLine { is_json: false, stamp: Stamp::Unreadable, spread: false };
    };
    // An array would deserialize into the struct by position.
    let fields =
        if text.trim_ascii_start().starts_with('{') { serde_json::from_str::<LineFields>(text).ok() } else { None };
    let Some(fields) = fields else {
        let is_json = serde_json::from_str::<IgnoredAny>(text).is_ok();
        return ScannedLine { is_json, stamp: Stamp::Unreadable, spread: false };
    };
    match kind {
        ItemKind::Events => {
            let name = fields.stream.or(fields.stream_name).map_or(Cow::Borrowed("default"), plain);
            stream.extend_from_slice(name.as_bytes());
        }
        ItemKind::Metrics => {
            let asset_id = fields.asset_id.map_or(Cow::Borrowed(""), plain);
            let metric_type = fields.metric_type.or(fields.r#type).map_or(Cow::Borrowed(""), plain);
            let metric_type = if metric_type.is_empty() { Cow::Borrowed(METRIC_TYPE_DEFAULT) } else { metric_type };
            let metric_name = fields.metric_name.or(fields.name).map_or(Cow::Borrowed(""), plain);
            for part in [asset_id, metric_type, metric_name] {
                stream.extend_from_slice(part.as_bytes());
                // No part can hold a NUL that the server accepts, so no two series share a name.
                stream.push(0);
            }
        }
    }
    let stamp = match fields.timestamp.or(fields.occurred_at).or(fields.time) {
        None => Stamp::Missing,
        Some(value) => match micros(value.get()) {
            None => Stamp::Unreadable,
            Some(us) => {
                let start = value.get().as_ptr().addr() - line.as_ptr().addr();
                Stamp::At { us, span: start..start + value.get().len() }
            }
        },
    };
    ScannedLine { is_json: true, stamp, spread: kind == ItemKind::Metrics && fields.values.is_some() }
}

/// A JSON string's content; anything else as written.
fn plain(value: &RawValue) -> Cow<'_, str> {
    let text = value.get();
    match text.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
        Some(inner) if !inner.contains('\\') => Cow::Borrowed(inner),
        Some(_) => serde_json::from_str(text).map_or(Cow::Borrowed(text), Cow::Owned),
        None => Cow::Borrowed(text),
    }
}

/// The time that a JSON value names, read as a server reads it.
fn micros(json: &str) -> Option<i64> {
    let us = match json.as_bytes().first()? {
        b'"' => parse_rfc3339(&serde_json::from_str::<Cow<str>>(json).ok()?)?,
        b'-' | b'0'..=b'9' => parse_epoch(json),
        _ => return None,
    };
    Timestamp::from_microsecond(us).ok().map(|_| us)
}

/// The newest timestamp of each stream of a file, and the now that each is moved to.
pub(crate) struct Shifts {
    now_us: i64,
    newest_us: HashMap<Vec<u8>, i64>,
}

impl Shifts {
    pub(crate) fn new(now_us: i64) -> Self {
        Self { now_us, newest_us: HashMap::new() }
    }

    /// Takes a line of the first pass into account.
    pub(crate) fn observe(&mut self, stream: &[u8], us: i64) {
        match self.newest_us.get_mut(stream) {
            Some(newest) => *newest = us.max(*newest),
            None => drop(self.newest_us.insert(stream.to_vec(), us)),
        }
    }

    /// Where a timestamp of a stream moves to; none when that is outside the calendar.
    fn moved(&self, stream: &[u8], us: i64) -> Option<Timestamp> {
        let newest = self.newest_us.get(stream)?;
        let us = us.checked_add(self.now_us.checked_sub(*newest)?)?;
        Timestamp::from_microsecond(us).ok()
    }

    /// Appends the line with its timestamp moved, every other byte as it is, and returns the new time. A line
    /// that cannot be moved is appended as it is.
    pub(crate) fn append(&self, out: &mut Vec<u8>, line: &[u8], stream: &[u8], stamp: &Stamp) -> Option<i64> {
        if let Stamp::At { us, span } = stamp
            && let Some(at) = self.moved(stream, *us)
        {
            out.extend_from_slice(&line[..span.start]);
            write!(out, "\"{at:.6}\"").expect("a Vec takes every write");
            out.extend_from_slice(&line[span.end..]);
            return Some(at.as_microsecond());
        }
        out.extend_from_slice(line);
        match stamp {
            Stamp::At { us, .. } => Some(*us),
            Stamp::Missing | Stamp::Unreadable => None,
        }
    }

    #[cfg(test)]
    pub(crate) fn streams(&self) -> usize {
        self.newest_us.len()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn at(text: &str) -> i64 {
        text.parse::<Timestamp>().expect("a timestamp").as_microsecond()
    }

    /// Both passes over some lines, with now at 2026-01-01.
    fn shifted(kind: ItemKind, lines: &[&str]) -> Vec<String> {
        let mut shifts = Shifts::new(at("2026-01-01T00:00:00Z"));
        let mut stream = Vec::new();
        for line in lines {
            if let Stamp::At { us, .. } = scan(kind, line.as_bytes(), &mut stream).stamp {
                shifts.observe(&stream, us);
            }
        }
        let mut shift = |line: &&str| {
            let stamp = scan(kind, line.as_bytes(), &mut stream).stamp;
            let mut out = Vec::new();
            shifts.append(&mut out, line.as_bytes(), &stream, &stamp);
            String::from_utf8(out).expect("UTF-8")
        };
        lines.iter().map(&mut shift).collect()
    }

    #[test]
    fn only_the_timestamp_changes_and_each_stream_on_its_own() {
        let got = shifted(
            ItemKind::Events,
            &[
                r#"{ "x" : 1.50 ,"timestamp" : "2017-05-16T00:00:00.008Z" , "stream":"a","y":"\u00e9"}"#,
                r#"{"stream":"\u0061","occurred_at":"2017-05-16T02:00:01.008000+02:00"}"#,
                r#"{"time":"2005-01-01T00:00:00Z","payload":{"timestamp":"2000-01-01T00:00:00Z"}}  "#,
                r#"{"timestamp":"2004-12-31T23:59:00.5Z","stream":null}"#,
            ],
        );
        assert_eq!(
            got,
            [
                r#"{ "x" : 1.50 ,"timestamp" : "2025-12-31T23:59:59.000000Z" , "stream":"a","y":"\u00e9"}"#,
                r#"{"stream":"\u0061","occurred_at":"2026-01-01T00:00:00.000000Z"}"#,
                r#"{"time":"2026-01-01T00:00:00.000000Z","payload":{"timestamp":"2000-01-01T00:00:00Z"}}  "#,
                r#"{"timestamp":"2025-12-31T23:59:00.500000Z","stream":null}"#,
            ]
        );
    }

    #[test]
    fn metrics_shift_by_series() {
        let got = shifted(
            ItemKind::Metrics,
            &[
                r#"{"timestamp":"2014-01-01T00:00:00Z","asset_id":"a","metric_type":"t","metric_name":"n","value":1}"#,
                r#"{"timestamp":"2014-01-01T00:05:00Z","asset_id":"a","metric_type":"t","metric_name":"n","value":2}"#,
                r#"{"timestamp":"2014-01-01T00:00:00Z","asset_id":"a","metric_type":"t","metric_name":"m","value":3}"#,
            ],
        );
        let starts = ["2025-12-31T23:55:00.000000Z", "2026-01-01T00:00:00.000000Z", "2026-01-01T00:00:00.000000Z"];
        for (line, start) in got.iter().zip(starts) {
            assert!(line.starts_with(&format!("{{\"timestamp\":\"{start}\",\"asset_id\":\"a\"")), "{line}");
        }
    }

    /// Lines that the server takes for one series move together, by whichever names they say so.
    #[test]
    fn a_series_is_known_by_its_aliases() {
        let (older, newer) = ("2014-01-01T00:00:00Z", "2014-01-01T00:05:00Z");
        let series = |time: &str, fields: &str| format!(r#"{{"timestamp":"{time}","asset_id":"a",{fields}}}"#);
        let moved = |fields: &str, others: &str| {
            let lines = [series(older, fields), series(newer, others)];
            let got = shifted(ItemKind::Metrics, &[&lines[0], &lines[1]]);
            assert_eq!(got[1], series("2026-01-01T00:00:00.000000Z", others));
            got[0] == series("2025-12-31T23:55:00.000000Z", fields)
        };
        for same in [
            r#""name":"n""#,
            r#""name":"n","type":"gauge""#,
            r#""metric_name":"n","name":"m","metric_type":"gauge","type":"t""#,
            r#""metric_name":null,"name":"n","metric_type":null,"type":"gauge""#,
            r#""metric_name":"n","type":"""#,
        ] {
            assert!(moved(same, r#""metric_name":"n""#), "{same}");
        }
        for other in [r#""name":"m""#, r#""name":"n","type":"t""#, r#""metric_name":"m","name":"n""#] {
            assert!(!moved(other, r#""metric_name":"n""#), "{other}");
        }
    }

    #[test]
    fn epoch_numbers_become_text() {
        let got = shifted(ItemKind::Events, &[r#"{"time":1494892800,"n":2}"#, r#"{"time":1494892799999.5,"n":1}"#]);
        assert_eq!(
            got,
            [r#"{"time":"2026-01-01T00:00:00.000000Z","n":2}"#, r#"{"time":"2025-12-31T23:59:59.999500Z","n":1}"#]
        );
    }

    #[test]
    fn epoch_units_go_by_size() {
        let us = 1_494_892_800_123_456;
        assert_eq!(micros("1494892800.123456"), Some(us));
        assert_eq!(micros("1494892800123.456"), Some(us));
        assert_eq!(micros("1494892800123456"), Some(us));
        assert_eq!(micros("1494892800123456789"), Some(us));
        assert_eq!(micros("-0.5"), Some(-500_000));
        assert_eq!(micros("1.494892800123456e9"), Some(us));
        for bad in [
            "1e99",
            "true",
            "null",
            "\"2016-11-30T12:30:60Z\"",
            "\"2016-11-30T00:00:00+24:00\"",
            "{}",
            "\"\"",
            "\"yesterday\"",
            "99999999999999999999999999999999999999999",
        ] {
            assert_eq!(micros(bad), None, "{bad}");
        }
    }

    #[test]
    fn what_has_no_readable_time_is_left_alone() {
        let lines = [
            "not json",
            "{\"timestamp\":",
            "[1,2]",
            "0",
            r#"{"timestamp":"2017-01-01T00:00:00Z","timestamp":"2018-01-01T00:00:00Z"}"#,
            r#"{"timestamp":"soon"}"#,
            r#"{"event_type":"x"}"#,
        ];
        assert_eq!(shifted(ItemKind::Events, &lines), lines);
        let mut stream = Vec::new();
        let json = lines.map(|line| scan(ItemKind::Events, line.as_bytes(), &mut stream).is_json);
        assert_eq!(json, [false, false, true, true, true, true, true]);
        assert_eq!(scan(ItemKind::Events, lines[6].as_bytes(), &mut stream).stamp, Stamp::Missing);
        assert!(!scan(ItemKind::Events, b"{\"a\":\"\xff\"}", &mut stream).is_json);
    }

    #[test]
    fn deep_nesting_does_not_overflow_the_stack() {
        let line = format!("{{\"timestamp\":1494892800,\"payload\":{}1{}}}", "[".repeat(200_000), "]".repeat(200_000));
        let found = scan(ItemKind::Events, line.as_bytes(), &mut Vec::new());
        assert!(found.is_json && found.stamp == Stamp::At { us: 1_494_892_800_000_000, span: 13..23 });
    }
}
