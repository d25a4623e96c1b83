//! What agents' protocols have in common: lenient query strings, keys in whatever place an agent can put one, short
//! answers.

use std::borrow::Cow;

use bytes::Bytes;
use hyper::header::{CONTENT_TYPE, HeaderValue, RETRY_AFTER};
use hyper::{HeaderMap, Response, StatusCode};
use percent_encoding::percent_decode_str;
use serde::Serialize;

use super::credential;
use super::native;
use super::params::invalid_value;
use super::problem::{Answer, Problem};
use super::protocol::{Head, Reading};
use crate::limits::STREAM_CHARS_MAX;
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// A query string of an agent: what is not known is passed over, since agents send more than they need.
#[derive(Debug, Default)]
pub struct Query<'a>(Vec<(Cow<'a, str>, Cow<'a, str>)>);

impl<'a> Query<'a> {
    pub fn parse(query: Option<&'a str>) -> Self {
        let pairs = query.unwrap_or_default().split('&').filter(|pair| !pair.is_empty());
        let decoded = |text: &'a str| {
            let text = if text.contains('+') { Cow::Owned(text.replace('+', " ")) } else { Cow::Borrowed(text) };
            match text {
                Cow::Borrowed(text) => percent_decode_str(text).decode_utf8_lossy(),
                Cow::Owned(text) => Cow::Owned(percent_decode_str(&text).decode_utf8_lossy().into_owned()),
            }
        };
        Self(
            pairs
                .map(|pair| pair.split_once('=').unwrap_or((pair, "")))
                .map(|(n, v)| (decoded(n), decoded(v)))
                .collect(),
        )
    }

    /// The first value of this name; empty is none.
    pub fn get(&self, name: &str) -> Option<&str> {
        self.0.iter().find(|(found, _)| found == name).map(|(_, value)| &**value).filter(|value| !value.is_empty())
    }

    /// Takes the first value of this name out.
    pub fn take(&mut self, name: &str) -> Option<Cow<'a, str>> {
        let at = self.0.iter().position(|(found, value)| found == name && !value.is_empty())?;
        Some(self.0.swap_remove(at).1)
    }
}

/// How an agent's body is read: `?stream=` for events, `?ack=spooled`, `?dedupe=body|off` and Idempotency-Key are as on
/// Tidegate's own routes. `dedupe` says whether equal bodies are one request where nothing is asked.
pub fn reading(head: &Head<'_>, dedupe: bool) -> Result<Reading, Problem> {
    let query = Query::parse(head.query);
    let stream = query.get("stream").filter(|_| head.route.kind == Kind::Events).map(str::to_owned);
    if let Some(stream) = stream.as_deref().filter(|stream| stream.chars().count() > STREAM_CHARS_MAX) {
        return Err(invalid_value("stream", stream, &format!("must have 1 to {STREAM_CHARS_MAX} characters")));
    }
    let one_of = |name: &str, known: [(&str, bool); 2], default: bool| match query.get(name) {
        None => Ok(default),
        Some(value) => known
            .iter()
            .find(|(known, _)| *known == value)
            .map(|(_, is)| *is)
            .ok_or_else(|| invalid_value(name, value, &format!("must be {} or {}", known[0].0, known[1].0))),
    };
    Ok(Reading {
        form: BodyForm::Converted,
        defaults: Defaults { stream, ..Defaults::default() },
        idempotency_key: native::idempotency_key(head.headers)?,
        dedupe_body: one_of("dedupe", [("body", true), ("off", false)], dedupe)?,
        dedupe_asked: query.get("dedupe") == Some("body"),
        ack_spooled: one_of("ack", [("spooled", true), ("committed", false)], false)?,
    })
}

/// The key: what follows one of these schemes (in lower case) in Authorization, the password of `Basic` (its user where there is
/// none), or X-API-Key. None: there is none of these.
pub fn key<'a>(headers: &'a HeaderMap, schemes: &[&str]) -> Option<Cow<'a, str>> {
    if let Some(key) = schemes.iter().find_map(|scheme| credential::of_scheme(headers, scheme)) {
        return Some(key.into());
    }
    if let Some(password) = credential::basic(headers) {
        return Some(password.into());
    }
    credential::own(headers).ok().map(Cow::Borrowed)
}

/// The same, or a refusal that says where a key may be sent.
pub fn required_key<'a>(headers: &'a HeaderMap, schemes: &[&str], how: &str) -> Result<Cow<'a, str>, Problem> {
    key(headers, schemes).ok_or_else(|| Problem::unauthorized(format!("send an API key: {how}")))
}

/// An answer of this status without a body.
pub fn empty(status: StatusCode) -> Answer {
    let mut answer = Response::new(Bytes::new());
    *answer.status_mut() = status;
    answer
}

pub fn json(status: StatusCode, body: &impl Serialize) -> Answer {
    let text = serde_json::to_vec(body).expect("answers are made of plain values");
    with_body(status, HeaderValue::from_static("application/json"), text)
}

pub fn text(status: StatusCode, text: impl Into<Bytes>) -> Answer {
    with_body(status, HeaderValue::from_static("text/plain; charset=utf-8"), text)
}

pub fn with_body(status: StatusCode, content_type: HeaderValue, body: impl Into<Bytes>) -> Answer {
    let mut answer = Response::new(body.into());
    *answer.status_mut() = status;
    answer.headers_mut().insert(CONTENT_TYPE, content_type);
    answer
}

/// A refusal in another shape, with when to come again.
pub fn refused(mut answer: Answer, problem: &Problem) -> Answer {
    if let Some(seconds) = problem.retry_after_s() {
        answer.headers_mut().insert(RETRY_AFTER, HeaderValue::from(seconds));
    }
    answer
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use base64::Engine as _;
    use base64::engine::general_purpose::STANDARD;
    use hyper::header::HeaderName;

    use super::*;

    #[test]
    fn a_key_is_found_wherever_an_agent_can_put_it() {
        let basic = format!("Basic {}", STANDARD.encode("user:tg_a"));
        let alone = format!("basic {}", STANDARD.encode("tg_a:"));
        for (name, value) in [
            ("authorization", "Bearer tg_a"),
            ("authorization", "Token tg_a"),
            ("authorization", &basic),
            ("authorization", &alone),
            ("x-api-key", "tg_a"),
        ] {
            let headers =
                HeaderMap::from_iter([(HeaderName::from_static(name), HeaderValue::from_str(value).unwrap())]);
            assert_eq!(key(&headers, &["token"]).as_deref(), Some("tg_a"), "{value}");
        }
        assert_eq!(key(&HeaderMap::new(), &["token"]), None);
        let problem = required_key(&HeaderMap::new(), &[], "`Authorization: Token tg_...`").unwrap_err();
        assert!(problem.detail().contains("Token tg_"));
    }

    #[test]
    fn queries_are_read_leniently() {
        let mut query = Query::parse(Some("a=1&b=%20x+y&a=2&c&d=&&precision=ms"));
        assert_eq!(
            (query.get("a"), query.get("b"), query.get("c"), query.get("d")),
            (Some("1"), Some(" x y"), None, None)
        );
        assert_eq!((query.take("precision").as_deref(), query.get("precision")), (Some("ms"), None));
    }
}
