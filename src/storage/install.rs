//! Installing the schema: roles, migrations, what the layout needs; and the proof that the write path works.

use std::sync::Arc;
use std::time::Duration;

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;

use super::connect::{Role, Warnings, connect_to, session_sql};
use super::detect::{Detected, MADE_WITH_IT, detect, detect_on};
use super::relied_on::{put_back, recorded_layout};
use super::stored_json::{agreed_json, make};
use super::{Layout, StorageError, migrations, needs, payload_index, standing_layout, tenant_views};
use crate::config::{Config, ConnectionUrl, EngineChoice};
use crate::model::{Kind, StoredJson};

/// The outcome of installing: what the database is, and why.
#[derive(Debug, Clone)]
pub struct Installed {
    pub layout: Layout,
    /// How payload and metadata are kept.
    pub stored_json: StoredJson,
    /// Whether there is an index of what payloads contain.
    pub payload_gin: bool,
    /// Why so, for the log at start and for `doctor`.
    pub reason: String,
    /// Versions applied by this call.
    pub applied: Vec<i32>,
}

/// All installers of all nodes take turns under this lock. A server that holds it is named after every wait of 5 s.
const INSTALL_LOCK: &str = "SET idle_in_transaction_session_timeout = 0; SET lock_timeout = '5s'; BEGIN; \
     LOCK TABLE tidegate.lock_install IN EXCLUSIVE MODE";
const INSTALL_LOCK_THERE: &str = "SELECT to_regclass('tidegate.lock_install') IS NOT NULL";
/// Of two that make the lock at the same moment one fails.
const MAKE_TRIES: u32 = 20;
const MAKE_PAUSE: Duration = Duration::from_millis(100);

/// Creates or updates everything in the database: roles, schema, migrations, policies. Safe from several nodes at once.
///
/// A database that is not what Tidegate needs is left as it is.
pub async fn install(place: &needs::Place<'_>, config: &Config) -> Result<Installed, StorageError> {
    install_looking(place, config).await.map(|(installed, _needs, _owner)| installed)
}

/// The same; the needs as they stood before it, and the owner's connection that it was done on.
pub(super) async fn install_looking(
    place: &needs::Place<'_>,
    config: &Config,
) -> Result<(Installed, Vec<needs::Need>, Client), StorageError> {
    let (needs, owner) = needs::require_on(place, config).await?;
    let url = place.owner;
    let detected = detect_on(&owner, url, &config.database).await?;
    // One that was open before the extension was made has not loaded it: where something is installed that was long ago.
    let client = match standing_layout(&owner).await? {
        Some(_) => owner,
        None => connect_to(url, Arc::new(Warnings::default())).await?.0,
    };
    client.batch_execute("SET client_min_messages = 'warning'").await?;
    let rights = Rights::of(&client).await?;
    rights.make_roles(&client).await?;
    make_lock(&client, &rights).await?;
    // On a connection of its own: an installation is many transactions. The lock ends with the connection.
    let (holder, lost) = connect_to(url, Arc::new(Warnings::default())).await?;
    holder.batch_execute(&session_sql(Role::Owner, "")).await?;
    lock(&holder).await?;
    let installed = tokio::select! {
        installed = install_locked(&client, &rights, config, detected) => installed,
        _ = lost => Err(StorageError::retryable(
            "the connection that held the installers' lock was lost: what was begun is rolled back, and to be tried again",
        )),
    };
    let _ = holder.batch_execute("COMMIT").await;
    Ok((installed?, needs, client))
}

/// Waits for the installers' lock, and says who has it.
async fn lock(holder: &Client) -> Result<(), StorageError> {
    while let Err(error) = holder.batch_execute(INSTALL_LOCK).await {
        if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) {
            return Err(error.into());
        }
        holder.batch_execute("ROLLBACK").await?;
        let sql = include_str!("../../sql/queries/install_lock_holder.sql");
        let found = holder.query_opt(sql, &[]).await?.map(|row| (row.get(0), row.get(1)));
        let (pid, application): (i32, String) = found.unwrap_or_default();
        tracing::warn!(pid, application, "waiting for another session that installs or migrates the schema");
    }
    Ok(())
}

