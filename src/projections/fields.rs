//! Fields of payloads: which there are, what they may hold, and how they are read.

use std::borrow::Cow;

use serde_json::value::RawValue;

use super::event::{Payload, Unfit};
use crate::limits::{EMBEDDING_DIMENSIONS, EMBEDDING_SQUARES};
use crate::timestamp::{format_rfc3339, parse_epoch, parse_rfc3339};

/// Years 1 to 9999, in unix microseconds, without the last 26 hours, which [`format_rfc3339`] cannot write.
const TIMES_US: std::ops::RangeInclusive<i64> = -62_135_596_800_000_000..=253_402_207_200_999_999;

/// What a field may hold.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Kind {
    /// Text of so many characters at most; a number or a boolean is taken as it is written.
    Text(usize),
    /// An object or an array of so many bytes at most.
    Json(usize),
    /// RFC 3339, or an epoch number in s, ms, us or ns.
    Time,
    /// A whole number.
    Integer,
    /// As many numbers as an embedding has.
    Embedding,
}

/// A field of a payload, and the column that it says something of.
#[derive(Debug, Clone, Copy)]
pub struct Field {
    pub name: &'static str,
    pub column: &'static str,
    pub kind: Kind,
}

pub const fn field(name: &'static str, column: &'static str, kind: Kind) -> Field {
    Field { name, column, kind }
}

impl Field {
    /// Its value as JSON: None where the payload does not have it, null where it is null or empty text.
    pub fn read(&self, payload: &Payload<'_>) -> Result<Option<Box<RawValue>>, Unfit> {
        let Some(raw) = payload.get(self.name) else { return Ok(None) };
        self.value(raw).map(Some)
    }

    /// Its text, which must be there.
    pub fn required(&self, payload: &Payload<'_>) -> Result<String, Unfit> {
        let text = self.read(payload)?.map(|raw| serde_json::from_str::<Option<String>>(raw.get()));
        text.and_then(Result::ok)
            .flatten()
            .ok_or_else(|| Unfit::new("missing_field", format!("payload.{} is missing; send it as text", self.name)))
    }

    fn value(&self, raw: &RawValue) -> Result<Box<RawValue>, Unfit> {
        let text = raw.get();
        if text == "null" {
            return Ok(RawValue::NULL.to_owned());
        }
        match self.kind {
            Kind::Text(chars_max) => self.text(text, chars_max),
            Kind::Json(_) if !text.starts_with(['{', '[']) => Err(self.wrong("an object or an array")),
            Kind::Json(bytes_max) if text.len() > bytes_max => Err(self.too_long(&format!("{bytes_max} bytes"))),
            Kind::Json(_) => Ok(raw.to_owned()),
            Kind::Time => self.time(text),
            Kind::Integer => {
                let number: i64 = text.parse().map_err(|_| self.wrong("a whole number"))?;
                Ok(number_of(number))
            }
            Kind::Embedding => self.embedding(text),
        }
    }

    fn text(&self, raw: &str, chars_max: usize) -> Result<Box<RawValue>, Unfit> {
        let text: Cow<'_, str> = match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str(raw).map_err(|_| self.wrong("text"))?,
            Some(b'{' | b'[') => return Err(self.wrong("text")),
            _ => raw.into(),
        };
        match text.chars().count() {
            0 => Ok(RawValue::NULL.to_owned()),
            chars if chars > chars_max => Err(self.too_long(&format!("{chars_max} characters"))),
            _ => Ok(quoted(&text)),
        }
    }

    fn time(&self, raw: &str) -> Result<Box<RawValue>, Unfit> {
        let us = match raw.as_bytes().first() {
            Some(b'"') => serde_json::from_str::<Cow<'_, str>>(raw).ok().and_then(|text| parse_rfc3339(&text)),
            Some(b'-' | b'0'..=b'9') => Some(parse_epoch(raw)),
            _ => None,
        };
        us.filter(|us| TIMES_US.contains(us))
            .map(time)
            .ok_or_else(|| self.wrong("a time as RFC 3339, or since 1970 as a number of s, ms, us or ns"))
    }

    fn embedding(&self, raw: &str) -> Result<Box<RawValue>, Unfit> {
        let what = format!(
            "an array of {EMBEDDING_DIMENSIONS} numbers, not all of them 0, that are a vector between 1e-15 and 1e19 long"
        );
        let numbers: Vec<f32> = serde_json::from_str(raw).map_err(|_| self.wrong(&what))?;
        let squares: f64 = numbers.iter().map(|number| f64::from(*number).powi(2)).sum();
        if numbers.len() != EMBEDDING_DIMENSIONS || !EMBEDDING_SQUARES.contains(&squares) {
            return Err(self.wrong(&what));
        }
        Ok(serde_json::value::to_raw_value(&numbers).expect("finite numbers are JSON"))
    }

    fn wrong(&self, wanted: &str) -> Unfit {
        Unfit::new("wrong_type", format!("payload.{} must be {wanted}", self.name))
    }

    fn too_long(&self, most: &str) -> Unfit {
        Unfit::new("too_long", format!("payload.{} is longer than {most}; shorten it", self.name))
    }
}

