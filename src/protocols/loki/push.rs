//! A push as protobuf (Loki's `logproto.PushRequest`): streams of labels and entries. Read in place, field by field.

use std::borrow::Cow;
use std::ops::Range;

use super::stream::{ENTRY, Entry, Fields, Known, REST, STREAM, Stream};
use crate::protocols::Converter;
use crate::protocols::protobuf::{Malformed, Value, fields};

const NS_PER_S: i128 = 1_000_000_000;

/// Makes an event of each entry. What cannot be read costs itself: an entry, a stream, or the rest of the body.
pub fn convert(body: &[u8], into: &mut Converter<'_>) {
    let mut stream = Stream::default();
    let mut place = 0..0;
    for field in fields(body) {
        if into.is_full() {
            return;
        }
        match field {
            Ok(field) if field.number == 1 => match field.value {
                Value::Bytes(message) => {
                    place = field.at..field.at + message.len();
                    convert_stream(message, &place, &mut stream, into);
                }
                _ => return broken(place.end..body.len(), field.at, "a stream is no message", into),
            },
            // `format`, and what later versions add.
            Ok(field) => place.end = field.at,
            Err(error) => return broken(place.end..body.len(), error.at, error.what, into),
        }
    }
}

/// Whether there is a stream in it.
pub fn has_streams(body: &[u8]) -> bool {
    fields(body).any(|field| field.is_ok_and(|field| field.number == 1))
}

fn broken(rest: Range<usize>, at: usize, what: &str, into: &mut Converter<'_>) {
    let message = format!(
        "the body is no PushRequest from byte {at} on: {what}; send `application/x-protobuf` as Snappy's block format, \
         with `Content-Encoding: snappy`"
    );
    into.broken(rest, REST, message);
}

fn convert_stream(message: &[u8], place: &Range<usize>, stream: &mut Stream, into: &mut Converter<'_>) {
    let mut labels = &b""[..];
    let read = fields(message).try_for_each(|field| {
        let field = field?;
        match field.number {
            1 => labels = field.value.bytes()?,
            2 => _ = field.value.bytes()?,
            _ => {}
        }
        Ok(())
    });
    let begun = read.map_err(|error: Malformed| error.to_string()).and_then(|()| stream.begin(labels));
    if let Err(error) = begun {
        return into.broken(place.clone(), STREAM, format!("a stream cannot be read: {error}"));
    }
    for field in fields(message).filter_map(Result::ok).filter(|field| field.number == 2) {
        if into.is_full() {
            return;
        }
        let Value::Bytes(bytes) = field.value else { continue };
        let start = place.start + field.at;
        let place = start..start + bytes.len();
        match entry(bytes) {
            Ok(entry) => stream.write(&entry, place, into),
            Err(error) => into.broken(place, ENTRY, format!("an entry cannot be read: {error}")),
        }
    }
}

fn entry(message: &[u8]) -> Result<Entry<'_>, Malformed> {
    let mut entry = Entry { timestamp_ns: None, line: b"", known: Known::new(), fields: Fields::None };
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => entry.timestamp_ns = Some(timestamp(field.value.bytes()?, field.at)?),
            2 => entry.line = field.value.bytes()?,
            3 => {
                let (mut name, mut value) = (&b""[..], &b""[..]);
                for part in fields(field.value.bytes()?) {
                    let part = part?;
                    match part.number {
                        1 => name = part.value.bytes()?,
                        2 => value = part.value.bytes()?,
                        _ => {}
                    }
                }
                entry.known.look(name, || Some(Cow::Borrowed(value)));
                entry.fields = Fields::Pairs(message);
            }
            _ => {}
        }
    }
    Ok(entry)
}

/// google.protobuf.Timestamp.
fn timestamp(message: &[u8], at: usize) -> Result<i64, Malformed> {
    let (mut seconds, mut nanos) = (0, 0);
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => seconds = field.value.i64()?,
            2 => nanos = field.value.i64()?,
            _ => {}
        }
    }
    let ns = i128::from(seconds) * NS_PER_S + i128::from(nanos);
    i64::try_from(ns).map_err(|_| Malformed { at, what: "a timestamp is outside of the years 1678 to 2261" })
}