/// Makes the installers' lock, which is the first thing in a database.
async fn make_lock(client: &Client, rights: &Rights) -> Result<(), StorageError> {
    let mut tries = 1;
    loop {
        if client.query_one(INSTALL_LOCK_THERE, &[]).await?.get(0) {
            return Ok(());
        }
        let made = async {
            rights.let_owner_create(client).await?;
            client.batch_execute(&session_sql(Role::Owner, "")).await?;
            client.batch_execute(include_str!("../../sql/queries/install_lock_make.sql")).await
        };
        let made = made.await;
        client.batch_execute("RESET ROLE").await?;
        match made {
            Err(error) if tries == MAKE_TRIES => {
                return Err(StorageError::from(error).doing("creating the schema tidegate"));
            }
            Err(error) if error.as_db_error().is_some() => tokio::time::sleep(MAKE_PAUSE).await,
            made => made?,
        }
        tries += 1;
    }
}

async fn install_locked(
    client: &Client,
    rights: &Rights,
    config: &Config,
    detected: Detected,
) -> Result<Installed, StorageError> {
    rights.set_roles(client).await;
    client.batch_execute(include_str!("../../sql/queries/stat_statements.sql")).await?;
    // TimescaleDB warns of varchar columns, which seed ADR-002 asks for; its warnings during DDL help nobody.
    client.batch_execute(&session_sql(Role::Owner, "SET client_min_messages = 'error';")).await?;
    client
        .batch_execute(include_str!("../../sql/queries/bootstrap.sql"))
        .await
        .map_err(|error| StorageError::from(error).doing("creating the schema tidegate"))?;
    let standing = recorded_layout(client).await?;
    let layout = standing.map_or(Ok(detected.layout), |standing| agree(standing, detected.layout, config))?;
    // Data stays as it was stored, whatever the server could do for a new database.
    let reason = if layout == detected.layout { detected.reason } else { MADE_WITH_IT.into() };
    let standing_json = match standing {
        Some(_) => Some(agreed_json(client, config).await?),
        None => None,
    };
    let Some(applied) = migrations::apply(client, layout).await? else {
        let missing = || StorageError::not_ready("the database does not say how it keeps payloads");
        let (stored_json, payload_gin) =
            (standing_json.ok_or_else(missing)?, payload_index::payload_index(client).await?);
        return Ok(Installed { layout, stored_json, payload_gin, reason, applied: Vec::new() });
    };
    // On Citus before anything is spread; what cells rely on is put into each when it is made.
    if !standing.is_some_and(Layout::has_cells) {
        put_back(client).await?;
    }
    let stored_json = match standing_json {
        Some(standing) => standing,
        // Until its layout is recorded nothing is written to it.
        None => make(client, layout, config).await?,
    };
    record(client, layout).await?;
    client.batch_execute(include_str!("../../sql/queries/people_grants.sql")).await?;
    client.batch_execute(include_str!("../../sql/queries/sink_grants.sql")).await?;
    for unmade in tenant_views::make(client).await? {
        tracing::warn!(
            view = unmade.view,
            error = unmade.error,
            "a view of a tenant's readers is not as it should be, and stays as it was; drop what was built on it, then run tidegate migrate"
        );
    }
    layout.prepare(client, config).await?;
    let payload_gin = payload_index::apply(client, layout, stored_json, config).await?;
    Ok(Installed { layout, stored_json, payload_gin, reason, applied })
}

/// What the database was made as, or would be; an error where the configuration asks for something else than it was made
/// as. Changes nothing.
pub async fn agreed_layout(client: &Client, url: &ConnectionUrl, config: &Config) -> Result<Layout, StorageError> {
    let detected = detect(url, &config.database).await?.layout;
    let Some(standing) = standing_layout(client).await? else { return Ok(detected) };
    let layout = agree(standing, detected, config)?;
    agreed_json(client, config).await?;
    Ok(layout)
}

/// What the connecting user may do about roles.
struct Rights {
    superuser: bool,
    may_create_roles: bool,
}

impl Rights {
    async fn of(client: &Client) -> Result<Self, StorageError> {
        let sql = "SELECT rolsuper, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user";
        let row = client.query_one(sql, &[]).await?;
        Ok(Self { superuser: row.get(0), may_create_roles: row.get(1) })
    }

