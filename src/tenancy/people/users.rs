//! Users: made, listed, changed, deactivated. In a transaction that is confined to a tenant or to none; with a note of each act.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use tokio_postgres::error::SqlState;
use tokio_postgres::{GenericClient, Row, Transaction};
use uuid::Uuid;

use super::email::Email;
use super::error::PeopleError;
use super::sessions;
use crate::limits::USERS_PER_ORGANIZATION_MAX;
use crate::storage::StorageError;
use crate::tenancy::acts::{self, Act, Actor};
use crate::tenancy::admin;
use crate::tenancy::principal::Role;

const USER: &str = "u.id, o.tenant_id, u.email, u.role, u.is_active, u.created_at, u.password_changed_at, u.last_login_at, u.deactivated_at";

/// A user as it is listed: never the password's hash.
#[derive(Debug, Serialize)]
pub struct User {
    pub id: Uuid,
    pub tenant_id: String,
    pub email: String,
    pub role: String,
    pub is_active: bool,
    pub created_at: Timestamp,
    pub password_changed_at: Timestamp,
    pub last_login_at: Option<Timestamp>,
    pub deactivated_at: Option<Timestamp>,
}

/// What to change of a user; None leaves it as it is.
#[derive(Default)]
pub struct Change {
    pub email: Option<Email>,
    pub role: Option<Role>,
    pub is_active: Option<bool>,
    /// Of a new password, which ends all sessions.
    pub password_hash: Option<String>,
}

fn user(row: &Row) -> User {
    User {
        id: row.get(0),
        tenant_id: row.get(1),
        email: row.get(2),
        role: row.get(3),
        is_active: row.get(4),
        created_at: row.get(5),
        password_changed_at: row.get(6),
        last_login_at: row.get(7),
        deactivated_at: row.get(8),
    }
}

/// The tenant of an organization that is named by slug, name or id.
pub async fn tenant_of(client: &tokio_postgres::Client, organization: &str) -> Result<String, StorageError> {
    let id = admin::find_organization(client, organization, false).await?;
    Ok(client.query_one("SELECT tenant_id FROM organizations WHERE id = $1", &[&id]).await?.get(0))
}

/// Makes a user of an organization.
pub async fn create(
    transaction: &Transaction<'_>,
    actor: &Actor,
    tenant_id: &str,
    email: &Email,
    role: Role,
    password_hash: &str,
) -> Result<User, PeopleError> {
    // Under the organization's row, so that two at once are counted one after the other.
    let organization = "SELECT id, is_active FROM organizations WHERE tenant_id = $1 FOR NO KEY UPDATE";
    let organization = transaction.query_opt(organization, &[&tenant_id]).await?;
    let organization = organization.ok_or(PeopleError::NotFound("organization"))?;
    if !organization.get::<_, bool>(1) {
        return Err(PeopleError::Inactive);
    }
    let org_id: Uuid = organization.get(0);
    let there: i64 = transaction.query_one("SELECT count(*) FROM users WHERE org_id = $1", &[&org_id]).await?.get(0);
    if there >= USERS_PER_ORGANIZATION_MAX {
        return Err(PeopleError::Full);
    }
    let sql = format!(
        "WITH u AS (INSERT INTO users (id, org_id, email, password_hash, role) VALUES ($1, $2, $3, $4, $5) \
         ON CONFLICT (email) DO NOTHING RETURNING *) \
         SELECT {USER} FROM u JOIN organizations o ON o.id = u.org_id"
    );
    let (id, address) = (Uuid::now_v7(), email.as_str());
    let row = transaction.query_opt(&sql, &[&id, &org_id, &address, &password_hash, &role.as_str()]).await?;
    let user = row.as_ref().map(user).ok_or(PeopleError::Exists)?;
    note(transaction, actor, &user, "users.create", json!({ "email": user.email, "role": user.role })).await?;
    Ok(user)
}

/// Users, newest first: of an organization by its slug, or of all that may be seen.
pub async fn list(client: &impl GenericClient, tenant_id: Option<&str>) -> Result<Vec<User>, PeopleError> {
    let sql = format!(
        "SELECT {USER} FROM users u JOIN organizations o ON o.id = u.org_id \
         WHERE $1::text IS NULL OR o.tenant_id = $1 ORDER BY u.id DESC"
    );
    Ok(client.query(&sql, &[&tenant_id]).await?.iter().map(user).collect())
}

pub async fn get(client: &impl GenericClient, id: Uuid) -> Result<User, PeopleError> {
    let sql = format!("SELECT {USER} FROM users u JOIN organizations o ON o.id = u.org_id WHERE u.id = $1");
    client.query_opt(&sql, &[&id]).await?.as_ref().map(user).ok_or(PeopleError::NotFound("user"))
}

/// The user with this e-mail address.
pub async fn find(client: &impl GenericClient, email: &Email) -> Result<User, PeopleError> {
    let sql = format!("SELECT {USER} FROM users u JOIN organizations o ON o.id = u.org_id WHERE u.email = $1");
    client.query_opt(&sql, &[&email.as_str()]).await?.as_ref().map(user).ok_or(PeopleError::NotFound("user"))
}

/// Changes a user. A new password, another address and a deactivation end all sessions; another role is that of the sessions that
/// there are, with their next request.
pub async fn alter(
    transaction: &Transaction<'_>,
    actor: &Actor,
    id: Uuid,
    change: &Change,
) -> Result<User, PeopleError> {
    let sql = format!(
        "WITH u AS (UPDATE users SET email = coalesce($2, email), role = coalesce($3, role), is_active = coalesce($4, is_active), \
             deactivated_at = CASE WHEN NOT coalesce($4, is_active) THEN coalesce(deactivated_at, now()) END, \
             password_hash = coalesce($5, password_hash), \
             password_changed_at = CASE WHEN $5::text IS NULL THEN password_changed_at ELSE now() END \
             WHERE id = $1 RETURNING *) \
         SELECT {USER} FROM u JOIN organizations o ON o.id = u.org_id"
    );
    let Change { email, role, is_active, password_hash } = change;
    let (address, role_name) = (email.as_ref().map(Email::as_str), role.map(Role::as_str));
    let altered = transaction.query_opt(&sql, &[&id, &address, &role_name, is_active, password_hash]).await;
    let altered = altered.map_err(|error| match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => PeopleError::Exists,
        _ => error.into(),
    })?;
    let user = altered.as_ref().map(user).ok_or(PeopleError::NotFound("user"))?;
    if password_hash.is_some() || email.is_some() || *is_active == Some(false) {
        sessions::revoke_all(transaction, id).await?;
    }
    let mut details = json!({ "email": user.email });
    if role.is_some() {
        details["role"] = user.role.clone().into();
    }
    if password_hash.is_some() {
        details["password"] = "set".into();
    }
    let action = match is_active {
        Some(false) => "users.deactivate",
        Some(true) => "users.activate",
        None if password_hash.is_some() && email.is_none() && role.is_none() => "users.set_password",
        None => "users.alter",
    };
    note(transaction, actor, &user, action, details).await?;
    Ok(user)
}

async fn note(
    transaction: &Transaction<'_>,
    actor: &Actor,
    user: &User,
    action: &'static str,
    details: Value,
) -> Result<(), PeopleError> {
    let act = Act { tenant_id: Some(&user.tenant_id), action, target: Some(user.id.to_string()), details };
    Ok(acts::note(transaction, actor, &act).await?)
}
