//! POST /v1/events and POST /v1/metrics: headers and query in, one submission to ingestion, its outcome out.

use hyper::body::Incoming;
use hyper::header::{CONTENT_TYPE, HeaderValue};
use hyper::http::request::Parts;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

use super::params::{Params, invalid};
use super::problem::{Code, Problem};
use super::response::{Body, json};
use super::{Api, quota};
use crate::ingest::{ItemError, Outcome, Received, Refusal, Request, Unanswered};
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, SOURCE_MODULE_CHARS_MAX, STREAM_CHARS_MAX};
use crate::model::Kind;
use crate::tenancy::{Limit, Limited, Principal};
use crate::wire::event::Defaults;
use crate::wire::item::{BodyError, BodyForm};

#[derive(Serialize)]
struct Receipt<'a> {
    receipt: uuid::Uuid,
    /// `committed` or `spooled`, or in a problem document the HTTP status.
    status: Status,
    accepted: u32,
    rejected: u32,
    /// The whole request was a repetition; the rest of the answer is the first one's.
    duplicate: bool,
    /// Events that were there already (rowstore profile); never metrics.
    #[serde(skip_serializing_if = "is_zero")]
    duplicates: u32,
    errors: Vec<ItemError<'a>>,
    /// Only of answers that are errors: what went wrong as a whole.
    #[serde(flatten)]
    problem: Option<AsProblem>,
}

/// The members that make an answer with receipts a problem document as well.
#[derive(Serialize)]
struct AsProblem {
    r#type: String,
    title: &'static str,
    code: &'static str,
    detail: &'static str,
}

#[derive(Serialize)]
#[serde(untagged)]
enum Status {
    Name(&'static str),
    Http(u16),
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(number: &u32) -> bool {
    *number == 0
}

pub async fn post(
    api: &Api,
    principal: &Principal,
    kind: Kind,
    parts: &Parts,
    mut params: Params,
    incoming: &mut Incoming,
) -> Result<Response<Body>, Problem> {
    let form = body_form(kind, &parts.headers)?;
    let defaults = match kind {
        Kind::Events => defaults(&mut params)?,
        Kind::Metrics => Defaults::default(),
    };
    let dedupe_body = match params.take("dedupe").as_deref() {
        None => false,
        Some("body") => true,
        Some(_) => return Err(invalid("dedupe", "must be `body`")),
    };
    let ack_spooled = match params.take("ack").as_deref() {
        None | Some("committed") => false,
        Some("spooled") => true,
        Some(_) => return Err(invalid("ack", "must be `committed` or `spooled`")),
    };
    params.finish()?;
    let idempotency_key = idempotency_key(&parts.headers)?;
    let (bytes, reservation, charge) = quota::read_body(api, principal, &parts.headers, incoming).await?;
    let blank = bytes.iter().all(u8::is_ascii_whitespace);
    let request = Request {
        received: Received {
            tenant_id: principal.tenant_id.clone(),
            api_key_id: principal.key_id,
            keep_days: match kind {
                Kind::Events => principal.keeps.events_retention_days,
                Kind::Metrics => principal.keeps.metrics_retention_days,
            },
            receipt: uuid::Uuid::now_v7(),
            received_at_us: jiff::Timestamp::now().as_microsecond(),
            route: match kind {
                Kind::Events => "/v1/events".into(),
                Kind::Metrics => "/v1/metrics".into(),
            },
            kind,
            form,
            defaults,
            body: bytes,
        },
        idempotency_key,
        dedupe_body,
        ack_spooled,
        reservation,
        admit: quota::admit(&charge),
    };
    match api.ingest.take(request).await {
        Ok(outcome) => Ok(answer(&outcome)),
        Err(unanswered) => Err(quota::unpaid(problem(unanswered, kind, blank), &charge)),
    }
}

fn answer(outcome: &Outcome) -> Response<Body> {
    let as_problem = |title, code: Code, detail| AsProblem { r#type: code.urn(), title, code: code.as_str(), detail };
    let problem = match outcome.http_status {
        400 => Some(as_problem("Bad Request", Code::BodyNotJson, "the body is not JSON; it is kept as a dead letter")),
        422 => Some(as_problem(
            "Unprocessable Entity",
            Code::NothingAccepted,
            "no item of the request was accepted; each is kept as a dead letter",
        )),
        _ => None,
    };
    let is_problem = problem.is_some();
    let receipt = Receipt {
        receipt: outcome.receipt,
        status: match outcome {
            _ if is_problem => Status::Http(outcome.http_status),
            Outcome { spooled: true, .. } => Status::Name("spooled"),
            _ => Status::Name("committed"),
        },
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicate: outcome.replayed,
        duplicates: outcome.duplicates,
        errors: outcome.rejections.listed(),
        problem,
    };
    let status = StatusCode::from_u16(outcome.http_status).unwrap_or(StatusCode::OK);
    let mut response = json(status, &receipt);
    if is_problem {
        response.headers_mut().insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
    }
    if outcome.replayed {
        response.headers_mut().insert("idempotent-replayed", HeaderValue::from_static("true"));
    }
    response
}

fn problem(unanswered: Unanswered, kind: Kind, blank: bool) -> Problem {
    match unanswered {
        Unanswered::Unreadable(BodyError::Empty) if blank => {
            let one = one_of(kind);
            Problem::bad_request(Code::EmptyBody, format!("the body is empty; send {one} or an array of them"))
        }
        Unanswered::Unreadable(BodyError::Empty) => {
            let detail = format!("the request does not hold {}", one_of(kind));
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, Code::NothingAccepted, detail)
        }
        Unanswered::Unreadable(BodyError::TooManyItems { max }) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            Code::TooManyItems,
            match kind {
                Kind::Events => format!("a request holds at most {max} events; send smaller batches"),
                Kind::Metrics => format!("a request holds at most {max} metrics or values; send smaller batches"),
            },
        ),
        Unanswered::Refused(Refusal::KeyInFlight) => Problem::new(
            StatusCode::CONFLICT,
            Code::IdempotencyKeyInFlight,
            "a request with this Idempotency-Key is being written at the moment; send it again to hear its outcome",
        )
        .retry_after(1),
        Unanswered::Refused(Refusal::KeyReused) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            Code::IdempotencyKeyReused,
            "this Idempotency-Key stands for another request (other body, route or parameters); use a new key",
        ),
        Unanswered::Refused(Refusal::DeadLetterQuota) => quota::dead_letters(),
        Unanswered::Refused(Refusal::TenantMemory { retry_after_s }) => quota::tenant_memory(retry_after_s),
        Unanswered::Refused(Refusal::RateLimited { retry_after_s }) => {
            quota::rate_limited(Limited { limit: Limit::Events, retry_after_s })
        }
        Unanswered::Refused(Refusal::Unavailable { retry_after_s, reason }) => {
            Problem::unavailable(Code::Unavailable, reason, retry_after_s)
        }
    }
}

