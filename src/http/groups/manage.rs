//! Groups are made, looked at, altered, paused, reset and deleted.

use std::time::Duration;

use hyper::{Response, StatusCode};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::body::{self, Place, Span, invalid};
use super::{at, groups, problem};
use crate::groups::{Change, GroupError, GroupName, GroupsQuery, Settings, Status, To};
use crate::http::Api;
use crate::http::call::Call;
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::{full, json as json_answer};
use crate::limits::{
    ACK_TIMEOUT_DEFAULT, ACK_TIMEOUT_MAX, ACK_TIMEOUT_MIN, EVENT_TYPE_CHARS_MAX, GROUP_EVENT_TYPES_BYTES_MAX,
    GROUP_EVENT_TYPES_MAX, GROUP_NAME_CHARS_MAX, MAX_DELIVERIES_DEFAULT, MAX_DELIVERIES_MAX, STREAM_CHARS_MAX,
};
use crate::protocols::{Problem, ProblemCode};
use crate::query::{CursorError, OrderedBy, ReadError, Start};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    name: String,
    #[serde(default)]
    start: Option<Place>,
    #[serde(default)]
    max_deliveries: Option<i32>,
    #[serde(default)]
    ack_timeout: Option<Span>,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    #[serde(default)]
    ordered_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    #[serde(default)]
    max_deliveries: Option<i32>,
    #[serde(default)]
    ack_timeout: Option<Span>,
    #[serde(default)]
    event_types: Option<Vec<String>>,
    /// Told what to do instead.
    #[serde(default)]
    ordered_by: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct ResetTo {
    #[serde(default)]
    to: Option<Place>,
    /// An epoch may be a number.
    #[serde(default)]
    timestamp: Option<Value>,
    #[serde(default)]
    cursor: Option<String>,
    #[serde(default)]
    offset: Option<u64>,
    #[serde(default)]
    dry_run: Option<bool>,
}

impl ResetTo {
    /// Where: `to` says it, or which of the other fields does. What stands in one of those is what the field is called: digits in
    /// `timestamp` are no offset.
    fn place(self) -> Result<To, Problem> {
        let Self { to, timestamp, cursor, offset, .. } = self;
        let which = match &to {
            Some(Place::Text(field)) => ["timestamp", "cursor", "offset"].into_iter().find(|name| name == field),
            Some(Place::Offset(_)) | None => None,
        };
        let fits = |field: &str| which.is_none_or(|which| which == field);
        match (to.filter(|_| which.is_none()), timestamp, cursor, offset) {
            (Some(to), None, None, None) => to.to("to"),
            (None, Some(timestamp), None, None) if fits("timestamp") => {
                body::since("timestamp", &timestamp).map(To::Time)
            }
            (None, None, Some(cursor), None) if fits("cursor") => Ok(To::Start(Start::Cursor(cursor))),
            (None, None, None, Some(offset)) if fits("offset") => body::at(offset),
            (None, None, None, None) if which.is_some() => {
                Err(invalid(format!("`{}` must say which, in a field of this name", which.unwrap_or_default())))
            }
            _ => Err(invalid("one of `to`, `timestamp`, `cursor` and `offset` must say where")),
        }
    }
}

#[derive(Serialize)]
struct Lag {
    lag: i64,
    oldest_unread_s: Option<f64>,
    committed: i64,
    begin: i64,
    end: i64,
    generation: i64,
    members: i64,
    leases: i64,
    redeliveries: i64,
    parked: i64,
    paused: bool,
}

/// POST /v1/streams/{name}/groups
pub async fn create(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let new: New = body::read_kept(&call.body)?;
    let length = new.name.chars().count();
    if !(1..=GROUP_NAME_CHARS_MAX).contains(&length) || new.name.chars().any(char::is_control) {
        return Err(invalid(format!(
            "`name` must have 1 to {GROUP_NAME_CHARS_MAX} characters, and no control characters"
        )));
    }
    let stream = call.path.get("name");
    if !(1..=STREAM_CHARS_MAX).contains(&stream.chars().count()) {
        let what = format!("no stream is called so: a name has 1 to {STREAM_CHARS_MAX} characters");
        return Err(Problem::bad_request(ProblemCode::InvalidParameter, what));
    }
    let ordered_by = match new.ordered_by.as_deref() {
        None => None,
        Some(name) => Some(OrderedBy::ALL.into_iter().find(|by| by.as_str() == name).ok_or_else(|| {
            invalid(format!("`ordered_by` must be one of {}", OrderedBy::ALL.map(OrderedBy::as_str).join(", ")))
        })?),
    };
    let settings = Settings {
        max_deliveries: max_deliveries(new.max_deliveries)?.unwrap_or(MAX_DELIVERIES_DEFAULT),
        ack_timeout: ack_timeout(new.ack_timeout.as_ref())?.unwrap_or(ACK_TIMEOUT_DEFAULT),
        event_types: event_types(new.event_types)?.unwrap_or_default(),
        ordered_by,
    };
    let start = new.start.map_or(Ok(To::Start(Start::Earliest)), |place| place.to("start"))?;
    let at = GroupName { name: new.name, ..at(&call) };
    let groups = groups(&call)?;
    let made = async {
        groups.create(&at, &settings, &start).await?;
        groups.status(&at).await
    };
    Ok(json_answer(StatusCode::CREATED, &made.await.map_err(|error| misplaced(call.api, error))?))
}

