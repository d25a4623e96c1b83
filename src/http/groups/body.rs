//! Small bodies of JSON: read into a struct, whose unknown fields are refused.

use std::time::Duration;

use bytes::Bytes;
use jiff::Timestamp;
use serde::Deserialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use serde_json::error::Category;

use super::misfit;
use crate::config::parse_duration;
use crate::groups::To;
use crate::limits::GROUP_REASON_CHARS_MAX;
use crate::protocols::params::time;
use crate::protocols::{Problem, ProblemCode};
use crate::query::Start;
use crate::secrets::{holds_key, redacted};

/// The body; one that is empty is an empty object.
pub fn read<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let bytes: &[u8] = if body.iter().all(u8::is_ascii_whitespace) { b"{}" } else { body };
    // A list of values would do for a struct as well.
    if bytes.trim_ascii_start().starts_with(b"[") {
        return Err(invalid("the body must be a JSON object"));
    }
    serde_json::from_slice(bytes).map_err(|error| match error.classify() {
        Category::Data => invalid(misfit::told(bytes, &error)),
        Category::Io | Category::Syntax | Category::Eof => {
            Problem::bad_request(ProblemCode::BodyNotJson, format!("the body is not JSON: {error}"))
        }
    })
}

/// The same of what is kept as it is sent, and shown to others: an API key does not belong there.
pub fn read_kept<T: DeserializeOwned>(body: &Bytes) -> Result<T, Problem> {
    let read = read(body)?;
    let as_sent = std::str::from_utf8(body).is_ok_and(holds_key);
    // With escapes a key looks otherwise.
    let unescaped = || serde_json::from_slice::<Value>(body).is_ok_and(|value| holds_key(&value.to_string()));
    if as_sent || unescaped() {
        return Err(invalid(
            "the body holds an API key, and is shown to all who may read: leave the key out, and revoke it (tidegate keys revoke)",
        ));
    }
    Ok(read)
}

/// There is nothing to say: what is said all the same is not passed over in silence.
pub fn none(body: &Bytes) -> Result<(), Problem> {
    #[derive(Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Nothing {}
    read::<Nothing>(body).map(drop)
}

/// 400 for what is wrong with a body.
pub fn invalid(what: impl Into<String>) -> Problem {
    Problem::bad_request(ProblemCode::InvalidBody, what)
}

/// A time span as it is sent.
#[derive(Deserialize)]
#[serde(untagged, expecting = "must be a time with its unit, as text, such as \"500ms\", \"30s\" or \"5m\"")]
pub enum Span {
    Text(String),
}

/// A time span of a body, within bounds.
pub fn duration(name: &str, span: &Span, bounds: [Duration; 2]) -> Result<Duration, Problem> {
    let ([least, most], Span::Text(text)) = (bounds, span);
    let parsed = if text == "0" { Ok(Duration::ZERO) } else { parse_duration(text) };
    parsed.ok().filter(|span| (least..=most).contains(span)).ok_or_else(|| {
        invalid(format!("`{name}` must be a time with its unit such as 500ms, 30s or 5m, from {least:?} to {most:?}"))
    })
}

/// Words about why something is given back or parked. An API key in them is cut out.
pub fn reason(name: &str, text: Option<String>) -> Result<Option<String>, Problem> {
    match text {
        Some(text) if text.contains('\0') => Err(invalid(format!("`{name}` holds a NUL"))),
        // It may be a whole stack of calls; its beginning says what happened.
        Some(text) => Ok(Some(redacted(&text).chars().take(GROUP_REASON_CHARS_MAX).collect())),
        None => Ok(None),
    }
}

/// Where a group is to be, as it is sent; a number is an offset.
#[derive(Deserialize)]
#[serde(
    untagged,
    expecting = "must be `earliest`, `latest`, a time such as 2026-01-31T00:00:00Z or -24h, an offset, or a cursor"
)]
pub enum Place {
    Offset(u64),
    Text(String),
}

impl Place {
    /// What it says; `name` is the member in which it stands.
    pub fn to(&self, name: &str) -> Result<To, Problem> {
        match self {
            Self::Offset(offset) => at(*offset),
            Self::Text(text) => place(name, text),
        }
    }
}

