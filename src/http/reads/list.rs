//! What handlers of lists have in common: the parameters of paging and of time, and the answer in the form that is
//! wanted.

use std::sync::Arc;

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;
use serde::Serialize;

use super::accept::{ListForm, wanted};
use crate::http::Api;
use crate::http::compress::{Coding, compressed};
use crate::http::export::{self, Form};
use crate::http::quota;
use crate::http::response::{Body, held_json};
use crate::limits::{COUNTS_TIMEOUT, ENCODER_BYTES, EXPORTS_GIVE_WAY, PAGE_ROWS_MAX};
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{CursorError, Explained, Gone, Listing, PageRequest, ReadError, Readers, Reads, WhyGone, Window};
use crate::tenancy::{Principal, Scope};

pub type ListAnswer = Result<Response<Body>, Problem>;

/// A list as a reader asks for it, whatever it is a list of.
pub struct ListRequest {
    pub wanted: ListForm,
    tenant_id: Arc<str>,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
    coding: Option<Coding>,
    explain: bool,
}

/// What was read, and how.
#[derive(Serialize)]
struct WithPlans<T> {
    #[serde(flatten)]
    found: T,
    explain: Vec<Explained>,
}

impl ListRequest {
    pub fn take(principal: &Principal, parts: &Parts, params: &mut Params) -> Result<Self, Problem> {
        let mut request = Self::take_plain(principal, parts, params)?;
        request.explain = explain(principal, params, request.wanted)?;
        Ok(request)
    }

    /// The same of a list that the readers do not read: there are no plans to be shown.
    pub fn take_plain(principal: &Principal, parts: &Parts, params: &mut Params) -> Result<Self, Problem> {
        let safe = params.take_one_of("csv", &[("plain", false), ("safe", true)])?.unwrap_or(false);
        let wanted = match wanted(&parts.headers)? {
            ListForm::Stream(Form::Csv { .. }) => ListForm::Stream(Form::Csv { safe }),
            other => other,
        };
        Ok(Self {
            wanted,
            tenant_id: Arc::clone(&principal.tenant_id),
            limit: params.take_count("limit", PAGE_ROWS_MAX)?,
            cursor: params.take("cursor"),
            coding: Coding::wanted(&parts.headers),
            explain: false,
        })
    }

    /// A page of `limit` or so many rows, or a stream of all there are, up to `limit`; `params` are those that nobody
    /// took.
    pub async fn answer<L: Listing>(self, api: &Api, params: Params, query: L) -> ListAnswer {
        params.finish()?;
        let Self { wanted, tenant_id, limit, cursor, coding, explain } = self;
        let request = PageRequest {
            tenant_id: tenant_id.to_string(),
            limit: limit.unwrap_or(L::ROWS_DEFAULT),
            cursor,
            streamed: wanted != ListForm::Page,
        };
        let attached = api.attached()?;
        let readers = if L::OF_CONTROL { &attached.control } else { &attached.home(&tenant_id).reads };
        let page = async |reads: &Reads| query.page(reads, &request).await;
        let answer = match wanted {
            ListForm::Page if explain => explained((api, readers), &tenant_id, page).await?,
            ListForm::Page => one_of((api, readers), &tenant_id, page).await?,
            ListForm::Stream(form) => {
                let precedence = api.behind_ingestion("exports", EXPORTS_GIVE_WAY);
                let streamed = export::streamed(readers, precedence, &tenant_id, query, request, limit, form).await;
                streamed.map_err(|error| problem(api, error))?
            }
        };
        let room = || readers.room(&tenant_id, ENCODER_BYTES);
        Ok(compressed(answer, coding.and_then(|coding| Some((coding, room()?)))))
    }
}

/// What one read finds, as JSON.
pub async fn one<T: Serialize>(
    api: &Api,
    tenant_id: &Arc<str>,
    read: impl AsyncFnOnce(&Reads) -> Result<T, ReadError>,
) -> ListAnswer {
    one_of((api, &api.home(tenant_id)?.reads), tenant_id, read).await
}

/// The same, by these readers.
async fn one_of<T: Serialize>(
    (api, readers): (&Api, &Readers),
    tenant_id: &Arc<str>,
    read: impl AsyncFnOnce(&Reads) -> Result<T, ReadError>,
) -> ListAnswer {
    let made = async {
        let reads = readers.begin(tenant_id).await?;
        let found = read(&reads).await?;
        // The next one may have its reader while this one is written out and sent.
        Ok(held_json(&found, reads.into_reservation())?)
    };
    made.await.map_err(|error| problem(api, error))
}

