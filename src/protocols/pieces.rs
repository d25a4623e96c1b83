//! Parts of a JSON document, taken as they are written: nothing is built, and what is copied is copied whole.

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Error as _, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Error;
use serde_json::value::RawValue;

use super::convert::Json;

/// Text; without a copy where it has no escapes.
#[derive(Deserialize)]
pub struct Text<'a>(#[serde(borrow)] pub Cow<'a, str>);

/// Calls `each` with the members of an object, in their order.
pub fn members<'a>(
    object: &'a str,
    each: impl FnMut(Cow<'a, str>, &'a RawValue) -> Result<(), Error>,
) -> Result<(), Error> {
    struct Members<E>(E);

    impl<'de, E: FnMut(Cow<'de, str>, &'de RawValue) -> Result<(), Error>> Visitor<'de> for Members<E> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_map<A: MapAccess<'de>>(mut self, mut map: A) -> Result<(), A::Error> {
            while let Some((Text(name), value)) = map.next_entry::<Text<'de>, &'de RawValue>()? {
                self.0(name, value).map_err(A::Error::custom)?;
            }
            Ok(())
        }
    }
    serde_json::Deserializer::from_str(object).deserialize_map(Members(each))
}

/// What a string says, if it is one.
pub fn string(value: &RawValue) -> Option<Cow<'_, str>> {
    if !value.get().starts_with('"') {
        return None;
    }
    serde_json::from_str(value.get()).ok().map(|Text(text)| text)
}

/// A value as text: strings, numbers and booleans as they are written; null is none.
pub fn text(value: &RawValue) -> Result<Option<Cow<'_, str>>, Error> {
    match value.get().as_bytes() {
        [b'"', ..] => serde_json::from_str(value.get()).map(|Text(text)| Some(text)),
        [b'{' | b'[', ..] => Err(Error::custom("it is no text")),
        b"null" => Ok(None),
        _ => Ok(Some(value.get().into())),
    }
}

/// Copies a value. Items are a line each: ends of lines, which stand outside of strings alone, become blanks.
pub fn copy(value: &RawValue, json: &mut Json<'_>) {
    let text = value.get().as_bytes();
    let mut plain = 0;
    for at in memchr::memchr2_iter(b'\n', b'\r', text) {
        json.raw(&text[plain..at]);
        json.raw(b" ");
        plain = at + 1;
    }
    json.raw(&text[plain..]);
}

/// Where a value stands in the body that it was read from.
pub fn place(body: &[u8], value: &RawValue) -> Range<usize> {
    let start = value.get().as_ptr().addr().saturating_sub(body.as_ptr().addr());
    start..start + value.get().len()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn members_are_told_as_they_are_written() {
        let body = "{\"a\\n\": 1.50, \"b\":\n{\"c\": [\n\"\\n\"]}, \"a\": null, \"d\": \"\\\"\", \"e\": true}";
        let mut told = Vec::new();
        members(body, |name, value| {
            assert_eq!(&body[place(body.as_bytes(), value)], value.get());
            let mut copied = Json::onto(Vec::new());
            copy(value, &mut copied);
            let text = text(value).map(|text| text.map(Cow::into_owned)).map_err(|_| ());
            told.push((name.into_owned(), String::from_utf8(copied.into_text()).unwrap(), text));
            Ok(())
        })
        .unwrap();
        let row = |name: &str, copied: &str, text: Result<Option<&str>, ()>| {
            (name.to_owned(), copied.to_owned(), text.map(|text| text.map(str::to_owned)))
        };
        let expected = [
            row("a\n", "1.50", Ok(Some("1.50"))),
            row("b", "{\"c\": [ \"\\n\"]}", Err(())),
            row("a", "null", Ok(None)),
            row("d", "\"\\\"\"", Ok(Some("\""))),
            row("e", "true", Ok(Some("true"))),
        ];
        assert_eq!(told, expected);
        assert!(members("[1]", |_, _| Ok(())).is_err() && members("{\"a\":}", |_, _| Ok(())).is_err());
        assert!(members("{\"a\":1}", |_, _| Err(Error::custom("no"))).is_err());
    }
}
