//! Items of any protocol: a head and a body in, one submission to ingestion, its outcome out.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use hyper::StatusCode;
use hyper::body::Incoming;
use jiff::Timestamp;

use super::{Api, body, quota};
use crate::budget::Reservation;
use crate::ingest::{self, Refusal, Unanswered};
use crate::limits::{MIB, SPOOL_RECORD_BYTES_MAX};
use crate::model::{Kind, Relation};
use crate::protocols::{
    self, Answer, Converted, Converter, Ending, Head, ItemError, Items, Problem, ProblemCode, Protocol, Report, Sent,
};
use crate::tenancy::{Limit, Limited, Principal};
use crate::wire::item::{BodyError, Original};

/// Takes the items of a request that has waited `waited` for its key to be looked up. `protocol` becomes another one where the
/// body says that it is of that.
pub async fn post(
    api: &Api,
    principal: &Principal,
    waited: Duration,
    protocol: &mut &'static dyn Protocol,
    head: &Head<'_>,
    incoming: &mut Incoming,
) -> Result<Answer, Problem> {
    let kind = head.route.kind;
    // What the one refuses, the other may take.
    let own = match protocol.reading(head) {
        Err(problem) if !protocols::is_told_by_body(head) => return Err(problem),
        reading => reading,
    };
    let encoding = protocol.encoding(head.headers);
    let (sent, mut reservation, charge) = body::read(api, principal, encoding, incoming).await?;
    let unpaid = |problem| quota::unpaid(problem, &charge);
    let other = protocols::by_body(head, &sent);
    *protocol = other.unwrap_or(*protocol);
    let protocol = *protocol;
    let reading = other.map_or(own, |other| other.reading(head)).map_err(unpaid)?;
    let Made { items, original, dedupe } =
        make(api, principal, protocol, head, &sent, &mut reservation).map_err(unpaid)?;
    if original.as_ref().is_some_and(|original| original.places.is_empty()) {
        let sent = Sent { body: &sent, original: original.as_deref() };
        return Ok(protocol.answer(head, sent, Report::nothing(api.nodes.receipt())));
    }
    let blank = sent.iter().all(u8::is_ascii_whitespace);
    let request = ingest::Request {
        received: ingest::Received {
            tenant_id: principal.tenant_id.clone(),
            api_key_id: principal.id(),
            keep_days: principal.keeps.days(Relation::Raw(kind)),
            receipt: api.nodes.receipt(),
            received_at_us: Timestamp::now().as_microsecond(),
            route: head.route.name.into(),
            kind,
            form: reading.form,
            defaults: reading.defaults,
            body: items,
            original: original.clone(),
            sent_digest: None,
            replay: None,
        },
        idempotency_key: reading.idempotency_key,
        dedupe_body: reading.dedupe_body && (dedupe || reading.dedupe_asked),
        ack_spooled: reading.ack_spooled,
        waited,
        reservation,
        admit: quota::admit(&charge),
    };
    match api.ingest.take(request).await {
        Ok(outcome) => {
            let sent = Sent { body: &sent, original: original.as_deref() };
            Ok(protocol.answer(head, sent, told(&outcome)))
        }
        Err(unanswered) => Err(unpaid(problem(unanswered, kind, blank))),
    }
}

/// The items of a body.
struct Made {
    items: Bytes,
    original: Option<Arc<Original>>,
    /// Whether equal bodies may be one request.
    dedupe: bool,
}

/// Has the protocol make the items, on the account of the key.
fn make(
    api: &Api,
    principal: &Principal,
    protocol: &dyn Protocol,
    head: &Head<'_>,
    sent: &Bytes,
    reservation: &mut Reservation,
) -> Result<Made, Problem> {
    let memory = quota::Memory { ingest: &api.ingest, tenant_id: &principal.tenant_id };
    // A record of the spool holds what was sent, what was made of it, and places beside.
    let most = memory.most().min(SPOOL_RECORD_BYTES_MAX - 4 * MIB);
    let mut grow = |bytes: usize| {
        if sent.len() + bytes > most {
            return Err(body::too_much_made(most));
        }
        reservation.grow_to(sent.len() + bytes).map_err(|no_room| memory.refused(no_room))
    };
    let mut converter = Converter::new(Box::new(&mut grow));
    match protocol.items(head, sent, &mut converter)? {
        Items::AsSent => Ok(Made { items: sent.clone(), original: None, dedupe: true }),
        Items::Made(items) => {
            drop(converter);
            let bytes_max = api.limits.now().body_bytes;
            if items.len() > bytes_max {
                return Err(body::too_large(bytes_max));
            }
            grow(items.len())?;
            Ok(Made { items, original: None, dedupe: true })
        }
        Items::Converted => {
            let Converted { items, original, notes, dedupe } = converter.finish(sent.clone())?;
            for (note, count) in notes {
                metrics::counter!("tidegate_conversion_notes_total", "route" => head.route.path, "note" => note)
                    .increment(count);
            }
            Ok(Made { items, original: Some(Arc::new(original)), dedupe })
        }
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
        Unanswered::Unreadable(error @ (BodyError::MaskedTooLarge | BodyError::TooMuchMade { .. })) => {
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
