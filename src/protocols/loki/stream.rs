//! A stream: labels that its entries have in common, written once and copied for each; and an entry as an event.

use std::borrow::Cow;
use std::ops::Range;

use serde_json::value::RawValue;

use super::labels::{self, LABELS_BYTES_MAX};
use crate::protocols::best::Best;
use crate::protocols::convert::Json;
use crate::protocols::pieces::copy;
use crate::protocols::{Converter, protobuf};

/// Of several labels that say the same, the one that is named first here counts.
const SOURCES: &[&[u8]] = &[b"service_name", b"service", b"app", b"job"];
const ASSETS: &[&[u8]] = &[b"host", b"hostname", b"host_name", b"instance", b"node", b"node_name", b"pod"];
const ENVIRONMENTS: &[&[u8]] = &[b"environment", b"env", b"deployment_environment", b"deployment_environment_name"];
const SEVERITIES: &[&[u8]] = &[b"level", b"severity", b"detected_level"];
const TRACES: &[&[u8]] = &[b"trace_id", b"traceID", b"traceid", b"traceId"];

/// Tag of an item that was made of an entry, and of one that stands for a stream, or all the rest of a body.
pub const ENTRY: u8 = 0;
pub const STREAM: u8 = 1;
pub const REST: u8 = 2;

/// What structured metadata says of an entry's own columns.
pub struct Known<'a> {
    severity: Best<Cow<'a, [u8]>>,
    trace: Best<Cow<'a, [u8]>>,
}

impl<'a> Known<'a> {
    pub fn new() -> Self {
        Self { severity: Best::of(SEVERITIES), trace: Best::of(TRACES) }
    }

    #[inline]
    pub fn look(&mut self, name: &[u8], value: impl FnOnce() -> Option<Cow<'a, [u8]>>) {
        let best = match name.first() {
            Some(b'l' | b's' | b'd') => &mut self.severity,
            Some(b't') => &mut self.trace,
            _ => return,
        };
        best.look(name, || value().filter(|value| !value.is_empty()));
    }
}

/// The structured metadata of an entry.
pub enum Fields<'a> {
    None,
    /// A JSON object.
    Json(&'a RawValue),
    /// Field 3 of this message, each a pair.
    Pairs(&'a [u8]),
}

pub struct Entry<'a> {
    pub timestamp_ns: Option<i64>,
    pub line: &'a [u8],
    pub known: Known<'a>,
    pub fields: Fields<'a>,
}

/// The labels of the stream whose entries are read; used for one after another.
#[derive(Default)]
pub struct Stream {
    /// The event up to what entries differ in.
    head: Vec<u8>,
    /// An object.
    labels: Vec<u8>,
    severity: Option<Vec<u8>>,
    scratch: Vec<u8>,
    /// There was text that is not UTF-8.
    replaced: bool,
}

impl Stream {
    /// Begins a stream whose labels are this text.
    pub fn begin(&mut self, text: &[u8]) -> Result<(), String> {
        if text.len() > LABELS_BYTES_MAX {
            return Err(format!("labels of {} bytes are too long; at most {LABELS_BYTES_MAX} are taken", text.len()));
        }
        // None at all are no reason to refuse entries, though Loki does.
        let text = if text.is_empty() { b"{}" } else { text };
        let mut scratch = std::mem::take(&mut self.scratch);
        let read = self.begin_with(|each| labels::parse(text, &mut scratch, each));
        self.scratch = scratch;
        read
    }

