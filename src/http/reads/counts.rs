//! GET /v1/events/counts.

use hyper::Response;
use hyper::http::request::Parts;

use super::events::filter;
use super::{Paging, Wanted, page, problem, wanted};
use crate::http::Api;
use crate::http::export;
use crate::http::params::{Params, invalid};
use crate::http::problem::{Code, Problem};
use crate::http::response::Body;
use crate::limits::PAGE_ROWS_MAX;
use crate::query::{Bucket, CountsQuery, Field};
use crate::tenancy::Principal;

/// GET /v1/events/counts
pub async fn counts(
    api: &Api,
    principal: &Principal,
    parts: &Parts,
    mut params: Params,
) -> Result<Response<Body>, Problem> {
    let wanted = wanted(&parts.headers)?;
    let bucket = match params.take("bucket") {
        None => None,
        Some(text) => Some(Bucket::parse(&text).ok_or_else(|| invalid("bucket", "must be 1m, 5m, 1h or 1d"))?),
    };
    let mut group_by = Vec::new();
    for name in params.take_list("group_by")? {
        let field = Field::ALL.into_iter().find(|field| field.name() == name && *field != Field::TraceId);
        let field = field.ok_or_else(|| {
            invalid("group_by", "takes asset_id, event_type, severity, source_module, environment and stream")
        })?;
        if !group_by.contains(&field) {
            group_by.push(field);
        }
    }
    let filter = filter(&mut params, &principal.tenant_id)?;
    let Paging { limit, cursor } = Paging::take(&mut params)?;
    params.finish()?;
    // Who did not ask for a part is not given one: where it would not be said, or is not expected.
    let is_whole = limit.is_none() && (cursor.is_none() || wanted != Wanted::Page);
    let columns: Vec<&str> = bucket
        .map(|_| "bucket")
        .into_iter()
        .chain(group_by.iter().map(|field| field.name()))
        .chain(["count"])
        .collect();
    let tenant_id = principal.tenant_id.to_string();
    let query = CountsQuery { tenant_id, filter, bucket, group_by, limit: limit.unwrap_or(PAGE_ROWS_MAX), cursor };
    let counts = api.reads.counts(&query).await.map_err(|error| problem(api, error))?;
    if is_whole && counts.next_cursor.is_some() {
        return Err(Problem::bad_request(
            Code::TooManyGroups,
            format!(
                "the counts have more than {PAGE_ROWS_MAX} groups; narrow from and to, use wider buckets or fewer fields, or \
                 read them page by page, as JSON with limit and cursor"
            ),
        ));
    }
    Ok(match wanted {
        Wanted::Page => page(counts),
        Wanted::Stream(form) => export::at_hand(&counts.items, &columns, form),
    })
}
