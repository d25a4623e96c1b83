//! POST /v1/dead-letters/{id}/replay and POST /v1/dead-letters/replay: dead letters sent again, as they first came in, by
//! the rules of now.

use std::time::Instant;

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use futures_util::future::join_all;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;
use uuid::Uuid;

use super::call::Call;
use super::response::{Body, answer, full, json};
use super::{Api, dead_letter_filter, groups, items, quota, reads};
use crate::ingest::{Letter, Outcome, Received, Refusal, Unanswered};
use crate::limits::{ERRORS_LISTED_MAX, REPLAYS_DEFAULT, REPLAYS_MAX, REPLAYS_TIME, REPLAYS_TOGETHER};
use crate::model::Relation;
use crate::processor::ReplayedLetter;
use crate::protocols::params::invalid;
use crate::protocols::problem::Details;
use crate::protocols::{self, Problem, ProblemCode};
use crate::query::{DeadLetter, Listing, PARKED_STAGE, PROJECTED_STAGE, PageRequest, Reads, STAGES};
use crate::tenancy::Principal;
use crate::wire::item::{BodyForm, Code};

const STORED: &str = "stored";
const FAILED: &str = "failed";

/// What came of a replay, as the letter keeps it.
#[derive(Serialize)]
struct Noted {
    id: Uuid,
    replayed_at: Option<Timestamp>,
    outcome: String,
    outcome_code: Option<String>,
    outcome_detail: Option<String>,
}

/// The same, and a problem document where it failed.
#[derive(Serialize)]
struct NotedAnswer<'a> {
    #[serde(flatten)]
    noted: &'a Noted,
    #[serde(flatten)]
    problem: Option<Details<'a>>,
}

/// What came of those that a filter finds.
#[derive(Default, Serialize)]
struct Replayed {
    dry_run: bool,
    stored: usize,
    failed: usize,
    /// They cannot be replayed, or somebody else does it at the moment.
    refused: usize,
    /// How many the filter finds behind these.
    left: i64,
    /// Where to go on.
    next_cursor: Option<String>,
    /// The first of those that were not stored.
    errors: Vec<ReplayError>,
    /// Why the call ended before its limit, where that was for an error: go on after a while.
    #[serde(skip_serializing_if = "Option::is_none")]
    stopped: Option<Stopped>,
}

#[derive(Serialize)]
struct Stopped {
    code: &'static str,
    detail: String,
}

#[derive(Serialize)]
struct ReplayError {
    id: Uuid,
    code: String,
    detail: String,
}

impl Noted {
    /// Of a letter that was stored before.
    fn stored(letter: &DeadLetter) -> Option<Self> {
        let outcome = letter.outcome.clone().filter(|outcome| outcome == STORED)?;
        let (outcome_code, outcome_detail) = (letter.outcome_code.clone(), letter.outcome_detail.clone());
        Some(Self { id: letter.id, replayed_at: letter.replayed_at, outcome, outcome_code, outcome_detail })
    }

    fn of(id: Uuid, at: Timestamp, outcome: &Outcome) -> Self {
        let refused = outcome.rejections.all().next();
        let (name, refused) = match outcome.accepted + outcome.duplicates {
            0 => (FAILED, refused),
            _ => (STORED, None),
        };
        metrics::counter!("tidegate_dead_letter_replays_total", "outcome" => name).increment(1);
        Self {
            id,
            replayed_at: Some(at),
            outcome: name.to_owned(),
            outcome_code: refused.map(|(_, code, _)| code.to_owned()),
            outcome_detail: refused.map(|(_, _, message)| message.to_owned()),
        }
    }

