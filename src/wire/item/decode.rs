//! Takes a body through splitting and scanning, item by item, and has each stored or rejected.

use std::ops::Range;

use uuid::Uuid;

use super::origin::{BodyForm, ItemContext};
use super::reject::{BodyError, Code, RejectedItem, Rejection, Stage, at_byte, place_in};
use super::rows::{Decoded, Rows};
use super::scan::{Field, Poison, Scanner, Shape, Syntax};
use super::split::{Item, Splitter};
use crate::limits::{ITEMS_PER_REQUEST_MAX, JSON_DEPTH_MAX, NUMBER_DIGITS_MAX};

/// Largest body that can be decoded: rows and items are found by 32-bit positions, and a tuple may be some times as
/// large as its item. The configurable limit on bodies is far below.
const BODY_BYTES_CEILING: usize = 1 << 30;

/// What becomes of the items of one kind.
pub(crate) trait Items<F> {
    /// Fewest bytes of an ordinary item, for reserving room.
    const BYTES_USUAL: usize;
    /// A row's size beyond that of its item, for reserving room.
    const ROW_OVERHEAD_BYTES: usize;

    /// Appends the rows of the item that was scanned last.
    fn take(&mut self, scanner: &Scanner<F>, item: Accepted<'_>, rows: &mut Rows) -> Result<(), Rejection>;

    /// The id of the item that was scanned last and is rejected, as far as it can be read without decoding it.
    fn id(&self, scanner: &Scanner<F>, item: &[u8]) -> Option<Uuid>;
}

/// An item that is good JSON.
pub(crate) struct Accepted<'b> {
    pub text: &'b str,
    pub index: u32,
    /// Its bytes in the body.
    pub raw: Range<u32>,
}

/// Decodes a body. A bad item is among the rejected ones and costs no other.
pub(crate) fn decode<F: Field, I: Items<F>>(
    body: &[u8],
    form: BodyForm,
    shape: Shape,
    origin: &ItemContext<'_>,
    scanner: &mut Scanner<F>,
    items: &mut I,
) -> Result<Decoded, BodyError> {
    if body.len() > BODY_BYTES_CEILING {
        let message = format!("the body is over {BODY_BYTES_CEILING} bytes; split it into several requests");
        let rejection = Rejection::new(Stage::Decode, Code::InvalidJson, message);
        return Ok(not_json(body, rejection));
    }
    let items_usual = (body.len() / I::BYTES_USUAL + 1).min(ITEMS_PER_REQUEST_MAX);
    let mut rows = Rows::default();
    rows.bytes.reserve(body.len() + items_usual * I::ROW_OVERHEAD_BYTES);
    rows.rows.reserve(items_usual);
    // Checked once for the whole body; only where that fails, item by item.
    let text = std::str::from_utf8(body).ok();
    let mut splitter = Splitter::new(body, form, shape, origin.item_bytes_max);
    let mut rejected = Vec::new();
    let mut count = 0;
    let mut any_json = false;
    while let Some(item) = splitter.next_item(scanner) {
        if count == ITEMS_PER_REQUEST_MAX || rows.rows.len() > ITEMS_PER_REQUEST_MAX {
            return Err(BodyError::TooManyItems { max: ITEMS_PER_REQUEST_MAX });
        }
        let index = position(count);
        count += 1;
        any_json |= item.scan.is_ok();
        let raw = span(item.start, item.end);
        let taken = readable(body, text, &item, origin)
            .and_then(|text| items.take(scanner, Accepted { text, index, raw: raw.clone() }, &mut rows));
        if let Err(rejection) = taken {
            let event_id = item.scan.ok().and_then(|_| items.id(scanner, &body[item.start..item.end]));
            rejected.push(RejectedItem { index, raw, event_id, rejection });
        }
    }
    if rows.rows.len() > ITEMS_PER_REQUEST_MAX {
        return Err(BodyError::TooManyItems { max: ITEMS_PER_REQUEST_MAX });
    }
    if count == 0 {
        return Err(BodyError::Empty);
    }
    if !any_json {
        let first = rejected.swap_remove(0);
        return Ok(not_json(body, compressed(body).unwrap_or_else(|| of_whole(first))));
    }
    Ok(Decoded { rows, rejected, items: position(count), not_json: false })
}

