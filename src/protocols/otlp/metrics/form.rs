//! What protobuf and JSON have each in their own way: keys and values of attributes.

use std::borrow::Cow;

use super::cursor::{Cursor, double, whole};
use super::fault::Fault;
use crate::protocols::convert::Json;
use crate::protocols::otlp::value::{Attribute, DEPTH_MAX, any_value, text_of, unique};

/// The form in which keys and values of attributes are sent.
pub(super) trait Form {
    /// Writes a key as a part of a string.
    fn key(json: &mut Json<'_>, key: &[u8]);

    /// Writes an `AnyValue`.
    fn value(json: &mut Json<'_>, value: &[u8]) -> Result<(), Fault>;

    /// The text of an `AnyValue` that is text.
    fn text(value: &[u8]) -> Option<Cow<'_, [u8]>>;
}

pub(super) struct Protobuf;

impl Form for Protobuf {
    fn key(json: &mut Json<'_>, key: &[u8]) {
        json.part(key);
    }

    fn value(json: &mut Json<'_>, value: &[u8]) -> Result<(), Fault> {
        Ok(any_value(json, value)?)
    }

    fn text(value: &[u8]) -> Option<Cow<'_, [u8]>> {
        text_of(value).map(Cow::Borrowed)
    }
}

/// Keys as they are written between their quotes, values as text of JSON.
pub(super) struct JsonText;

impl Form for JsonText {
    fn key(json: &mut Json<'_>, key: &[u8]) {
        json.raw(key);
    }

    fn value(json: &mut Json<'_>, value: &[u8]) -> Result<(), Fault> {
        json_value(json, &mut Cursor::new(value, 0), 0)
    }

    fn text(value: &[u8]) -> Option<Cow<'_, [u8]>> {
        let mut text = None;
        let read = Cursor::new(value, 0).object(|cursor, name| {
            match name {
                b"stringValue" | b"string_value" => text = Some(cursor.text()?),
                name => {
                    cursor.skip()?;
                    text = text.take().filter(|_| !(name.ends_with(b"Value") || name.ends_with(b"_value")));
                }
            }
            Ok(())
        });
        read.ok().and(text)
    }
}

/// Reads a `KeyValue` in JSON.
pub(super) fn json_attribute<'a>(cursor: &mut Cursor<'a>) -> Result<Attribute<'a>, Fault> {
    let (mut key, mut value) = (&b""[..], None);
    cursor.object(|cursor, name| {
        match name {
            b"key" => key = cursor.string()?,
            b"value" => value = Some(cursor.skip()?),
            _ => drop(cursor.skip()?),
        }
        Ok(())
    })?;
    Ok((key, value))
}

/// Writes an `AnyValue`; of the fields of the oneof in it the last one counts.
fn json_value(json: &mut Json<'_>, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
    let start = json.len();
    cursor.object(|cursor, name| {
        match name {
            b"stringValue" | b"string_value" | b"bytesValue" | b"bytes_value" => {
                let text = cursor.string()?;
                json.truncate(start);
                json.raw(b"\"");
                json.raw(text);
                json.raw(b"\"");
            }
            b"boolValue" | b"bool_value" => {
                json.truncate(start);
                json.bool(boolean(cursor)?);
            }
            b"intValue" | b"int_value" => {
                json.truncate(start);
                json.i64(whole(cursor.token()?)?);
            }
            b"doubleValue" | b"double_value" => {
                json.truncate(start);
                json.f64(double(cursor.token()?)?);
            }
            b"arrayValue" | b"array_value" => {
                json.truncate(start);
                json_array(json, cursor, deeper(depth)?)?;
            }
            b"kvlistValue" | b"kvlist_value" => {
                json.truncate(start);
                json_object(json, cursor, deeper(depth)?)?;
            }
            _ => drop(cursor.skip()?),
        }
        Ok(())
    })?;
    if json.len() == start {
        json.raw(b"null");
    }
    Ok(())
}

fn json_array(json: &mut Json<'_>, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
    let mut before: &[u8] = b"[";
    each_of_values(cursor, |cursor| {
        json.raw(before);
        before = b",";
        json_value(json, cursor, depth)
    })?;
    json.raw(if before == b"[" { b"[]" } else { b"]" });
    Ok(())
}

fn json_object(json: &mut Json<'_>, cursor: &mut Cursor<'_>, depth: usize) -> Result<(), Fault> {
    let mut attributes = Vec::new();
    each_of_values(cursor, |cursor| {
        attributes.push(json_attribute(cursor)?);
        Ok(())
    })?;
    unique(&mut attributes);
    let mut before: &[u8] = b"{\"";
    for (key, value) in &attributes {
        json.raw(before);
        before = b",\"";
        json.raw(key);
        json.raw(b"\":");
        match value {
            Some(value) => json_value(json, &mut Cursor::new(value, 0), depth)?,
            None => json.raw(b"null"),
        }
    }
    json.raw(if attributes.is_empty() { b"{}" } else { b"}" });
    Ok(())
}

fn deeper(depth: usize) -> Result<usize, Fault> {
    if depth == DEPTH_MAX { Err("a value is nested too deep; send it as text".into()) } else { Ok(depth + 1) }
}

/// Every element of the `values` of a list.
fn each_of_values<'a>(
    list: &mut Cursor<'a>,
    mut each: impl FnMut(&mut Cursor<'a>) -> Result<(), Fault>,
) -> Result<(), Fault> {
    list.object(|cursor, name| if name == b"values" { cursor.array(&mut each) } else { cursor.skip().map(drop) })
}

pub(super) fn boolean(cursor: &mut Cursor<'_>) -> Result<bool, Fault> {
    match cursor.token()? {
        "true" => Ok(true),
        "false" => Ok(false),
        _ => Err("a value is of another type than its schema says: true or false is expected".into()),
    }
}
