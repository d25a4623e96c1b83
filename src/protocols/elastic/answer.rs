//! The answer to a bulk request: an entry for each action, in its position. It is 200 also when every item failed.

use std::iter::Peekable;

use hyper::StatusCode;
use hyper::header::HeaderValue;
use memchr::memchr;

use super::action::{Action, Meta};
use super::filter::Filter;
use super::names::{Op, dress};
use super::refusal;
use crate::protocols::agent::{self, Query};
use crate::protocols::convert::Json;
use crate::protocols::problem::Answer;
use crate::protocols::protocol::{Head, Sent};
use crate::protocols::report::{ItemError, Report};
use crate::wire::item::Original;

/// The members of an entry that may be left out, each with its bit.
const INDEX: u16 = 1;
const ID: u16 = 1 << 1;
const VERSION: u16 = 1 << 2;
const RESULT: u16 = 1 << 3;
const SHARDS: u16 = 1 << 4;
const STATUS: u16 = 1 << 5;
const ERROR_TYPE: u16 = 1 << 6;
const ERROR_REASON: u16 = 1 << 7;

const MEMBERS: [(u16, &[&str]); 8] = [
    (INDEX, &["_index"]),
    (ID, &["_id"]),
    (VERSION, &["_version"]),
    (RESULT, &["result"]),
    (SHARDS, &["_shards", "total"]),
    (STATUS, &["status"]),
    (ERROR_TYPE, &["error", "type"]),
    (ERROR_REASON, &["error", "reason"]),
];

pub fn answer(head: &Head<'_>, sent: Sent<'_>, report: Report<'_>) -> Answer {
    let Some(original) = sent.original.filter(|original| !original.places.is_empty()) else {
        return dress(head.headers, refusal::nothing(sent.body));
    };
    let query = Query::parse(head.query);
    let filter = Filter::parse(query.get("filter_path").unwrap_or_default());
    let mut json = Json::onto(Vec::with_capacity(64 + 32 * original.places.len()));
    let mut separator: &[u8] = b"{";
    if filter.has(&["took"]) {
        json.raw(b"{\"took\":0");
        separator = b",";
    }
    if filter.has(&["errors"]) {
        json.raw(separator);
        json.raw(b"\"errors\":");
        json.bool(report.rejected > 0);
        separator = b",";
    }
    let replayed = report.replayed;
    let before = json.len();
    json.raw(separator);
    json.raw(b"\"items\":[");
    if entries(&mut json, original, &filter, head.path.get("index"), report) {
        json.raw(b"]");
    } else {
        json.truncate(before);
    }
    if json.is_empty() {
        json.raw(b"{");
    }
    json.raw(b"}");
    let mut answer = agent::with_body(StatusCode::OK, HeaderValue::from_static("application/json"), json.into_text());
    if replayed {
        answer.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    dress(head.headers, answer)
}

/// Writes the entries; false: none is wanted.
fn entries(
    json: &mut Json<'_>,
    original: &Original,
    filter: &Filter<'_>,
    index_of_path: &str,
    report: Report<'_>,
) -> bool {
    let wanted = Op::ALL.map(|op| {
        let is_wanted = |below: &[&str]| filter.has(&[&["items", op.name()], below].concat());
        MEMBERS.iter().filter(|(_, path)| is_wanted(path)).fold(0, |all, (bit, _)| all | bit)
    });
    let receipt = report.receipt.to_string();
    let mut errors = report.errors.peekable();
    let mut known: (&[u8], Meta<'_>) = (b"", Meta::default());
    let mut any = false;
    for (position, place) in original.places.iter().enumerate() {
        let index = u32::try_from(position).unwrap_or(u32::MAX);
        let error = error_of(&mut errors, index);
        let op = Op::of_tag(place.tag);
        let status = if error.is_some() { ERROR_TYPE | ERROR_REASON } else { VERSION | RESULT | SHARDS };
        let wanted = wanted[usize::from(op.tag())] & (status | INDEX | ID | STATUS);
        if wanted == 0 {
            continue;
        }
        if wanted & (INDEX | ID) != 0 {
            let line = original.of(index);
            let line = &line[..memchr(b'\n', line).unwrap_or(line.len())];
            if known.0 != line {
                known = (line, Action::read(line).map(|action| action.meta).unwrap_or_default());
            }
        }
        json.raw(if any { b",{\"" } else { b"{\"" });
        any = true;
        json.raw(op.name().as_bytes());
        json.raw(b"\":");
        let entry = Entry { op, wanted, position, receipt: &receipt, meta: &known.1, index_of_path };
        entry.write(json, error.as_ref());
        json.raw(b"}");
    }
    any
}

/// The error of this item, from errors in the order of items.
fn error_of<'a>(errors: &mut Peekable<impl Iterator<Item = ItemError<'a>>>, index: u32) -> Option<ItemError<'a>> {
    while errors.next_if(|error| error.index < index).is_some() {}
    errors.next_if(|error| error.index == index)
}

