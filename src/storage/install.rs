//! Installing the schema: roles, migrations, what the layout needs; and the proof that the write path works.

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_postgres::{Client, Config as PgConfig};

use super::connect::{Role, Warnings, connect_to, session_sql};
use super::detect::{Detected, MADE_WITH_IT, detect};
use super::{Layout, Location, StorageError, migrations, needs, standing_layout};
use crate::config::{Config, EngineChoice};
use crate::model::Kind;

/// The outcome of installing: what the database is, and why.
#[derive(Debug, Clone)]
pub struct Installed {
    pub layout: Layout,
    /// Why so, for the log at start and for `doctor`.
    pub reason: String,
    /// Versions applied by this call.
    pub applied: Vec<i32>,
}

/// All installers of all nodes take turns under this advisory lock.
const INSTALL_LOCK: &str = "SELECT pg_try_advisory_lock(hashtextextended('tidegate.install', 0))";
const INSTALL_UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended('tidegate.install', 0))";

const TRY_EVERY: Duration = Duration::from_millis(100);
const TELL_EVERY: Duration = Duration::from_secs(5);

/// Creates or updates everything in the database: roles, schema, migrations, policies. Safe from several nodes at once.
///
/// A database that is not what Tidegate needs is left as it is.
pub async fn install(location: &Location, config: &Config) -> Result<Installed, StorageError> {
    needs::require(location, config).await?;
    let url = location.owner();
    let detected = detect(url, &config.database).await?;
    let (client, _task) = connect_to(url, Arc::new(Warnings::default())).await?;
    client.batch_execute("SET client_min_messages = 'warning'").await?;
    lock(&client).await?;
    let installed = install_locked(&client, config, detected).await;
    // The lock also ends with the connection, so that a failure here costs nothing.
    let _ = client.execute(INSTALL_UNLOCK, &[]).await;
    installed
}

/// Waits for the installers' lock, and says who has it.
async fn lock(client: &Client) -> Result<(), StorageError> {
    let mut told = Instant::now();
    while !client.query_one(INSTALL_LOCK, &[]).await?.get::<_, bool>(0) {
        if told.elapsed() >= TELL_EVERY {
            told = Instant::now();
            let holder = include_str!("../../sql/queries/install_lock_holder.sql");
            let holder = client.query_opt(holder, &[]).await?.map(|row| (row.get(0), row.get(1)));
            let (pid, application): (i32, String) = holder.unwrap_or_default();
            tracing::warn!(pid, application, "waiting for another session that installs or migrates the schema");
        }
        tokio::time::sleep(TRY_EVERY).await;
    }
    Ok(())
}

async fn install_locked(client: &Client, config: &Config, detected: Detected) -> Result<Installed, StorageError> {
    ensure_roles(client).await?;
    // TimescaleDB warns of varchar columns, which seed ADR-002 asks for; its warnings during DDL help nobody.
    client.batch_execute(&session_sql(Role::Owner, "SET client_min_messages = 'error';")).await?;
    client
        .batch_execute(include_str!("../../sql/queries/bootstrap.sql"))
        .await
        .map_err(|error| StorageError::from(error).doing("creating the schema tidegate"))?;
    let standing = standing_layout(client).await?;
    let layout = standing.map_or(Ok(detected.layout), |standing| agree(standing, detected.layout, config))?;
    // Data stays as it was stored, whatever the server could do for a new database.
    let reason = if layout == detected.layout { detected.reason } else { MADE_WITH_IT.into() };
    let applied = migrations::apply(client, layout).await?;
    record(client, layout).await?;
    layout.prepare(client, config).await?;
    Ok(Installed { layout, reason, applied })
}

/// The three roles exist, with their settings as far as the connecting user may make them.
async fn ensure_roles(client: &Client) -> Result<(), StorageError> {
    let row = client
        .query_one("SELECT rolsuper, rolsuper OR rolcreaterole FROM pg_roles WHERE rolname = session_user", &[])
        .await?;
    let (superuser, may_create): (bool, bool) = (row.get(0), row.get(1));
    if may_create {
        client.batch_execute(include_str!("../../sql/queries/roles.sql")).await?;
        let settings = client.batch_execute(include_str!("../../sql/queries/role_settings.sql")).await;
        if let Err(error) = settings {
            // From PostgreSQL 16 on, CREATEROLE alone may not alter roles that others made. Tidegate's own sessions set
            // what they need; people at psql have to name the schema.
            tracing::warn!(error = %StorageError::from(error), "the roles' search_path could not be set");
        }
    }
    if superuser {
        // The superuser steps down to tidegate_owner, which must be able to make the schema.
        let database: String = client.query_one("SELECT quote_ident(current_database())", &[]).await?.get(0);
        client.batch_execute(&format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO tidegate_owner")).await?;
    }
    Ok(())
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
pub async fn prove_direct_compress(writer: &PgConfig, layout: Layout) -> Result<(), StorageError> {
    if layout.direct_compress() {
        for kind in Kind::ALL {
            prove_of(writer, layout, kind.table()).await?;
        }
    }
    Ok(())
}

async fn prove_of(writer: &PgConfig, layout: Layout, table: &str) -> Result<(), StorageError> {
    let warnings = Arc::new(Warnings::default());
    let (client, task) = connect_to(writer, Arc::clone(&warnings)).await?;
    let run = async {
        client.batch_execute(&session_sql(Role::Writer, layout.writer_settings())).await?;
        client.batch_execute("BEGIN").await?;
        let sql = format!("COPY {table} (timestamp) FROM STDIN (FORMAT text)");
        let mut sink = Box::pin(client.copy_in::<_, bytes::Bytes>(&sql).await?);
        sink.as_mut().finish().await?;
        client.batch_execute("ROLLBACK").await
    };
    run.await.map_err(|error| StorageError::from(error).doing(&format!("trying a COPY into {table}")))?;
    drop(client);
    // The connection's task has read everything that the server said once it ends.
    let _ = task.await;
    if warnings.direct_compress_disabled() > 0 {
        return Err(StorageError::not_ready(format!(
            "TimescaleDB disabled direct compress for the table {table}, because it has a unique index, a primary key \
             or a trigger; drop it (\\d tidegate.{table} shows it), or install a new database with \
             storage_profile = rowstore"
        )));
    }
    Ok(())
}
