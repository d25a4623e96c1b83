//! What headers and query parameters say about reading a body of Tidegate's own.

use hyper::HeaderMap;

use crate::limits::{EVENT_TYPE_CHARS_MAX, IDEMPOTENCY_KEY_BYTES_MAX, SOURCE_MODULE_CHARS_MAX, STREAM_CHARS_MAX};
use crate::model::Kind;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::protocols::protocol::{Head, Reading};
use crate::secrets::holds_key;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// How a body of this form is read.
pub fn options(head: &Head<'_>, form: BodyForm) -> Result<Reading, Problem> {
    let mut params = Params::parse(head.query)?;
    let defaults = match head.route.kind {
        Kind::Events => defaults(&mut params)?,
        Kind::Metrics => Defaults::default(),
    };
    let dedupe_body = params.take_one_of("dedupe", &[("body", true)])?.unwrap_or(false);
    let ack_spooled = params.take_one_of("ack", &[("committed", false), ("spooled", true)])?.unwrap_or(false);
    params.finish()?;
    let idempotency_key = idempotency_key(head.headers)?;
    Ok(Reading { form, defaults, idempotency_key, dedupe_body, dedupe_asked: dedupe_body, ack_spooled })
}

fn defaults(params: &mut Params) -> Result<Defaults, Problem> {
    let mut named = |name: &str, chars_max: usize| match params.take(name) {
        Some(text) if text.is_empty() || text.chars().count() > chars_max => {
            Err(invalid(name, &format!("must have 1 to {chars_max} characters")))
        }
        other => Ok(other),
    };
    let defaults = Defaults {
        event_type: named("event_type", EVENT_TYPE_CHARS_MAX)?,
        source_module: named("source_module", SOURCE_MODULE_CHARS_MAX)?,
        stream: named("stream", STREAM_CHARS_MAX)?,
        wrap: params.take_one_of("wrap", &[("payload", true)])?.unwrap_or(false),
    };
    if defaults.wrap && (defaults.event_type.is_none() || defaults.source_module.is_none()) {
        return Err(invalid(
            "wrap",
            "needs `event_type` and `source_module` beside it: the objects have no such fields",
        ));
    }
    Ok(defaults)
}

pub fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut named = headers.get_all("idempotency-key").iter();
    let Some(value) = named.next() else { return Ok(None) };
    let visible = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match value.to_str().ok().map(str::trim).filter(visible) {
        Some(text) if holds_key(text) => Err(Problem::bad_request(
            ProblemCode::InvalidIdempotencyKey,
            "Idempotency-Key holds an API key, which is a secret; send a name of the request's own, such as a UUID, and \
             revoke the key if it may have been read on its way (tidegate keys revoke)",
        )),
        Some(text) if text.len() <= IDEMPOTENCY_KEY_BYTES_MAX && named.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(Problem::bad_request(
            ProblemCode::InvalidIdempotencyKey,
            format!(
                "Idempotency-Key must be sent once and have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, no blanks"
            ),
        )),
    }
}
