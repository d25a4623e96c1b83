//! A push as JSON: `{"streams":[{"stream":{..},"values":[["<ns>","line",{..}]]}]}`, and the older form with `labels` as
//! text and `entries` of `ts` and `line`.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{DeserializeSeed, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::value::RawValue;

use super::stream::{ENTRY, Entry, Fields, Known, REST, STREAM, Stream};
use crate::protocols::Converter;
use crate::protocols::pieces::{Text, members, place, string, text};
use crate::wire::item::reject::excerpt;

#[derive(Deserialize)]
struct StreamJson<'a> {
    #[serde(borrow)]
    stream: Option<&'a RawValue>,
    #[serde(borrow)]
    values: Option<&'a RawValue>,
    #[serde(borrow)]
    labels: Option<Cow<'a, str>>,
    #[serde(borrow)]
    entries: Option<&'a RawValue>,
}

#[derive(Deserialize)]
struct OldEntry<'a> {
    #[serde(borrow)]
    ts: Option<Cow<'a, str>>,
    #[serde(borrow, default)]
    line: Cow<'a, str>,
}

/// Makes an event of each entry. What cannot be read costs itself: an entry, a stream, or, where the body is no such
/// JSON, the rest of it.
pub fn convert(body: &[u8], into: &mut Converter<'_>) {
    if body.trim_ascii().is_empty() {
        return;
    }
    let mut json = serde_json::Deserializer::from_slice(body);
    let mut end = 0;
    let push = Push { body, end: &mut end, into };
    if let Err(error) = push.deserialize(&mut json).and_then(|()| json.end()) {
        let how = r#"send {"streams":[{"stream":{..},"values":[["<ns>","line"]]}]}"#;
        into.broken(end..body.len(), REST, format!("the body cannot be read: {error}; {how}"));
    }
}

/// Whether there is a stream in it.
pub fn has_streams(body: &[u8]) -> bool {
    #[derive(Deserialize)]
    struct Streams {
        #[serde(default)]
        streams: Vec<IgnoredAny>,
    }
    serde_json::from_slice::<Streams>(body).is_ok_and(|push| !push.streams.is_empty())
}

/// The body: streams, each converted as it is read.
struct Push<'v, 'c> {
    body: &'v [u8],
    /// Up to where it was converted.
    end: &'v mut usize,
    into: &'v mut Converter<'c>,
}

impl<'de> DeserializeSeed<'de> for Push<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de> Visitor<'de> for Push<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object with `streams`")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        while let Some(Text(name)) = map.next_key()? {
            if name == "streams" {
                map.next_value_seed(Streams { body: self.body, end: self.end, into: self.into })?;
            } else {
                map.next_value::<IgnoredAny>()?;
            }
        }
        Ok(())
    }
}

struct Streams<'v, 'c> {
    body: &'v [u8],
    end: &'v mut usize,
    into: &'v mut Converter<'c>,
}

impl<'de> DeserializeSeed<'de> for Streams<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_option(self)
    }
}

impl<'de> Visitor<'de> for Streams<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array of streams")
    }

    fn visit_none<E>(self) -> Result<(), E> {
        Ok(())
    }

    fn visit_some<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut stream = Stream::default();
        let mut number = 0_usize;
        while let Some(sent) = seq.next_element::<StreamJson<'de>>()? {
            // What is left is passed over: the request is refused.
            if !self.into.is_full() {
                let converted = convert_stream(self.body, &sent, number, &mut stream, self.into);
                *self.end = converted.unwrap_or(*self.end);
            }
            number += 1;
        }
        Ok(())
    }
}

/// Says up to where in the body the stream was converted; None: it has no entries.
fn convert_stream(
    body: &[u8],
    sent: &StreamJson<'_>,
    number: usize,
    stream: &mut Stream,
    into: &mut Converter<'_>,
) -> Option<usize> {
    let values = sent.values.or(sent.entries)?;
    let begun = match (sent.stream, &sent.labels) {
        (Some(labels), _) => begin(stream, labels),
        (None, Some(text)) => stream.begin(text.as_bytes()),
        (None, None) => stream.begin(b"{}"),
    };
    let is_old = sent.values.is_none();
    let read = begun.and_then(|()| {
        let mut json = serde_json::Deserializer::from_str(values.get());
        let values = Values { body, number, is_old, stream, into };
        values.deserialize(&mut json).map_err(|error| format!("no array of entries: {error}"))
    });
    let place = place(body, values);
    let end = place.end;
    if let Err(error) = read {
        into.broken(place, STREAM, format!("stream {number} cannot be read: {error}"));
    }
    Some(end)
}

