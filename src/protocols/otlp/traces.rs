//! A span as an event: its id is made of the trace's and its own, its parent's the same way, so that both are known
//! whichever comes first.

use super::context::Context;
use super::ids::{TraceId, event_id, is_odd, span_id, trace_id};
use super::logs::timestamp;
use super::members::Members;
use super::value::{add, key_value, note_repeated, object, unique};
use super::walk::{Flaw, Scratch};
use crate::protocols::Converter;
use crate::protocols::convert::Json;
use crate::protocols::protobuf::{Malformed, fields};

const KINDS: [&str; 6] = ["unspecified", "internal", "server", "client", "producer", "consumer"];
const STATUS_CODES: [&str; 3] = ["unset", "ok", "error"];
const STATUS_ERROR: u64 = 2;

/// Columns keep microseconds.
const NS_PER_US: u64 = 1000;

#[derive(Default)]
struct Span<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    trace_state: &'a [u8],
    parent_span_id: &'a [u8],
    flags: u64,
    name: &'a [u8],
    kind: u64,
    start_ns: u64,
    end_ns: u64,
    dropped_attributes: u64,
    has_events: bool,
    dropped_events: u64,
    has_links: bool,
    dropped_links: u64,
    status_code: u64,
    status_message: &'a [u8],
}

impl<'a> Span<'a> {
    fn read(message: &'a [u8], scratch: &mut Scratch<'a>) -> Result<Self, Malformed> {
        let mut span = Self::default();
        for field in fields(message) {
            let field = field?;
            let value = field.value;
            match field.number {
                1 => span.trace_id = value.bytes()?,
                2 => span.span_id = value.bytes()?,
                3 => span.trace_state = value.bytes()?,
                4 => span.parent_span_id = value.bytes()?,
                5 => span.name = value.bytes()?,
                6 => span.kind = value.u64()?,
                7 => span.start_ns = value.u64()?,
                8 => span.end_ns = value.u64()?,
                9 => add(&mut scratch.attributes, key_value(value.bytes()?)?)?,
                10 => span.dropped_attributes = value.u64()?,
                11 => span.has_events = true,
                12 => span.dropped_events = value.u64()?,
                13 => span.has_links = true,
                14 => span.dropped_links = value.u64()?,
                15 => span.read_status(value.bytes()?)?,
                16 => span.flags = value.u64()?,
                _ => {}
            }
        }
        Ok(span)
    }

    fn read_status(&mut self, status: &'a [u8]) -> Result<(), Malformed> {
        for field in fields(status) {
            let field = field?;
            match field.number {
                2 => self.status_message = field.value.bytes()?,
                3 => self.status_code = field.value.u64()?,
                _ => {}
            }
        }
        Ok(())
    }
}

/// Writes the event of a message `Span`.
pub fn write<'a>(
    message: &'a [u8],
    context: &Context,
    scratch: &mut Scratch<'a>,
    into: &mut Converter<'_>,
) -> Result<(), Flaw> {
    let span = Span::read(message, scratch)?;
    note_repeated(into, unique(&mut scratch.attributes));
    let (Some(trace), Some(own)) = (trace_id(span.trace_id), span_id(span.span_id)) else {
        return Err(Flaw::Other(format!(
            "a span needs a trace_id of 16 bytes and a span_id of 8, not all zero; it has {} and {}: let its SDK make \
             them",
            said(span.trace_id),
            said(span.span_id),
        )));
    };
    let parent = span_id(span.parent_span_id);
    let json = into.item();
    json.raw(b"{\"event_type\":\"trace.span\",\"id\":");
    json.raw(&event_id(&trace, &own));
    if let Some(parent) = &parent {
        json.raw(b",\"parent_event_id\":");
        json.raw(&event_id(&trace, parent));
    }
    write_trace(json, &trace);
    json.raw(&context.fields);
    timestamp(json, span.start_ns);
    json.raw(if span.status_code == STATUS_ERROR { b",\"severity\":\"error\"" } else { b",\"severity\":\"info\"" });
    write_payload(json, &span, message, scratch)?;
    let mut metadata = Members::of(b",\"metadata\":{\"otlp\":{", b"}}");
    metadata.text(json, b"\"span_id\":", &own);
    match parent {
        Some(parent) => metadata.text(json, b"\"parent_span_id\":", &parent),
        None if is_odd(span.parent_span_id, 8) => {
            metadata.member(json, b"\"parent_span_id\":").hex(span.parent_span_id);
        }
        None => {}
    }
    if !span.start_ns.is_multiple_of(NS_PER_US) {
        metadata.moment(json, b"\"start_time_unix_nano\":", span.start_ns);
    }
    metadata.moment(json, b"\"end_time_unix_nano\":", span.end_ns);
    metadata.text(json, b"\"trace_state\":", span.trace_state);
    metadata.number(json, b"\"flags\":", span.flags);
    metadata.number(json, b"\"dropped_attributes_count\":", span.dropped_attributes);
    metadata.number(json, b"\"dropped_events_count\":", span.dropped_events);
    metadata.number(json, b"\"dropped_links_count\":", span.dropped_links);
    metadata.copy(json, &context.resource);
    metadata.copy(json, &context.scope);
    metadata.end(json);
    json.raw(b"}");
    Ok(())
}

