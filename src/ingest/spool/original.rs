//! What was sent, in a spooled request whose items were made of it: places and reasons, then the body.

use bytes::Bytes;

use super::fields::{DecodeError, Reader, put_count, put_text};
use crate::wire::item::{Broken, Original, Place};

/// Bytes of a place.
const PLACE_BYTES: u64 = 9;

pub fn put(into: &mut Vec<u8>, original: &Original) {
    put_count(into, original.places.len());
    for Place { start, end, tag } in &original.places {
        into.extend_from_slice(&start.to_le_bytes());
        into.extend_from_slice(&end.to_le_bytes());
        into.push(*tag);
    }
    put_count(into, original.broken.len());
    for Broken { item, message } in &original.broken {
        into.extend_from_slice(&item.to_le_bytes());
        put_text(into, Some(message));
    }
    put_count(into, original.body.len());
    into.extend_from_slice(&original.body);
}

/// Reads it; the body is a slice of `bytes`, of which `from` is the rest.
pub fn read(from: &mut Reader<'_>, bytes: &Bytes) -> Result<Original, DecodeError> {
    let count = from.u32()?;
    let places = from.bytes(u64::from(count) * PLACE_BYTES)?.as_chunks::<9>().0.iter();
    let number = |bytes: &[u8]| u32::from_le_bytes(bytes.try_into().expect("4 bytes"));
    let places = places.map(|place| Place { start: number(&place[..4]), end: number(&place[4..8]), tag: place[8] });
    let places = places.collect();
    let mut broken = Vec::new();
    for _ in 0..from.u32()? {
        broken.push(Broken { item: from.u32()?, message: from.required("reason")? });
    }
    let length = from.u32()?;
    let start = bytes.len() - from.0.len();
    let body = bytes.slice(start..start + from.bytes(length.into())?.len());
    Ok(Original { body, places, broken })
}
