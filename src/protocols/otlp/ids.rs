//! Ids of traces and spans, and the id of the event that a span becomes, by which others that belong to the span
//! name it.

const HEX: &[u8; 16] = b"0123456789abcdef";

/// A trace id of 16 bytes in hex.
pub type TraceId = [u8; 32];
/// A span id of 8 bytes in hex.
pub type SpanId = [u8; 16];

/// None: it is not valid, of another length or zero.
pub fn trace_id(bytes: &[u8]) -> Option<TraceId> {
    <&[u8; 16]>::try_from(bytes).ok().filter(|bytes| **bytes != [0; 16]).map(hex)
}

/// None: it is not valid, of another length or zero.
pub fn span_id(bytes: &[u8]) -> Option<SpanId> {
    <&[u8; 8]>::try_from(bytes).ok().filter(|bytes| **bytes != [0; 8]).map(hex)
}

/// Whether an id is not valid and yet says something: zeros do not.
pub fn is_odd(bytes: &[u8], length: usize) -> bool {
    !bytes.is_empty() && bytes.len() != length
}

/// What the event of a span is called, also by those that name it as their parent. In quotes, as JSON.
pub fn event_id(trace_id: &TraceId, span_id: &SpanId) -> [u8; 51] {
    let mut text = [b'"'; 51];
    text[1..33].copy_from_slice(trace_id);
    text[33] = b':';
    text[34..50].copy_from_slice(span_id);
    text
}

fn hex<const BYTES: usize, const DIGITS: usize>(bytes: &[u8; BYTES]) -> [u8; DIGITS] {
    const { assert!(DIGITS == 2 * BYTES) };
    let mut digits = [0; DIGITS];
    for (two, byte) in digits.as_chunks_mut().0.iter_mut().zip(bytes) {
        *two = [HEX[usize::from(byte >> 4)], HEX[usize::from(byte & 15)]];
    }
    digits
}
