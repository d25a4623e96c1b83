//! /v1/users: an admin's own organization, or an operator's all.

use hyper::StatusCode;
use serde::Deserialize;
use uuid::Uuid;

use super::body::{Hidden, read};
use super::{cookie, problem};
use crate::http::admin::{confined, named, sees};
use crate::http::call::Call;
use crate::http::groups::body::{self, invalid};
use crate::http::peer::source_of;
use crate::http::reads::{ListAnswer, ListRequest};
use crate::http::response::json;
use crate::protocols::{Problem, ProblemCode};
use crate::query::UsersQuery;
use crate::tenancy::people::{Change, Email, Password, PeopleError, User, users};
use crate::tenancy::{Holder, Role, Scope};

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct New {
    email: String,
    role: String,
    password: Hidden,
    organization: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Altered {
    email: Option<String>,
    role: Option<String>,
    password: Option<Hidden>,
    is_active: Option<bool>,
}

fn email(text: &str) -> Result<Email, Problem> {
    Email::parse(text).map_err(|what| invalid(format!("`email` {what}")))
}

/// The name of an organization; one with NUL in it, which PostgreSQL does not take, none has.
fn name(text: &str) -> String {
    text.replace('\0', "\u{fffd}")
}

fn role(text: &str) -> Result<Role, Problem> {
    Role::parse(text).map_err(|what| invalid(format!("`role` {what}")))
}

fn password(text: Hidden, email: &str) -> Result<Password, Problem> {
    Password::chosen(text.0, email).map_err(|what| invalid(format!("`password` {what}")))
}

/// The id in the path; what is none is not there.
pub fn id(call: &Call<'_>, what: &str) -> Result<Uuid, Problem> {
    call.path.get("id").parse().map_err(|_| Problem::not_found(what))
}

/// Nobody gives out more than it may do itself, nor takes over who may do more: a key with the scope `admin` alone.
fn within(call: &Call<'_>, role: Role) -> Result<(), Problem> {
    let beyond = Scope::ALL
        .into_iter()
        .find(|scope| role.scopes().names().contains(&scope.as_str()) && !call.principal.may(*scope));
    let Some(scope) = beyond else { return Ok(()) };
    let (role, scope, who) = (role.as_str(), scope.as_str(), call.principal.who());
    let detail = format!("the role `{role}` has the scope `{scope}`, which {who} does not have itself");
    Err(Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, detail))
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Renewed {
    current_password: Hidden,
    password: Hidden,
}

/// POST /v1/users
pub async fn create(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let sent: New = read(&call.body, "`email`, `role` and `password`, and for an operator `organization`")?;
    let (email, role) = (email(&sent.email)?, role(&sent.role)?);
    let password = password(sent.password, email.as_str())?;
    let tenant_id = match (sees(call.principal), sent.organization) {
        (Some(own), Some(named)) if named != own => return Err(Problem::not_found("organization")),
        (Some(own), _) => own.to_owned(),
        (None, Some(named)) => name(&named),
        (None, None) => call.principal.tenant_id.to_string(),
    };
    within(&call, role)?;
    let people = &call.api.attached()?.people;
    let made = async {
        let hash = people.hash(password).await?;
        let actor = call.actor();
        people
            .act(sees(call.principal), async |transaction| {
                users::create(transaction, &actor, &tenant_id, &email, role, &hash).await
            })
            .await
    };
    let user = made.await.map_err(|error| problem(call.api, error))?;
    tracing::info!(user_id = %user.id, tenant_id = user.tenant_id, role = user.role, "a user is made");
    Ok(json(StatusCode::CREATED, &user))
}

/// GET /v1/users
pub async fn list(mut call: Call<'_>) -> ListAnswer {
    let organization = named(&mut call)?;
    let request = ListRequest::take(call.principal, call.parts, &mut call.params)?;
    let query = UsersQuery { confined: confined(&call)?, organization };
    request.answer(call.api, std::mem::take(&mut call.params), query).await
}

/// GET /v1/users/{id}
pub async fn show(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let id = id(&call, "user")?;
    let people = &call.api.attached()?.people;
    let found = people.act(sees(call.principal), async |transaction| users::get(transaction, id).await).await;
    Ok(json(StatusCode::OK, &found.map_err(|error| problem(call.api, error))?))
}

/// PATCH /v1/users/{id}
pub async fn alter(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let sent: Altered = read(&call.body, "some of `email`, `role`, `password` and `is_active` (true or false)")?;
    let id = id(&call, "user")?;
    let mut change = Change {
        email: sent.email.as_deref().map(email).transpose()?,
        role: sent.role.as_deref().map(role).transpose()?,
        is_active: sent.is_active,
        password_hash: None,
    };
    let people = &call.api.attached()?.people;
    let there = people.act(sees(call.principal), async |transaction| users::get(transaction, id).await).await;
    let there = there.map_err(|error| problem(call.api, error))?;
    within(&call, role(&there.role)?)?;
    if let Some(role) = change.role {
        within(&call, role)?;
    }
    if let Some(text) = sent.password {
        let address = change.email.as_ref().map_or(there.email.as_str(), Email::as_str);
        let hash = people.hash(password(text, address)?).await.map_err(|error| problem(call.api, error))?;
        change.password_hash = Some(hash);
    }
    let user = altered(&call, id, change).await?;
    Ok(json(StatusCode::OK, &user))
}

/// DELETE /v1/users/{id}: a user is deactivated, and may be activated again.
pub async fn delete(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    body::none(&call.body)?;
    let id = id(&call, "user")?;
    let user = altered(&call, id, Change { is_active: Some(false), ..Change::default() }).await?;
    Ok(json(StatusCode::OK, &user))
}

async fn altered(call: &Call<'_>, id: Uuid, change: Change) -> Result<User, Problem> {
    let actor = call.actor();
    let people = &call.api.attached()?.people;
    let altered: Result<User, PeopleError> = people
        .act(sees(call.principal), async |transaction| users::alter(transaction, &actor, id, &change).await)
        .await;
    let user = altered.map_err(|error| problem(call.api, error))?;
    tracing::info!(user_id = %user.id, tenant_id = user.tenant_id, role = user.role, is_active = user.is_active, "a user is changed");
    Ok(user)
}

/// POST /v1/users/self/password
pub async fn change_password(mut call: Call<'_>) -> ListAnswer {
    std::mem::take(&mut call.params).finish()?;
    let Renewed { current_password, password: chosen } = read(&call.body, "`current_password` and `password`")?;
    let Holder::Person(person) = &call.principal.holder else {
        return Err(Problem::not_found("user: this is a key, which has no password"));
    };
    let chosen = password(chosen, &person.email)?;
    let people = &call.api.attached()?.people;
    let changed = people.change_password(person, source_of(call.parts), Password::given(current_password.0), chosen);
    let user = changed.await.map_err(|error| match error {
        PeopleError::Refused => {
            Problem::new(StatusCode::FORBIDDEN, ProblemCode::Forbidden, "`current_password` is wrong")
        }
        error => problem(call.api, error),
    })?;
    tracing::info!(user_id = %user.id, tenant_id = user.tenant_id, "a user has another password");
    let mut response = json(StatusCode::OK, &user);
    cookie::clear(&mut response);
    Ok(response)
}