/// A body without an item that is JSON: kept as a whole, as one rejected item.
fn not_json(body: &[u8], rejection: Rejection) -> Decoded {
    let whole = RejectedItem { index: 0, raw: span(0, body.len()), event_id: None, rejection };
    Decoded { rows: Rows::default(), rejected: vec![whole], items: 1, not_json: true }
}

/// The item is the whole body now: places are counted from where that begins.
fn of_whole(RejectedItem { raw, mut rejection, .. }: RejectedItem) -> Rejection {
    if let Some((stretch, at)) = place_in(&rejection.message) {
        rejection.message.replace_range(stretch, &at_byte(at + raw.start as usize));
    }
    rejection
}

/// Why a body is no JSON that begins as gzip or zstd do.
fn compressed(body: &[u8]) -> Option<Rejection> {
    let magic: [(&str, &[u8]); 2] = [("gzip", b"\x1f\x8b\x08"), ("zstd", b"\x28\xb5\x2f\xfd")];
    let (name, _) = magic.into_iter().find(|(_, magic)| body.starts_with(magic))?;
    let message = format!(
        "expected JSON, and this begins as {name} does: send Content-Encoding: {name}, or compress the body once only"
    );
    Some(Rejection::new(Stage::Decode, Code::InvalidJson, message))
}

/// The item as text, if nothing is wrong with it; of several things the first is named.
fn readable<'b>(
    body: &'b [u8],
    text: Option<&'b str>,
    item: &Item,
    origin: &ItemContext<'_>,
) -> Result<&'b str, Rejection> {
    let poison = item.scan.map_err(|syntax| syntax_rejection(syntax, item.start))?;
    let text = match text {
        Some(body) => Ok(&body[item.start..item.end]),
        None => std::str::from_utf8(&body[item.start..item.end])
            .map_err(|error| Poison { code: Code::InvalidUtf8, at: error.valid_up_to() }),
    };
    match (text, poison) {
        (Ok(text), None) => Ok(text),
        (Err(invalid), Some(poison)) if poison.at <= invalid.at => Err(poison_rejection(poison, origin)),
        (Err(poison), _) | (Ok(_), Some(poison)) => Err(poison_rejection(poison, origin)),
    }
}

fn syntax_rejection(syntax: Syntax, item_start: usize) -> Rejection {
    let Syntax { at, expected } = syntax;
    let message = format!(
        "invalid JSON {} (byte {} of the body): expected {expected}",
        at_byte(at),
        item_start.saturating_add(at)
    );
    Rejection::new(Stage::Decode, Code::InvalidJson, message)
}

fn poison_rejection(poison: Poison, origin: &ItemContext<'_>) -> Rejection {
    let what = match poison.code {
        Code::InvalidUtf8 => "bytes that are not UTF-8; encode the text as UTF-8".to_owned(),
        Code::NotAnObject => "a value that is not an object; send each item as an object".to_owned(),
        Code::DuplicateKey => "an object that holds a key twice; jsonb would keep only one of them".to_owned(),
        Code::TooDeep => format!("nesting deeper than {JSON_DEPTH_MAX}; flatten the value, or send it as text"),
        Code::NumberTooLarge => format!(
            "a number of more than {NUMBER_DIGITS_MAX} digits once expanded, or an item of more than {} bytes with its \
             numbers expanded; send such numbers as text",
            origin.item_bytes_max
        ),
        Code::PayloadNul => r"\u0000 in the payload, which PostgreSQL cannot store; remove or replace it".to_owned(),
        Code::MetadataNul => {
            r"\u0000 in metadata, context, dimensions or an unknown field, which PostgreSQL cannot store; remove it"
                .to_owned()
        }
        Code::FieldNul => r"\u0000 in a text field, which PostgreSQL cannot store; remove it".to_owned(),
        Code::LoneSurrogate => r"half of a surrogate pair (\ud800 to \udfff); send both halves or neither".to_owned(),
        other => other.as_str().to_owned(),
    };
    Rejection::new(Stage::Decode, poison.code, format!("{}: {what}", at_byte(poison.at)))
}

fn position(at: usize) -> u32 {
    u32::try_from(at).expect("positions stay far below 4 GiB, as BODY_BYTES_CEILING bounds the body")
}

/// A stretch of a body or of its rows.
pub(crate) fn span(start: usize, end: usize) -> Range<u32> {
    position(start)..position(end)
}
