//! GET /v1/streams/{name}/groups/{group}/events: what is next for who asks.

use std::time::{Duration, Instant};

use hyper::Method;
use serde::Serialize;

use super::{at, groups, is_member, problem};
use crate::groups::{Ask, Delivery, GroupError};
use crate::http::call::Call;
use crate::http::reads::{self, ListAnswer};
use crate::http::response::{held_json, json};
use crate::http::streams::{CatchUp, Waited, Waiting, count, wait};
use crate::limits::{
    CATCH_UP_GIVES_WAY, CATCH_UP_PART_OF_ACK, GROUP_EVENTS_MAX, GROUP_LOOK_EVERY, GROUP_NAME_CHARS_MAX,
    PAGE_ROWS_DEFAULT, READ_TIMEOUT,
};
use crate::protocols::Problem;
use crate::protocols::params::invalid;
use crate::query::{LoggedEvent, ReadError};

#[derive(Serialize)]
struct Given<'a> {
    events: &'a [LoggedEvent],
    next_offset: i64,
    cursor: String,
    generation: i64,
    /// Null: the cursor is to be committed.
    lease: Option<String>,
    deliveries: i32,
    lag: i64,
    begin: i64,
    end: i64,
    paused: bool,
}

pub async fn take(mut call: Call<'_>) -> ListAnswer {
    if call.parts.method == Method::HEAD {
        // Whose answer nobody sees is given nothing.
        return Err(Problem::method_not_allowed("GET".to_owned()));
    }
    let params = &mut call.params;
    let limit = params.take_count("limit", GROUP_EVENTS_MAX)?.unwrap_or(PAGE_ROWS_DEFAULT);
    let (wait, member, cursor) = (wait(params)?, params.take("member"), params.take("cursor"));
    std::mem::take(params).finish()?;
    if member.as_ref().is_some_and(|name| !is_member(name)) {
        return Err(invalid("member", &format!("must have 1 to {GROUP_NAME_CHARS_MAX} characters")));
    }
    let (at, groups) = (at(&call), groups(&call)?);
    let (member, cursor, key_id) = (member.as_deref(), cursor.as_deref(), call.principal.id());
    let ask = Ask { at: &at, member, limit, cursor, key_id };
    let begun = Instant::now();
    let mut waiting = if wait.is_zero() { None } else { Some(Waiting::begin(&call, &at.stream)?) };
    loop {
        let turn = match &mut waiting {
            Some(waiting) => Some(waiting.look().await),
            None => None,
        };
        let looked_at = Instant::now();
        let looked = groups.look(&ask).await;
        let worked = looked_at.elapsed();
        drop(turn);
        let left = wait.saturating_sub(begun.elapsed());
        match looked {
            Ok(delivery) if !delivery.events.is_empty() => {
                // Its lease runs meanwhile.
                let most = delivery.group.settings.ack_timeout / CATCH_UP_GIVES_WAY / CATCH_UP_PART_OF_ACK;
                let left = delivery.group.log.end - delivery.next_offset;
                CatchUp::beside(call.api).give_way(left, worked.min(most)).await;
                return answer(&call, delivery);
            }
            // It goes through what the group does not want.
            Ok(delivery) if delivery.goes_on && begun.elapsed() < READ_TIMEOUT => {}
            Ok(delivery) => {
                let Some(waiting) = &mut waiting else { return answer(&call, delivery) };
                // New events are told, and what others give back; not what comes by its time.
                let due = groups.due(&delivery.group, member).await.unwrap_or(Some(GROUP_LOOK_EVERY));
                let patience = due.map_or(left, |due| due.min(left));
                let is_over = match waiting.wait(patience).await {
                    Waited::Look => false,
                    Waited::Enough => begun.elapsed() >= wait,
                    Waited::Over => true,
                };
                if is_over {
                    return answer(&call, delivery);
                }
            }
            Err(GroupError::Read(ReadError::Busy { retry_after, .. })) if waiting.is_some() && retry_after < left => {
                tokio::time::sleep(retry_after.max(Duration::from_millis(1))).await;
            }
            Err(error) => return Err(problem(call.api, error)),
        }
    }
}

fn answer(call: &Call<'_>, delivery: Delivery) -> ListAnswer {
    let Delivery { group, events, next_offset, lease, deliveries, room, handing, .. } = delivery;
    // The batch before the next offset is known where its last event was handed out.
    let batch = events.last().filter(|last| last.offset + 1 == next_offset).map_or(0, |last| last.batch_id);
    let given = Given {
        events: &events,
        next_offset,
        cursor: group.cursor(next_offset, batch),
        generation: group.generation,
        lease: lease.map(|lease| lease.to_string()),
        deliveries,
        lag: group.lag(),
        begin: group.log.begin,
        end: group.log.end,
        paused: group.paused_at.is_some(),
    };
    count(events.len());
    let answer = match room {
        Some(room) => held_json(&given, room).map_err(|no_room| reads::problem(call.api, no_room.into()))?,
        None => json(hyper::StatusCode::OK, &given),
    };
    if let Some(handing) = handing {
        handing.handed();
    }
    Ok(answer)
}
