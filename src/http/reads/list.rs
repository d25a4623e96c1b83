//! What handlers of lists have in common: the parameters of paging and of time, and the answer in the form that is
//! wanted.

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;

use super::accept::{ListForm, wanted};
use crate::http::Api;
use crate::http::export::{self, Form};
use crate::http::response::{Body, json};
use crate::limits::PAGE_ROWS_MAX;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{CursorError, Listing, PageRequest, ReadError, Window};
use crate::tenancy::Principal;

pub type ListAnswer = Result<Response<Body>, Problem>;

/// A list as a reader asks for it, whatever it is a list of.
pub struct ListRequest {
    pub wanted: ListForm,
    tenant_id: String,
    pub limit: Option<usize>,
    pub cursor: Option<String>,
}

impl ListRequest {
    pub fn take(principal: &Principal, parts: &Parts, params: &mut Params) -> Result<Self, Problem> {
        let safe = match params.take("csv").as_deref() {
            None | Some("plain") => false,
            Some("safe") => true,
            Some(_) => return Err(invalid("csv", "must be `plain` or `safe`")),
        };
        let wanted = match wanted(&parts.headers)? {
            ListForm::Stream(Form::Csv { .. }) => ListForm::Stream(Form::Csv { safe }),
            other => other,
        };
        Ok(Self {
            wanted,
            tenant_id: principal.tenant_id.to_string(),
            limit: params.take_count("limit", PAGE_ROWS_MAX)?,
            cursor: params.take("cursor"),
        })
    }

    /// A page of `limit` or so many rows, or a stream of all there are, up to `limit`; `params` are those that nobody
    /// took.
    pub async fn answer<L: Listing>(self, api: &Api, params: Params, query: L) -> ListAnswer {
        params.finish()?;
        let Self { wanted, tenant_id, limit, cursor } = self;
        let request = PageRequest { tenant_id, limit: limit.unwrap_or(L::ROWS_DEFAULT), cursor };
        let reads = &api.attached()?.reads;
        match wanted {
            ListForm::Page => query.page(reads, &request).await.map(|page| json(StatusCode::OK, &page)),
            ListForm::Stream(form) => export::streamed(reads, query, request, limit, form).await,
        }
        .map_err(|error| problem(api, error))
    }
}

/// `from` and `to`.
pub fn window(params: &mut Params, now: Timestamp) -> Result<Window, Problem> {
    Ok(Window { from: params.take_time("from", now)?, to: params.take_time("to", now)? })
}

/// A read's failure as an answer.
pub fn problem(api: &Api, error: ReadError) -> Problem {
    match error {
        ReadError::Cursor(CursorError::Malformed) => invalid("cursor", "is not a cursor of this service"),
        ReadError::Cursor(CursorError::OtherQuery) => invalid("cursor", "belongs to a query with other filters"),
        ReadError::Cursor(CursorError::NotFound) => Problem::not_found("cursor"),
        ReadError::NotFound(what) => Problem::not_found(what),
        ReadError::Timeout => Problem::unavailable(
            ProblemCode::QueryTimeout,
            "the query took too long; narrow from and to, or filter by asset_id or correlation_id",
            5,
        ),
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
