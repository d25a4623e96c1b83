//! The two storage engines: which one a server gives, installing the schema for it, and proving that it works.

use std::sync::Arc;

use tokio_postgres::{Client, Config as PgConfig};

use super::connect::{Role, Warnings, connect_to, session_sql};
use super::{StorageError, migrations};
use crate::config::{Config, EngineChoice, StorageProfile};
use crate::limits::POSTGRES_MAJOR_MIN;

/// How events are stored.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Engine {
    /// Hypertables of TimescaleDB Community.
    Timescale,
    Postgres,
}

impl Engine {
    /// The name used in configuration and in the database.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Timescale => "timescale",
            Self::Postgres => "postgres",
        }
    }
}

/// What a database is installed as; this never changes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Installation {
    pub engine: Engine,
    /// The layout of events; on the postgres engine it has no meaning and is `Rowstore`.
    pub profile: StorageProfile,
}

/// The outcome of installing: what the database is, and why.
#[derive(Debug, Clone)]
pub struct Installed {
    pub installation: Installation,
    /// Why this engine, for the log at start and for `doctor`.
    pub reason: String,
    /// TimescaleDB's version, where it is installed in the database.
    pub timescaledb: Option<String>,
    /// Versions applied by this call.
    pub applied: Vec<i32>,
}

impl Installation {
    /// Whether COPY goes straight into the columnstore.
    pub fn direct_compress(&self) -> bool {
        self.engine == Engine::Timescale && self.profile == StorageProfile::Columnstore
    }

    /// Session settings of the writers' connections.
    pub fn writer_settings(&self) -> &'static str {
        if self.direct_compress() {
            // pglz cost 15 % of all CPU at the limit.
            "SET timescaledb.enable_direct_compress_copy = on; SET default_toast_compression = 'lz4';"
        } else {
            ""
        }
    }
}

/// First TimescaleDB release that has what direct compress into the columnstore needs.
const TIMESCALEDB_VERSION_MIN: (u32, u32, u32) = (2, 28, 1);

/// All installers of all nodes take turns under this advisory lock.
const INSTALL_LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('tidegate.install', 0))";
const INSTALL_UNLOCK: &str = "SELECT pg_advisory_unlock(hashtextextended('tidegate.install', 0))";

/// Looks at the server and says which engine it would get; changes nothing but may create the extension, which
/// `auto` needs to know whether it works here.
pub async fn detect(url: &PgConfig, choice: EngineChoice) -> Result<(Engine, String, Option<String>), StorageError> {
    let warnings = Arc::new(Warnings::default());
    let (client, _task) = connect_to(url, Arc::clone(&warnings)).await?;
    let version: i32 = client.query_one("SELECT current_setting('server_version_num')::int", &[]).await?.get(0);
    let major = version / 10_000;
    if u32::try_from(major).unwrap_or(0) < POSTGRES_MAJOR_MIN {
        return Err(StorageError::not_ready(format!(
            "the server is PostgreSQL {major}; Tidegate needs {POSTGRES_MAJOR_MIN} or newer: upgrade it"
        )));
    }
    if choice == EngineChoice::Postgres {
        return Ok((Engine::Postgres, "engine = postgres is configured".into(), None));
    }
    let no = |why: String| match choice {
        EngineChoice::Timescale => Err(StorageError::not_ready(format!("engine = timescale is configured, but {why}"))),
        _ => Ok((Engine::Postgres, why, None)),
    };
    if !extension_works(url, &client).await? {
        return no("TimescaleDB is not installed, or not in shared_preload_libraries, on this server".into());
    }
    // A fresh connection: one that was open before CREATE EXTENSION has not loaded the library.
    let (client, _task) = connect_to(url, warnings).await?;
    let row = client
        .query_one(
            "SELECT extversion, current_setting('timescaledb.license', true) FROM pg_extension WHERE extname = 'timescaledb'",
            &[],
        )
        .await?;
    let (version, license): (String, Option<String>) = (row.get(0), row.get(1));
    if license.as_deref() != Some("timescale") {
        return no(format!(
            "this server has TimescaleDB {version} in its Apache-2 edition, which lacks compression and continuous \
             aggregates; install the Community edition (timescaledb.license = timescale)"
        ));
    }
    if version_of(&version) < TIMESCALEDB_VERSION_MIN {
        return no(format!("this server has TimescaleDB {version}; 2.28.1 or newer is needed: update the extension"));
    }
    Ok((Engine::Timescale, format!("TimescaleDB {version} Community found"), Some(version)))
}