fn begin(stream: &mut Stream, labels: &RawValue) -> Result<(), String> {
    let sent = labels.get();
    if sent.len() > super::labels::LABELS_BYTES_MAX {
        return stream.begin(sent.as_bytes());
    }
    let read = stream.begin_with(|each| {
        members(sent, |name, value| {
            if let Some(text) = text(value)? {
                each(name.as_bytes(), text.as_bytes());
            }
            Ok(())
        })
    });
    read.map_err(|error| format!("labels: {error}"))
}

/// The entries of a stream.
struct Values<'v, 'c> {
    body: &'v [u8],
    number: usize,
    is_old: bool,
    stream: &'v Stream,
    into: &'v mut Converter<'c>,
}

impl<'de> DeserializeSeed<'de> for Values<'_, '_> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<(), D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de> Visitor<'de> for Values<'_, '_> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<(), A::Error> {
        let mut at = 0_usize;
        while let Some(value) = seq.next_element::<&'de RawValue>()? {
            // What is left is passed over: the request is refused.
            if !self.into.is_full() {
                let place = place(self.body, value);
                let read = if self.is_old {
                    old_entry(value.get(), self.stream, &place, self.into)
                } else {
                    entry(value.get(), self.stream, &place, self.into)
                };
                if let Err(error) = read {
                    let message = format!("entry {at} of stream {} cannot be read: {error}", self.number);
                    self.into.broken(place, ENTRY, message);
                }
            }
            at += 1;
        }
        Ok(())
    }
}

/// `["<ns>","line",{..}]`.
#[derive(Default)]
struct Parts<'a> {
    timestamp: Cow<'a, str>,
    line: Cow<'a, str>,
    fields: Option<&'a RawValue>,
}

impl<'de> Deserialize<'de> for Parts<'de> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Seq;
        impl<'de> Visitor<'de> for Seq {
            type Value = Parts<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("[\"<ns>\", \"line\"]")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut seq: A) -> Result<Parts<'de>, A::Error> {
                let short = || serde::de::Error::custom("it must have a timestamp and a line");
                let Text(timestamp) = seq.next_element()?.ok_or_else(short)?;
                let Text(line) = seq.next_element()?.ok_or_else(short)?;
                let fields = seq.next_element::<&'de RawValue>()?;
                while seq.next_element::<IgnoredAny>()?.is_some() {}
                Ok(Parts { timestamp, line, fields })
            }
        }
        deserializer.deserialize_seq(Seq)
    }
}

fn entry(text: &str, stream: &Stream, place: &Range<usize>, into: &mut Converter<'_>) -> Result<(), String> {
    let parts: Parts<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let timestamp_ns = parts
        .timestamp
        .parse()
        .map_err(|_| format!("the timestamp {} is no number of nanoseconds since 1970", excerpt(&parts.timestamp)))?;
    let mut known = Known::new();
    let fields = match parts.fields.filter(|fields| fields.get() != "null") {
        None => Fields::None,
        Some(fields) => {
            let mut count = 0_usize;
            members(fields.get(), |name, value| {
                count += 1;
                let text = || match string(value)? {
                    Cow::Borrowed(text) => Some(Cow::Borrowed(text.as_bytes())),
                    Cow::Owned(text) => Some(Cow::Owned(text.into_bytes())),
                };
                known.look(name.as_bytes(), text);
                Ok(())
            })
            .map_err(|error| format!("structured metadata: {error}"))?;
            if count == 0 { Fields::None } else { Fields::Json(fields) }
        }
    };
    let entry = Entry { timestamp_ns: Some(timestamp_ns), line: parts.line.as_bytes(), known, fields };
    stream.write(&entry, place.clone(), into);
    Ok(())
}

/// `{"ts":"<RFC 3339>","line":"line"}`.
fn old_entry(text: &str, stream: &Stream, place: &Range<usize>, into: &mut Converter<'_>) -> Result<(), String> {
    let entry: OldEntry<'_> = serde_json::from_str(text).map_err(|error| error.to_string())?;
    let timestamp_ns = match &entry.ts {
        None => None,
        Some(text) => {
            let moment = text.parse::<jiff::Timestamp>().ok();
            let ns = moment.and_then(|moment| i64::try_from(moment.as_nanosecond()).ok());
            Some(ns.ok_or_else(|| format!("ts {} is no RFC 3339 time", excerpt(text)))?)
        }
    };
    let entry = Entry { timestamp_ns, line: entry.line.as_bytes(), known: Known::new(), fields: Fields::None };
    stream.write(&entry, place.clone(), into);
    Ok(())
}
