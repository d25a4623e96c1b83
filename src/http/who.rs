//! Who a request speaks for: the holder of its key, of its ticket, or of the session whose cookie it has. Where a key is sent it counts, good
//! or not.

use std::sync::Arc;

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;

use super::peer::peer_of;
use super::{Api, quota, way};
use crate::limits::TICKET_LIFE;
use crate::protocols::{Problem, ProblemCode, credential};
use crate::tenancy::{KeyError, Principal, Scope, SessionError, TicketError};

/// Who it is, if it may do what needs any of these scopes.
pub async fn authorize(api: &Api, parts: &Parts, scopes: &[Scope]) -> Result<Arc<Principal>, Problem> {
    let principal = match credential::session(&parts.headers) {
        Some(token) if !credential::given(&parts.headers) => signed_in(api, parts, token?, true).await?,
        _ => verify(api, parts, credential::own(&parts.headers)?).await?,
    };
    permit(principal, scopes)
}

/// The same of a key that stands where the protocol has it.
pub async fn authorize_key(api: &Api, parts: &Parts, key: &str, scopes: &[Scope]) -> Result<Arc<Principal>, Problem> {
    permit(verify(api, parts, key).await?, scopes)
}

/// Who shows something of itself where nobody needs to: a key must be a good one, a session that is over is passed over, since browsers send
/// its cookie unasked.
pub async fn visitor(api: &Api, parts: &Parts) -> Result<Option<Arc<Principal>>, Problem> {
    if credential::given(&parts.headers) {
        return Ok(Some(verify(api, parts, credential::own(&parts.headers)?).await?));
    }
    match credential::session(&parts.headers) {
        Some(Ok(token)) => Ok(signed_in(api, parts, token, false).await.ok()),
        _ => Ok(None),
    }
}

/// Who has a ticket for a stream speaks for the key or the session that it was made with.
pub async fn holder(
    api: &Api,
    parts: &Parts,
    stream: &str,
    ticket: &str,
    scopes: &[Scope],
) -> Result<Arc<Principal>, Problem> {
    let named = api.attached()?.tickets.named_by(ticket, stream, Timestamp::now()).await;
    let named = named.map_err(|error| match error {
        TicketError::Invalid => Problem::unauthorized(format!(
            "the ticket is not one for this stream, or over: one is good for {} s, and had by POST /v1/streams/{{name}}/tickets",
            TICKET_LIFE.as_secs()
        )),
        TicketError::Storage(error) => key_problem(api, KeyError::Unavailable(error)),
    })?;
    let principal = api.verifier.holder(named, peer_of(parts)).await.map_err(|error| key_problem(api, error))?;
    permit(principal, scopes)
}

/// Who has the session with this token; with `is_use` it lives on.
async fn signed_in(api: &Api, parts: &Parts, token: &str, is_use: bool) -> Result<Arc<Principal>, Problem> {
    way::check(api, parts)?;
    way::check_origin(api, parts, true)?;
    api.verifier.session(token, peer_of(parts), is_use).await.map_err(|error| match error {
        SessionError::Over => Problem::unauthorized(
            "the session is over: it has ended, was revoked, or its user or organization is deactivated; sign in again \
             (POST /v1/sessions), or send an API key",
        ),
        SessionError::TooMany { retry_after_s } => quota::key_lookups(retry_after_s),
        SessionError::Unavailable(error) => key_problem(api, KeyError::Unavailable(error)),
    })
}

pub async fn verify(api: &Api, parts: &Parts, key: &str) -> Result<Arc<Principal>, Problem> {
    api.verifier.verify(key, peer_of(parts)).await.map_err(|error| key_problem(api, error))
}

fn permit(principal: Arc<Principal>, scopes: &[Scope]) -> Result<Arc<Principal>, Problem> {
    if scopes.iter().any(|scope| principal.may(*scope)) {
        return Ok(principal);
    }
    let who = principal.who();
    let detail = format!("this needs the scope {}; {who} has `{}`", listed(scopes), principal.scopes);
    Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
}

fn key_problem(api: &Api, error: KeyError) -> Problem {
    match error {
        KeyError::Invalid => Problem::unauthorized(
            "the API key is not valid: unknown, revoked, expired, or its organization is inactive",
        ),
        KeyError::TooMany { retry_after_s } => quota::key_lookups(retry_after_s),
        KeyError::Unavailable(_) => Problem::unavailable(
            ProblemCode::DatabaseUnavailable,
            "the key or the session cannot be verified at the moment",
            api.ingest.retry_after_s(),
        ),
    }
}

pub fn listed(scopes: &[Scope]) -> String {
    scopes.iter().map(|scope| format!("`{}`", scope.as_str())).collect::<Vec<_>>().join(" or ")
}
