//! What becomes of events that were taken: committed, acknowledged, given back, kept for longer; and who takes over or goes.

use std::time::Duration;

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::body::{self, Span, invalid};
use super::{at, groups, is_member, problem};
use crate::groups::{Lease, Return};
use crate::http::call::Call;
use crate::http::reads::ListAnswer;
use crate::http::response::json as json_answer;
use crate::limits::{GROUP_NAME_CHARS_MAX, NACK_DELAY_MAX};
use crate::protocols::Problem;
use crate::query::Start;

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Commit {
    #[serde(default)]
    cursor: Option<String>,
    /// Instead: the offset behind the last event.
    #[serde(default, alias = "offset")]
    next_offset: Option<i64>,
    generation: i64,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Held {
    lease: String,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Back {
    lease: String,
    #[serde(default)]
    offset: Option<i64>,
    #[serde(default)]
    delay: Option<Span>,
    #[serde(default)]
    error: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Member {
    member: String,
}

/// POST .../offset
pub async fn commit(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let commit: Commit = body::read(&call.body)?;
    let next = match (commit.cursor, commit.next_offset) {
        (Some(cursor), None) => Start::Cursor(cursor),
        (None, Some(offset)) if offset >= 0 => Start::Offset(offset),
        (None, Some(_)) => return Err(invalid("`next_offset` must not be negative")),
        _ => return Err(invalid("one of `cursor` and `next_offset` must say how far it was read")),
    };
    let groups = groups(&call)?;
    let done = async {
        let group = groups.find(&at(&call)).await?;
        let committed = groups.commit(&group, &next, commit.generation).await?;
        Ok(
            json!({ "committed": committed, "generation": commit.generation, "lag": (group.log.end - committed).max(0) }),
        )
    };
    Ok(json_answer(StatusCode::OK, &done.await.map_err(|error| problem(call.api, error))?))
}

/// POST .../takeover
pub async fn take_over(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let groups = groups(&call)?;
    let done = async {
        let group = groups.find(&at(&call)).await?;
        let generation = groups.take_over(&group).await?;
        let (committed, cursor) = (group.committed, group.cursor(group.committed, 0));
        Ok(json!({ "generation": generation, "committed": committed, "cursor": cursor, "lag": group.lag() }))
    };
    Ok(json_answer(StatusCode::OK, &done.await.map_err(|error| problem(call.api, error))?))
}

/// POST .../ack
pub async fn ack(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let lease = lease(&body::read::<Held>(&call.body)?.lease)?;
    let groups = groups(&call)?;
    let done = async { groups.ack(&groups.find(&at(&call)).await?, lease).await };
    done.await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "lease": lease.to_string(), "acknowledged": true })))
}

/// POST .../extend
pub async fn extend(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let lease = lease(&body::read::<Held>(&call.body)?.lease)?;
    let groups = groups(&call)?;
    let done = async {
        let group = groups.find(&at(&call)).await?;
        groups.extend(&group, lease).await?;
        Ok(json!({ "lease": lease.to_string(), "for_ms": group.ack_timeout_ms() }))
    };
    Ok(json_answer(StatusCode::OK, &done.await.map_err(|error| problem(call.api, error))?))
}

/// POST .../nack
pub async fn nack(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let Back { lease: text, offset, delay, error } = body::read(&call.body)?;
    let lease = lease(&text)?;
    let delay = match delay {
        Some(span) => body::duration("delay", &span, [Duration::ZERO, NACK_DELAY_MAX])?,
        None => Duration::ZERO,
    };
    let back = Return { offset, delay, error: body::reason("error", error)? };
    let groups = groups(&call)?;
    let done = async { groups.nack(&groups.find(&at(&call)).await?, lease, &back).await };
    done.await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "lease": lease.to_string(), "returned": true })))
}

/// POST .../leave
pub async fn leave(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let Member { member } = body::read(&call.body)?;
    if !is_member(&member) {
        return Err(invalid(format!("`member` must have 1 to {GROUP_NAME_CHARS_MAX} characters, and no NUL")));
    }
    let groups = groups(&call)?;
    let done = async { groups.leave(&groups.find(&at(&call)).await?, &member).await };
    done.await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "member": member, "left": true })))
}

fn lease(text: &str) -> Result<Lease, Problem> {
    text.parse().map_err(|()| invalid("`lease` is not one that came with events"))
}
