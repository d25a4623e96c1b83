//! Values of fields: floats, integers (`i`), unsigned integers (`u`), booleans and quoted text.

use std::borrow::Cow;

use memchr::memchr2;

use super::fault::Fault;
use super::text::Text;

/// Longest number that is finite whatever its digits are.
const FINITE_BYTES_MAX: usize = 300;
/// Digits with which every whole number is an i64, or a u64.
const I64_DIGITS: usize = 18;
const U64_DIGITS: usize = 19;

#[derive(Debug, PartialEq)]
pub enum Value<'a> {
    /// A number that is JSON as it is written.
    Number(&'a [u8]),
    Double(f64),
    Text(Text<'a>),
}

/// The value that begins at `start`, and where it ends.
#[inline]
pub fn value(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Fault> {
    match body.get(start) {
        Some(b'0'..=b'9' | b'-' | b'.') => number(body, start),
        Some(b'"') => text(body, start),
        Some(b't' | b'T' | b'f' | b'F') => boolean(body, start),
        Some(b',' | b' ' | b'\n' | b'\r') | None => Err(Fault::new(start, "the field has no value")),
        _ => Err(Fault::new(
            start,
            "a value is a finite number (1.5), an integer (2i or 2u), true or false, or text in double quotes",
        )),
    }
}

fn digits(body: &[u8], start: usize) -> usize {
    body[start..].iter().take_while(|byte| byte.is_ascii_digit()).count()
}

#[inline]
fn number(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Fault> {
    const WRONG: &str = "this is no number: write 1.5, -2e-3, 2i or 2u";
    let negative = body[start] == b'-';
    let first = start + usize::from(negative);
    let whole = digits(body, first);
    let mut end = first + whole;
    let mut plain = whole == 1 || whole > 0 && body[first] != b'0';
    let kind = body.get(end).copied();
    if let Some(b'i' | b'u') = kind {
        let fits = match (kind, whole) {
            (_, 0) => return Err(Fault::new(start, WRONG)),
            (Some(b'i'), 1..=I64_DIGITS) => true,
            (Some(b'i'), _) => parsed::<i64>(&body[start..end]).is_some(),
            _ if negative => return Err(Fault::new(start, "an unsigned integer has no minus sign")),
            _ => whole <= U64_DIGITS || parsed::<u64>(&body[start..end]).is_some(),
        };
        if !fits {
            return Err(Fault::new(start, "the integer does not fit into 64 bits"));
        }
        let value = if plain { Some(Value::Number(&body[start..end])) } else { double(&body[start..end]) };
        return ended(body, end + 1, WRONG, value.ok_or(Fault::new(start, WRONG))?);
    }
    if kind == Some(b'.') {
        let fraction = digits(body, end + 1);
        plain &= fraction > 0;
        end += 1 + fraction;
    }
    if let Some(b'e' | b'E') = body.get(end) {
        plain = false;
        let sign = usize::from(matches!(body.get(end + 1), Some(b'+' | b'-')));
        end += 1 + sign;
        end += digits(body, end);
    }
    let written = &body[start..end];
    if plain && written.len() <= FINITE_BYTES_MAX {
        return ended(body, end, WRONG, Value::Number(written));
    }
    match double(written) {
        Some(Value::Double(value)) if value.is_finite() => ended(body, end, WRONG, Value::Double(value)),
        Some(_) => Err(Fault::new(start, "the number is larger than a double can be")),
        None => Err(Fault::new(start, WRONG)),
    }
}

fn parsed<T: std::str::FromStr>(written: &[u8]) -> Option<T> {
    std::str::from_utf8(written).ok()?.parse().ok()
}

fn double(written: &[u8]) -> Option<Value<'static>> {
    parsed(written).map(Value::Double)
}

/// The value, if its field ends here.
#[inline]
fn ended<'a>(body: &[u8], end: usize, otherwise: &'static str, value: Value<'a>) -> Result<(Value<'a>, usize), Fault> {
    match body.get(end) {
        Some(b',' | b' ' | b'\n' | b'\r') | None => Ok((value, end)),
        Some(_) => Err(Fault::new(end, otherwise)),
    }
}

fn boolean(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Fault> {
    const WRONG: &str = "a boolean is t, T, true, True, TRUE, f, F, false, False or FALSE";
    let rest = &body[start..];
    let length = rest.iter().take_while(|byte| byte.is_ascii_alphanumeric()).take(6).count();
    let value: &[u8] = match &rest[..length] {
        b"t" | b"T" | b"true" | b"True" | b"TRUE" => b"1",
        b"f" | b"F" | b"false" | b"False" | b"FALSE" => b"0",
        _ => return Err(Fault::new(start, WRONG)),
    };
    ended(body, start + length, WRONG, Value::Number(value))
}

/// Text in quotes; it may go over several lines. A backslash is one of its characters, but before a quote or another
/// backslash.
fn text(body: &[u8], start: usize) -> Result<(Value<'_>, usize), Fault> {
    let first = start + 1;
    let mut copied: Option<Vec<u8>> = None;
    // What is not yet copied begins here.
    let mut from = first;
    let mut at = first;
    loop {
        let Some(found) = memchr2(b'"', b'\\', &body[at..]) else {
            return Err(Fault::new(start, "the text that begins here has no end: a double quote"));
        };
        at += found;
        if body[at] == b'"' {
            break;
        }
        if let Some(b'"' | b'\\') = body.get(at + 1) {
            copied.get_or_insert_default().extend_from_slice(&body[from..at]);
            from = at + 1;
            at += 2;
        } else {
            at += 1;
        }
    }
    let rest = &body[from..at];
    let text = match copied {
        None => Cow::Borrowed(rest),
        Some(mut copied) => {
            copied.extend_from_slice(rest);
            Cow::Owned(copied)
        }
    };
    ended(body, at + 1, "behind the text comes a comma, a blank or the line's end", Value::Text(text))
}
