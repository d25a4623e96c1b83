//! A schema is tried on the newest events of its stream before it is in force.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::http::call::Call;
use crate::http::reads;
use crate::limits::{PAGE_ROWS_DEFAULT, TRIAL_EVENTS_MAX, TRIAL_LISTED_MAX, TRIAL_TEXT_BYTES, TRIAL_TIME_MAX};
use crate::protocols::{Problem, ProblemCode};
use crate::query::{LogPage, PageLimit, ReadError, Start};
use crate::registry::{Schema, Violation};

/// What came of it.
#[derive(Default, Serialize)]
pub struct Trial {
    /// Events that it was tried on.
    tried: usize,
    /// Of these those that break it, which it would refuse where it is enforced.
    refused: usize,
    /// The newest of them.
    events: Vec<Refused>,
}

#[derive(Serialize)]
struct Refused {
    id: Uuid,
    offset: i64,
    field: String,
    rule: String,
    message: String,
}

#[derive(Deserialize)]
struct Tried<'a> {
    id: Uuid,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

impl Trial {
    pub fn refuses(&self) -> bool {
        self.refused > 0
    }

    pub fn problem(&self) -> Problem {
        let Self { tried, refused, events } = self;
        let detail = format!(
            "the schema would refuse {refused} of the newest {tried} events of the stream, which `events` names; mend it, or \
             send `force`"
        );
        let events = serde_json::to_value(events).unwrap_or_default();
        Problem::new(StatusCode::CONFLICT, ProblemCode::SchemaRefusesEvents, detail)
            .with("tried", *tried)
            .with("refused", *refused)
            .with("events", events)
    }

    /// Stops where the time is over: a single page may take long.
    fn judge(&mut self, schema: &Schema, page: &LogPage, begun: Instant) {
        for event in &page.data {
            if begun.elapsed() > TRIAL_TIME_MAX {
                return;
            }
            let Ok(Tried { id, payload }) = serde_json::from_str(event.text()) else { continue };
            self.tried += 1;
            let Err(violation) = schema.judge(payload.map_or("{}", RawValue::get)) else { continue };
            let message = violation.to_string();
            let Violation { field, rule, .. } = violation;
            self.note(Refused { id, offset: event.offset, field, rule, message });
        }
    }

    /// Of those that are refused the newest are listed, in whichever order they come.
    fn note(&mut self, refused: Refused) {
        self.refused += 1;
        if self.events.len() < TRIAL_LISTED_MAX {
            self.events.push(refused);
        } else if let Some(oldest) = self.events.iter_mut().min_by_key(|listed| listed.offset)
            && oldest.offset < refused.offset
        {
            *oldest = refused;
        }
    }
}

/// Tries a schema on the newest events of a stream, if it has any: from the end backwards, part by part.
pub async fn trial(call: &Call<'_>, stream: &str, schema: &Arc<Schema>) -> Result<Trial, Problem> {
    let (api, tenant_id) = (call.api, &call.principal.tenant_id);
    let problem = |error| reads::problem(api, error);
    let readers = &api.attached()?.reads;
    let begun = Instant::now();
    let at_end = PageLimit { events: 1, text_bytes: TRIAL_TEXT_BYTES };
    let reads = readers.begin(tenant_id).await.map_err(problem)?;
    let (begin, mut behind) = match reads.stream_page(readers.logs(), tenant_id, stream, &Start::Latest, at_end).await {
        Ok(page) => (page.begin, page.end),
        Err(ReadError::NotFound(_)) => return Ok(Trial::default()),
        Err(error) => return Err(problem(error)),
    };
    drop(reads);
    let mut trial = Trial::default();
    while trial.tried < TRIAL_EVENTS_MAX && behind > begin {
        // Offsets may have holes: then there are more parts.
        let wanted = i64::try_from(TRIAL_EVENTS_MAX - trial.tried).unwrap_or(i64::MAX);
        let part = behind.saturating_sub(wanted).max(begin)..behind;
        behind = part.start;
        let mut at = part.start;
        while at < part.end {
            let events = usize::try_from(part.end - at).unwrap_or(usize::MAX).min(PAGE_ROWS_DEFAULT * 10);
            let limit = PageLimit { events, text_bytes: TRIAL_TEXT_BYTES };
            let reads = readers.begin(tenant_id).await.map_err(problem)?;
            let page = match reads.stream_page(readers.logs(), tenant_id, stream, &Start::Offset(at), limit).await {
                Ok(page) => page,
                // What was there has expired meanwhile.
                Err(ReadError::Gone(_)) => return Ok(trial),
                Err(error) => return Err(problem(error)),
            };
            let room = reads.into_reservation();
            if page.next_offset <= at {
                break;
            }
            at = page.next_offset;
            let (schema, mut judged) = (Arc::clone(schema), trial);
            // It takes its time, and may be large.
            let judging = tokio::task::spawn_blocking(move || {
                judged.judge(&schema, &page, begun);
                judged
            });
            trial = judging.await.map_err(|error| problem(ReadError::Value(error.to_string())))?;
            drop(room);
            if begun.elapsed() > TRIAL_TIME_MAX {
                let detail = format!(
                    "the schema could be tried on {} events within {TRIAL_TIME_MAX:?}, not on {TRIAL_EVENTS_MAX}: it is too dear \
                     to judge, or the database too slow; make it simpler, or try again",
                    trial.tried
                );
                return Err(Problem::unavailable(ProblemCode::QueryTimeout, detail, 5));
            }
        }
    }
    trial.events.sort_by_key(|event| std::cmp::Reverse(event.offset));
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_newest_are_listed() {
        let mut trial = Trial::default();
        let count = i64::try_from(TRIAL_LISTED_MAX).expect("a small number");
        // As they are read: the newest part first, each part from its beginning.
        for offset in (count..3 * count).chain(0..count) {
            let refused =
                Refused { id: Uuid::nil(), offset, field: String::new(), rule: String::new(), message: String::new() };
            trial.note(refused);
        }
        let mut listed: Vec<i64> = trial.events.iter().map(|event| event.offset).collect();
        listed.sort_unstable();
        assert_eq!((trial.refused, listed), (3 * TRIAL_LISTED_MAX, (2 * count..3 * count).collect()));
    }
}
