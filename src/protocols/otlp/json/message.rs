//! Messages and lists: objects and arrays of JSON.

use super::reader::{Fault, Reader};
use super::scalar;
use super::schema::{Field, Kind, Schema};
use crate::limits::ITEMS_PER_REQUEST_MAX;
use crate::protocols::otlp::walk::Sent;
use crate::protocols::protobuf::put_varint;

/// Messages in each other, at most: two for each value in a value, and those around it.
const DEPTH_MAX: usize = 128;

/// Reads a body, and writes the message that it stands for.
pub struct Transcoder<'j> {
    pub reader: Reader<'j>,
    pub protobuf: Vec<u8>,
    pub records: Vec<Sent>,
    /// How many messages are open.
    pub depth: usize,
}

impl Transcoder<'_> {
    /// Reads the body as a whole.
    pub fn request(&mut self, schema: &'static Schema) -> Result<(), Fault> {
        self.message("the body", schema)?;
        if self.reader.is_over() { Ok(()) } else { Err(self.reader.fault("something stands behind the request")) }
    }

    fn message(&mut self, name: &str, schema: &'static Schema) -> Result<(), Fault> {
        if !self.reader.takes(b'{') {
            return Err(self.reader.expected(name, "an object"));
        }
        if self.reader.takes(b'}') {
            return Ok(());
        }
        if self.depth == DEPTH_MAX {
            return Err(self.reader.fault("a value is nested too deep; send it as text"));
        }
        self.depth += 1;
        loop {
            let Some(key) = self.reader.string()? else { return Err(self.reader.expected("a member", "its name")) };
            if !self.reader.takes(b':') {
                return Err(self.reader.expected("what follows a name", "':'"));
            }
            match schema.field(&key) {
                _ if self.reader.takes_word("null") => {}
                Some(field) if field.repeated => self.list(field)?,
                Some(field) => self.value(field)?,
                None => self.reader.skip()?,
            }
            if self.reader.takes(b'}') {
                self.depth -= 1;
                return Ok(());
            }
            if !self.reader.takes(b',') {
                return Err(self.reader.expected("what follows a member", "',' or '}'"));
            }
        }
    }

    fn list(&mut self, field: &'static Field) -> Result<(), Fault> {
        if !self.reader.takes(b'[') {
            return Err(self.reader.expected(field.name, "an array"));
        }
        if self.reader.takes(b']') {
            return Ok(());
        }
        loop {
            self.value(field)?;
            if self.reader.takes(b']') {
                return Ok(());
            }
            if !self.reader.takes(b',') {
                return Err(self.reader.expected("what follows an element", "',' or ']'"));
            }
        }
    }

    /// A value of a field, with its tag.
    fn value(&mut self, field: &'static Field) -> Result<(), Fault> {
        match field.kind {
            Kind::Message(schema) => {
                let start = begin(&mut self.protobuf, field.number);
                self.message(field.name, schema)?;
                end(&mut self.protobuf, start);
                Ok(())
            }
            Kind::Record(schema) => self.record(field, schema),
            _ => scalar::put(&mut self.reader, field, &mut self.protobuf),
        }
    }

    fn record(&mut self, field: &'static Field, schema: &'static Schema) -> Result<(), Fault> {
        let start = begin(&mut self.protobuf, field.number);
        let (at, depth) = (self.reader.next(), self.depth);
        let mut flaw = None;
        // One more than are taken is enough to be refused.
        if self.records.len() > ITEMS_PER_REQUEST_MAX {
            self.reader.skip()?;
        } else {
            if let Err(fault) = self.message("the record", schema) {
                flaw = Some(format!("at byte {} of the record: {}", fault.at - at, fault.what));
                self.protobuf.truncate(start);
                self.depth = depth;
                self.reader.return_to(at);
                self.reader.skip()?;
            }
            self.records.push(Sent { place: at..self.reader.at(), flaw });
        }
        end(&mut self.protobuf, start);
        Ok(())
    }
}

/// Begins a message; says where.
fn begin(out: &mut Vec<u8>, number: u32) -> usize {
    put_varint(out, u64::from(number) << 3 | 2);
    out.push(0);
    out.len()
}

/// Ends it. Most messages are short, and their length one byte; others move.
fn end(out: &mut Vec<u8>, start: usize) {
    let length = out.len() - start;
    if let Ok(short @ 0..0x80) = u8::try_from(length) {
        out[start - 1] = short;
        return;
    }
    let end = out.len();
    put_varint(out, length as u64);
    let bytes = out.len() - end;
    let mut prefix = [0; 10];
    prefix[..bytes].copy_from_slice(&out[end..]);
    out.copy_within(start..end, start - 1 + bytes);
    out[start - 1..start - 1 + bytes].copy_from_slice(&prefix[..bytes]);
    out.truncate(end - 1 + bytes);
}
