//! GET /v1/streams.

use hyper::http::request::Parts;

use super::list::{ListAnswer, ListRequest};
use crate::http::Api;
use crate::protocols::params::Params;
use crate::query::StreamsQuery;
use crate::tenancy::Principal;

pub async fn streams(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    request.answer(api, params, StreamsQuery).await
}
