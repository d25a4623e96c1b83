//! A schema is tried on the newest events of its stream before it is in force.

use std::sync::Arc;
use std::time::Instant;

use hyper::StatusCode;
use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;
use uuid::Uuid;

use crate::http::call::Call;
use crate::http::reads;
use crate::limits::{
    PAGE_ROWS_DEFAULT, TRIAL_EVENTS_MAX, TRIAL_LISTED_MAX, TRIAL_SLICE, TRIAL_TEXT_BYTES, TRIAL_TIME_MAX,
};
use crate::protocols::{Problem, ProblemCode};
use crate::query::{PageLimit, ReadError, Start};
use crate::registry::{Schema, Violation};

/// What came of it.
#[derive(Default, Serialize)]
pub struct Trial {
    /// Events that it was tried on.
    tried: usize,
    /// Of these those that break it, which it would refuse where it is enforced.
    refused: usize,
    /// Not where the time was over before it was tried on all of them.
    complete: bool,
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
    /// Why a change is not made that would enforce the schema; None: nothing is against it.
    pub fn objection(&self) -> Option<Problem> {
        if self.refused > 0 {
            return Some(self.refusal());
        }
        (!self.complete).then(|| {
            let detail = format!(
                "the schema could be tried on {} events within {TRIAL_TIME_MAX:?}, not on {TRIAL_EVENTS_MAX}: it takes too long to \
                 judge, or the database is too slow; make it simpler, try again, send `force`, or begin with the mode `warn`",
                self.tried
            );
            Problem::unavailable(ProblemCode::QueryTimeout, detail, 5)
        })
    }

    fn refusal(&self) -> Problem {
        let Self { tried, refused, events, .. } = self;
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

    /// Judges events by offset, one at least, until it is told that time is over; how many it went through.
    fn judge<'e>(
        &mut self,
        schema: &Schema,
        events: impl IntoIterator<Item = (i64, &'e str)>,
        is_over: impl Fn() -> bool,
    ) -> usize {
        let mut through = 0;
        for (offset, text) in events {
            through += 1;
            self.judge_one(schema, offset, text);
            if is_over() {
                break;
            }
        }
        through
    }

    fn judge_one(&mut self, schema: &Schema, offset: i64, text: &str) {
        let Ok(Tried { id, payload }) = serde_json::from_str(text) else { return };
        self.tried += 1;
        let Err(violation) = schema.judge(payload.map_or("{}", RawValue::get)) else { return };
        let message = violation.to_string();
        let Violation { field, rule, .. } = violation;
        self.note(Refused { id, offset, field, rule, message });
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

/// Tries a schema on the newest events of a stream, if it has any: from the end backwards, part by part, for as long as there is
/// time.
pub async fn trial(call: &Call<'_>, stream: &str, schema: &Arc<Schema>) -> Result<Trial, Problem> {
    let (api, tenant_id) = (call.api, &call.principal.tenant_id);
    let problem = |error| reads::problem(api, error);
    let readers = &api.home(tenant_id)?.reads;
    let begun = Instant::now();
    let at_end = PageLimit { events: 1, text_bytes: TRIAL_TEXT_BYTES };
    let reads = readers.begin(tenant_id).await.map_err(problem)?;
    let (begin, mut behind) = match reads.stream_page(readers.logs(), tenant_id, stream, &Start::Latest, at_end).await {
        Ok(page) => (page.begin, page.end),
        Err(ReadError::NotFound(_)) => return Ok(Trial { complete: true, ..Trial::default() }),
        Err(error) => return Err(problem(error)),
    };
    drop(reads);
    let mut trial = Trial { complete: true, ..Trial::default() };
    'parts: while trial.tried < TRIAL_EVENTS_MAX && behind > begin {
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
                Err(ReadError::Gone(_)) => break 'parts,
                Err(error) => return Err(problem(error)),
            };
            let room = reads.into_reservation();
            if page.next_offset <= at {
                break;
            }
            at = page.next_offset;
            let (events, mut from) = (Arc::new(page.data), 0);
            while from < events.len() {
                if begun.elapsed() > TRIAL_TIME_MAX {
                    trial.complete = false;
                    break 'parts;
                }
                // It takes its time, for which it waits beside events that are judged.
                let _turn = api.attached()?.definitions.turn(tenant_id).await;
                let (schema, events, mut judged, slice) =
                    (Arc::clone(schema), Arc::clone(&events), trial, Instant::now());
                let judging = tokio::task::spawn_blocking(move || {
                    let rest = events[from..].iter().map(|event| (event.offset, event.text()));
                    let through = judged.judge(&schema, rest, || slice.elapsed() > TRIAL_SLICE);
                    (judged, from + through)
                });
                (trial, from) = judging.await.map_err(|error| problem(ReadError::Value(error.to_string())))?;
            }
            drop(room);
        }
    }
    trial.events.sort_by_key(|event| std::cmp::Reverse(event.offset));
    Ok(trial)
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;

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

    fn schema() -> Schema {
        Schema::compile(r#"{"properties":{"n":{"type":"integer"}}}"#).expect("a schema")
    }

    fn event(payload: &str) -> String {
        format!(r#"{{"id":"{}","payload":{payload}}}"#, Uuid::nil())
    }

    /// Tried on these, with time for so many.
    fn tried(payloads: &[&str], in_time: usize) -> Trial {
        let events: Vec<String> = payloads.iter().map(|payload| event(payload)).collect();
        let mut trial = Trial { complete: true, ..Trial::default() };
        let asked = Cell::new(0);
        let is_over = || asked.replace(asked.get() + 1) + 1 >= in_time;
        let through = trial.judge(&schema(), (0..).zip(events.iter().map(String::as_str)), is_over);
        assert_eq!(through, in_time.clamp(1, payloads.len()), "one at least, and no more than there is time for");
        trial.complete = through == payloads.len();
        trial
    }

    #[test]
    fn a_trial_ends_with_its_time_and_says_so() {
        let [good, bad] = [r#"{"n":1}"#, r#"{"n":"x"}"#];
        let code = |trial: &Trial| trial.objection().map(|problem| problem.code());
        assert_eq!(tried(&[good, good], 0).tried, 1, "it comes on, however slow");
        let whole = tried(&[good, good, good], 9);
        assert_eq!((whole.tried, whole.complete, code(&whole)), (3, true, None));
        let cut = tried(&[good, good, bad], 2);
        assert_eq!((cut.tried, cut.refused, cut.complete), (2, 0, false));
        assert_eq!(code(&cut), Some(ProblemCode::QueryTimeout), "what was not looked at may break it");
        let broken = tried(&[good, bad, good], 2);
        assert_eq!((broken.tried, broken.refused, broken.complete), (2, 1, false));
        assert_eq!(code(&broken), Some(ProblemCode::SchemaRefusesEvents), "what was found is told");
    }
}
