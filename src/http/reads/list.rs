//! What handlers of lists have in common: the parameters of paging and of time, and the answer in the form that is
//! wanted.

use std::sync::Arc;

use hyper::Response;
use hyper::http::request::Parts;
use jiff::Timestamp;
use serde::Serialize;

use super::accept::{ListForm, wanted};
use crate::http::Api;
use crate::http::export::{self, Form};
use crate::http::quota;
use crate::http::response::{Body, held_json};
use crate::limits::{COUNTS_TIMEOUT, PAGE_ROWS_MAX};
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::{Problem, ProblemCode};
use crate::query::{CursorError, Listing, PageRequest, ReadError, Reads, Window};
use crate::tenancy::Principal;

pub type ListAnswer = Result<Response<Body>, Problem>;

/// A list as a reader asks for it, whatever it is a list of.
pub struct ListRequest {
    pub wanted: ListForm,
    tenant_id: Arc<str>,
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
            tenant_id: Arc::clone(&principal.tenant_id),
            limit: params.take_count("limit", PAGE_ROWS_MAX)?,
            cursor: params.take("cursor"),
        })
    }

    /// A page of `limit` or so many rows, or a stream of all there are, up to `limit`; `params` are those that nobody
    /// took.
    pub async fn answer<L: Listing>(self, api: &Api, params: Params, query: L) -> ListAnswer {
        params.finish()?;
        let Self { wanted, tenant_id, limit, cursor } = self;
        let request = PageRequest {
            tenant_id: tenant_id.to_string(),
            limit: limit.unwrap_or(L::ROWS_DEFAULT),
            cursor,
            streamed: wanted != ListForm::Page,
        };
        match wanted {
            ListForm::Page => one(api, &tenant_id, async |reads| query.page(reads, &request).await).await,
            ListForm::Stream(form) => {
                let readers = &api.attached()?.reads;
                let streamed = export::streamed(readers, &tenant_id, query, request, limit, form).await;
                streamed.map_err(|error| problem(api, error))
            }
        }
    }
}

/// What one read finds, as JSON.
pub async fn one<T: Serialize>(
    api: &Api,
    tenant_id: &Arc<str>,
    read: impl AsyncFnOnce(&Reads) -> Result<T, ReadError>,
) -> ListAnswer {
    let readers = &api.attached()?.reads;
    let made = async {
        let reads = readers.begin(tenant_id).await?;
        let found = read(&reads).await?;
        // The next one may have its reader while this one is written out and sent.
        Ok(held_json(&found, reads.into_reservation())?)
    };
    made.await.map_err(|error| problem(api, error))
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