fn said(id: &[u8]) -> String {
    match id.len() {
        0 => "none".to_owned(),
        _ if id.iter().all(|byte| *byte == 0) => "zeros".to_owned(),
        length => format!("{length} bytes"),
    }
}

fn write_trace(json: &mut Json<'_>, trace: &TraceId) {
    json.raw(b",\"trace_id\":\"");
    json.raw(trace);
    json.raw(b"\"");
}

fn write_payload<'a>(
    json: &mut Json<'_>,
    span: &Span<'a>,
    message: &'a [u8],
    scratch: &mut Scratch<'a>,
) -> Result<(), Malformed> {
    json.raw(b",\"payload\":{\"name\":");
    json.string(span.name);
    json.raw(b",\"kind\":");
    name_of(json, &KINDS, span.kind);
    if let Some(duration_ns) = span.end_ns.checked_sub(span.start_ns).filter(|_| span.start_ns != 0) {
        json.raw(b",\"duration_ns\":");
        json.u64(duration_ns);
    }
    if span.status_code != 0 || !span.status_message.is_empty() {
        json.raw(b",\"status\":{\"code\":");
        name_of(json, &STATUS_CODES, span.status_code);
        let mut status = Members::of(b",", b"");
        status.text(json, b"\"message\":", span.status_message);
        json.raw(b"}");
    }
    if !scratch.attributes.is_empty() {
        json.raw(b",\"attributes\":");
        object(json, &scratch.attributes)?;
    }
    if span.has_events {
        write_each(json, message, 11, b",\"events\":[", |json, event| write_event(json, event, scratch))?;
    }
    if span.has_links {
        write_each(json, message, 13, b",\"links\":[", |json, link| write_link(json, link, scratch))?;
    }
    json.raw(b"}");
    Ok(())
}

/// The name of an enum's value; one that has none is its number, as text.
fn name_of(json: &mut Json<'_>, names: &[&str], number: u64) {
    json.raw(b"\"");
    match usize::try_from(number).ok().and_then(|number| names.get(number)) {
        Some(name) => json.raw(name.as_bytes()),
        None => json.i64(number.cast_signed()),
    }
    json.raw(b"\"");
}

fn write_each<'a>(
    json: &mut Json<'_>,
    message: &'a [u8],
    number: u32,
    open: &'static [u8],
    mut write: impl FnMut(&mut Json<'_>, &'a [u8]) -> Result<(), Malformed>,
) -> Result<(), Malformed> {
    let mut list = Members::of(open, b"]");
    for field in fields(message) {
        let field = field?;
        if field.number == number {
            write(list.member(json, b""), field.value.bytes()?)?;
        }
    }
    list.end(json);
    Ok(())
}

fn write_event<'a>(json: &mut Json<'_>, event: &'a [u8], scratch: &mut Scratch<'a>) -> Result<(), Malformed> {
    let (mut time_ns, mut name, mut dropped) = (0, &b""[..], 0);
    scratch.inner.clear();
    for field in fields(event) {
        let field = field?;
        match field.number {
            1 => time_ns = field.value.u64()?,
            2 => name = field.value.bytes()?,
            3 => add(&mut scratch.inner, key_value(field.value.bytes()?)?)?,
            4 => dropped = field.value.u64()?,
            _ => {}
        }
    }
    json.raw(b"{\"name\":");
    json.string(name);
    let mut members = Members::of(b",", b"");
    members.moment(json, b"\"time_unix_nano\":", time_ns);
    write_inner(json, &mut members, scratch, dropped)
}

fn write_link<'a>(json: &mut Json<'_>, link: &'a [u8], scratch: &mut Scratch<'a>) -> Result<(), Malformed> {
    let (mut trace_id, mut span_id, mut trace_state, mut dropped, mut flags) = (&b""[..], &b""[..], &b""[..], 0, 0);
    scratch.inner.clear();
    for field in fields(link) {
        let field = field?;
        match field.number {
            1 => trace_id = field.value.bytes()?,
            2 => span_id = field.value.bytes()?,
            3 => trace_state = field.value.bytes()?,
            4 => add(&mut scratch.inner, key_value(field.value.bytes()?)?)?,
            5 => dropped = field.value.u64()?,
            6 => flags = field.value.u64()?,
            _ => {}
        }
    }
    json.raw(b"{\"trace_id\":");
    json.hex(trace_id);
    json.raw(b",\"span_id\":");
    json.hex(span_id);
    let mut members = Members::of(b",", b"");
    members.text(json, b"\"trace_state\":", trace_state);
    members.number(json, b"\"flags\":", flags);
    write_inner(json, &mut members, scratch, dropped)
}

/// Writes the attributes of an event or link, and its end.
fn write_inner(
    json: &mut Json<'_>,
    members: &mut Members,
    scratch: &mut Scratch<'_>,
    dropped: u64,
) -> Result<(), Malformed> {
    unique(&mut scratch.inner);
    if !scratch.inner.is_empty() {
        object(members.member(json, b"\"attributes\":"), &scratch.inner)?;
    }
    members.number(json, b"\"dropped_attributes_count\":", dropped);
    json.raw(b"}");
    Ok(())
}
