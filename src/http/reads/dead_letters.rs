//! GET /v1/dead-letters and /v1/dead-letters/{id}.

use hyper::StatusCode;
use hyper::http::request::Parts;
use jiff::Timestamp;
use uuid::Uuid;

use super::list::{ListAnswer, ListRequest, problem, window};
use crate::http::Api;
use crate::http::response::json;
use crate::protocols::params::Params;
use crate::protocols::problem::Problem;
use crate::query::DeadLettersQuery;
use crate::tenancy::Principal;

pub async fn dead_letters(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let query = DeadLettersQuery {
        stages: params.take_list("stage")?,
        codes: params.take_list("code")?,
        window: window(&mut params, Timestamp::now())?,
    };
    request.answer(api, params, query).await
}

pub async fn dead_letter(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    let Ok(id) = Uuid::try_parse(id) else { return Err(Problem::not_found("dead letter")) };
    let found =
        api.attached()?.reads.dead_letter(&principal.tenant_id, id).await.map_err(|error| problem(api, error))?;
    Ok(json(StatusCode::OK, &found))
}
