//! Organizations and keys are administered: each act in a transaction that is confined to whom it is done for, and noted there.

use jiff::Timestamp;
use serde_json::{Value, json};
use tokio_postgres::{Client, Transaction};
use uuid::Uuid;

use super::acts::{self, Act, Actor};
use super::admin::{self, AdminError, KeyChange, KeyInfo, NewKey, Organization};
use super::retention::{self, RetentionChange};
use super::{RateLimits, Scope, Scopes};
use crate::config::RetentionConfig;
use crate::limits::KEYS_PER_ORGANIZATION_MAX;

/// Who acts, for whom, and what it may give out.
#[derive(Debug, Clone)]
pub struct By<'a> {
    pub actor: &'a Actor,
    /// Whose rows it sees and changes; None: everybody's.
    pub tenant_id: Option<&'a str>,
    pub scopes: Scopes,
}

impl<'a> By<'a> {
    /// A command on a machine that may connect as the owner, which may do everything.
    pub fn command(actor: &'a Actor) -> Self {
        Self { actor, tenant_id: None, scopes: Scopes::default().with(Scope::Operator) }
    }

    fn is_operator(&self) -> bool {
        self.scopes.allow(Scope::Operator)
    }

    /// Nobody gives out, or gets hold of, more than it has.
    fn may_have(&self, names: &[impl AsRef<str>], what: &str) -> Result<(), AdminError> {
        let held = |name: &str| Scope::ALL.into_iter().any(|scope| scope.as_str() == name && self.scopes.allow(scope));
        match names.iter().map(AsRef::as_ref).find(|name| !held(name)) {
            None => Ok(()),
            Some(beyond) => Err(AdminError::Beyond(format!("{what} `{beyond}`, which you do not have yourself"))),
        }
    }
}

/// A key that is to be made.
#[derive(Debug)]
pub struct KeyWanted {
    /// By slug, id or name.
    pub organization: String,
    pub scopes: Scopes,
    pub label: String,
    pub expires_at: Option<Timestamp>,
    pub limits: RateLimits,
}

/// What is to become of an organization; None: it stays.
#[derive(Debug, Clone, Copy, Default)]
pub struct OrganizationChange<'a> {
    pub name: Option<&'a str>,
    pub is_active: Option<bool>,
    pub retention: RetentionChange,
}

/// Notes what was done to an organization.
async fn noted(
    transaction: &Transaction<'_>,
    by: &By<'_>,
    action: &'static str,
    of: &Organization,
    details: Value,
) -> Result<(), AdminError> {
    let act = Act { tenant_id: Some(&of.tenant_id), action, target: Some(of.tenant_id.clone()), details };
    Ok(acts::note(transaction, by.actor, &act).await?)
}

/// Makes an organization.
pub async fn create_organization(
    client: &mut Client,
    by: &By<'_>,
    name: &str,
    slug: Option<&str>,
) -> Result<Organization, AdminError> {
    let transaction = acts::begin(client, by.tenant_id).await?;
    let made = admin::create_organization(transaction.client(), name, slug).await?;
    noted(&transaction, by, "organizations.create", &made, json!({ "name": made.name })).await?;
    transaction.commit().await?;
    Ok(made)
}

/// Changes an organization, all of it or nothing: its name, how long its rows are kept, whether it is active.
pub async fn alter_organization(
    client: &mut Client,
    by: &By<'_>,
    which: &str,
    change: OrganizationChange<'_>,
    table: &RetentionConfig,
) -> Result<Organization, AdminError> {
    let transaction = acts::begin(client, by.tenant_id).await?;
    let id = admin::find_organization(transaction.client(), which, false).await?;
    let mut changed = admin::get_organization(transaction.client(), id).await?;
    if let Some(name) = change.name {
        let before = changed.name;
        changed = admin::rename_organization(transaction.client(), id, name).await?;
        let details = json!({ "name": changed.name, "before": before });
        noted(&transaction, by, "organizations.rename", &changed, details).await?;
    }
    if change.retention.is_any() {
        changed = retention::change(transaction.client(), id, change.retention, table).await?;
        let keeps = serde_json::to_value(changed.keeps).expect("plain values");
        noted(&transaction, by, "organizations.retention", &changed, keeps).await?;
    }
    if let Some(active) = change.is_active {
        changed = admin::activate_organization(transaction.client(), id, active).await?;
        let action = if active { "organizations.activate" } else { "organizations.deactivate" };
        noted(&transaction, by, action, &changed, json!({})).await?;
    }
    transaction.commit().await?;
    Ok(changed)
}

/// Notes what was done to a key.
async fn noted_key(
    transaction: &Transaction<'_>,
    by: &By<'_>,
    action: &'static str,
    key: &KeyInfo,
    details: Value,
) -> Result<(), AdminError> {
    let act = Act { tenant_id: Some(&key.tenant_id), action, target: Some(key.id.to_string()), details };
    Ok(acts::note(transaction, by.actor, &act).await?)
}

