//! A line's samples as items: what they have in common is written once a line.

use std::borrow::Cow;
use std::ops::Range;

use super::line::Line;
use super::value::Value;
use crate::limits::{ASSET_ID_CHARS_MAX, METRIC_NAME_CHARS_MAX};
use crate::protocols::convert::{Converter, Json, fitting};

/// Tags that say what was measured, the first that there is; it is no dimension then.
const ASSET_TAGS: [&[u8]; 4] = [b"host", b"hostname", b"instance", b"asset_id"];
const ASSET_UNKNOWN: &[u8] = b"unknown";
/// The field that a measurement has when it has only one, by convention; it does not show in the name.
const VALUE: &[u8] = b"value";
/// Stands before the name of a dimension that is not the line's, where a tag has that name.
const NAME_TAKEN: &[u8] = b"influx.";

/// Used for one line after another.
#[derive(Default)]
pub struct Series {
    /// From `{` to the measurement's name, without the quote behind it.
    head: Vec<u8>,
    /// How much of it stands before that name.
    name_at: usize,
    /// The members of the dimensions.
    dimensions: Vec<u8>,
    /// From the quote behind the name to the value, which is a number.
    tail: Vec<u8>,
    /// The member that says the time, if there is one.
    time: Vec<u8>,
    /// Where the tag stands that is the asset.
    asset_tag: Option<usize>,
    is_shortened: bool,
    has_dot: bool,
}

impl Series {
    /// Begins a line. `database` is the name of the query's parameter and its value.
    pub fn begin(&mut self, line: &Line<'_>, database: Option<(&str, &str)>, timestamp_ns: Option<i64>) {
        self.asset_tag = ASSET_TAGS.iter().find_map(|name| line.tags.iter().position(|(key, _)| **key == **name));
        let sent_asset = self.asset_tag.map_or(ASSET_UNKNOWN, |tag| &line.tags[tag].1);
        let asset = fitting(sent_asset, ASSET_ID_CHARS_MAX);
        self.is_shortened = matches!(asset, Cow::Owned(_));
        self.has_dot = line.measurement.contains(&b'.');
        self.name_at = write(&mut self.head, |json| {
            json.raw(b"{\"asset_id\":");
            json.string(&asset);
            json.raw(b",\"metric_name\":\"");
            let name_at = json.len();
            json.part(&line.measurement);
            name_at
        });
        let whole_asset = self.is_shortened.then(|| (self.free(line, b"asset_id"), sent_asset));
        // A tag that says the same is enough.
        let database = database.filter(|(name, value)| self.tag(line, name.as_bytes()) != Some(value.as_bytes()));
        let database = database.map(|(name, value)| (self.free(line, name.as_bytes()), value.as_bytes()));
        let asset_tag = self.asset_tag;
        write(&mut self.dimensions, |json| {
            for (n, (key, value)) in line.tags.iter().enumerate() {
                if Some(n) != asset_tag {
                    member(json, key, value);
                }
            }
            for (name, value) in whole_asset.iter().chain(&database) {
                member(json, name, value);
            }
        });
        write(&mut self.time, |json| {
            if let Some(timestamp_ns) = timestamp_ns {
                json.raw(b",\"timestamp\":");
                json.timestamp(timestamp_ns);
            }
        });
        let Self { dimensions, tail, time, .. } = self;
        write(tail, |json| {
            json.raw(b"\",\"metric_type\":\"untyped\"");
            if !dimensions.is_empty() {
                json.raw(b",\"dimensions\":{");
                json.raw(dimensions);
                json.raw(b"}");
            }
            json.raw(time);
            json.raw(b",\"value\":");
        });
    }

