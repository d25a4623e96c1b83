//! The reads, one file a resource: parameters in, pages out, as JSON, NDJSON or CSV.

mod correlations;
mod counts;
mod dead_letters;
mod events;
mod metrics;
mod receipts;

use hyper::header::ACCEPT;
use hyper::{HeaderMap, Response, StatusCode};
use serde::Serialize;

pub use correlations::correlations;
pub use counts::counts;
pub use dead_letters::{dead_letter, dead_letters};
pub use events::{event, events, related};
pub use metrics::{catalog, metrics};
pub use receipts::receipt;

use super::Api;
use super::export::{self, Form};
use super::params::{Params, invalid};
use super::problem::{Code, Problem};
use super::response::{Body, json};
use crate::limits::PAGE_ROWS_MAX;
use crate::query::{CursorError, Listing, Page, ReadError};

/// How the reader wants a list.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Wanted {
    /// One JSON document with a cursor.
    Page,
    /// A stream of all that matches.
    Stream(Form),
}

#[derive(Serialize)]
struct List<'a, T> {
    data: &'a [T],
    next_cursor: Option<String>,
}

/// `limit` and `cursor` of a list.
struct Paging {
    limit: Option<usize>,
    cursor: Option<String>,
}

impl Paging {
    fn take(params: &mut Params) -> Result<Self, Problem> {
        Ok(Self { limit: params.take_count("limit", PAGE_ROWS_MAX)?, cursor: params.take("cursor") })
    }
}

/// A list in the form that is wanted: a page of `limit` or so many rows, or all there are, up to `limit`.
async fn list<L: Listing>(
    api: &Api,
    wanted: Wanted,
    query: L,
    columns: &'static [&'static str],
    limit: Option<usize>,
) -> Result<Response<Body>, Problem> {
    match wanted {
        Wanted::Page => query.page(&api.reads).await.map(page),
        Wanted::Stream(form) => export::streamed_list(&api.reads, query, limit, columns, form).await,
    }
    .map_err(|error| problem(api, error))
}

fn page<T: Serialize>(page: Page<T>) -> Response<Body> {
    json(StatusCode::OK, &List { data: &page.items, next_cursor: page.next_cursor })
}

/// The form that Accept likes best: by quality, then in its order.
fn wanted(headers: &HeaderMap) -> Result<Wanted, Problem> {
    let accept = headers.get(ACCEPT).and_then(|value| value.to_str().ok()).unwrap_or("*/*");
    let mut best: Option<(f32, Wanted)> = None;
    for choice in accept.split(',') {
        let mut parts = choice.split(';').map(str::trim);
        let wanted = match parts.next().unwrap_or_default() {
            "application/json" | "application/*" | "*/*" | "" => Wanted::Page,
            "application/x-ndjson" | "application/ndjson" => Wanted::Stream(Form::Ndjson),
            "text/csv" | "text/*" => Wanted::Stream(Form::Csv),
            _ => continue,
        };
        let quality = parts.find_map(|part| part.strip_prefix("q=")).map_or(1.0, |q| q.parse().unwrap_or(0.0));
        if quality > best.map_or(0.0, |(quality, _)| quality) {
            best = Some((quality, wanted));
        }
    }
    best.map(|(_, wanted)| wanted).ok_or_else(|| {
        Problem::new(
            StatusCode::NOT_ACCEPTABLE,
            Code::NotAcceptable,
            "Accept must allow application/json, application/x-ndjson or text/csv",
        )
    })
}

/// A read's failure as an answer.
fn problem(api: &Api, error: ReadError) -> Problem {
    match error {
        ReadError::Cursor(CursorError::Malformed) => invalid("cursor", "is not a cursor of this service"),
        ReadError::Cursor(CursorError::OtherQuery) => invalid("cursor", "belongs to a query with other filters"),
        ReadError::Cursor(CursorError::NotFound) => Problem::not_found("cursor"),
        ReadError::Timeout => Problem::unavailable(
            Code::QueryTimeout,
            "the query took too long; narrow from and to, or filter by asset_id or correlation_id",
            5,
        ),
        ReadError::Unbounded(advice) => Problem::bad_request(Code::UnboundedQuery, advice),
        ReadError::Value(reason) => {
            Problem::bad_request(Code::InvalidParameter, format!("a query parameter's value: {reason}"))
        }
        ReadError::Storage(error) => {
            tracing::warn!(%error, "a read failed");
            let retry_after_s = api.ingest.retry_after_s();
            Problem::unavailable(Code::DatabaseUnavailable, "the database cannot be asked at the moment", retry_after_s)
        }
    }
}