fn place(name: &str, text: &str) -> Result<To, Problem> {
    match text {
        "" => Err(invalid(format!(
            "`{name}` must be `earliest`, `latest`, a time such as 2026-01-31T00:00:00Z or -24h, an offset, or a cursor"
        ))),
        "earliest" => Ok(To::Start(Start::Earliest)),
        "latest" => Ok(To::Start(Start::Latest)),
        digits if digits.bytes().all(|byte| byte.is_ascii_digit()) => at(digits.parse().map_err(|_| no_offset())?),
        text => Ok(match time(text, Timestamp::now()) {
            Some(since) => To::Time(since),
            None => To::Start(Start::Cursor(text.to_owned())),
        }),
    }
}

/// An offset.
pub fn at(offset: u64) -> Result<To, Problem> {
    i64::try_from(offset).map(|offset| To::Start(Start::Offset(offset))).map_err(|_| no_offset())
}

fn no_offset() -> Problem {
    invalid("there is no such offset")
}

/// A time, as text or as an epoch number.
pub fn since(name: &str, given: &Value) -> Result<Timestamp, Problem> {
    let since = match given {
        Value::String(text) => time(text, Timestamp::now()),
        Value::Number(epoch) => time(&epoch.to_string(), Timestamp::now()),
        _ => None,
    };
    since.ok_or_else(|| {
        invalid(format!(
            "`{name}` must be a time such as 2026-01-31T00:00:00Z or -24h, or an epoch number (in s or ms, by its size)"
        ))
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[derive(Debug, Deserialize)]
    #[serde(deny_unknown_fields)]
    struct Example {
        #[serde(default)]
        n: Option<u32>,
    }

    #[test]
    fn what_is_wrong_with_a_body_is_said() {
        let read = |text: &'static str| read::<Example>(&Bytes::from_static(text.as_bytes()));
        assert_eq!(read(" \n").expect("empty").n, None);
        assert_eq!(read(r#"{"n":7}"#).expect("whole").n, Some(7));
        for (text, code, says) in [
            ("{", ProblemCode::BodyNotJson, "EOF"),
            ("nonsense", ProblemCode::BodyNotJson, "line 1"),
            ("[1]", ProblemCode::InvalidBody, "must be a JSON object"),
            ("7", ProblemCode::InvalidBody, "must be a JSON object"),
            (r#"{"m":7}"#, ProblemCode::InvalidBody, "unknown field `m`"),
            (r#"{"n":"x"}"#, ProblemCode::InvalidBody, "`n` must be a whole number"),
            (r#"{"n":1,"n":2}"#, ProblemCode::InvalidBody, "duplicate field `n`"),
        ] {
            let problem = read(text).expect_err(text);
            assert_eq!(problem.code(), code, "{text}");
            assert!(problem.detail().contains(says), "{text}: {}", problem.detail());
        }
        let none = |text: &'static str| super::none(&Bytes::from_static(text.as_bytes()));
        assert!(none("").is_ok() && none("{}").is_ok());
        assert!(none(r#"{"n":7}"#).expect_err("one too many").detail().contains("unknown field `n`"));
    }

    #[test]
    fn a_place_is_told_by_its_form() {
        let read = |text: &str| serde_json::from_str::<Place>(text);
        assert!(matches!(read("42").expect("an offset").to("to"), Ok(To::Start(Start::Offset(42)))));
        assert!(read("-1").is_err() && read("1.5").is_err() && read("true").is_err());
        let place = |text: &str| super::place("to", text).expect(text);
        assert!(matches!(place("earliest"), To::Start(Start::Earliest)));
        assert!(matches!(place("latest"), To::Start(Start::Latest)));
        assert!(matches!(place("42"), To::Start(Start::Offset(42))));
        assert!(matches!(place("2026-01-31T00:00:00Z"), To::Time(_)) && matches!(place("-24h"), To::Time(_)));
        assert!(matches!(place("A2x-_9"), To::Start(Start::Cursor(_))));
        assert!(super::place("to", "").is_err() && super::place("to", "99999999999999999999").is_err());
    }

    #[test]
    fn an_api_key_is_not_kept() {
        let key = crate::tenancy::ApiKey::generate().expect("randomness").reveal();
        let escaped = key.replacen('g', "\\u0067", 1);
        for name in [&key, &escaped] {
            let body = Bytes::from(format!(r#"{{"n":7,"const":"x {name}"}}"#));
            let problem = read_kept::<Value>(&body).expect_err("a key");
            assert!(problem.detail().contains("API key") && !problem.detail().contains(&key), "{}", problem.detail());
        }
        assert_eq!(read_kept::<Example>(&Bytes::from_static(br#"{"n":7}"#)).expect("none").n, Some(7));
        let told = reason("error", Some(format!("401 for {key}"))).expect("words").expect("some");
        assert_eq!(told, "401 for tg_...");
    }
}