    /// Writes a field of the line as an item.
    #[inline]
    pub fn sample(&self, line: &Line<'_>, field: usize, into: &mut Converter<'_>, place: Range<usize>) {
        let (key, value) = &line.fields[field];
        let is_alone = **key == *VALUE;
        let is_long = line.measurement.len() + 1 + key.len() > METRIC_NAME_CHARS_MAX;
        // Where a dot would leave open which field it is.
        let is_open = if is_alone { self.has_dot } else { key.contains(&b'.') };
        let number = match value {
            Value::Text(_) => None,
            _ if is_long || is_open => None,
            number => Some(number),
        };
        let Some(number) = number else { return self.sample_otherwise(line, field, is_open, into, place) };
        if self.is_shortened {
            into.note("shortened", 1);
        }
        let json = into.item();
        json.raw(&self.head);
        if !is_alone {
            json.raw(b".");
            json.part(key);
        }
        json.raw(&self.tail);
        write_number(json, number);
        json.raw(b"}");
        into.end(place, 0);
    }

    /// The same where the field has dimensions of its own.
    #[cold]
    fn sample_otherwise(
        &self,
        line: &Line<'_>,
        field: usize,
        is_open: bool,
        into: &mut Converter<'_>,
        place: Range<usize>,
    ) {
        let (key, value) = &line.fields[field];
        let mut sent_name = line.measurement.to_vec();
        if **key != *VALUE {
            sent_name.push(b'.');
            sent_name.extend_from_slice(key);
        }
        let name = fitting(&sent_name, METRIC_NAME_CHARS_MAX);
        let whole_name = matches!(name, Cow::Owned(_));
        if self.is_shortened || whole_name {
            into.note("shortened", 1);
        }
        let mut more: Vec<u8> = Vec::new();
        write(&mut more, |json| {
            if is_open {
                member(json, &self.free(line, b"field"), key);
            }
            if whole_name {
                member(json, &self.free(line, b"metric_name"), &sent_name);
            }
            if let Value::Text(text) = value {
                member(json, &self.free(line, VALUE), text);
            }
        });
        if let Value::Text(_) = value {
            into.note("text_fields", 1);
        }
        let json = into.item();
        json.raw(&self.head[..self.name_at]);
        json.part(&name);
        json.raw(match value {
            Value::Text(_) => b"\",\"metric_type\":\"text\"",
            _ => b"\",\"metric_type\":\"untyped\"",
        });
        if !(self.dimensions.is_empty() && more.is_empty()) {
            json.raw(b",\"dimensions\":{");
            json.raw(&self.dimensions);
            if !self.dimensions.is_empty() && !more.is_empty() {
                json.raw(b",");
            }
            json.raw(&more);
            json.raw(b"}");
        }
        json.raw(&self.time);
        json.raw(b",\"value\":");
        write_number(json, value);
        json.raw(b"}");
        into.end(place, 0);
    }

    /// The value of a tag that is a dimension.
    fn tag<'l>(&self, line: &'l Line<'_>, name: &[u8]) -> Option<&'l [u8]> {
        let found = line.tags.iter().enumerate().find(|(n, (key, _))| **key == *name && Some(*n) != self.asset_tag);
        found.map(|(_, (_, value))| &**value)
    }

    /// This name, or one that no tag has.
    fn free<'n>(&self, line: &Line<'_>, name: &'n [u8]) -> Cow<'n, [u8]> {
        let mut name = Cow::Borrowed(name);
        while self.tag(line, &name).is_some() {
            name = [NAME_TAKEN, &name].concat().into();
        }
        name
    }
}

/// A text is told by a dimension, and its sample is 1.
fn write_number(json: &mut Json<'_>, value: &Value<'_>) {
    match value {
        Value::Number(written) => json.raw(written),
        Value::Double(value) => json.f64(*value),
        Value::Text(_) => json.raw(b"1"),
    }
}

fn member(json: &mut Json<'_>, name: &[u8], value: &[u8]) {
    if !json.is_empty() {
        json.raw(b",");
    }
    json.key(name);
    json.string(value);
}

/// Writes into a buffer that is used again: a part of the body, written out, and a few times as large at most.
fn write<T>(buffer: &mut Vec<u8>, with: impl FnOnce(&mut Json<'_>) -> T) -> T {
    buffer.clear();
    let mut json = Json::onto(std::mem::take(buffer));
    let value = with(&mut json);
    *buffer = json.into_text();
    value
}
