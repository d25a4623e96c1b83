//! The line before a document: what is to be done with it, and where it goes.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Error as _, MapAccess, Visitor};
use serde_json::value::RawValue;

use super::names::Op;

#[derive(Debug)]
pub struct Action<'a> {
    pub op: Op,
    pub meta: Meta<'a>,
}

/// What an action says of its document; empty text is nothing.
#[derive(Debug, Default)]
pub struct Meta<'a> {
    pub index: Cow<'a, str>,
    pub id: Cow<'a, str>,
    pub routing: Cow<'a, str>,
    pub pipeline: Cow<'a, str>,
    /// Any other members, as they were sent.
    pub others: Vec<(Cow<'a, str>, &'a RawValue)>,
}

impl<'a> Action<'a> {
    /// Reads a line; the error says what is wrong with it.
    pub fn read(line: &'a [u8]) -> Result<Self, String> {
        serde_json::from_slice(line).map_err(|error| reason(&error))
    }
}

/// An error without a line, which would be counted from this one.
pub fn reason(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let said = text.rfind(" at line ").map_or(text.as_str(), |at| &text[..at]);
    format!("{said} at byte {} of the line", error.column())
}

/// Text that is borrowed unless it has escapes.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

impl<'de: 'a, 'a> Deserialize<'de> for Action<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Whole;
        impl<'de> Visitor<'de> for Whole {
            type Value = Action<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"index\":{\"_index\":\"logs\"}}")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Action<'de>, M::Error> {
                let Some(Text(name)) = map.next_key()? else {
                    return Err(M::Error::custom("expected FIELD_NAME but found [END_OBJECT]"));
                };
                let op = Op::named(&name).ok_or_else(|| {
                    let shown: String = name.chars().take(50).collect();
                    M::Error::custom(format!(
                        "Unknown action [{shown}], expected one of [create, delete, index, update]"
                    ))
                })?;
                let meta = map.next_value()?;
                match map.next_key::<Text<'_>>()? {
                    None => Ok(Action { op, meta }),
                    Some(_) => Err(M::Error::custom("expected END_OBJECT but found [FIELD_NAME]")),
                }
            }
        }
        deserializer.deserialize_map(Whole)
    }
}

impl<'de: 'a, 'a> Deserialize<'de> for Meta<'a> {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Members;
        impl<'de> Visitor<'de> for Members {
            type Value = Meta<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object of the action's members")
            }

            fn visit_map<M: MapAccess<'de>>(self, mut map: M) -> Result<Meta<'de>, M::Error> {
                let mut meta = Meta::default();
                while let Some(Text(name)) = map.next_key()? {
                    let value: &RawValue = map.next_value()?;
                    let field = match &*name {
                        "_index" => &mut meta.index,
                        "_id" => &mut meta.id,
                        "routing" | "_routing" => &mut meta.routing,
                        "pipeline" => &mut meta.pipeline,
                        _ => {
                            meta.others.push((name, value));
                            continue;
                        }
                    };
                    *field = scalar(value)
                        .ok_or_else(|| M::Error::custom(format!("expected a simple value for field [{name}]")))?;
                }
                Ok(meta)
            }
        }
        deserializer.deserialize_map(Members)
    }
}

/// Text, or a number as it is written; null is nothing.
fn scalar(value: &RawValue) -> Option<Cow<'_, str>> {
    let text = value.get();
    match text.as_bytes().first()? {
        b'"' => serde_json::from_str(text).ok().map(|Text(text)| text),
        b'{' | b'[' => None,
        b'n' => Some(Cow::Borrowed("")),
        _ => Some(Cow::Borrowed(text)),
    }
}
