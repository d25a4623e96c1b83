//! Organizations: made, named, deactivated.

use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::AdminError;
use crate::fold::Folded;
use crate::limits::TENANT_ID_CHARS_MAX;
use crate::storage::StorageError;
use crate::tenancy::keeps::OrgRetention;

/// An organization as it is listed.
#[derive(Debug, Serialize)]
pub struct Organization {
    pub id: Uuid,
    /// Its immutable slug: the tenant of its data.
    pub tenant_id: String,
    pub name: String,
    pub is_active: bool,
    pub created_at: Timestamp,
    /// How long its rows are kept.
    #[serde(flatten)]
    pub keeps: OrgRetention,
}

pub(in crate::tenancy) const ORGANIZATION: &str = "id, tenant_id, name, is_active, created_at, \
     events_retention_days, metrics_retention_days, correlations_retention_days";

pub(in crate::tenancy) fn organization(row: &Row) -> Organization {
    Organization {
        id: row.get(0),
        tenant_id: row.get(1),
        name: row.get(2),
        is_active: row.get(3),
        created_at: row.get(4),
        keeps: OrgRetention::of(row, 5),
    }
}

/// The slug that a name gets when none is asked for.
pub fn slug_of(name: &str) -> String {
    let mut slug = String::new();
    for c in name.trim().to_lowercase().chars() {
        match c {
            'a'..='z' | '0'..='9' | '.' | '_' => slug.push(c),
            _ if slug.ends_with('-') => {}
            _ => slug.push('-'),
        }
    }
    let slug = slug.trim_matches(['-', '.', '_']);
    slug.chars().take(TENANT_ID_CHARS_MAX).collect()
}

/// Makes an organization; its slug is derived from the name unless given.
pub async fn create_organization(client: &Client, name: &str, slug: Option<&str>) -> Result<Organization, AdminError> {
    let slug = slug.map_or_else(|| slug_of(name), str::to_owned);
    if slug.is_empty() {
        return Err(AdminError::Invalid(format!("the name `{name}` gives no slug: name one (--slug, or `slug`)")));
    }
    // The index on the name folds letters as the database's LC_CTYPE does, which may know ASCII only.
    let sql = format!(
        "INSERT INTO organizations (tenant_id, name) SELECT $1, $2 \
         WHERE NOT EXISTS (SELECT FROM organizations WHERE translate(name, $3, $4) = $5) RETURNING {ORGANIZATION}"
    );
    let folded = Folded::new(name);
    match client.query_opt(&sql, &[&slug, &name, &folded.from, &folded.to, &folded.text]).await {
        Ok(Some(row)) => Ok(organization(&row)),
        Ok(None) => Err(AdminError::Taken { name: name.to_owned(), slug }),
        Err(error) => Err(refused(error, name, &slug)),
    }
}

/// Why a name or a slug is not taken.
fn refused(error: tokio_postgres::Error, name: &str, slug: &str) -> AdminError {
    match error.code() {
        Some(&SqlState::UNIQUE_VIOLATION) => AdminError::Taken { name: name.to_owned(), slug: slug.to_owned() },
        Some(&SqlState::CHECK_VIOLATION) => AdminError::Invalid(format!(
            "`{name}` / `{slug}`: a name has 1 to 255 characters; a slug starts with a letter or digit and has 1 to 100 \
             of a-z, 0-9, `.`, `_` and `-`"
        )),
        _ => error.into(),
    }
}

pub async fn list_organizations(client: &Client) -> Result<Vec<Organization>, StorageError> {
    let sql = format!("SELECT {ORGANIZATION} FROM organizations ORDER BY created_at, id");
    Ok(client.query(&sql, &[]).await?.iter().map(organization).collect())
}

pub async fn get_organization(client: &Client, id: Uuid) -> Result<Organization, AdminError> {
    let sql = format!("SELECT {ORGANIZATION} FROM organizations WHERE id = $1");
    Ok(organization(&client.query_one(&sql, &[&id]).await?))
}

/// Soft-deletes an organization, or takes that back: its keys stop working, or work again, within 5 s; its data stay. Doing
/// either twice is no error.
pub async fn activate_organization(client: &Client, id: Uuid, active: bool) -> Result<Organization, AdminError> {
    let sql = format!(
        "UPDATE organizations SET is_active = $2, deactivated_at = CASE WHEN NOT $2 THEN coalesce(deactivated_at, now()) END \
         WHERE id = $1 RETURNING {ORGANIZATION}"
    );
    Ok(organization(&client.query_one(&sql, &[&id, &active]).await?))
}

/// Names an organization otherwise; its slug stays. What is folded alike is another's name even to an organization that cannot
/// see it: the index says so.
pub async fn rename_organization(client: &Client, id: Uuid, name: &str) -> Result<Organization, AdminError> {
    let sql = format!(
        "UPDATE organizations SET name = $2 WHERE id = $1 \
         AND NOT EXISTS (SELECT FROM organizations WHERE id <> $1 AND translate(name, $3, $4) = $5) RETURNING {ORGANIZATION}"
    );
    let folded = Folded::new(name);
    match client.query_opt(&sql, &[&id, &name, &folded.from, &folded.to, &folded.text]).await {
        Ok(Some(row)) => Ok(organization(&row)),
        Ok(None) => Err(AdminError::Taken { name: name.to_owned(), slug: String::new() }),
        Err(error) => Err(refused(error, name, "")),
    }
}

/// The id of an organization by slug, id or name, in this order: a slug never changes, and a name may be what another one is
/// known by.
pub async fn find_organization(client: &Client, name: &str, active_only: bool) -> Result<Uuid, AdminError> {
    let sql = "SELECT id, is_active FROM organizations \
               WHERE tenant_id = $1 OR translate(name, $2, $3) = $4 OR id::text = $1 \
               ORDER BY tenant_id = $1 DESC, id::text = $1 DESC LIMIT 1";
    let sought = Folded::new(name);
    match client.query_opt(sql, &[&name, &sought.from, &sought.to, &sought.text]).await? {
        None => Err(AdminError::NoOrganization(name.to_owned())),
        Some(row) if active_only && !row.get::<_, bool>(1) => Err(AdminError::Inactive(name.to_owned())),
        Some(row) => Ok(row.get(0)),
    }
}

#[cfg(test)]
mod tests {
    use super::slug_of;

    #[test]
    fn slugs_are_what_the_schema_accepts() {
        assert_eq!(slug_of("Acme, Inc."), "acme-inc");
        assert_eq!(slug_of("  Größe  GmbH "), "gr-e-gmbh");
        assert_eq!(slug_of("***"), "");
        assert_eq!(slug_of(&"x".repeat(300)).len(), 100);
    }
}
