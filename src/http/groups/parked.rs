//! Parked events of a group: parked on purpose, listed, replayed to the group alone, dropped.

use hyper::StatusCode;
use serde::Deserialize;
use serde_json::json;

use super::body::{self, invalid};
use super::{at, groups, problem};
use crate::groups::{GroupError, ParkedQuery, Parking, Picked, Which};
use crate::http::call::Call;
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::json as json_answer;
use crate::limits::PARKED_PER_CALL_MAX;
use crate::protocols::Problem;

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
    let request = ListRequest::take_plain(call.principal, call.parts, &mut call.params)?;
    let query = ParkedQuery { groups: groups(&call)?, at: at(&call) };
    request.answer(call.api, call.params, query).await
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
