//! GET /v1/audit: who did what.

use jiff::Timestamp;

use super::{confined, named};
use crate::http::call::Call;
use crate::http::reads::{ListAnswer, ListRequest, window};
use crate::query::AuditQuery;

pub async fn audit(mut call: Call<'_>) -> ListAnswer {
    let organization = named(&mut call)?;
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query = AuditQuery {
        confined: confined(&call)?,
        organization,
        actions: call.params.take_list("action")?,
        actors: call.params.take_list("actor")?,
        targets: call.params.take_list("target")?,
        window: window(&mut call.params, Timestamp::now())?,
    };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}
