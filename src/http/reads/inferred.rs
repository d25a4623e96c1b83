//! GET /v1/services, /v1/deployments, /v1/assets[/{id}] and /v1/actions.

use hyper::http::request::Parts;
use jiff::Timestamp;

use super::list::{ListAnswer, ListRequest, one, window};
use crate::http::Api;
use crate::limits::EMBEDDING_DIMENSIONS;
use crate::protocols::params::{Params, invalid};
use crate::protocols::problem::Problem;
use crate::query::{Action, AssetsQuery, Deployment, InferredQuery, InferredRow, Service, SimilarQuery, SimilarTo};
use crate::tenancy::Principal;

fn query<T: InferredRow>(params: &mut Params) -> Result<InferredQuery<T>, Problem> {
    let window = window(params, Timestamp::now())?;
    InferredQuery::new(window, |name, known| match known {
        Some(known) => params.take_list_of(name, known),
        None => params.take_list(name),
    })
}

pub async fn services(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let query = query::<Service>(&mut params)?;
    request.answer(api, params, query).await
}

pub async fn deployments(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let query = query::<Deployment>(&mut params)?;
    request.answer(api, params, query).await
}

pub async fn actions(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let similar_to = params.take("similar_to");
    let among = query::<Action>(&mut params)?;
    match similar_to {
        None => request.answer(api, params, among).await,
        Some(_) if request.cursor.is_some() => {
            Err(invalid("cursor", "is not for similar_to, which answers one page: the nearest of them"))
        }
        Some(text) => request.answer(api, params, SimilarQuery { to: compared_with(text)?, among }).await,
    }
}

/// An array of numbers, else the name of an action.
fn compared_with(text: String) -> Result<SimilarTo, Problem> {
    if !text.starts_with('[') {
        return Ok(SimilarTo::Action(text));
    }
    let numbers: Vec<f32> = serde_json::from_str(&text).unwrap_or_default();
    let is_direction = numbers.iter().all(|number| number.is_finite()) && numbers.iter().any(|number| *number != 0.0);
    if numbers.len() != EMBEDDING_DIMENSIONS || !is_direction {
        let detail =
            format!("must be the name of an action, or an array of {EMBEDDING_DIMENSIONS} numbers, not all of them 0");
        return Err(invalid("similar_to", &detail));
    }
    Ok(SimilarTo::Embedding(numbers))
}

pub async fn assets(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let types = params.take_list("type")?;
    let owners = params.take_list("owner")?;
    let teams = params.take_list("team")?;
    request.answer(api, params, AssetsQuery { types, owners, teams }).await
}

pub async fn asset(api: &Api, principal: &Principal, id: &str, params: Params) -> ListAnswer {
    params.finish()?;
    one(api, &principal.tenant_id, async |reads| reads.asset(&principal.tenant_id, id).await).await
}
