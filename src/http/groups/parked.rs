//! Parked events of a group: parked on purpose, listed, replayed to the group alone, dropped.

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::body::{self, invalid};
use super::{at, groups, problem};
use crate::groups::{GroupError, Parked, Parking, Picked, Which};
use crate::http::call::Call;
use crate::http::reads::{self, ListAnswer};
use crate::http::response::{held_json, json as json_answer};
use crate::limits::{PAGE_ROWS_DEFAULT, PARKED_LISTED_BYTES, PARKED_PER_CALL_MAX};
use crate::protocols::{Problem, params};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Park {
    offset: i64,
    #[serde(default)]
    reason: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Picking {
    #[serde(default)]
    offsets: Option<Vec<i64>>,
    #[serde(default)]
    all: Option<bool>,
}

#[derive(Serialize)]
struct Listed {
    data: Vec<Parked>,
    next_cursor: Option<String>,
}

/// POST .../park
pub async fn park(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let Park { offset, reason } = body::read(&call.body)?;
    let parking = Parking::on_purpose(body::reason("reason", reason)?, call.principal.id());
    let groups = groups(&call)?;
    let done = async { groups.park(&groups.find(&at(&call)).await?, offset, &parking).await };
    let parked = done.await.map_err(|error| problem(call.api, error))?;
    Ok(json_answer(StatusCode::OK, &json!({ "offset": offset, "parked": true, "before": !parked })))
}

/// GET .../parked
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let limit = call.params.take_count("limit", PARKED_PER_CALL_MAX)?.unwrap_or(PAGE_ROWS_DEFAULT);
    let behind = match call.params.take("cursor") {
        None => -1,
        Some(text) => text.parse().map_err(|_| params::invalid("cursor", "is not a cursor of this list"))?,
    };
    std::mem::take(&mut call.params).finish()?;
    let groups = groups(&call)?;
    let listed = async {
        let group = groups.find(&at(&call)).await?;
        let (limit, room) = groups.room(limit, PARKED_LISTED_BYTES)?;
        Ok((groups.parked(&group, behind, limit).await?, limit, room))
    };
    let (data, limit, room) = listed.await.map_err(|error| problem(call.api, error))?;
    let next_cursor = data.last().filter(|_| data.len() == limit).map(|last| last.offset.to_string());
    held_json(&Listed { data, next_cursor }, room).map_err(|no_room| reads::problem(call.api, no_room.into()))
}

/// POST .../parked/replay
pub async fn replay(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let which = which(&call)?;
    let groups = groups(&call)?;
    let done = async { groups.replay(&groups.find(&at(&call)).await?, &which).await };
    picked(&call, &which, "replayed", done.await)
}

/// POST .../parked/drop
pub async fn drop(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let which = which(&call)?;
    let groups = groups(&call)?;
    let done = async { groups.drop_parked(&groups.find(&at(&call)).await?, &which).await };
    picked(&call, &which, "dropped", done.await)
}

fn which(call: &Call<'_>) -> Result<Which, Problem> {
    match body::read(&call.body)? {
        Picking { offsets: Some(offsets), all: None | Some(false) }
            if (1..=PARKED_PER_CALL_MAX).contains(&offsets.len()) =>
        {
            Ok(Which::At(offsets))
        }
        Picking { offsets: None, all: Some(true) } => Ok(Which::All),
        _ => Err(invalid(format!(
            "say which: `offsets` with 1 to {PARKED_PER_CALL_MAX} of them, or `all`: true for the first {PARKED_PER_CALL_MAX}"
        ))),
    }
}

fn picked(call: &Call<'_>, which: &Which, what: &str, done: Result<Picked, GroupError>) -> ListAnswer {
    let Picked { count, left } = done.map_err(|error| problem(call.api, error))?;
    match which {
        Which::At(_) if count == 0 => Err(Problem::not_found("parked event")),
        _ => Ok(json_answer(StatusCode::OK, &json!({ what: count, "left": left }))),
    }
}
