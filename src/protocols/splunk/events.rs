//! Bodies of HEC: envelopes behind each other, or raw lines.

use std::borrow::Cow;

use serde::de::IgnoredAny;

use super::codes::INVALID_DATA_FORMAT;
use super::envelope::{self, About};
use crate::protocols::Converter;
use crate::protocols::convert::Json;

/// How many times its own length a body may cost in reads that fail.
const WASTE_FACTOR: usize = 8;

/// Makes an event of each envelope. One that says what it must not costs itself; so does one that is no JSON where the
/// next line that begins with a brace shows where the body goes on, else it costs the rest of the body.
pub fn convert(body: &[u8], defaults: &About<'_>, into: &mut Converter<'_>) {
    let mut start = 0;
    let mut waste_left = body.len().saturating_mul(WASTE_FACTOR);
    while let Some((at, error)) = convert_from(body, start, defaults, into) {
        // Errors say where they are by line and column, from where it was begun to read.
        let failed = (start + position(&body[start..], &error)).max(at);
        waste_left = waste_left.saturating_sub(failed - at);
        // The brace itself may be what is wrong there.
        let from = failed.saturating_sub(2).max(at);
        let next = memchr::memmem::find(&body[from..], b"\n{").filter(|_| waste_left > 0);
        start = next.map_or(body.len(), |next| from + next + 1);
        let end = at + body[at..start].trim_ascii_end().len();
        let message = format!("no JSON from byte {at} on: {error}; envelopes stand behind each other, without commas");
        into.broken(at..end, INVALID_DATA_FORMAT.number, message);
    }
}

/// Converts envelopes from this byte on; says where the one begins that is no JSON.
fn convert_from(
    body: &[u8],
    start: usize,
    defaults: &About<'_>,
    into: &mut Converter<'_>,
) -> Option<(usize, serde_json::Error)> {
    let mut envelopes = serde_json::Deserializer::from_slice(&body[start..]).into_iter::<IgnoredAny>();
    while !into.is_full() {
        let before = start + envelopes.byte_offset();
        let read = envelopes.next()?;
        let at = before + body[before..].iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        if let Err(error) = read {
            return Some((at, error));
        }
        let place = at..start + envelopes.byte_offset();
        match std::str::from_utf8(&body[place.clone()]) {
            Ok(envelope) => {
                if let Err(refused) = envelope::convert(envelope, defaults, place.clone(), into) {
                    into.broken(place, refused.code.number, refused.why);
                }
            }
            Err(error) => into.broken(place, INVALID_DATA_FORMAT.number, format!("the envelope is no UTF-8: {error}")),
        }
    }
    None
}

/// The byte that an error is at.
fn position(text: &[u8], error: &serde_json::Error) -> usize {
    let line = error.line().checked_sub(2).and_then(|lines| memchr::memchr_iter(b'\n', text).nth(lines));
    (line.map_or(0, |end| end + 1) + error.column()).min(text.len())
}

/// Makes an event of each line that is not blank.
pub fn convert_raw(body: &[u8], about: &About<'_>, into: &mut Converter<'_>) {
    let mut head = Json::onto(Vec::new());
    about.write(about.sourcetype.as_deref().unwrap_or("splunk.event"), &mut head);
    head.raw(b"\"payload\":{\"event\":");
    let head = head.into_text();
    let mut end = Json::onto(Vec::new());
    about.metadata(&mut end).end();
    let end = end.into_text();
    let mut start = 0;
    for line in body.split_inclusive(|byte| *byte == b'\n') {
        let place = start..start + line.len();
        start = place.end;
        let line = line.strip_suffix(b"\n").unwrap_or(line);
        let line = line.strip_suffix(b"\r").unwrap_or(line);
        if line.trim_ascii().is_empty() {
            continue;
        }
        if into.is_full() {
            return;
        }
        let json = into.item();
        json.raw(&head);
        let text = String::from_utf8_lossy(line);
        json.string(text.as_bytes());
        let is_replaced = matches!(text, Cow::Owned(_));
        if is_replaced {
            json.raw(b",\"event_base64\":");
            json.base64(line);
        }
        json.raw(b"}");
        json.raw(&end);
        into.end(place.start..place.start + line.len(), 0);
        if is_replaced {
            into.note("not_utf8", 1);
        }
    }
}
