//! The way through a request for logs or traces, which have the same outer messages: resources, in them scopes, in them
//! records.

use std::ops::Range;

use super::context::Context;
use super::value::{Attribute, note_repeated};
use crate::protocols::Converter;
use crate::protocols::protobuf::{Malformed, Value, fields};

/// The tag of a broken item that is the body as a whole. Every other one is 0.
pub const WHOLE: u8 = 1;

/// What records are written with, one after another.
#[derive(Default)]
pub struct Scratch<'a> {
    pub attributes: Vec<Attribute<'a>>,
    /// Of what is inside a record.
    pub inner: Vec<Attribute<'a>>,
}

/// A record of a body in JSON: where it stands, and why it cannot be read.
pub struct Sent {
    pub place: Range<usize>,
    pub flaw: Option<String>,
}

/// Why no event can be made of a record.
pub enum Flaw {
    Malformed(Malformed),
    Other(String),
}

impl From<Malformed> for Flaw {
    fn from(malformed: Malformed) -> Self {
        Self::Malformed(malformed)
    }
}

/// Makes one item of a record, up to its end.
pub type Write = for<'a> fn(&'a [u8], &Context, &mut Scratch<'a>, &mut Converter<'_>) -> Result<(), Flaw>;

/// Makes an item of each record of a request. `sent` has all records if the request was made of JSON.
pub fn convert(request: &[u8], sent: Option<&[Sent]>, what: &str, into: &mut Converter<'_>, write: Write) {
    // All or nothing: a body that ends too early is no request, and is not taken in part.
    if let Err(flaw) = check(request) {
        let message =
            format!("{flaw}; send an OTLP request of {what}s, whole, and with the encoding that its head says");
        into.broken(0..request.len(), WHOLE, message);
        return;
    }
    let mut walk = Walk { sent, ordinal: 0, what, context: Context::default(), scratch: Scratch::default(), write };
    for (_, resource) in messages(request, 1) {
        if into.is_full() {
            return;
        }
        walk.resource(request, resource, into);
    }
}

struct Walk<'a, 's> {
    sent: Option<&'s [Sent]>,
    ordinal: usize,
    what: &'s str,
    context: Context,
    scratch: Scratch<'a>,
    write: Write,
}

impl<'a> Walk<'a, '_> {
    fn resource(&mut self, request: &'a [u8], message: &'a [u8], into: &mut Converter<'_>) {
        let (resource, schema_url) = (last(message, 1), last(message, 3));
        self.context.begin_resource(resource, schema_url, &mut self.scratch.attributes);
        note_repeated(into, self.context.repeated);
        for (_, scope) in messages(message, 2) {
            self.context.begin_scope(last(scope, 1), last(scope, 3), &mut self.scratch.attributes);
            note_repeated(into, self.context.repeated);
            let start = scope.as_ptr().addr() - request.as_ptr().addr();
            for (at, record) in messages(scope, 2) {
                if into.is_full() {
                    return;
                }
                self.record(start + at, record, into);
            }
        }
    }

    fn record(&mut self, at: usize, record: &'a [u8], into: &mut Converter<'_>) {
        let (mut place, mut flaw) = (at..at + record.len(), None);
        if let Some(sent) = self.sent.and_then(|sent| sent.get(self.ordinal)) {
            (place, flaw) = (sent.place.clone(), sent.flaw.clone());
        }
        self.ordinal += 1;
        if flaw.is_none() {
            flaw = self.written(record, into).err();
        }
        match flaw {
            None => into.end(place, 0),
            Some(flaw) => into.broken(place, 0, flaw),
        }
    }

    fn written(&mut self, record: &'a [u8], into: &mut Converter<'_>) -> Result<(), String> {
        let what = self.what;
        if let Some((part, flaw)) = self.context.flaw() {
            return Err(format!("the {part} of the {what} cannot be read: {}", flaw.what));
        }
        self.scratch.attributes.clear();
        (self.write)(record, &self.context, &mut self.scratch, into).map_err(|flaw| match flaw {
            Flaw::Malformed(flaw) => format!("the {what} cannot be read: {}", flaw.what),
            Flaw::Other(flaw) => flaw,
        })
    }
}

/// Whether the outer messages are what they should be, down to the records.
fn check(request: &[u8]) -> Result<(), Malformed> {
    for resource in fields(request) {
        let resource = resource?;
        if resource.number != 1 {
            continue;
        }
        let within = |flaw: Malformed| Malformed { at: flaw.at + resource.at, ..flaw };
        for scope in fields(resource.value.bytes().map_err(within)?) {
            let scope = scope.map_err(within)?;
            if !(1..=3).contains(&scope.number) {
                continue;
            }
            let within = |flaw: Malformed| within(Malformed { at: flaw.at + scope.at, ..flaw });
            let message = scope.value.bytes().map_err(within)?;
            if scope.number == 2 {
                for record in fields(message) {
                    let record = record.map_err(within)?;
                    if (1..=3).contains(&record.number) {
                        record.value.bytes().map_err(within)?;
                    }
                }
            }
        }
    }
    Ok(())
}

/// Messages of this field of a message that was checked, and where in it they begin.
fn messages(message: &[u8], number: u32) -> impl Iterator<Item = (usize, &[u8])> {
    fields(message).filter_map(Result::ok).filter(move |field| field.number == number).filter_map(|field| {
        match field.value {
            Value::Bytes(bytes) => Some((field.at, bytes)),
            _ => None,
        }
    })
}

/// The last one of these.
fn last(message: &[u8], number: u32) -> &[u8] {
    messages(message, number).last().map_or(b"", |(_, message)| message)
}
