//! GET /v1/events/counts.

use hyper::http::request::Parts;
use hyper::{Response, StatusCode};
use jiff::Timestamp;

use super::accept::Wanted;
use super::events::filter;
use super::list::{ListRequest, problem, window};
use crate::http::Api;
use crate::http::export;
use crate::http::params::{Params, invalid};
use crate::http::problem::{Code, Problem};
use crate::http::response::{Body, json};
use crate::limits::PAGE_ROWS_MAX;
use crate::query::{Bucket, CountsQuery, Field, Listing};
use crate::tenancy::Principal;

pub async fn counts(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let bucket = match params.take("bucket") {
        None => None,
        Some(text) => Some(Bucket::parse(&text).ok_or_else(|| invalid("bucket", "must be 1m, 5m, 1h or 1d"))?),
    };
    let mut group_by = Vec::new();
    for name in params.take_list("group_by")? {
        let field = Field::groups().find(|field| field.name() == name).ok_or_else(|| {
            invalid("group_by", "takes asset_id, event_type, severity, source_module, environment and stream")
        })?;
        if !group_by.contains(&field) {
            group_by.push(field);
        }
    }
    let filter = filter(&mut params, &principal.tenant_id)?;
    let query = CountsQuery { filter, window: window(&mut params, Timestamp::now())?, bucket, group_by };
    params.finish()?;
    // Who did not ask for a part is not given one: where it would not be said, or is not expected.
    let is_whole = request.limit.is_none() && (request.cursor.is_none() || request.wanted != Wanted::Page);
    let page = query.page(&api.reads, &request.page::<CountsQuery>()).await.map_err(|error| problem(api, error))?;
    if is_whole && page.next_cursor.is_some() {
        return Err(Problem::bad_request(
            Code::TooManyGroups,
            format!(
                "the counts have more than {PAGE_ROWS_MAX} groups; narrow from and to, use wider buckets or fewer fields, or \
                 read them page by page, as JSON with limit and cursor"
            ),
        ));
    }
    Ok(match request.wanted {
        Wanted::Page => json(StatusCode::OK, &page),
        // One page and no stream: each page counts anew.
        Wanted::Stream(form) => export::at_hand(&page.items, &query.columns(), form),
    })
}
