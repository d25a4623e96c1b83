//! Values of OpenTelemetry (`AnyValue`, `KeyValue`) in protobuf, written as JSON. Nesting is bounded, and a key that is
//! sent twice in one list is written once, with its last value: an item with a key twice is refused.

use crate::limits::JSON_DEPTH_MAX;
use crate::protocols::Converter;
use crate::protocols::convert::Json;
use crate::protocols::protobuf::{Malformed, fields};

/// Arrays and lists in each other, at most. The rest of what JSON may have is for the objects around a value.
pub const DEPTH_MAX: usize = JSON_DEPTH_MAX - 8;

/// Up to so many keys, each is compared with all others.
const FEW: usize = 16;

/// The key and the value (a message `AnyValue`) of an attribute.
pub type Attribute<'a> = (&'a [u8], Option<&'a [u8]>);

/// Writes an `AnyValue`: what is no number in JSON as a string, bytes in base64, no value as null.
pub fn any_value(json: &mut Json<'_>, message: &[u8]) -> Result<(), Malformed> {
    value(json, message, 0)
}

/// The key and value of a message `KeyValue`.
pub fn key_value(message: &[u8]) -> Result<Attribute<'_>, Malformed> {
    let (mut key, mut value) = (&b""[..], None);
    for field in fields(message) {
        let field = field?;
        match field.number {
            1 => key = field.value.bytes()?,
            2 => value = Some(field.value.bytes()?),
            _ => {}
        }
    }
    Ok((key, value))
}

/// The text of an `AnyValue` that is text.
pub fn text_of(message: &[u8]) -> Option<&[u8]> {
    let last = fields(message).filter_map(Result::ok).filter(|field| (1..=7).contains(&field.number)).last()?;
    if last.number == 1 { last.value.bytes().ok() } else { None }
}

/// The text of an attribute's value, if it is text that is not empty.
pub fn text_in(value: Option<&[u8]>) -> Option<&[u8]> {
    value.and_then(text_of).filter(|text| !text.is_empty())
}

/// Leaves the last attribute of each key, in their order; says how many others there were.
pub fn unique(attributes: &mut Vec<Attribute<'_>>) -> usize {
    let before = attributes.len();
    if before <= FEW {
        let repeats = |at: usize| attributes[at + 1..].iter().any(|(key, _)| *key == attributes[at].0);
        if (0..before).any(repeats) {
            for at in (0..before).rev() {
                if attributes[at + 1..].iter().any(|(key, _)| *key == attributes[at].0) {
                    attributes.remove(at);
                }
            }
        }
    } else {
        let mut sorted: Vec<usize> = (0..before).collect();
        sorted.sort_unstable_by_key(|at| (attributes[*at].0, *at));
        let mut repeated: Vec<usize> = sorted
            .windows(2)
            .filter(|pair| attributes[pair[0]].0 == attributes[pair[1]].0)
            .map(|pair| pair[0])
            .collect();
        if !repeated.is_empty() {
            repeated.sort_unstable();
            let mut at = 0;
            attributes.retain(|_| {
                at += 1;
                repeated.binary_search(&(at - 1)).is_err()
            });
        }
    }
    before - attributes.len()
}

/// Attributes of one record, resource or list, at most: SDKs keep 128.
const ATTRIBUTES_MAX: usize = 10_000;

/// Adds an attribute to a list, which is memory that nobody is asked for.
pub fn add<'a>(to: &mut Vec<Attribute<'a>>, attribute: Attribute<'a>) -> Result<(), Malformed> {
    if to.len() == ATTRIBUTES_MAX {
        return Err(Malformed { at: 0, what: "there are more than 10,000 attributes; send fewer" });
    }
    to.push(attribute);
    Ok(())
}

/// Writes attributes, whose keys are [`unique`], as an object.
pub fn object(json: &mut Json<'_>, attributes: &[Attribute<'_>]) -> Result<(), Malformed> {
    members(json, attributes, 0)
}

/// Says how many attributes were not written, for another of their key was.
pub fn note_repeated(into: &mut Converter<'_>, repeated: usize) {
    if repeated > 0 {
        into.note("repeated_attributes", repeated as u64);
    }
}

fn members(json: &mut Json<'_>, attributes: &[Attribute<'_>], depth: usize) -> Result<(), Malformed> {
    let mut before: &[u8] = b"{";
    for (key, message) in attributes {
        json.raw(before);
        before = b",";
        json.key(key);
        match message {
            Some(message) => value(json, message, depth)?,
            None => json.raw(b"null"),
        }
    }
    json.raw(if attributes.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

fn value(json: &mut Json<'_>, message: &[u8], depth: usize) -> Result<(), Malformed> {
    // Of the fields of a oneof the last one counts.
    let mut last = None;
    for field in fields(message) {
        let field = field?;
        if (1..=7).contains(&field.number) {
            last = Some(field);
        }
    }
    let Some(field) = last else {
        json.raw(b"null");
        return Ok(());
    };
    match field.number {
        1 => json.string(field.value.bytes()?),
        2 => json.bool(field.value.bool()?),
        3 => json.i64(field.value.i64()?),
        4 => json.f64(field.value.f64()?),
        7 => json.base64(field.value.bytes()?),
        _ if depth == DEPTH_MAX => {
            return Err(Malformed { at: field.at, what: "a value is nested too deep; send it as text" });
        }
        5 => {
            let mut before: &[u8] = b"[";
            for element in fields(field.value.bytes()?) {
                let element = element?;
                if element.number == 1 {
                    json.raw(before);
                    before = b",";
                    value(json, element.value.bytes()?, depth + 1)?;
                }
            }
            json.raw(if before == b"[" { b"[]" } else { b"]" });
        }
        _ => {
            let mut attributes = Vec::new();
            for element in fields(field.value.bytes()?) {
                let element = element?;
                if element.number == 1 {
                    add(&mut attributes, key_value(element.value.bytes()?)?)?;
                }
            }
            unique(&mut attributes);
            members(json, &attributes, depth + 1)?;
        }
    }
    Ok(())
}
