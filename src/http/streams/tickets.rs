//! POST /v1/streams/{name}/tickets.

use hyper::StatusCode;
use jiff::Timestamp;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::json;

use crate::http::call::Call;
use crate::http::groups::body::none;
use crate::http::reads::{ListAnswer, problem};
use crate::http::response::json as json_answer;
use crate::query::ReadError;
use crate::tenancy::Ticket;

pub async fn ticket(call: Call<'_>) -> ListAnswer {
    let Call { api, principal, path, params, body, .. } = call;
    params.finish()?;
    none(&body)?;
    let attached = api.attached()?;
    let stream = path.get("name");
    let made = async {
        // Of a stream that is not there, or another tenant's, there is none.
        let reads = attached.home(&principal.tenant_id).reads.begin(&principal.tenant_id).await?;
        reads.stream(&principal.tenant_id, stream).await?;
        drop(reads);
        Ok(attached.tickets.make(principal, stream, Timestamp::now()).await?)
    };
    let Ticket { text, expires_at } = made.await.map_err(|error: ReadError| problem(api, error))?;
    let name = utf8_percent_encode(stream, NON_ALPHANUMERIC);
    let url = format!("/v1/streams/{name}/events?ticket={text}");
    Ok(json_answer(StatusCode::OK, &json!({ "ticket": text, "expires_at": expires_at, "url": url })))
}
