//! GET /v1/events/counts.

use hyper::http::request::Parts;
use jiff::Timestamp;

use super::accept::ListForm;
use super::events::filter;
use super::list::{ListAnswer, ListRequest, window};
use crate::http::Api;
use crate::model::Level;
use crate::protocols::params::{Params, invalid_value};
use crate::query::{CountsQuery, FilterField};
use crate::tenancy::Principal;

pub async fn counts(api: &Api, principal: &Principal, parts: &Parts, mut params: Params) -> ListAnswer {
    let request = ListRequest::take(principal, parts, &mut params)?;
    let bucket = match params.take("bucket") {
        None => None,
        Some(text) => {
            let what = || invalid_value("bucket", &text, &format!("must be one of {}", Level::resolutions()));
            Some(Level::parse(&text).ok_or_else(what)?)
        }
    };
    let mut group_by = Vec::new();
    for name in params.take_list("group_by")? {
        let field = FilterField::groups().find(|field| field.name == name).ok_or_else(|| {
            let names: Vec<&str> = FilterField::groups().map(|field| field.name).collect();
            invalid_value("group_by", &name, &format!("takes {}", names.join(", ")))
        })?;
        if !group_by.contains(&field) {
            group_by.push(field);
        }
    }
    let filter = filter(&mut params, &principal.tenant_id)?;
    let window = window(&mut params, Timestamp::now())?;
    // Who did not ask for a part is not given one: where it would not be said, or is not expected.
    let whole = request.limit.is_none() && (request.cursor.is_none() || request.wanted != ListForm::Page);
    request.answer(api, params, CountsQuery { filter, window, bucket, group_by, whole }).await
}
