//! A log record as an event: body and attributes are its payload, all else that no column takes is in `metadata.otlp`.

use super::context::Context;
use super::ids::{is_odd, span_id, trace_id};
use super::members::Members;
use super::value::{add, any_value, key_value, note_repeated, object, text_in, unique};
use super::walk::{Flaw, Scratch};
use crate::protocols::Converter;
use crate::protocols::convert::Json;
use crate::protocols::protobuf::{Malformed, fields};

/// What a log record is called that has no name.
const LOG: &[u8] = b"log";

/// What is named by severities' numbers, four by four from 1.
const SEVERITIES: [&str; 6] = ["trace", "debug", "info", "warn", "error", "fatal"];
/// Other names that say more than the number beside them.
const SEVERITIES_BY_NAME: [&str; 5] = ["notice", "warning", "critical", "alert", "emergency"];

/// Columns keep microseconds.
const NS_PER_US: u64 = 1000;

#[derive(Default)]
struct LogRecord<'a> {
    time_ns: u64,
    observed_ns: u64,
    severity_number: u64,
    severity_text: &'a [u8],
    body: Option<&'a [u8]>,
    dropped: u64,
    flags: u64,
    trace_id: &'a [u8],
    span_id: &'a [u8],
    event_name: &'a [u8],
}

impl<'a> LogRecord<'a> {
    fn read(message: &'a [u8], scratch: &mut Scratch<'a>) -> Result<Self, Malformed> {
        let mut record = Self::default();
        for field in fields(message) {
            let field = field?;
            match field.number {
                1 => record.time_ns = field.value.u64()?,
                2 => record.severity_number = field.value.u64()?,
                3 => record.severity_text = field.value.bytes()?,
                5 => record.body = Some(field.value.bytes()?),
                6 => add(&mut scratch.attributes, key_value(field.value.bytes()?)?)?,
                7 => record.dropped = field.value.u64()?,
                8 => record.flags = field.value.u64()?,
                9 => record.trace_id = field.value.bytes()?,
                10 => record.span_id = field.value.bytes()?,
                11 => record.observed_ns = field.value.u64()?,
                12 => record.event_name = field.value.bytes()?,
                _ => {}
            }
        }
        Ok(record)
    }
}

/// Writes the event of a message `LogRecord`.
pub fn write<'a>(
    message: &'a [u8],
    context: &Context,
    scratch: &mut Scratch<'a>,
    into: &mut Converter<'_>,
) -> Result<(), Flaw> {
    let record = LogRecord::read(message, scratch)?;
    note_repeated(into, unique(&mut scratch.attributes));
    let attributes = &scratch.attributes[..];
    let json = into.item();
    json.raw(b"{\"event_type\":");
    let named = || attributes.iter().find(|(key, _)| *key == b"event.name").and_then(|(_, value)| text_in(*value));
    json.string(Some(record.event_name).filter(|name| !name.is_empty()).or_else(named).unwrap_or(LOG));
    json.raw(&context.fields);
    timestamp(json, if record.time_ns == 0 { record.observed_ns } else { record.time_ns });
    let severity_as_sent = write_severity(json, &record);
    write_ids(json, &record);
    json.raw(b",\"payload\":{");
    let mut payload = Members::of(b"", b"");
    if let Some(body) = record.body {
        any_value(payload.member(json, b"\"body\":"), body)?;
    }
    if !attributes.is_empty() {
        object(payload.member(json, b"\"attributes\":"), attributes)?;
    }
    json.raw(b"}");
    let mut metadata = Members::of(b",\"metadata\":{\"otlp\":{", b"}}");
    if !record.time_ns.is_multiple_of(NS_PER_US) {
        metadata.moment(json, b"\"time_unix_nano\":", record.time_ns);
    }
    metadata.moment(json, b"\"observed_time_unix_nano\":", record.observed_ns);
    metadata.number(json, b"\"severity_number\":", record.severity_number);
    if !severity_as_sent {
        metadata.text(json, b"\"severity_text\":", record.severity_text);
    }
    if is_odd(record.trace_id, 16) {
        metadata.member(json, b"\"trace_id\":").hex(record.trace_id);
    }
    match span_id(record.span_id) {
        Some(id) => metadata.text(json, b"\"span_id\":", &id),
        None if is_odd(record.span_id, 8) => metadata.member(json, b"\"span_id\":").hex(record.span_id),
        None => {}
    }
    metadata.number(json, b"\"flags\":", record.flags);
    metadata.number(json, b"\"dropped_attributes_count\":", record.dropped);
    metadata.copy(json, &context.resource);
    metadata.copy(json, &context.scope);
    metadata.end(json);
    json.raw(b"}");
    Ok(())
}

/// Writes when it was; 0 is not said.
pub fn timestamp(json: &mut Json<'_>, ns: u64) {
    if ns == 0 {
        return;
    }
    json.raw(b",\"timestamp\":");
    match i64::try_from(ns) {
        Ok(ns) => json.timestamp(ns),
        // Hundreds of years ahead, and refused for it.
        Err(_) => json.u64(ns),
    }
}

/// Says whether the column has the text that was sent.
fn write_severity(json: &mut Json<'_>, record: &LogRecord<'_>) -> bool {
    let text = record.severity_text;
    let by_number = match record.severity_number {
        number @ 1..=24 => usize::try_from((number - 1) / 4).ok().map(|at| SEVERITIES[at]),
        _ => None,
    };
    let is_text = |name: &&&str| text.eq_ignore_ascii_case(name.as_bytes());
    let known = SEVERITIES.iter().chain(&SEVERITIES_BY_NAME).find(is_text).copied();
    match known.or(by_number) {
        Some(name) => {
            json.raw(b",\"severity\":\"");
            json.raw(name.as_bytes());
            json.raw(b"\"");
            text == name.as_bytes()
        }
        None if text.is_empty() => true,
        None => {
            let lower = text.to_ascii_lowercase();
            json.raw(b",\"severity\":");
            json.string(&lower);
            lower == text
        }
    }
}

/// The trace alone: a span as the parent of each of its records, or the trace as what correlates them, would cost a pair for each, and
/// most spans are sampled away before they come here.
fn write_ids(json: &mut Json<'_>, record: &LogRecord<'_>) {
    let Some(trace) = trace_id(record.trace_id) else { return };
    json.raw(b",\"trace_id\":\"");
    json.raw(&trace);
    json.raw(b"\"");
}
