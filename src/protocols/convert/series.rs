//! The text that all samples of a series have in common: written once, copied for each.

use std::borrow::Cow;

use super::Json;
use crate::limits::{ASSET_ID_CHARS_MAX, METRIC_NAME_CHARS_MAX};
use crate::wire::event::shortened;

/// The beginning of a metric's item: asset, type, name and dimensions. Used for one series after another.
#[derive(Default)]
pub struct SeriesText {
    text: Vec<u8>,
    has_dimensions: bool,
    is_shortened: bool,
}

impl SeriesText {
    pub fn new() -> Self {
        Self::default()
    }

    /// Begins a series. A name or asset that is longer than its column is shortened there, and whole among the
    /// dimensions (`metric_name`, `asset_id`), so that no two series become one.
    pub fn begin(&mut self, asset_id: &[u8], metric_type: &str, metric_name: &[u8]) {
        self.text.clear();
        (self.has_dimensions, self.is_shortened) = (false, false);
        let asset = fitting(asset_id, ASSET_ID_CHARS_MAX);
        let name = fitting(metric_name, METRIC_NAME_CHARS_MAX);
        self.write(|json| {
            json.raw(b"{\"asset_id\":");
            json.string(&asset);
            json.raw(b",\"metric_type\":");
            json.string(metric_type.as_bytes());
            json.raw(b",\"metric_name\":");
            json.string(&name);
        });
        if let Cow::Owned(_) = asset {
            self.is_shortened = true;
            self.dimension(b"asset_id", asset_id);
        }
        if let Cow::Owned(_) = name {
            self.is_shortened = true;
            self.dimension(b"metric_name", metric_name);
        }
    }

    /// Adds a dimension whose value is text.
    pub fn dimension(&mut self, name: &[u8], value: &[u8]) {
        self.dimension_with(name, |json| json.string(value));
    }

    /// Adds a dimension whose value is written by `value`.
    pub fn dimension_with(&mut self, name: &[u8], value: impl FnOnce(&mut Json<'_>)) {
        let before: &[u8] = if self.has_dimensions { b"," } else { b",\"dimensions\":{" };
        self.has_dimensions = true;
        self.write(|json| {
            json.raw(before);
            json.key(name);
            value(json);
        });
    }

    /// Ends the dimensions; nothing is added after it.
    pub fn close(&mut self) {
        if self.has_dimensions {
            self.text.push(b'}');
        }
    }

    pub fn text(&self) -> &[u8] {
        &self.text
    }

    /// Whether there are dimensions so far.
    pub fn has_dimensions(&self) -> bool {
        self.has_dimensions
    }

    pub fn is_shortened(&self) -> bool {
        self.is_shortened
    }

    /// A series' text is a part of the body, written out: a few times as large at most.
    fn write(&mut self, write: impl FnOnce(&mut Json<'_>)) {
        let mut json = Json::onto(std::mem::take(&mut self.text));
        write(&mut json);
        self.text = json.into_text();
    }
}

/// Text as a column of so many characters has it: borrowed where it fits.
pub fn fitting(text: &[u8], chars_max: usize) -> Cow<'_, [u8]> {
    if text.len() <= chars_max {
        return text.into();
    }
    match std::str::from_utf8(text) {
        Ok(long) if long.chars().count() > chars_max => shortened(long, chars_max).into_bytes().into(),
        // What is not UTF-8 is refused where it is decoded.
        _ => text.into(),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use bytes::Bytes;
    use serde_json::{Value, json};

    use super::super::Converter;
    use super::*;

    #[test]
    fn samples_share_their_series() {
        let mut into = Converter::new(Box::new(|_| Ok(())));
        let mut series = SeriesText::new();
        series.begin(b"host-1", "untyped", b"up");
        series.dimension(b"job", b"a\"b");
        series.dimension_with(b"n", |json| json.i64(3));
        series.close();
        into.sample(&series, Some(1_700_000_000_000_000_000), 1.5, 0..1, 0);
        into.sample(&series, None, 2.0, 1..2, 0);
        into.sample(&series, None, f64::NAN, 1..2, 0);
        series.begin(&[b'h'; 200], "gauge", b"up");
        series.close();
        into.sample(&series, None, 3.0, 2..3, 0);
        let made = into.finish(Bytes::from_static(b"abc")).unwrap();
        let items: Vec<Value> =
            made.items.split(|byte| *byte == b'\n').filter_map(|line| serde_json::from_slice(line).ok()).collect();
        assert_eq!(
            items[0],
            json!({"asset_id": "host-1", "metric_type": "untyped", "metric_name": "up",
                "dimensions": {"job": "a\"b", "n": 3}, "timestamp": 1_700_000_000_000_000_000_i64, "value": 1.5})
        );
        assert_eq!((items.len(), items[1].get("timestamp"), &items[1]["value"]), (3, None, &json!(2.0)));
        assert_eq!(items[2]["dimensions"]["asset_id"], "h".repeat(200));
        assert_eq!(items[2]["asset_id"].as_str().unwrap().chars().count(), 100);
        assert_eq!((made.notes["shortened"], made.notes["not_a_number"]), (1, 1));
    }
}