/// GET /v1/streams/{name}/groups
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let request = ListRequest::take_plain(call.principal, call.parts, &mut call.params)?;
    let query = GroupsQuery { groups: groups(&call)?, stream: call.path.get("name").to_owned() };
    request.answer(call.api, call.params, query).await
}

/// GET /v1/streams/{name}/groups/{group}
pub async fn show(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    Ok(json_answer(StatusCode::OK, &status(&call).await?))
}

/// GET .../lag
pub async fn lag(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let of = status(&call).await?;
    let lag = Lag {
        lag: of.lag,
        oldest_unread_s: of.oldest_unread_s,
        committed: of.committed,
        begin: of.begin,
        end: of.end,
        generation: of.generation,
        members: of.members,
        leases: of.leases,
        redeliveries: of.redeliveries,
        parked: of.parked,
        paused: of.paused,
    };
    Ok(json_answer(StatusCode::OK, &lag))
}

/// PATCH /v1/streams/{name}/groups/{group}
pub async fn alter(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let altered: Altered = body::read_kept(&call.body)?;
    if altered.ordered_by.is_some() {
        return Err(invalid(
            "`ordered_by` stays as the group was made; make another group, and reset it to where this one is",
        ));
    }
    let timeout = ack_timeout(altered.ack_timeout.as_ref())?;
    let change = Change {
        max_deliveries: max_deliveries(altered.max_deliveries)?,
        ack_timeout_ms: timeout.map(|timeout| i64::try_from(timeout.as_millis()).unwrap_or(i64::MAX)),
        event_types: event_types(altered.event_types)?,
    };
    groups(&call)?.alter(&at(&call), &change).await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &status(&call).await?))
}

/// DELETE /v1/streams/{name}/groups/{group}
pub async fn delete(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    groups(&call)?.delete(&at(&call)).await.map_err(|error| problem(call.api, error))?;
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    Ok(response)
}

/// POST .../pause
pub async fn pause(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    groups(&call)?.pause(&at(&call)).await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &status(&call).await?))
}

/// POST .../resume
pub async fn resume(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    groups(&call)?.resume(&at(&call)).await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &status(&call).await?))
}

/// POST .../reset
pub async fn reset(mut call: Call<'_>) -> ListAnswer {
    let dry_run = call.params.take_switch("dry_run")?;
    std::mem::take(&mut call.params).finish()?;
    let wanted: ResetTo = body::read(&call.body)?;
    let dry_run = dry_run.or(wanted.dry_run).unwrap_or(false);
    let to = wanted.place()?;
    let groups = groups(&call)?;
    let done = async { groups.reset(&groups.find(&at(&call)).await?, &to, dry_run).await };
    let reset = done.await.map_err(|error| misplaced(call.api, error))?;
    let events = reset.again + reset.skipped;
    let mut answer = json!(reset);
    answer["events"] = json!(events);
    Ok(json_answer(StatusCode::OK, &answer))
}

/// A place that is no word, no time and no offset was taken for a cursor.
fn misplaced(api: &Api, error: GroupError) -> Problem {
    match error {
        GroupError::Read(ReadError::Cursor { error: CursorError::Malformed | CursorError::OtherQuery, .. }) => {
            Problem::bad_request(
                ProblemCode::InvalidParameter,
                "the place is neither `earliest`, `latest`, a time such as 2026-01-31T00:00:00Z or -24h, an offset, nor a cursor \
             of this stream",
            )
        }
        other => problem(api, other),
    }
}

async fn status(call: &Call<'_>) -> Result<Status, Problem> {
    groups(call)?.status(&at(call)).await.map_err(|error| problem(call.api, error))
}

fn max_deliveries(wanted: Option<i32>) -> Result<Option<i32>, Problem> {
    match wanted {
        Some(number) if !(0..=MAX_DELIVERIES_MAX).contains(&number) => Err(invalid(format!(
            "`max_deliveries` must be a whole number from 1 to {MAX_DELIVERIES_MAX}, or 0 for however often it takes"
        ))),
        wanted => Ok(wanted),
    }
}

fn ack_timeout(wanted: Option<&Span>) -> Result<Option<Duration>, Problem> {
    wanted.map(|span| body::duration("ack_timeout", span, [ACK_TIMEOUT_MIN, ACK_TIMEOUT_MAX])).transpose()
}

fn event_types(wanted: Option<Vec<String>>) -> Result<Option<Vec<String>>, Problem> {
    let Some(types) = wanted else { return Ok(None) };
    let fits = |name: &String| (1..=EVENT_TYPE_CHARS_MAX).contains(&name.chars().count()) && !name.contains('\0');
    let bytes: usize = types.iter().map(String::len).sum();
    if types.len() > GROUP_EVENT_TYPES_MAX || bytes > GROUP_EVENT_TYPES_BYTES_MAX || !types.iter().all(fits) {
        return Err(invalid(format!(
            "`event_types` must be at most {GROUP_EVENT_TYPES_MAX} types of 1 to {EVENT_TYPE_CHARS_MAX} characters, and of \
             {GROUP_EVENT_TYPES_BYTES_MAX} bytes in all; an empty list stands for all"
        )));
    }
    Ok(Some(types))
}
