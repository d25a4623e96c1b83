//! The decoder: takes a body through all steps, and keeps the buffers that requests share.

use std::ops::Range;

use uuid::Uuid;

use super::encode::{encode, server_metadata};
use super::envelope::{Envelope, Scratch};
use super::ids::{IdSource, foreign_id};
use super::reject::{BodyError, Code, RejectedItem, Rejection, Stage};
use super::rows::{Decoded, RowRef, Rows, StreamIndex};
use super::scan::{Field, Kind, Poison, Scanner, Shape, Syntax};
use super::split::{Item, Splitter};
use super::validate::{Rules, validate, validate_wrapped};
use super::{BodyForm, Defaults, Origin};
use crate::limits::{FOREIGN_ID_CHARS_MAX, ITEMS_PER_REQUEST_MAX, JSON_DEPTH_MAX, NUMBER_DIGITS_MAX};

/// Largest body that can be decoded: rows and items are found by 32-bit positions, and a tuple may be some times as
/// large as its item. The configurable limit on bodies is far below.
const BODY_BYTES_CEILING: usize = 1 << 30;

/// A row's size beyond that of its item, for reserving room.
const ROW_OVERHEAD_BYTES: usize = 256;

/// Fewest bytes of an ordinary event, for reserving room.
const ITEM_BYTES_USUAL: usize = 256;

/// Decodes request bodies. Holds scratch buffers only: one is kept per thread and used for one body after another.
pub struct Decoder {
    scanner: Scanner,
    scratch: Scratch,
    streams: StreamIndex,
}

impl Default for Decoder {
    fn default() -> Self {
        Self::new()
    }
}

impl std::fmt::Debug for Decoder {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Decoder").finish_non_exhaustive()
    }
}

impl Decoder {
    /// A decoder with empty buffers.
    pub fn new() -> Self {
        Self { scanner: Scanner::new(), scratch: Scratch::new(), streams: StreamIndex::default() }
    }

    /// Decodes, validates and encodes a body. A bad item is among the rejected ones and costs no other.
    pub fn decode(
        &mut self,
        body: &[u8],
        form: BodyForm,
        defaults: &Defaults,
        origin: &Origin<'_>,
    ) -> Result<Decoded, BodyError> {
        if body.len() > BODY_BYTES_CEILING {
            let message = format!("the body is over {BODY_BYTES_CEILING} bytes; split it into several requests");
            let rejection = Rejection::new(Stage::Decode, Code::InvalidJson, message);
            return Err(BodyError::NotJson { rejection });
        }
        let items_usual = (body.len() / ITEM_BYTES_USUAL + 1).min(ITEMS_PER_REQUEST_MAX);
        let mut rows = Rows::default();
        rows.bytes.reserve(body.len() + items_usual * ROW_OVERHEAD_BYTES);
        rows.rows.reserve(items_usual);
        self.streams.clear();
        let mut request = Request {
            body,
            // Checked once for the whole body; only where that fails, item by item.
            text: std::str::from_utf8(body).ok(),
            rules: Rules {
                origin,
                defaults,
                cloud_event: matches!(form, BodyForm::CloudEvent | BodyForm::CloudEventBatch),
            },
            ids: IdSource::new(origin.received_at_us),
            server_metadata: server_metadata(origin),
            rows,
        };
        let shape = if defaults.wrap { Shape::Wrapped } else { Shape::Envelope };
        let mut splitter = Splitter::new(body, form, shape, origin.item_bytes_max);
        let mut rejected = Vec::new();
        let mut items = 0;
        let mut any_json = false;
        while let Some(item) = splitter.next_item(&mut self.scanner) {
            if items == ITEMS_PER_REQUEST_MAX {
                return Err(BodyError::TooManyItems { max: ITEMS_PER_REQUEST_MAX });
            }
            let index = position(items);
            items += 1;
            any_json |= item.scan.is_ok();
            if let Err(rejection) = self.item(&mut request, index, &item) {
                let event_id = if item.scan.is_ok() { self.event_id(&request, &item) } else { None };
                rejected.push(RejectedItem { index, raw: span(item.start, item.end), event_id, rejection });
            }
        }
        match rejected.first() {
            None if items == 0 => Err(BodyError::Empty),
            Some(first) if !any_json => Err(BodyError::NotJson { rejection: first.rejection.clone() }),
            _ => Ok(Decoded { rows: request.rows, rejected, items: position(items) }),
        }
    }