    /// Begins a stream whose labels `read` tells, one after another. A label without a value is none, as for Loki.
    pub fn begin_with<E>(&mut self, read: impl FnOnce(&mut dyn FnMut(&[u8], &[u8])) -> Result<(), E>) -> Result<(), E> {
        let [mut source, mut asset, mut environment, mut severity] =
            [SOURCES, ASSETS, ENVIRONMENTS, SEVERITIES].map(Best::<Vec<u8>>::of);
        self.labels.clear();
        self.head.clear();
        self.replaced = false;
        let mut labels = Json::onto(std::mem::take(&mut self.labels));
        let mut replaced = false;
        let mut each = |name: &[u8], value: &[u8]| {
            if value.is_empty() {
                return;
            }
            labels.raw(if labels.is_empty() { b"{" } else { b"," });
            replaced |= text(&mut labels, name);
            labels.raw(b":");
            replaced |= text(&mut labels, value);
            for best in [&mut source, &mut asset, &mut environment, &mut severity] {
                best.look(name, || Some(value.to_vec()));
            }
        };
        let read = read(&mut each);
        labels.raw(if labels.is_empty() { b"{}" } else { b"}" });
        self.labels = labels.into_text();
        let mut head = Json::onto(std::mem::take(&mut self.head));
        head.raw(b"{\"event_type\":\"log\",\"source_module\":");
        text(&mut head, source.found().map_or(b"loki", Vec::as_slice));
        for (key, best) in [(&b",\"asset_id\":"[..], asset), (b",\"environment\":", environment)] {
            if let Some(value) = best.found() {
                head.raw(key);
                text(&mut head, value);
            }
        }
        self.head = head.into_text();
        self.severity = severity.into_found();
        self.replaced = replaced;
        read
    }

    /// Writes an entry, which stands there in the body.
    pub fn write(&self, entry: &Entry<'_>, place: Range<usize>, into: &mut Converter<'_>) {
        let mut replaced = self.replaced;
        let json = into.item();
        json.raw(&self.head);
        let own = entry.known.severity.found().map(|value| &**value);
        if let Some(severity) = own.or(self.severity.as_deref()) {
            json.raw(b",\"severity\":");
            replaced |= text(json, severity);
        }
        if let Some(trace) = entry.known.trace.found() {
            json.raw(b",\"trace_id\":");
            replaced |= text(json, trace);
        }
        if let Some(timestamp_ns) = entry.timestamp_ns {
            json.raw(b",\"timestamp\":");
            json.timestamp(timestamp_ns);
        }
        json.raw(b",\"payload\":{\"line\":");
        if text(json, entry.line) {
            replaced = true;
            json.raw(b",\"line_base64\":");
            json.base64(entry.line);
        }
        match entry.fields {
            Fields::None => {}
            Fields::Json(fields) => {
                json.raw(b",\"fields\":");
                copy(fields, json);
            }
            Fields::Pairs(message) => {
                json.raw(b",\"fields\":{");
                let mut first = true;
                for (name, value) in pairs(message) {
                    json.raw(if first { b"" } else { b"," });
                    first = false;
                    replaced |= text(json, name);
                    json.raw(b":");
                    replaced |= text(json, value);
                }
                json.raw(b"}");
            }
        }
        json.raw(b"},\"metadata\":{\"labels\":");
        json.raw(&self.labels);
        if let Some(timestamp_ns) = entry.timestamp_ns.filter(|ns| ns % 1000 != 0) {
            json.raw(b",\"timestamp_ns\":\"");
            json.i64(timestamp_ns);
            json.raw(b"\"");
        }
        json.raw(b"}}");
        into.end(place, ENTRY);
        if replaced {
            into.note("not_utf8", 1);
        }
    }
}

/// The pairs of an entry's structured metadata, which was read before.
pub fn pairs(message: &[u8]) -> impl Iterator<Item = (&[u8], &[u8])> {
    let fields = protobuf::fields(message).filter_map(Result::ok).filter(|field| field.number == 3);
    fields.filter_map(|field| field.value.bytes().ok()).map(|pair| {
        let (mut name, mut value) = (&b""[..], &b""[..]);
        for field in protobuf::fields(pair).filter_map(Result::ok) {
            match (field.number, field.value.bytes()) {
                (1, Ok(bytes)) => name = bytes,
                (2, Ok(bytes)) => value = bytes,
                _ => {}
            }
        }
        (name, value)
    })
}

/// Writes bytes as a string. What is not UTF-8 is written as U+FFFD, and true is returned.
fn text(json: &mut Json<'_>, bytes: &[u8]) -> bool {
    let text = String::from_utf8_lossy(bytes);
    json.string(text.as_bytes());
    matches!(text, Cow::Owned(_))
}