struct Entry<'a> {
    op: Op,
    wanted: u16,
    position: usize,
    receipt: &'a str,
    meta: &'a Meta<'a>,
    /// Of those that name none.
    index_of_path: &'a str,
}

impl Entry<'_> {
    fn write(&self, json: &mut Json<'_>, error: Option<&ItemError<'_>>) {
        let mut separator: &[u8] = b"{";
        let mut member = |json: &mut Json<'_>, bit: u16, name: &[u8]| {
            let is_wanted = self.wanted & bit != 0;
            if is_wanted {
                json.raw(separator);
                json.raw(name);
                separator = b",";
            }
            is_wanted
        };
        if member(json, INDEX, b"\"_index\":") {
            let index = if self.meta.index.is_empty() { self.index_of_path } else { &self.meta.index };
            json.string(index.as_bytes());
        }
        if member(json, ID, b"\"_id\":") {
            if self.meta.id.is_empty() {
                // It has none that reads know; the receipt finds it.
                json.raw(b"\"");
                json.raw(self.receipt.as_bytes());
                json.raw(b":");
                json.u64(u64::try_from(self.position).unwrap_or(u64::MAX));
                json.raw(b"\"");
            } else {
                json.string(self.meta.id.as_bytes());
            }
        }
        member(json, VERSION, b"\"_version\":1");
        member(json, RESULT, b"\"result\":\"created\"");
        member(json, SHARDS, b"\"_shards\":{\"total\":1,\"successful\":1,\"failed\":0}");
        let said = error.map(|error| (kind(self.op, error.code), &*error.message));
        if member(json, STATUS, b"\"status\":") {
            json.u64(said.map_or(201, |((status, _), _)| status));
        }
        if let Some(((_, name), reason)) = said
            && member(json, ERROR_TYPE | ERROR_REASON, b"\"error\":")
        {
            json.raw(b"{");
            if self.wanted & ERROR_TYPE != 0 {
                json.raw(b"\"type\":");
                json.string(name.as_bytes());
            }
            if self.wanted & ERROR_REASON != 0 {
                json.raw(if self.wanted & ERROR_TYPE == 0 { b"\"reason\":" } else { b",\"reason\":" });
                json.string(reason.as_bytes());
            }
            json.raw(b"}");
        }
        json.raw(b"}");
    }
}

/// Status and type of an item's refusal. It is a dead letter, so that sending it again is of no use.
fn kind(op: Op, code: &str) -> (u64, &'static str) {
    match code {
        _ if matches!(op, Op::Update | Op::Delete) => (400, "illegal_argument_exception"),
        "id_conflict" => (409, "version_conflict_engine_exception"),
        "stream_unknown" | "stream_deleted" | "stream_quota" | "tenant_mismatch" => (400, "illegal_argument_exception"),
        _ => (400, "document_parsing_exception"),
    }
}
