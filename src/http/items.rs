//! Items of any protocol: a head and a body in, one submission to ingestion, its outcome out.

use std::time::Duration;

use hyper::StatusCode;
use hyper::body::Incoming;
use jiff::Timestamp;
use uuid::Uuid;

use super::{Api, body, quota};
use crate::ingest::{self, Refusal, Unanswered};
use crate::model::{Kind, Relation};
use crate::protocols::{Answer, Ending, Head, ItemError, Problem, ProblemCode, Protocol, Report};
use crate::tenancy::{Limit, Limited, Principal};
use crate::wire::item::BodyError;

/// Takes the items of a request that has waited `waited` for its key to be looked up.
pub async fn post(
    api: &Api,
    principal: &Principal,
    waited: Duration,
    protocol: &dyn Protocol,
    head: &Head<'_>,
    incoming: &mut Incoming,
) -> Result<Answer, Problem> {
    let kind = head.route.kind;
    let reading = protocol.reading(head)?;
    let encodings = protocol.encodings();
    let (sent, mut reservation, charge) = body::read(api, principal, head.headers, encodings, incoming).await?;
    let unpaid = |problem| quota::unpaid(problem, &charge);
    let items = protocol.items(head, sent.clone()).map_err(unpaid)?;
    body::take_items(api, principal, &sent, &items, &mut reservation).map_err(unpaid)?;
    let blank = sent.iter().all(u8::is_ascii_whitespace);
    let request = ingest::Request {
        received: ingest::Received {
            tenant_id: principal.tenant_id.clone(),
            api_key_id: principal.id(),
            keep_days: principal.keeps.days(Relation::Raw(kind)),
            receipt: Uuid::now_v7(),
            received_at_us: Timestamp::now().as_microsecond(),
            route: head.route.name.into(),
            kind,
            form: reading.form,
            defaults: reading.defaults,
            body: items,
            sent_digest: None,
            replay: None,
        },
        idempotency_key: reading.idempotency_key,
        dedupe_body: reading.dedupe_body,
        ack_spooled: reading.ack_spooled,
        waited,
        reservation,
        admit: quota::admit(&charge),
    };
    match api.ingest.take(request).await {
        Ok(outcome) => Ok(protocol.answer(head, &sent, told(&outcome))),
        Err(unanswered) => Err(unpaid(problem(unanswered, kind, blank))),
    }
}

/// An outcome as protocols know it.
fn told(outcome: &ingest::Outcome) -> Report<'_> {
    let errors =
        outcome.rejections.all().map(|(index, code, message)| ItemError { index, code, message: message.into() });
    Report {
        verdict: match outcome.http_status {
            400 => Ending::NotJson,
            422 => Ending::NothingAccepted,
            _ if outcome.spooled => Ending::Spooled,
            _ => Ending::Committed,
        },
        receipt: outcome.receipt,
        accepted: outcome.accepted,
        rejected: outcome.rejected,
        duplicates: outcome.duplicates,
        replayed: outcome.replayed,
        errors: Box::new(errors),
    }
}

/// Why a request got no outcome, as an answer; `blank` says that its body was.
pub fn problem(unanswered: Unanswered, kind: Kind, blank: bool) -> Problem {
    match unanswered {
        Unanswered::Unreadable(BodyError::Empty) if blank => {
            let one = one_of(kind);
            Problem::bad_request(ProblemCode::EmptyBody, format!("the body is empty; send {one} or an array of them"))
        }
        Unanswered::Unreadable(BodyError::Empty) => {
            let detail = format!("the request does not hold {}", one_of(kind));
            Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::NothingAccepted, detail)
        }
        Unanswered::Unreadable(BodyError::TooManyItems { max }) => Problem::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            ProblemCode::TooManyItems,
            match kind {
                Kind::Events => format!("a request holds at most {max} events; send smaller batches"),
                Kind::Metrics => format!("a request holds at most {max} metrics or values; send smaller batches"),
            },
        ),
        Unanswered::Unreadable(error @ BodyError::MaskedTooLarge) => {
            Problem::new(StatusCode::PAYLOAD_TOO_LARGE, ProblemCode::BodyTooLarge, error.to_string())
        }
        Unanswered::Refused(Refusal::KeyInFlight) => Problem::new(
            StatusCode::CONFLICT,
            ProblemCode::IdempotencyKeyInFlight,
            "a request with this Idempotency-Key is being written at the moment; send it again to hear its outcome",
        )
        .retry_after(1),
        Unanswered::Refused(Refusal::KeyReused) => Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::IdempotencyKeyReused,
            "this Idempotency-Key stands for another request (other body, route or parameters); use a new key",
        ),
        Unanswered::Refused(Refusal::DeadLetterQuota) => quota::dead_letters(),
        Unanswered::Refused(Refusal::TenantMemory { retry_after_s }) => quota::tenant_memory(retry_after_s),
        Unanswered::Refused(Refusal::RateLimited { retry_after_s }) => {
            quota::rate_limited(Limited { limit: Limit::Events, retry_after_s })
        }
        Unanswered::Refused(Refusal::Unavailable { retry_after_s, reason }) => {
            Problem::unavailable(ProblemCode::Unavailable, reason, retry_after_s)
        }
    }
}

fn one_of(kind: Kind) -> &'static str {
    match kind {
        Kind::Events => "an event",
        Kind::Metrics => "a metric",
    }
}