    fn answer(&self) -> Response<Body> {
        if self.outcome == STORED {
            return json(StatusCode::OK, &NotedAnswer { noted: self, problem: None });
        }
        let why = self.outcome_detail.as_deref().unwrap_or_default();
        let problem = Problem::new(
            StatusCode::UNPROCESSABLE_ENTITY,
            ProblemCode::ReplayFailed,
            format!("it is refused again, and stays a dead letter: {why}"),
        );
        let body = NotedAnswer { noted: self, problem: Some(problem.details()) };
        let body = serde_json::to_vec(&body).expect("outcomes are made of plain values");
        answer(problem.status(), "application/problem+json", full(body))
    }
}

impl Replayed {
    /// Counts one in; an error that is not about this letter ends the call.
    fn count(&mut self, id: Uuid, replayed: Result<Noted, Problem>) -> Result<(), Problem> {
        let (code, detail) = match replayed {
            Ok(noted) if noted.outcome == STORED => {
                self.stored += 1;
                return Ok(());
            }
            Ok(noted) => {
                self.failed += 1;
                (noted.outcome_code.unwrap_or_default(), noted.outcome_detail.unwrap_or_default())
            }
            Err(problem) => match problem.code() {
                ProblemCode::NotReplayable | ProblemCode::ReplayInFlight | ProblemCode::NotFound => {
                    self.refused += 1;
                    (problem.code().as_str().to_owned(), problem.detail().to_owned())
                }
                _ => return Err(problem),
            },
        };
        if self.errors.len() < ERRORS_LISTED_MAX {
            self.errors.push(ReplayError { id, code, detail });
        }
        Ok(())
    }
}

/// POST /v1/dead-letters/{id}/replay
pub async fn one(call: Call<'_>) -> Result<Response<Body>, Problem> {
    let Call { api, principal, path, params, body, .. } = call;
    params.finish()?;
    groups::body::none(&body)?;
    let Ok(id) = Uuid::try_parse(path.get("id")) else { return Err(Problem::not_found("dead letter")) };
    Ok(by_id(api, principal, id).await?.answer())
}

/// POST /v1/dead-letters/replay
pub async fn by_filter(call: Call<'_>) -> Result<Response<Body>, Problem> {
    let Call { api, principal, mut params, body, .. } = call;
    dead_letter_filter::join(&mut params, &body)?;
    let limit = params.take_count("limit", REPLAYS_MAX)?.unwrap_or(REPLAYS_DEFAULT);
    let cursor = params.take("cursor");
    let dry_run = params.take_switch("dry_run")?;
    let mut query = reads::dead_letters_query(&mut params)?;
    params.finish()?;
    if query.outcomes.iter().any(|outcome| outcome == STORED) {
        return Err(invalid("outcome", "must be none or failed: what is stored is not stored again"));
    }
    if query.stages.is_empty() {
        // Parked events are their groups' to replay.
        query.stages = STAGES.into_iter().filter(|stage| *stage != PARKED_STAGE).map(str::to_owned).collect();
    }
    if query.outcomes.is_empty() {
        query.outcomes = vec!["none".to_owned(), FAILED.to_owned()];
    }
    let mut replayed = Replayed { dry_run: dry_run.unwrap_or(false), ..Replayed::default() };
    let (mut taken, mut goes_on, begun_at) = (0, true, Instant::now());
    let mut request = PageRequest { tenant_id: principal.tenant_id.to_string(), limit, cursor, streamed: false };
    while goes_on && taken < limit && !replayed.dry_run {
        // What is heavy to judge is answered in parts: a sender does not wait for thousands of them.
        if taken > 0 && begun_at.elapsed() > REPLAYS_TIME {
            break;
        }
        request.limit = (limit - taken).min(REPLAYS_TOGETHER);
        let begun = begin(api, principal).await?;
        let page = query.page(&begun, &request).await.map_err(|error| reads::problem(api, error))?;
        // Others may have the reader; the memory is held until these are written.
        let _room = begun.into_reservation();
        let found = page.items.len();
        match together(api, principal, page.items, &mut replayed).await {
            // What was done before is told; these are found again from the same cursor.
            Err(problem) if taken > 0 => {
                replayed.stopped = Some(Stopped { code: problem.code().as_str(), detail: problem.detail().to_owned() });
                break;
            }
            done => done?,
        }
        taken += found;
        goes_on = page.next_cursor.is_some();
        request.cursor = page.next_cursor;
    }
    if goes_on {
        let left = begin(api, principal).await?.dead_letters_left(&query, &request).await;
        replayed.left = left.map_err(|error| reads::problem(api, error))?;
        replayed.next_cursor = request.cursor.filter(|_| replayed.left > 0);
    }
    Ok(json(StatusCode::OK, &replayed))
}

