//! GET /v1/usage: what organizations send, by day.

use jiff::Timestamp;

use super::{confined, named};
use crate::http::call::Call;
use crate::http::reads::{ListAnswer, ListRequest, window};
use crate::query::UsageQuery;

pub async fn usage(mut call: Call<'_>) -> ListAnswer {
    let organization = named(&mut call)?;
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query =
        UsageQuery { confined: confined(&call)?, organization, window: window(&mut call.params, Timestamp::now())? };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}