/// Text as JSON.
pub fn quoted(text: &str) -> Box<RawValue> {
    serde_json::value::to_raw_value(text).expect("text is JSON")
}

/// A number as JSON.
pub fn number_of(number: i64) -> Box<RawValue> {
    serde_json::value::to_raw_value(&number).expect("a number is JSON")
}

/// A time as JSON.
pub fn time(at_us: i64) -> Box<RawValue> {
    quoted(&format_rfc3339(at_us))
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;
    use crate::projections::Told;

    fn read(kind: Kind, value: &str) -> Result<Option<String>, &'static str> {
        let text = format!("{{\"a\": {value}}}");
        let payload = Told::payload_of(&text).unwrap();
        let read = field("a", "a", kind).read(&payload);
        read.map(|value| value.map(|raw| raw.get().to_owned())).map_err(|unfit| unfit.code)
    }

    fn some(text: &str) -> Result<Option<String>, &'static str> {
        Ok(Some(text.to_owned()))
    }

    #[test]
    fn fields_hold_what_they_may() {
        let text = Kind::Text(3);
        assert_eq!(read(text, r#""aäb""#), some(r#""aäb""#));
        assert_eq!(read(text, r#""a\u00e4b""#), some(r#""aäb""#));
        assert_eq!((read(text, "12"), read(text, "true")), (some("\"12\""), Err("too_long")));
        assert_eq!((read(text, "null"), read(text, "\"\"")), (some("null"), some("null")));
        assert_eq!((read(text, "{}"), read(text, "\"aabb\"")), (Err("wrong_type"), Err("too_long")));
        let json = Kind::Json(12);
        assert_eq!(read(json, r#"{"b": 1.00}"#), some(r#"{"b": 1.00}"#));
        assert_eq!((read(json, "3"), read(json, "[1,2,3,4,5,6,7]")), (Err("wrong_type"), Err("too_long")));
        assert_eq!((read(Kind::Integer, "12"), read(Kind::Integer, "1.5")), (some("12"), Err("wrong_type")));
        let day = some("\"2026-01-02T00:00:00.000000Z\"");
        for time in [r#""2026-01-02T01:00:00+01:00""#, "1767312000", "1767312000000"] {
            assert_eq!(read(Kind::Time, time), day, "{time}");
        }
        for time in ["\"tomorrow\"", "[]", "true", "1e300", "-99999999999999999"] {
            assert_eq!(read(Kind::Time, time), Err("wrong_type"), "{time}");
        }
    }

    #[test]
    fn embeddings_have_a_direction() {
        let of = |numbers: &[&str]| read(Kind::Embedding, &format!("[{}]", numbers.join(",")));
        let mut numbers = vec!["0"; EMBEDDING_DIMENSIONS];
        assert_eq!(of(&numbers), Err("wrong_type"), "no direction");
        numbers[7] = "-0.5";
        assert!(of(&numbers).unwrap().unwrap().contains("-0.5"));
        assert_eq!(of(&numbers[1..]), Err("wrong_type"));
        // So long, or so short, that single precision does not tell where it points.
        for wrong in ["1e39", "\"1\"", "1e400", "2e19", "-3e38"] {
            numbers[3] = wrong;
            assert_eq!(of(&numbers), Err("wrong_type"), "{wrong}");
        }
        numbers[3] = "0";
        for (number, is_one) in [("9.9e18", true), ("1e-14", true), ("1e-16", false)] {
            numbers[7] = number;
            assert_eq!(of(&numbers).is_ok(), is_one, "{number}");
        }
    }
}
