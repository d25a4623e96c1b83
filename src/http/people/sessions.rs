//! /v1/sessions: somebody signs in, sees sessions, and signs out.

use hyper::header::USER_AGENT;
use hyper::{Response, StatusCode};
use serde::Deserialize;
use serde_json::{Value, json};
use uuid::Uuid;

use super::body::{Hidden, read};
use super::users::id;
use super::{cookie, problem};
use crate::http::admin::{confined, sees};
use crate::http::call::{Call, Unkeyed};
use crate::http::groups::body;
use crate::http::peer::source_of;
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::{Body, full, json as json_answer};
use crate::http::way;
use crate::protocols::{Problem, ProblemCode, params};
use crate::query::SessionsQuery;
use crate::secrets::redacted;
use crate::tenancy::acts::{self, Act};
use crate::tenancy::people::{Email, Password, Shown, SignIn, end_session};
use crate::tenancy::{Holder, Person, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Credentials {
    email: Hidden,
    password: Hidden,
}

/// POST /v1/sessions
pub async fn sign_in(call: Unkeyed<'_>) -> ListAnswer {
    let Unkeyed { api, parts, body } = call;
    way::check(api, parts)?;
    // Or a page of another site could sign a browser in as a user of its choice.
    way::check_origin(api, parts, false)?;
    let Credentials { email, password } = read(&body, "`email` and `password`")?;
    let agent = parts.headers.get(USER_AGENT).and_then(|agent| agent.to_str().ok());
    let sign_in = SignIn {
        email: Email::given(&email.0),
        password: Password::given(password.0),
        from: source_of(parts),
        user_agent: agent.map(|agent| redacted(agent).into_owned()),
    };
    let signed_in = api.attached()?.people.sign_in(sign_in).await.map_err(|error| problem(api, error))?;
    let mut response = json_answer(StatusCode::CREATED, &shown(&signed_in.person, &signed_in.tenant_id));
    cookie::set(&mut response, &signed_in.token.reveal());
    Ok(response)
}

/// GET /v1/sessions/self
pub async fn own(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let person = person(&call)?;
    Ok(json_answer(StatusCode::OK, &shown(person, &call.principal.tenant_id)))
}

/// DELETE /v1/sessions/self
pub async fn end_own(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let person = person(&call)?;
    end_it(&call, Shown::Of(person.user_id), person.session_id).await?;
    let mut response = no_content();
    cookie::clear(&mut response);
    Ok(response)
}

/// GET /v1/sessions: one's own; for admins those of the organization, for operators all.
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let user = call.params.take("user").map(|text| text.parse::<Uuid>()).transpose();
    let user = user.map_err(|_| params::invalid("user", "must be the id of a user"))?;
    let user = match (visible(&call)?, user) {
        (Shown::Of(own), Some(named)) if named != own => return Err(Problem::not_found("user")),
        (Shown::Of(own), _) => Some(own),
        (Shown::All, named) => named,
    };
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query = SessionsQuery { confined: confined(&call)?, user };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}

/// DELETE /v1/sessions/{id}
pub async fn end(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let id = id(&call, "session")?;
    end_it(&call, visible(&call)?, id).await?;
    Ok(no_content())
}

async fn end_it(call: &Call<'_>, shown: Shown, id: Uuid) -> Result<(), Problem> {
    let actor = call.actor();
    let is_own = matches!(&call.principal.holder, Holder::Person(person) if person.session_id == id);
    let ended = call.api.attached()?.people.act(sees(call.principal), async |transaction| {
        let (tenant_id, user_id) = end_session(transaction, shown, id).await?;
        let act = Act {
            tenant_id: Some(&tenant_id),
            action: if is_own { "sessions.end" } else { "sessions.revoke" },
            target: Some(id.to_string()),
            details: json!({ "user_id": user_id }),
        };
        Ok(acts::note(transaction, &actor, &act).await?)
    });
    ended.await.map_err(|error| problem(call.api, error))
}

/// Whose sessions the principal sees, and may end.
fn visible(call: &Call<'_>) -> Result<Shown, Problem> {
    match &call.principal.holder {
        _ if call.principal.may(Scope::Admin) => Ok(Shown::All),
        Holder::Person(person) => Ok(Shown::Of(person.user_id)),
        Holder::Key(_) => {
            let detail = format!("this needs the scope `admin`; the key has `{}`", call.principal.scopes);
            Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
        }
    }
}

fn person<'a>(call: &Call<'a>) -> Result<&'a Person, Problem> {
    match &call.principal.holder {
        Holder::Person(person) => Ok(person),
        Holder::Key(_) => Err(Problem::not_found("session: this is a key, of which GET /v1/keys/self tells")),
    }
}

fn shown(person: &Person, tenant_id: &str) -> Value {
    let Person { user_id, session_id, email, role, expires_at } = person;
    json!({
        "id": session_id,
        "user": { "id": user_id, "email": email },
        "organization": tenant_id,
        "role": role.as_str(),
        "scopes": role.scopes().names(),
        "expires_at": expires_at,
    })
}

fn no_content() -> Response<Body> {
    let mut response = Response::new(full(""));
    *response.status_mut() = StatusCode::NO_CONTENT;
    response
}