    /// Roles that are missing; that they may be made was asked before.
    async fn make_roles(&self, client: &Client) -> Result<(), StorageError> {
        if self.may_create_roles {
            client.batch_execute(include_str!("../../sql/queries/roles.sql")).await?;
        }
        Ok(())
    }

    /// A superuser steps down to tidegate_owner, which must be able to make the schema.
    async fn let_owner_create(&self, client: &Client) -> Result<(), tokio_postgres::Error> {
        if !self.superuser {
            return Ok(());
        }
        let database: String = client.query_one("SELECT quote_ident(current_database())", &[]).await?.get(0);
        client.batch_execute(&format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO tidegate_owner")).await
    }

    /// Settings of the roles, as far as the user may make them.
    async fn set_roles(&self, client: &Client) {
        if !self.may_create_roles {
            return;
        }
        if let Err(error) = client.batch_execute(include_str!("../../sql/queries/role_settings.sql")).await {
            // From PostgreSQL 16 on, CREATEROLE alone may not alter roles that others made. Tidegate's own sessions set
            // what they need; people at psql have to name the schema.
            tracing::warn!(error = %StorageError::from(error), "the roles' search_path could not be set");
        }
    }
}

/// The first installation decides; a later configuration that contradicts it is refused, since data would be lost from
/// sight.
fn agree(standing: Layout, wanted: Layout, config: &Config) -> Result<Layout, StorageError> {
    let refuse = |key: &str, was: &str, now: &str| {
        Err(StorageError::not_ready(format!(
            "this database was installed with {key} = {was}, and now {now} is asked for; data does not move between \
             them: set {key} = {was}, or use a new database"
        )))
    };
    if standing == wanted {
        return Ok(standing);
    }
    if standing.engine() == wanted.engine() {
        return refuse("storage_profile", standing.profile(), wanted.profile());
    }
    // `auto` follows what the database already is, as long as the server still can.
    if config.database.engine == EngineChoice::Auto && !standing.has_hypertables() {
        return Ok(standing);
    }
    refuse("engine", standing.engine(), wanted.engine())
}

/// Remembers what the database was made as, once its relations are there.
async fn record(client: &Client, layout: Layout) -> Result<(), StorageError> {
    let sql = "INSERT INTO tidegate.installation (engine, storage_profile) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&layout.engine(), &layout.profile()]).await?;
    Ok(())
}

/// Proves, before anything is accepted, that COPY goes straight into the columnstore: an empty COPY in a transaction
/// that is rolled back must not make TimescaleDB warn that it disabled direct compress.
pub async fn prove_direct_compress(writer: &ConnectionUrl, layout: Layout) -> Result<(), StorageError> {
    // All on one connection; each on its own only to say which it is.
    if !layout.direct_compress() || !disables(writer, layout, &Kind::ALL).await? {
        return Ok(());
    }
    for kind in Kind::ALL {
        if disables(writer, layout, &[kind]).await? {
            let table = kind.table();
            return Err(StorageError::not_ready(format!(
                "TimescaleDB disabled direct compress for the table {table}, because it has a unique index, a primary key \
                 or a trigger; drop it (\\d tidegate.{table} shows it), or install a new database with \
                 storage_profile = rowstore"
            )));
        }
    }
    Ok(())
}

/// Whether TimescaleDB warns of any of them.
async fn disables(writer: &ConnectionUrl, layout: Layout, kinds: &[Kind]) -> Result<bool, StorageError> {
    let warnings = Arc::new(Warnings::default());
    let (client, task) = connect_to(writer, Arc::clone(&warnings)).await?;
    client.batch_execute(&session_sql(Role::Writer, &layout.writer_settings())).await?;
    for table in kinds.iter().map(|kind| kind.table()) {
        let run = async {
            client.batch_execute("BEGIN").await?;
            let sql = format!("COPY {table} (timestamp) FROM STDIN (FORMAT text)");
            let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>(&sql).await?);
            sink.as_mut().finish().await?;
            client.batch_execute("ROLLBACK").await
        };
        run.await.map_err(|error| StorageError::from(error).doing(&format!("trying a COPY into {table}")))?;
    }
    drop(client);
    // The connection's task has read everything that the server said once it ends.
    let _ = task.await;
    Ok(warnings.direct_compress_disabled() > 0)
}
