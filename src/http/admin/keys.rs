//! /v1/keys: made, listed, limited, rotated, revoked.

use std::time::Duration;

use hyper::StatusCode;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use uuid::Uuid;

use super::organizations::given;
use super::{by, confined, named, place, problem, sees};
use crate::http::call::Call;
use crate::http::groups::body::{self, invalid};
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::json as json_answer;
use crate::limits::{
    KEY_LABEL_CHARS_MAX, RATE_BURST_S_MAX, RATE_PER_SECOND_MAX, ROTATION_GRACE_DEFAULT, ROTATION_GRACE_MAX,
};
use crate::protocols::Problem;
use crate::query::KeysQuery;
use crate::tenancy::admin::{self, KeyChange, KeyInfo, LimitsChange, NewKey};
use crate::tenancy::control::{self, KeyWanted};
use crate::tenancy::{RateLimits, Scopes, acts};
use crate::unseen::is_unseen;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    /// By its slug or id; the caller's own when it is not named.
    #[serde(default)]
    organization: Option<String>,
    scopes: Vec<String>,
    #[serde(default)]
    label: Option<String>,
    #[serde(default)]
    expires_at: Option<Timestamp>,
    #[serde(default)]
    events_per_second: Option<u64>,
    #[serde(default)]
    bytes_per_second: Option<u64>,
    #[serde(default)]
    burst_seconds: Option<u32>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    #[serde(default)]
    label: Option<String>,
    /// null takes away what is said.
    #[serde(default, deserialize_with = "given")]
    expires_at: Option<Option<Timestamp>>,
    #[serde(default, deserialize_with = "given")]
    events_per_second: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    bytes_per_second: Option<Option<u64>>,
    #[serde(default, deserialize_with = "given")]
    burst_seconds: Option<Option<u32>>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// How long the old key still works.
    #[serde(default)]
    grace: Option<body::Span>,
}

/// A key with its text, this once.
#[derive(Serialize)]
struct Made {
    #[serde(flatten)]
    info: KeyInfo,
    key: String,
}

/// A key that was revoked, and whether it is the one that did it.
#[derive(Serialize)]
struct Revoked {
    #[serde(flatten)]
    info: KeyInfo,
    own: bool,
}

fn made((info, new): (KeyInfo, NewKey)) -> Made {
    Made { info, key: new.key }
}

fn label(text: &str) -> Result<(), Problem> {
    if text.chars().count() <= KEY_LABEL_CHARS_MAX && !text.chars().any(is_unseen) {
        return Ok(());
    }
    Err(invalid(format!(
        "`label` must have at most {KEY_LABEL_CHARS_MAX} characters, and none that cannot be seen or turn others round"
    )))
}

fn rates(limits: RateLimits) -> Result<(), Problem> {
    let rates = [("events_per_second", limits.events_per_second), ("bytes_per_second", limits.bytes_per_second)];
    for (name, rate) in rates {
        if rate.is_some_and(|rate| !(1..=RATE_PER_SECOND_MAX).contains(&rate)) {
            let most = RATE_PER_SECOND_MAX;
            return Err(invalid(format!("`{name}` must be from 1 to {most}; to stop a key, revoke it")));
        }
    }
    if limits.burst_seconds.is_some_and(|seconds| !(1..=RATE_BURST_S_MAX).contains(&seconds)) {
        return Err(invalid(format!("`burst_seconds` must be from 1 to {RATE_BURST_S_MAX}")));
    }
    Ok(())
}

fn ends(at: Option<Timestamp>) -> Result<(), Problem> {
    match at.is_some_and(|at| at <= Timestamp::now()) {
        false => Ok(()),
        true => Err(invalid("`expires_at` has passed: name a later time, or revoke the key (DELETE)")),
    }
}

/// The key that the path names; what is no id is no key's.
fn id(call: &Call<'_>) -> Result<Uuid, Problem> {
    Uuid::try_parse(call.path.get("id")).map_err(|_| Problem::not_found("key"))
}

/// POST /v1/keys
pub async fn create(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let New { organization, scopes, label: text, expires_at, events_per_second, bytes_per_second, burst_seconds } =
        body::read_kept(&call.body)?;
    let scopes = Scopes::parse(&scopes.join(",")).map_err(|error| invalid(format!("`scopes`: {error}")))?;
    let limits = RateLimits { events_per_second, bytes_per_second, burst_seconds };
    let text = text.unwrap_or_default();
    label(&text)?;
    rates(limits)?;
    ends(expires_at)?;
    let organization = organization.unwrap_or_else(|| call.principal.tenant_id.to_string());
    if organization.contains('\0') {
        return Err(Problem::not_found("organization"));
    }
    let wanted = KeyWanted { organization, scopes, label: text, expires_at, limits };
    let (actor, mut place) = (call.actor(), place(&call).await?);
    let new = control::create_key(&mut place.client, &by(&call, &actor), &wanted).await;
    Ok(json_answer(StatusCode::CREATED, &made(new.map_err(|error| problem(call.api, error))?)))
}

/// GET /v1/keys
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let organization = named(&mut call)?;
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query = KeysQuery { confined: confined(&call)?, organization };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}

/// GET /v1/keys/{id}
pub async fn show(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let (id, mut place) = (id(&call)?, place(&call).await?);
    let found = async {
        let transaction = acts::begin(&mut place.client, sees(call.principal)).await?;
        admin::find_key(transaction.client(), id).await
    };
    Ok(json_answer(StatusCode::OK, &found.await.map_err(|error| problem(call.api, error))?))
}

/// PATCH /v1/keys/{id}
pub async fn alter(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let id = id(&call)?;
    let sent: Altered = body::read_kept(&call.body)?;
    sent.label.as_deref().map_or(Ok(()), label)?;
    ends(sent.expires_at.flatten())?;
    rates(RateLimits {
        events_per_second: sent.events_per_second.flatten(),
        bytes_per_second: sent.bytes_per_second.flatten(),
        burst_seconds: sent.burst_seconds.flatten(),
    })?;
    let limits = LimitsChange {
        events_per_second: sent.events_per_second,
        bytes_per_second: sent.bytes_per_second,
        burst_seconds: sent.burst_seconds,
    };
    let change = KeyChange { label: sent.label, expires_at: sent.expires_at, limits };
    let (actor, mut place) = (call.actor(), place(&call).await?);
    let altered = control::alter_key(&mut place.client, &by(&call, &actor), id, &change).await;
    Ok(json_answer(StatusCode::OK, &altered.map_err(|error| problem(call.api, error))?))
}

/// DELETE /v1/keys/{id}
pub async fn revoke(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let (id, actor, mut place) = (id(&call)?, call.actor(), place(&call).await?);
    let revoked = control::revoke_key(&mut place.client, &by(&call, &actor), id).await;
    let info = revoked.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &Revoked { own: call.principal.id() == info.id, info }))
}

/// POST /v1/keys/{id}/rotate
pub async fn rotate(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let id = id(&call)?;
    let Rotation { grace } = body::read(&call.body)?;
    let grace = match &grace {
        Some(text) => body::duration("grace", text, [Duration::ZERO, ROTATION_GRACE_MAX])?,
        None => ROTATION_GRACE_DEFAULT,
    };
    let ends_at = Timestamp::now().checked_add(grace).map_err(|_| invalid("`grace` is too long"))?;
    let (actor, mut place) = (call.actor(), place(&call).await?);
    let new = control::rotate_key(&mut place.client, &by(&call, &actor), id, ends_at).await;
    Ok(json_answer(StatusCode::CREATED, &made(new.map_err(|error| problem(call.api, error))?)))
}
