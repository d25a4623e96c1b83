//! Requests in JSON, made to the protobuf that they stand for (proto3's mapping, with what OTLP changes of it): ids are
//! hex, enums numbers, unknown members are passed over, and null is absent.
//!
//! A record of a wrong type costs itself, where its end is found all the same.

mod message;
mod reader;
mod scalar;
pub mod schema;

use self::message::Transcoder;
use self::reader::Reader;
use self::schema::Schema;
use super::walk::Sent;

/// A request, and where in its JSON each of its records stands.
pub struct Transcoded {
    pub protobuf: Vec<u8>,
    pub records: Vec<Sent>,
}

/// Reads a request of this schema; an error says where the body cannot be read, and why.
pub fn transcode(body: &[u8], request: &'static Schema) -> Result<Transcoded, String> {
    let text = std::str::from_utf8(body).map_err(|error| format!("no UTF-8 at byte {}", error.valid_up_to()))?;
    // A message is shorter than its JSON.
    let protobuf = Vec::with_capacity(body.len() / 2);
    let mut transcoder = Transcoder { reader: Reader::new(text), protobuf, records: Vec::new(), depth: 0 };
    transcoder.request(request).map_err(|fault| format!("at byte {}: {}", fault.at, fault.what))?;
    Ok(Transcoded { protobuf: transcoder.protobuf, records: transcoder.records })
}