async fn begin(api: &Api, principal: &Principal) -> Result<Reads, Problem> {
    api.home(&principal.tenant_id)?.reads.begin(&principal.tenant_id).await.map_err(|error| reads::problem(api, error))
}

/// Replays the letters of a page at once, so that they share transactions; large ones, which the page does not hold, one
/// by one.
async fn together(
    api: &Api,
    principal: &Principal,
    letters: Vec<DeadLetter>,
    replayed: &mut Replayed,
) -> Result<(), Problem> {
    let (mut small, mut large) = (Vec::new(), Vec::new());
    for letter in letters {
        let sent = letter.raw_base64.as_ref().and_then(|text| STANDARD.decode(text).ok());
        match sent {
            Some(sent) => small.push((letter, sent)),
            None => large.push(letter.id),
        }
    }
    let ids: Vec<Uuid> = small.iter().map(|(letter, _)| letter.id).collect();
    let all = join_all(small.into_iter().map(|(letter, sent)| replay(api, principal, letter, sent))).await;
    // All are counted, also where one of them ends the call.
    let counted: Vec<_> = ids.into_iter().zip(all).map(|(id, one)| replayed.count(id, one)).collect();
    counted.into_iter().collect::<Result<(), Problem>>()?;
    for id in large {
        replayed.count(id, by_id(api, principal, id).await)?;
    }
    Ok(())
}

async fn by_id(api: &Api, principal: &Principal, id: Uuid) -> Result<Noted, Problem> {
    let (letter, sent) = letter(api, principal, id).await?;
    replay(api, principal, letter, sent).await
}

/// A letter, and what was sent.
async fn letter(api: &Api, principal: &Principal, id: Uuid) -> Result<(DeadLetter, Vec<u8>), Problem> {
    let found = begin(api, principal).await?.dead_letter(&principal.tenant_id, id).await;
    let (letter, sent) = found.map_err(|error| reads::problem(api, error))?;
    let listed = || letter.raw_base64.as_ref().and_then(|text| STANDARD.decode(text).ok());
    let sent = sent.or_else(listed).unwrap_or_default();
    Ok((letter, sent))
}

async fn replay(api: &Api, principal: &Principal, kept: DeadLetter, sent: Vec<u8>) -> Result<Noted, Problem> {
    if let Some(noted) = Noted::stored(&kept) {
        return Ok(noted);
    }
    let id = kept.id;
    if kept.stage == PROJECTED_STAGE {
        return project(api, principal, &kept, &sent).await;
    }
    let memory = quota::Memory { ingest: &api.ingest, tenant_id: &principal.tenant_id };
    let reservation = memory.reserve(sent.len())?;
    let again = as_sent(principal, kept, sent).map_err(|why| {
        metrics::counter!("tidegate_dead_letter_replays_total", "outcome" => "refused").increment(1);
        Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::NotReplayable, why)
    })?;
    // As fine as it is kept, so that it is always answered the same.
    let at_us = Timestamp::now().as_microsecond();
    let at = Timestamp::from_microsecond(at_us).expect("now is a time");
    let kind = again.kind;
    match api.ingest.take(again.into_request(at_us, reservation)).await {
        Ok(outcome) if outcome.replayed => {
            let (letter, _) = letter(api, principal, id).await?;
            Ok(Noted::stored(&letter).unwrap_or_else(|| Noted::of(id, at, &outcome)))
        }
        Ok(outcome) => Ok(Noted::of(id, at, &outcome)),
        Err(Unanswered::Refused(Refusal::KeyInFlight)) => Err(Problem::new(
            StatusCode::CONFLICT,
            ProblemCode::ReplayInFlight,
            "this dead letter is being replayed at the moment; ask again to hear what came of it",
        )
        .retry_after(1)),
        Err(unanswered) => Err(items::problem(unanswered, kind, false)),
    }
}

