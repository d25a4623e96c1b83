//! Logins that read one organization alone, and the end of logins of either kind.
//!
//! What such a login may read is granted to it by itself, on the views of its organization (`tenant_views`): it has no right to the
//! schema `tidegate`, and its group has none to any relation. While the organization is deactivated the rights are taken
//! (`tidegate.set_reader_rights`).

use tokio_postgres::Client;
use uuid::Uuid;

use super::readers::{NewReader, Reader, Reads, beyond, list, make_role, psql_of};
use super::{StorageError, readers, tenant_views};
use crate::config::ConnectionUrl;

/// Makes a login that reads the organization `org_id`, whose slug is `tenant_id`: the role on the connection of somebody who may make
/// roles, views and rights as the owner.
pub async fn create(
    admin: &Client,
    owner: &Client,
    database: &ConnectionUrl,
    name: &str,
    (org_id, tenant_id): (Uuid, &str),
) -> Result<NewReader, StorageError> {
    let schema = schema_of(owner, org_id).await?;
    let password = make_role(admin, name, "tidegate_tenants", &schema).await?;
    if let Err(error) = allow(owner, org_id, name).await {
        // A login that may read nothing is of no use.
        let _ = end(admin, owner, name).await;
        return Err(error);
    }
    admin.batch_execute(include_str!("../../sql/queries/public_rights.sql")).await?;
    let (name, tenant_id, psql) = (name.to_owned(), Some(tenant_id.to_owned()), psql_of(database, name));
    let beyond = beyond(admin, &[name.as_str()]).await?;
    Ok(NewReader { name, tenant_id, password, psql, beyond })
}

async fn schema_of(owner: &Client, org_id: Uuid) -> Result<String, StorageError> {
    Ok(owner.query_one("SELECT tidegate.reader_schema($1)", &[&org_id]).await?.get(0))
}

/// Notes whose login it is, and lets it read the views, which are made first where there are none.
async fn allow(owner: &Client, org_id: Uuid, name: &str) -> Result<(), StorageError> {
    // Which relations have views is asked of what the group of operators reads, which was made with the role at the latest.
    owner.batch_execute(include_str!("../../sql/queries/people_grants.sql")).await?;
    // A database that was restored elsewhere may have a note of a login that is not there.
    let note = "INSERT INTO tidegate.reader_logins (login, org_id) VALUES ($1::text::name, $2) \
                ON CONFLICT (login) DO UPDATE SET org_id = excluded.org_id";
    owner.execute(note, &[&name, &org_id]).await?;
    let unmade = tenant_views::make(owner).await?;
    let schema = schema_of(owner, org_id).await?;
    match unmade.iter().find(|unmade| unmade.view.starts_with(&schema)) {
        None => Ok(()),
        Some(unmade) => Err(StorageError::fatal(format!(
            "`{name}` is not made: {} could not be: {}; drop what was built on it, and try again",
            unmade.view, unmade.error
        ))),
    }
}

/// Ends a login of either kind and its sessions, or does nothing and says what is in the way.
pub async fn revoke(admin: &Client, owner: &Client, name: &str) -> Result<Reader, StorageError> {
    let found = list(owner).await?.into_iter().find(|reader| reader.name == name);
    let reader = found.ok_or_else(|| {
        StorageError::fatal(format!("no login for reading has the name `{name}` (tidegate readers list)"))
    })?;
    match reader.reads {
        Reads::All => readers::end(admin, name).await?,
        Reads::Organization => end(admin, owner, name).await?,
        Reads::Elsewhere => {
            return Err(StorageError::fatal(format!(
                "`{name}` is of another database of this server: revoke it with that database's URL"
            )));
        }
    }
    Ok(reader)
}

/// Takes a login's rights, drops it and ends its sessions; gives the rights back where it cannot be dropped. The views go with the
/// organization's last login, unless somebody has built on them.
async fn end(admin: &Client, owner: &Client, name: &str) -> Result<(), StorageError> {
    readers::check(name)?;
    let forget = "DELETE FROM tidegate.reader_logins WHERE login = $1::text::name RETURNING org_id";
    let org_id: Option<Uuid> = owner.query_opt(forget, &[&name]).await?.map(|row| row.get(0));
    let Some(org_id) = org_id else { return readers::end(admin, name).await };
    let schema = schema_of(owner, org_id).await?;
    let ended = async {
        owner.batch_execute(&format!("SELECT tidegate.drop_reader_rights('{org_id}', '{name}')")).await?;
        readers::end(admin, name).await
    };
    if let Err(error) = ended.await {
        owner
            .execute(
                "INSERT INTO tidegate.reader_logins (login, org_id) VALUES ($1::text::name, $2)",
                &[&name, &org_id],
            )
            .await?;
        owner.execute("SELECT tidegate.set_reader_rights($1)", &[&org_id]).await?;
        return Err(error);
    }
    let others = "SELECT EXISTS (SELECT FROM tidegate.reader_logins WHERE org_id = $1)";
    if !owner.query_one(others, &[&org_id]).await?.get::<_, bool>(0) {
        tenant_views::drop_schema(owner, &schema).await;
    }
    Ok(())
}
