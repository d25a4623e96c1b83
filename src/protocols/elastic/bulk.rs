//! The body of a bulk request: from pairs of lines to events.

use bytes::Bytes;
use hyper::StatusCode;
use memchr::memchr;

use super::action::Action;
use super::document::{Found, Slot};
use super::names::{Op, kind_of};
use crate::protocols::agent::Query;
use crate::protocols::convert::{Converter, Json};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::protocols::protocol::Head;

/// The lines of a body, without their ends.
struct Lines<'a> {
    body: &'a [u8],
    at: usize,
    /// How many were read.
    count: usize,
}

impl<'a> Lines<'a> {
    /// Where the next line begins, and the line.
    fn next(&mut self) -> Option<(usize, &'a [u8])> {
        let rest = self.body.get(self.at..).filter(|rest| !rest.is_empty())?;
        let length = memchr(b'\n', rest).unwrap_or(rest.len());
        let start = self.at;
        self.at += length + 1;
        self.count += 1;
        let line = &rest[..length];
        Some((start, line.strip_suffix(b"\r").unwrap_or(line)))
    }
}

/// What documents behind equal actions have in common.
struct Prepared<'a> {
    line: &'a [u8],
    op: Op,
    /// The kind of the index.
    kind: String,
    /// From `,"id":` on, if there is one.
    id: Vec<u8>,
    /// From `,"metadata":` to the end of the item.
    metadata: Vec<u8>,
}

/// What the head says of documents whose actions do not.
struct Defaults<'a> {
    index: &'a str,
    pipeline: &'a str,
    routing: &'a str,
}

pub fn convert(head: &Head<'_>, body: &Bytes, into: &mut Converter<'_>) -> Result<(), Problem> {
    let query = Query::parse(head.query);
    let defaults = Defaults {
        index: head.path.get("index"),
        pipeline: query.get("pipeline").unwrap_or_default(),
        routing: query.get("routing").unwrap_or_default(),
    };
    let mut lines = Lines { body, at: 0, count: 0 };
    let mut prepared: Option<Prepared<'_>> = None;
    while let Some((start, line)) = lines.next() {
        if line.iter().all(u8::is_ascii_whitespace) {
            continue;
        }
        let action = match prepared.take().filter(|known| known.line == line) {
            Some(known) => known,
            None => prepare(line, lines.count, &defaults)?,
        };
        if action.id.is_empty() {
            into.repeats();
        }
        take(&mut lines, start, &action, into);
        prepared = Some(action);
        if into.is_full() {
            break;
        }
    }
    Ok(())
}

fn prepare<'a>(line: &'a [u8], number: usize, defaults: &Defaults<'_>) -> Result<Prepared<'a>, Problem> {
    let Action { op, meta } = Action::read(line).map_err(|what| {
        Problem::bad_request(ProblemCode::InvalidBody, format!("Malformed action/metadata line [{number}], {what}"))
    })?;
    let or = |own: &str, default: &str| if own.is_empty() { default.to_owned() } else { own.to_owned() };
    let index = or(&meta.index, defaults.index);
    if index.is_empty() {
        let detail = format!(
            "Validation Failed: 1: index is missing; line [{number}] has no _index, and the path names no index"
        );
        return Err(Problem::new(StatusCode::BAD_REQUEST, ProblemCode::InvalidParameter, detail));
    }
    let mut id = Json::onto(Vec::new());
    if !meta.id.is_empty() {
        id.raw(b",\"id\":\"");
        id.part(index.as_bytes());
        id.raw(b"/");
        id.part(meta.id.as_bytes());
        id.raw(b"\"");
    }
    let mut metadata = Json::onto(Vec::new());
    metadata.raw(b",\"metadata\":{\"index\":");
    metadata.string(index.as_bytes());
    let named = [
        (&b"_id"[..], meta.id.into_owned()),
        (b"routing", or(&meta.routing, defaults.routing)),
        (b"pipeline", or(&meta.pipeline, defaults.pipeline)),
    ];
    for (name, text) in named.iter().filter(|(_, text)| !text.is_empty()) {
        metadata.raw(b",");
        metadata.key(name);
        metadata.string(text.as_bytes());
    }
    for (name, value) in meta.others {
        // What is one of these names twice is a duplicate key, and the item is refused for it.
        metadata.raw(b",");
        metadata.key(name.as_bytes());
        metadata.raw(value.get().as_bytes());
    }
    metadata.raw(b"}}");
    Ok(Prepared { line, op, kind: kind_of(&index).to_owned(), id: id.into_text(), metadata: metadata.into_text() })
}

/// Takes the document of an action that begins at `start`.
fn take(lines: &mut Lines<'_>, start: usize, action: &Prepared<'_>, into: &mut Converter<'_>) {
    let tag = action.op.tag();
    let document = match action.op {
        Op::Delete => {
            let message = "[delete] is not supported: events are not deleted one by one; send [index] or [create]";
            into.broken(start..start + action.line.len(), tag, message);
            return;
        }
        Op::Update | Op::Index | Op::Create => lines.next(),
    };
    let Some((at, document)) = document else {
        into.broken(start..start + action.line.len(), tag, "the action has no document on a line behind it");
        return;
    };
    let place = start..at + document.len();
    if action.op == Op::Update {
        let message = "[update] is not supported: events do not change; send [index] or [create]";
        into.broken(place, tag, message);
        return;
    }
    match Found::read(document) {
        Ok(found) => {
            write(into.item(), action, &found, document);
            into.end(place, tag);
        }
        Err(what) => into.broken(place, tag, format!("failed to parse the document on line [{}]: {what}", lines.count)),
    }
}

fn write(item: &mut Json<'_>, action: &Prepared<'_>, found: &Found<'_>, document: &[u8]) {
    item.raw(b"{\"event_type\":");
    text_or(item, found.get(Slot::Dataset), &action.kind);
    item.raw(b",\"source_module\":");
    text_or(item, found.get(Slot::Service), &action.kind);
    if let Some(time) = found.time() {
        item.raw(b",\"timestamp\":");
        item.raw(time.as_bytes());
    }
    let fields = [
        (Slot::Severity, &b",\"severity\":"[..]),
        (Slot::Environment, b",\"environment\":"),
        (Slot::Asset, b",\"asset_id\":"),
        (Slot::Trace, b",\"trace_id\":"),
    ];
    for (slot, name) in fields {
        if let Some(text) = found.get(slot) {
            item.raw(name);
            string(item, text);
        }
    }
    item.raw(&action.id);
    item.raw(b",\"payload\":");
    item.raw(document);
    item.raw(&action.metadata);
}

fn text_or(item: &mut Json<'_>, text: Option<&str>, default: &str) {
    match text {
        Some(text) => string(item, text),
        None => item.string(default.as_bytes()),
    }
}

/// A string as it stands in JSON; a number becomes one.
fn string(item: &mut Json<'_>, json: &str) {
    if json.starts_with('"') {
        item.raw(json.as_bytes());
    } else {
        item.string(json.as_bytes());
    }
}