/// Whether the extension is in the database, trying to create it when the server offers it.
async fn extension_works(url: &PgConfig, client: &Client) -> Result<bool, StorageError> {
    let row = client
        .query_one(
            "SELECT EXISTS (SELECT FROM pg_extension WHERE extname = 'timescaledb'), \
             EXISTS (SELECT FROM pg_available_extensions WHERE name = 'timescaledb')",
            &[],
        )
        .await?;
    let (installed, available): (bool, bool) = (row.get(0), row.get(1));
    if installed || !available {
        return Ok(installed);
    }
    // On its own connection: without preloading, CREATE EXTENSION ends the session that tried.
    let (trial, _task) = connect_to(url, Arc::new(Warnings::default())).await?;
    let create = "SET client_min_messages = error; SELECT pg_advisory_xact_lock(hashtextextended('tidegate.extension', 0)); \
                  CREATE EXTENSION IF NOT EXISTS timescaledb WITH SCHEMA public";
    Ok(match trial.batch_execute(create).await {
        Ok(()) => true,
        Err(error) => {
            tracing::info!(error = %StorageError::from(error), "TimescaleDB is on the server but could not be created");
            false
        }
    })
}

/// Creates or updates everything in the database: roles, schema, migrations, policies. Safe from several nodes at once.
pub async fn install(url: &PgConfig, config: &Config) -> Result<Installed, StorageError> {
    let (engine, reason, timescaledb) = detect(url, config.database.engine).await?;
    let (client, _task) = connect_to(url, Arc::new(Warnings::default())).await?;
    client.batch_execute("SET client_min_messages = 'warning'").await?;
    client.execute(INSTALL_LOCK, &[]).await?;
    let installed = install_locked(&client, config, engine, timescaledb, reason).await;
    // The lock also ends with the connection, so that a failure here costs nothing.
    let _ = client.execute(INSTALL_UNLOCK, &[]).await;
    installed
}

async fn install_locked(
    client: &Client,
    config: &Config,
    engine: Engine,
    timescaledb: Option<String>,
    reason: String,
) -> Result<Installed, StorageError> {
    ensure_roles(client).await?;
    // TimescaleDB warns of varchar columns, which seed ADR-002 asks for; its warnings during DDL help nobody.
    client.batch_execute(&session_sql(Role::Owner, "SET client_min_messages = 'error';")).await?;
    client
        .batch_execute(include_str!("../../sql/queries/bootstrap.sql"))
        .await
        .map_err(|error| StorageError::from(error).doing("creating the schema tidegate"))?;
    let wanted = Installation {
        engine,
        profile: if engine == Engine::Timescale { config.database.storage_profile } else { StorageProfile::Rowstore },
    };
    let Installation { engine, profile } = match standing_installation(client).await? {
        Some(standing) => agree(standing, wanted, config)?,
        None => wanted,
    };
    let applied = migrations::apply(client, engine).await?;
    record(client, engine, profile).await?;
    if engine == Engine::Timescale {
        if profile == StorageProfile::Rowstore {
            apply_rowstore(client).await?;
        }
        apply_policies(client, config).await?;
    }
    Ok(Installed { installation: Installation { engine, profile }, reason, timescaledb, applied })
}

/// The three roles exist, with their settings as far as the connecting user may make them.
async fn ensure_roles(client: &Client) -> Result<(), StorageError> {
    let row = client
        .query_one(
            "SELECT rolsuper, rolsuper OR rolcreaterole, session_user::text, \
             (SELECT count(*) FROM pg_roles WHERE rolname IN ('tidegate_owner', 'tidegate_writer', 'tidegate_reader')) \
             FROM pg_roles WHERE rolname = session_user",
            &[],
        )
        .await?;
    let (superuser, may_create, user, present): (bool, bool, String, i64) =
        (row.get(0), row.get(1), row.get(2), row.get(3));
    if may_create {
        client.batch_execute(include_str!("../../sql/queries/roles.sql")).await?;
        let settings = client.batch_execute(include_str!("../../sql/queries/role_settings.sql")).await;
        if let Err(error) = settings {
            // From PostgreSQL 16 on, CREATEROLE alone may not alter roles that others made. Tidegate's own sessions set
            // what they need; people at psql have to name the schema.
            tracing::warn!(error = %StorageError::from(error), "the roles' search_path could not be set");
        }
    } else if present < 3 {
        return Err(StorageError::not_ready(format!(
            "the roles tidegate_owner, tidegate_writer and tidegate_reader are not all there, and `{user}` may not \
             create them; as a superuser run: CREATE ROLE tidegate_owner LOGIN; CREATE ROLE tidegate_writer LOGIN; \
             CREATE ROLE tidegate_reader LOGIN; and set passwords as you need"
        )));
    }
    if superuser {
        // The superuser steps down to tidegate_owner, which must be able to make the schema.
        let database: String = client.query_one("SELECT quote_ident(current_database())", &[]).await?.get(0);
        client.batch_execute(&format!("GRANT CREATE, TEMPORARY ON DATABASE {database} TO tidegate_owner")).await?;
    }
    Ok(())
}

