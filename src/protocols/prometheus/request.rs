//! A whole request: its series one after another, once it is known to be a request of the kind that it says it is.

use super::message::{Message, tag};
use super::series::Series;
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::protocols::convert::Converter;
use crate::protocols::protobuf::{Malformed, Value, fields};

/// Field of a request of 2.0.
const SYMBOLS: u32 = 4;
/// As many as the items of a request need; more would be memory that nobody asked for.
const SYMBOLS_MAX: usize = 10 * ITEMS_PER_REQUEST_MAX;
/// Field of a request of 1.0.
const METADATA: u32 = 3;

/// Writes the items of a body.
pub fn convert(message: Message, body: &[u8], into: &mut Converter<'_>) {
    let frame = match Frame::read(message, body) {
        Ok(frame) => frame,
        Err(why) => return into.broken(0..body.len(), tag::WHOLE, why),
    };
    if frame.metadata > 0 {
        into.note("metadata", frame.metadata);
    }
    if !into.aside(frame.symbols.len() * size_of::<&[u8]>()) {
        return;
    }
    let mut series = Series::new(message, frame.symbols);
    for field in fields(body).map_while(Result::ok).filter(|field| field.number == message.series()) {
        let Ok(bytes) = field.value.bytes() else { continue };
        series.convert(bytes, field.at..field.at + bytes.len(), into);
        if into.is_full() {
            return;
        }
    }
}

/// What a request has beside its series.
struct Frame<'a> {
    symbols: Vec<&'a [u8]>,
    metadata: u64,
}

impl<'a> Frame<'a> {
    /// Reads it, or says why the body is no such request, of which nothing is taken then.
    fn read(message: Message, body: &'a [u8]) -> Result<Self, String> {
        let mut frame = Self { symbols: Vec::new(), metadata: 0 };
        let (mut has_series, mut is_other) = (false, false);
        let unreadable = |error: Malformed| format!("the body is no remote write request: {error}");
        for field in fields(body) {
            let field = field.map_err(unreadable)?;
            match (message, field.number) {
                (_, number) if number == message.series() => {
                    field.value.bytes().map_err(unreadable)?;
                    has_series = true;
                }
                (Message::Request, SYMBOLS) if frame.symbols.len() == SYMBOLS_MAX => {
                    return Err(format!("the request has more than {SYMBOLS_MAX} symbols; send smaller batches"));
                }
                (Message::Request, SYMBOLS) => frame.symbols.push(field.value.bytes().map_err(unreadable)?),
                (Message::WriteRequest, METADATA) => frame.metadata += 1,
                (_, number) => is_other |= number == message.other().series() && matches!(field.value, Value::Bytes(_)),
            }
        }
        if is_other && !has_series {
            return Err(format!(
                "the body is a {}, and Content-Type says {}; send the type of what is sent",
                message.other().name(),
                message.name()
            ));
        }
        // Which is what senders refer to where they have nothing to say.
        if message == Message::Request && has_series && frame.symbols.first().is_none_or(|first| !first.is_empty()) {
            return Err("the symbols of the request do not begin with the empty string; send it first".into());
        }
        Ok(frame)
    }
}