/// Makes a key, and returns how it is listed with its text.
pub async fn create_key(client: &mut Client, by: &By<'_>, wanted: &KeyWanted) -> Result<(KeyInfo, NewKey), AdminError> {
    let KeyWanted { organization, scopes, label, expires_at, limits } = wanted;
    by.may_have(&scopes.names(), "the key would have the scope")?;
    let transaction = acts::begin(client, by.tenant_id).await?;
    has_room(&transaction, by, organization).await?;
    let made =
        admin::create_limited_key(transaction.client(), organization, *scopes, label, *expires_at, *limits).await?;
    let key = admin::find_key(transaction.client(), made.id).await?;
    let details = json!({
        "scopes": key.scopes, "label": key.label, "expires_at": key.expires_at, "limits": key.limits
    });
    noted_key(&transaction, by, "keys.create", &key, details).await?;
    transaction.commit().await?;
    Ok((key, made))
}

/// Operators and commands are not counted.
async fn has_room(transaction: &Transaction<'_>, by: &By<'_>, organization: &str) -> Result<(), AdminError> {
    let counts = !by.is_operator();
    if counts && admin::key_count(transaction.client(), organization).await? >= KEYS_PER_ORGANIZATION_MAX {
        return Err(AdminError::Full);
    }
    Ok(())
}

/// Changes a key's label, when it ends, and what it may send.
pub async fn alter_key(client: &mut Client, by: &By<'_>, id: Uuid, change: &KeyChange) -> Result<KeyInfo, AdminError> {
    let transaction = acts::begin(client, by.tenant_id).await?;
    let before = admin::find_key(transaction.client(), id).await?;
    by.may_have(&before.scopes, "the key has the scope")?;
    // What has ended does not begin again: somebody has counted on its end.
    if change.expires_at.is_some() && before.is_over(Timestamp::now()) {
        return Err(AdminError::KeyOver(id));
    }
    let key = admin::alter_key(transaction.client(), id, change).await?;
    let of = |key: &KeyInfo| json!({ "label": key.label, "expires_at": key.expires_at, "limits": key.limits });
    let mut details = of(&key);
    details["before"] = of(&before);
    noted_key(&transaction, by, "keys.alter", &key, details).await?;
    transaction.commit().await?;
    Ok(key)
}

/// Revokes a key, the one that it is done with as well. Keys of operators are theirs.
pub async fn revoke_key(client: &mut Client, by: &By<'_>, id: Uuid) -> Result<KeyInfo, AdminError> {
    let transaction = acts::begin(client, by.tenant_id).await?;
    let before = admin::find_key(transaction.client(), id).await?;
    if !by.is_operator() && before.scopes.iter().any(|scope| scope == Scope::Operator.as_str()) {
        return Err(AdminError::Beyond("the key has the scope `operator`: an operator revokes it".into()));
    }
    let key = admin::revoke_key(transaction.client(), id).await?;
    let details = json!({ "label": key.label, "again": before.revoked_at.is_some() });
    noted_key(&transaction, by, "keys.revoke", &key, details).await?;
    transaction.commit().await?;
    Ok(key)
}

/// Makes a successor of a key, and returns how that is listed with its text; the old one ends at `old_ends_at`.
pub async fn rotate_key(
    client: &mut Client,
    by: &By<'_>,
    id: Uuid,
    old_ends_at: Timestamp,
) -> Result<(KeyInfo, NewKey), AdminError> {
    let transaction = acts::begin(client, by.tenant_id).await?;
    let before = admin::find_key(transaction.client(), id).await?;
    by.may_have(&before.scopes, "the key has the scope")?;
    has_room(&transaction, by, &before.tenant_id).await?;
    let made = admin::rotate_key(transaction.client(), id, old_ends_at).await?;
    let key = admin::find_key(transaction.client(), made.id).await?;
    let details = json!({ "successor": made.id, "old_ends_at": old_ends_at });
    noted_key(&transaction, by, "keys.rotate", &before, details).await?;
    transaction.commit().await?;
    Ok((key, made))
}

/// On a database without any organization, makes `default` and a key for it; None when there is one already.
pub async fn first_start(client: &mut Client, actor: &Actor) -> Result<Option<(Organization, NewKey)>, AdminError> {
    let transaction = client.transaction().await?;
    transaction.batch_execute("LOCK TABLE organizations IN SHARE ROW EXCLUSIVE MODE").await?;
    let any: bool = transaction.query_one("SELECT EXISTS (SELECT FROM organizations)", &[]).await?.get(0);
    if any {
        return Ok(None);
    }
    let by = By::command(actor);
    let made = admin::create_organization(transaction.client(), "default", None).await?;
    noted(&transaction, &by, "organizations.create", &made, json!({ "name": made.name })).await?;
    let scopes = Scopes::parse("ingest,read,consume,admin").map_err(AdminError::Invalid)?;
    let key = admin::create_key(transaction.client(), &made.tenant_id, scopes, "made at first start", None).await?;
    let listed = admin::find_key(transaction.client(), key.id).await?;
    noted_key(&transaction, &by, "keys.create", &listed, json!({ "scopes": listed.scopes, "label": listed.label }))
        .await?;
    transaction.commit().await?;
    Ok(Some((made, key)))
}