fn version_of(text: &str) -> (u32, u32, u32) {
    let mut parts = text.split(['.', '-']).map(|part| part.parse().unwrap_or(0));
    let mut next = || parts.next().unwrap_or(0);
    (next(), next(), next())
}

/// What the database is installed as, by its own record; None before the first installation. Reads only.
pub async fn standing_installation(client: &Client) -> Result<Option<Installation>, StorageError> {
    let there: bool = client.query_one("SELECT to_regclass('tidegate.installation') IS NOT NULL", &[]).await?.get(0);
    if !there {
        return Ok(None);
    }
    let row = client.query_opt("SELECT engine, storage_profile FROM tidegate.installation", &[]).await?;
    Ok(row.map(|row| Installation {
        engine: if row.get::<_, &str>(0) == "timescale" { Engine::Timescale } else { Engine::Postgres },
        profile: if row.get::<_, &str>(1) == "columnstore" {
            StorageProfile::Columnstore
        } else {
            StorageProfile::Rowstore
        },
    }))
}

/// The first installation decides; a later configuration that contradicts it is refused, since data would be lost from
/// sight.
fn agree(standing: Installation, wanted: Installation, config: &Config) -> Result<Installation, StorageError> {
    let refuse = |key: &str, was: &str, now: &str| {
        Err(StorageError::not_ready(format!(
            "this database was installed with {key} = {was}, and now {now} is asked for; data does not move between \
             them: set {key} = {was}, or use a new database"
        )))
    };
    if standing.engine != wanted.engine {
        // `auto` follows what the database already is, as long as the server still can.
        if config.database.engine == EngineChoice::Auto && standing.engine == Engine::Postgres {
            return Ok(standing);
        }
        return refuse("engine", standing.engine.as_str(), wanted.engine.as_str());
    }
    if standing.profile != wanted.profile {
        return refuse("storage_profile", standing.profile.as_str(), wanted.profile.as_str());
    }
    Ok(standing)
}

/// Remembers what the database was made as, once its relations are there.
async fn record(client: &Client, engine: Engine, profile: StorageProfile) -> Result<(), StorageError> {
    let sql = "INSERT INTO tidegate.installation (engine, storage_profile) VALUES ($1, $2) ON CONFLICT DO NOTHING";
    client.execute(sql, &[&engine.as_str(), &profile.as_str()]).await?;
    Ok(())
}

async fn apply_rowstore(client: &Client) -> Result<(), StorageError> {
    let present: bool = client.query_one("SELECT to_regclass('tidegate.events_unique') IS NOT NULL", &[]).await?.get(0);
    if !present {
        let sql = include_str!("../../sql/profile/rowstore.sql");
        client.batch_execute(&format!("BEGIN; {sql} COMMIT;")).await?;
    }
    Ok(())
}

/// Chunk widths as configured, and no policy that the lifecycle job has replaced.
async fn apply_policies(client: &Client, config: &Config) -> Result<(), StorageError> {
    let sql = format!(
        "BEGIN; SET LOCAL tidegate.chunk_s = '{}'; {} COMMIT;",
        config.chunk_interval.as_secs(),
        include_str!("../../sql/queries/timescale_policies.sql"),
    );
    client
        .batch_execute(&sql)
        .await
        .map_err(|error| StorageError::from(error).doing("setting chunk widths and TimescaleDB's policies"))
}

/// Proves, before anything is accepted, that COPY goes straight into the columnstore: an empty COPY in a transaction
/// that is rolled back must not make TimescaleDB warn that it disabled direct compress.
pub async fn prove_direct_compress(writer: &PgConfig, installed: &Installation) -> Result<(), StorageError> {
    if installed.direct_compress() {
        for table in ["events", "metrics"] {
            prove_of(writer, installed, table).await?;
        }
    }
    Ok(())
}

async fn prove_of(writer: &PgConfig, installed: &Installation, table: &str) -> Result<(), StorageError> {
    let warnings = Arc::new(Warnings::default());
    let (client, task) = connect_to(writer, Arc::clone(&warnings)).await?;
    let run = async {
        client.batch_execute(&session_sql(Role::Writer, installed.writer_settings())).await?;
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

#[cfg(test)]
mod tests {
    use super::version_of;

    #[test]
    fn versions_compare_by_number() {
        assert!(version_of("2.28.3") >= super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.29.0-dev") >= super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.9.1") < super::TIMESCALEDB_VERSION_MIN);
        assert!(version_of("2.28.0") < super::TIMESCALEDB_VERSION_MIN);
    }
}
