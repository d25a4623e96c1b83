//! Numbers, texts and bytes.

use base64::Engine as _;
use base64::alphabet::STANDARD;
use base64::engine::DecodePaddingMode;
use base64::engine::general_purpose::{GeneralPurpose, GeneralPurposeConfig};

use super::reader::{Fault, Reader};
use super::schema::{Field, Kind};
use crate::protocols::protobuf::{put_bytes, put_varint};

/// Both alphabets are read, with padding or without.
const LENIENT: GeneralPurpose = GeneralPurpose::new(
    &STANDARD,
    GeneralPurposeConfig::new()
        .with_decode_padding_mode(DecodePaddingMode::Indifferent)
        .with_decode_allow_trailing_bits(true),
);

/// Reads a value, and writes it as this field.
pub fn put(reader: &mut Reader<'_>, field: &'static Field, out: &mut Vec<u8>) -> Result<(), Fault> {
    let start = reader.next();
    let written = match field.kind {
        Kind::Text => reader.string()?.map(|text| put_bytes(out, field.number, text.as_bytes())),
        Kind::Hex => reader.string()?.and_then(|text| put_hex(out, field.number, &text)),
        Kind::Base64 => {
            let bytes = reader.string()?.and_then(|text| from_base64(&text));
            bytes.map(|bytes| put_bytes(out, field.number, &bytes))
        }
        Kind::Bool => {
            let value = reader.takes_word("true");
            (value || reader.takes_word("false")).then(|| {
                put_varint(out, u64::from(field.number) << 3);
                out.push(value.into());
            })
        }
        _ => match reader.string()? {
            Some(text) => put_number(out, field, &text, true),
            None => reader.number().and_then(|digits| put_number(out, field, digits, false)),
        },
    };
    written.ok_or_else(|| {
        reader.return_to(start);
        reader.expected(field.name, field.kind.is_called())
    })
}

/// Writes the bytes that these digits are; what is written of others is thrown away with its record.
fn put_hex(out: &mut Vec<u8>, number: u32, text: &str) -> Option<()> {
    let digit = |byte: u8| char::from(byte).to_digit(16).and_then(|digit| u8::try_from(digit).ok());
    let (pairs, rest) = text.as_bytes().as_chunks::<2>();
    put_varint(out, u64::from(number) << 3 | 2);
    put_varint(out, pairs.len() as u64);
    for [high, low] in pairs {
        out.push(digit(*high)? << 4 | digit(*low)?);
    }
    rest.is_empty().then_some(())
}

fn from_base64(text: &str) -> Option<Vec<u8>> {
    if text.contains(['-', '_']) {
        return LENIENT.decode(text.replace('-', "+").replace('_', "/")).ok();
    }
    LENIENT.decode(text).ok()
}

/// Writes a number, which may stand in quotes.
fn put_number(out: &mut Vec<u8>, field: &Field, digits: &str, is_quoted: bool) -> Option<()> {
    let tag = u64::from(field.number) << 3;
    match field.kind {
        Kind::Double => {
            let value = match digits {
                "NaN" => f64::NAN,
                "Infinity" => f64::INFINITY,
                "-Infinity" => f64::NEG_INFINITY,
                _ => plain(digits)?.parse().ok().filter(|value: &f64| value.is_finite())?,
            };
            put_varint(out, tag | 1);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Fixed64 => {
            put_varint(out, tag | 1);
            out.extend_from_slice(&whole(digits)?.to_le_bytes());
        }
        Kind::Fixed32 => {
            let value = u32::try_from(whole(digits)?).ok()?;
            put_varint(out, tag | 5);
            out.extend_from_slice(&value.to_le_bytes());
        }
        Kind::Enum(names) => {
            let named = || names.iter().position(|name| *name == digits).and_then(|at| u64::try_from(at).ok());
            let value = if is_quoted { named() } else { None }.or_else(|| whole(digits))?;
            put_varint(out, tag);
            put_varint(out, value);
        }
        _ => {
            let value = whole(digits)?;
            put_varint(out, tag);
            put_varint(out, value);
        }
    }
    Some(())
}

/// What may be a number in JSON: Rust reads more.
fn plain(digits: &str) -> Option<&str> {
    digits.bytes().all(|byte| matches!(byte, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E')).then_some(digits)
}

/// A whole number of 64 bits, negative ones as two's complement. `1.0` and `1e3` are whole as well.
fn whole(digits: &str) -> Option<u64> {
    if let Ok(value) = digits.parse::<u64>() {
        return Some(value);
    }
    if let Ok(value) = digits.parse::<i64>() {
        return Some(value.cast_unsigned());
    }
    /// Up to here doubles have all whole numbers.
    const EXACT_MAX: f64 = 9_007_199_254_740_992.0;
    let value: f64 = plain(digits)?.parse().ok()?;
    let is_whole = value.fract() == 0.0 && value.abs() <= EXACT_MAX;
    is_whole.then(|| format!("{value:.0}").parse::<i64>().ok().map(i64::cast_unsigned)).flatten()
}