/// The same, with the statements and their plans.
async fn explained<T: Serialize>(
    (api, readers): (&Api, &Readers),
    tenant_id: &Arc<str>,
    read: impl AsyncFnOnce(&Reads) -> Result<T, ReadError>,
) -> ListAnswer {
    let made = async {
        let mut reads = readers.begin(tenant_id).await.map_err(|error| problem(api, error))?;
        reads.explain();
        let found = read(&reads).await.map_err(|error| problem(api, error))?;
        let answer = WithPlans { found, explain: reads.explained() };
        held_json(&answer, reads.into_reservation()).map_err(|no_room| problem(api, no_room.into()))
    };
    made.await
}

/// Whether plans are asked for, by somebody who may see them.
fn explain(principal: &Principal, params: &mut Params, wanted: ListForm) -> Result<bool, Problem> {
    match params.take_one_of("explain", &[("0", false), ("1", true)])? {
        None | Some(false) => Ok(false),
        Some(true) if !principal.may(Scope::Admin) => {
            let detail = "explain needs a key with the scope `admin` as well: plans tell of the whole installation";
            Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
        }
        Some(true) if wanted != ListForm::Page => {
            Err(invalid("explain", "is of a page: Accept must allow application/json"))
        }
        Some(true) => Ok(true),
    }
}

/// `from` and `to`.
pub fn window(params: &mut Params, now: Timestamp) -> Result<Window, Problem> {
    Ok(Window { from: params.take_time("from", now)?, to: params.take_time("to", now)? })
}

/// 410, and from where on the stream can be read.
pub fn gone_problem(gone: &Gone) -> Problem {
    let Gone { why, begin, end, go_on, cursor } = gone;
    let detail = match why {
        WhyGone::Expired => format!("what was to come next has expired; the stream begins at the offset {begin}"),
        WhyGone::OtherHistory => format!(
            "the database went on from an earlier state, and from the offset {go_on} on the stream has other events than were \
             read before; go on there"
        ),
    };
    Problem::new(StatusCode::GONE, ProblemCode::OffsetGone, detail)
        .with("begin", *begin)
        .with("end", *end)
        .with("next_offset", *go_on)
        .with("cursor", cursor.as_str())
}

/// A read's failure as an answer.
pub fn problem(api: &Api, error: ReadError) -> Problem {
    match error {
        ReadError::Cursor { parameter, error } => match error {
            CursorError::Malformed => invalid(parameter, "is not a cursor of this service"),
            CursorError::OtherQuery => invalid(parameter, "belongs to a query with other filters"),
            CursorError::NotFound => Problem::not_found("cursor"),
        },
        ReadError::NotFound(what) => Problem::not_found(what),
        ReadError::Timeout => Problem::unavailable(
            ProblemCode::QueryTimeout,
            "the query took too long; narrow from and to, or filter by asset_id or correlation_id",
            5,
        ),
        ReadError::CountsTimeout => Problem::unavailable(
            ProblemCode::QueryTimeout,
            format!(
                "counting took longer than {} s; narrow from and to, filter, or group by fewer fields; without asset_id, \
                 environment and stream, buckets of 1h and 1d are counted beforehand",
                COUNTS_TIMEOUT.as_secs()
            ),
            5,
        ),
        ReadError::Busy { busy, retry_after } => quota::reads(busy, retry_after),
        ReadError::Unbounded(advice) => Problem::bad_request(ProblemCode::UnboundedQuery, advice),
        ReadError::TooManyGroups => Problem::bad_request(
            ProblemCode::TooManyGroups,
            format!(
                "the counts have more than {PAGE_ROWS_MAX} groups; narrow from and to, use wider buckets or fewer fields, or \
                 read them page by page, as JSON with limit and cursor"
            ),
        ),
        ReadError::Value(reason) => {
            Problem::bad_request(ProblemCode::InvalidParameter, format!("a query parameter's value: {reason}"))
        }
        ReadError::Gone(gone) => gone_problem(&gone),
        ReadError::PastEnd { offset, end } => Problem::bad_request(
            ProblemCode::OffsetPastEnd,
            format!("the stream has not reached the offset {offset}: its next event gets {end}"),
        )
        .with("end", end),
        ReadError::Storage(error) => {
            tracing::warn!(%error, "a read failed");
            let retry_after_s = api.ingest.retry_after_s();
            Problem::unavailable(
                ProblemCode::DatabaseUnavailable,
                "the database cannot be asked at the moment",
                retry_after_s,
            )
        }
    }
}