fn one_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Events => "an event",
        Kind::Metrics => "a metric",
    }
}

fn body_form(kind: Kind, headers: &HeaderMap) -> Result<BodyForm, Problem> {
    // Without a header the body is taken for JSON: what else would it be.
    let text = headers.get(CONTENT_TYPE).map_or("application/json", |value| value.to_str().unwrap_or("?"));
    let media_type = text.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    Ok(match media_type.as_str() {
        "application/json" | "text/json" => BodyForm::Json,
        "application/x-ndjson" | "application/ndjson" | "application/jsonl" | "application/x-jsonlines" => {
            BodyForm::Ndjson
        }
        "application/cloudevents+json" if kind == Kind::Events => BodyForm::CloudEvent,
        "application/cloudevents-batch+json" if kind == Kind::Events => BodyForm::CloudEventBatch,
        _ => {
            return Err(Problem::new(
                StatusCode::UNSUPPORTED_MEDIA_TYPE,
                Code::UnsupportedMediaType,
                match kind {
                    Kind::Events => {
                        "Content-Type must be application/json, application/x-ndjson, application/cloudevents+json or \
                         application/cloudevents-batch+json"
                    }
                    Kind::Metrics => "Content-Type must be application/json or application/x-ndjson",
                },
            ));
        }
    })
}

fn defaults(params: &mut Params) -> Result<Defaults, Problem> {
    let mut named = |name: &str, chars_max: usize| match params.take(name) {
        Some(text) if text.is_empty() || text.chars().count() > chars_max => {
            Err(invalid(name, &format!("must have 1 to {chars_max} characters")))
        }
        other => Ok(other),
    };
    let defaults = Defaults {
        event_type: named("event_type", crate::limits::EVENT_TYPE_CHARS_MAX)?,
        source_module: named("source_module", SOURCE_MODULE_CHARS_MAX)?,
        stream: named("stream", STREAM_CHARS_MAX)?,
        wrap: match params.take("wrap").as_deref() {
            None => false,
            Some("payload") => true,
            Some(_) => return Err(invalid("wrap", "must be `payload`")),
        },
    };
    if defaults.wrap && (defaults.event_type.is_none() || defaults.source_module.is_none()) {
        return Err(invalid(
            "wrap",
            "needs `event_type` and `source_module` beside it: the objects have no such fields",
        ));
    }
    Ok(defaults)
}

fn idempotency_key(headers: &HeaderMap) -> Result<Option<String>, Problem> {
    let mut named = headers.get_all("idempotency-key").iter();
    let Some(value) = named.next() else { return Ok(None) };
    let visible = |text: &&str| !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    match value.to_str().ok().map(str::trim).filter(visible) {
        Some(text) if text.len() <= IDEMPOTENCY_KEY_BYTES_MAX && named.next().is_none() => Ok(Some(text.to_owned())),
        _ => Err(Problem::bad_request(
            Code::InvalidIdempotencyKey,
            format!(
                "Idempotency-Key must be sent once and have 1 to {IDEMPOTENCY_KEY_BYTES_MAX} visible ASCII characters, no blanks"
            ),
        )),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A media type that is taken is described, one that is described is taken, and those that mean the same are the same.
    #[test]
    fn bodies_are_described_as_they_are_taken() {
        let document: serde_json::Value =
            serde_json::from_str(crate::http::operation::OPENAPI).expect("openapi.json is JSON");
        for (kind, path) in [(Kind::Events, "/v1/events"), (Kind::Metrics, "/v1/metrics")] {
            let content = document["paths"][path]["post"]["requestBody"]["content"].as_object().expect("content");
            let form = |media: &str| {
                let value = HeaderValue::from_str(media).expect("a media type");
                body_form(kind, &HeaderMap::from_iter([(CONTENT_TYPE, value)])).ok()
            };
            assert!(content.keys().all(|media| form(media).is_some()), "{path}");
            for media in ["application/json", "text/json", "application/x-ndjson", "application/ndjson"]
                .into_iter()
                .chain(["application/jsonl", "application/x-jsonlines"])
                .chain(["application/cloudevents+json", "application/cloudevents-batch+json"])
            {
                assert_eq!(content.contains_key(media), form(media).is_some(), "{path} {media}");
            }
            assert_eq!(content["text/json"]["schema"], content["application/json"]["schema"], "{path}");
        }
    }
}