    fn item(&mut self, request: &mut Request<'_>, index: u32, item: &Item) -> Result<(), Rejection> {
        let poison = item.scan.map_err(|syntax| syntax_rejection(syntax, item.start))?;
        let text = request.item_text(item, poison)?;
        let rules = request.rules;
        let event = if rules.defaults.wrap {
            validate_wrapped(text, rules, &mut request.ids)?
        } else {
            let envelope = Envelope::read(text, &self.scanner, &mut self.scratch)?;
            validate(envelope, rules, &mut request.ids)?
        };
        let rows = &mut request.rows;
        let stream = self.streams.index(event.stream, &mut rows.streams).ok_or_else(|| {
            let message = "the request names more than 65536 streams; split it into several requests";
            Rejection::new(Stage::Package, Code::InvalidField, message)
        })?;
        let start = rows.bytes.len();
        encode(&event, rules.origin, &request.server_metadata, &mut rows.bytes);
        rows.rows.push(RowRef {
            bytes: span(start, rows.bytes.len()),
            timestamp_us: event.timestamp_us,
            item: index,
            raw: span(item.start, item.end),
            stream,
            id: event.id,
        });
        Ok(())
    }

    /// The id of the item scanned last, as far as it can be read without decoding it.
    fn event_id(&self, request: &Request<'_>, item: &Item) -> Option<Uuid> {
        let members = self.scanner.members.iter();
        let ids = members.filter(|member| member.field == Field::Id && member.kind != Kind::Null);
        let member = ids.min_by_key(|member| member.rank).filter(|member| member.kind == Kind::String)?;
        if member.escaped {
            return None;
        }
        let (start, end) = (item.start + member.value.start + 1, item.start + member.value.end - 1);
        let text = std::str::from_utf8(&request.body[start..end]).ok()?;
        Uuid::try_parse(text).ok().or_else(|| {
            let foreign = !text.is_empty() && text.chars().count() <= FOREIGN_ID_CHARS_MAX;
            foreign.then(|| foreign_id(request.rules.origin.tenant_id, text))
        })
    }
}

/// What the items of a body share.
struct Request<'b> {
    body: &'b [u8],
    text: Option<&'b str>,
    rules: Rules<'b>,
    ids: IdSource,
    server_metadata: String,
    rows: Rows,
}

impl<'b> Request<'b> {
    /// The item as text, if nothing is wrong with it; of several things the first is named.
    fn item_text(&self, item: &Item, poison: Option<Poison>) -> Result<&'b str, Rejection> {
        let text = match self.text {
            Some(body) => Ok(&body[item.start..item.end]),
            None => std::str::from_utf8(&self.body[item.start..item.end])
                .map_err(|error| Poison { code: Code::InvalidUtf8, at: error.valid_up_to() }),
        };
        match (text, poison) {
            (Ok(text), None) => Ok(text),
            (Err(invalid), Some(poison)) if poison.at <= invalid.at => Err(poison_rejection(poison, self.rules.origin)),
            (Err(poison), _) | (Ok(_), Some(poison)) => Err(poison_rejection(poison, self.rules.origin)),
        }
    }
}

fn syntax_rejection(syntax: Syntax, item_start: usize) -> Rejection {
    let Syntax { at, expected } = syntax;
    let message = format!(
        "invalid JSON at byte {at} of the item (byte {} of the body): expected {expected}",
        item_start.saturating_add(at)
    );
    Rejection::new(Stage::Decode, Code::InvalidJson, message)
}

fn poison_rejection(poison: Poison, origin: &Origin<'_>) -> Rejection {
    let what = match poison.code {
        Code::InvalidUtf8 => "bytes that are not UTF-8; encode the text as UTF-8".to_owned(),
        Code::NotAnObject => "a value that is not an object; send each event as an object".to_owned(),
        Code::DuplicateKey => "an object that holds a key twice; jsonb would keep only one of them".to_owned(),
        Code::TooDeep => format!("nesting deeper than {JSON_DEPTH_MAX}; flatten the value, or send it as text"),
        Code::NumberTooLarge => format!(
            "a number of more than {NUMBER_DIGITS_MAX} digits once expanded, or an item of more than {} bytes with its \
             numbers expanded; send such numbers as text",
            origin.item_bytes_max
        ),
        Code::PayloadNul => r"\u0000 in the payload, which PostgreSQL cannot store; remove or replace it".to_owned(),
        Code::MetadataNul => {
            r"\u0000 in metadata, context or an unknown field, which PostgreSQL cannot store; remove it".to_owned()
        }
        Code::FieldNul => r"\u0000 in a text field, which PostgreSQL cannot store; remove it".to_owned(),
        Code::LoneSurrogate => r"half of a surrogate pair (\ud800 to \udfff); send both halves or neither".to_owned(),
        other => other.as_str().to_owned(),
    };
    Rejection::new(Stage::Decode, poison.code, format!("at byte {} of the item: {what}", poison.at))
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("positions stay far below 4 GiB, as BODY_BYTES_CEILING bounds the body")
}

fn span(start: usize, end: usize) -> Range<u32> {
    position(start)..position(end)
}