/// Has the projection look again at an event that it could not take.
async fn project(api: &Api, principal: &Principal, kept: &DeadLetter, sent: &[u8]) -> Result<Noted, Problem> {
    let now = Timestamp::now().as_microsecond();
    let at = Timestamp::from_microsecond(now).expect("now is a time");
    let letters = &api.home(&principal.tenant_id)?.letters;
    let done = letters.replay(&principal.tenant_id, kept.id, &kept.parameters, sent, at).await;
    let refused = match done.map_err(|error| reads::problem(api, error.into()))? {
        ReplayedLetter::Taken => None,
        ReplayedLetter::Refused(code, reason) => Some((code.to_owned(), reason)),
        ReplayedLetter::Unknown(why) => {
            return Err(Problem::new(StatusCode::UNPROCESSABLE_ENTITY, ProblemCode::NotReplayable, why));
        }
    };
    let outcome = if refused.is_some() { FAILED } else { STORED };
    metrics::counter!("tidegate_dead_letter_replays_total", "outcome" => outcome).increment(1);
    let (outcome_code, outcome_detail) = refused.unzip();
    Ok(Noted { id: kept.id, replayed_at: Some(at), outcome: outcome.to_owned(), outcome_code, outcome_detail })
}

/// A letter as it first came in, or what is missing for that.
fn as_sent(principal: &Principal, kept: DeadLetter, raw: Vec<u8>) -> Result<Letter, String> {
    if kept.stage == PARKED_STAGE {
        let of = |name: &str| kept.parameters[name].as_str().unwrap_or_default().to_owned();
        return Err(format!(
            "it is an event that the group {} has parked: POST /v1/streams/{}/groups/{}/parked/replay hands it out again, to \
             that group alone",
            of("group"),
            of("stream"),
            of("group")
        ));
    }
    if kept.redacted == Some(true) {
        return Err(
            "an API key was cut out of what was sent (tg_... stands in its place) and is kept nowhere; send the item \
                    again without a key in it"
                .into(),
        );
    }
    if kept.code == Code::Undecodable.as_str() {
        return Err(
            "no item could be made of what was sent (GET /v1/dead-letters/{id}/original has it): mend it, and send it again"
                .into(),
        );
    }
    let (Some(received_at), Some(_)) = (kept.received_at, kept.redacted) else {
        return Err(
            "it lacks received_at and redacted, which the version of Tidegate that kept it did not note; send `raw` \
                    again as a request of its own"
                .into(),
        );
    };
    let unknown = |what: &str| format!("its {what} is none that this version of Tidegate knows; a newer one kept it");
    let door = protocols::doors().find(|door| door.route.name == kept.route).ok_or_else(|| unknown("route"))?;
    Ok(Letter {
        id: kept.id,
        tenant_id: principal.tenant_id.clone(),
        api_key_id: kept.api_key_id,
        keep_days: principal.keeps.days(Relation::Raw(door.route.kind)),
        received_at_us: received_at.as_microsecond(),
        kind: door.route.kind,
        form: BodyForm::of_media_type(&kept.content_type).ok_or_else(|| unknown("content type"))?,
        defaults: Received::defaults_of(&kept.parameters).ok_or_else(|| unknown("parameters"))?,
        route: kept.route,
        raw,
    })
}
