//! Numbered, checksummed, forward-only migrations, embedded in the binary.
//!
//! A version number means the same thing on both engines; where the SQL differs, each engine has its own file of that
//! number. Nodes that start together take turns under an advisory lock. A file that changed after it was applied is an
//! error, never a second run.

use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio_postgres::Client;

use super::{Engine, StorageError};

/// One migration as embedded.
pub struct Migration {
    /// Its number, from 1.
    pub version: i32,
    /// Its name, from the file name.
    pub name: &'static str,
    common: Option<&'static str>,
    timescale: Option<&'static str>,
    postgres: Option<&'static str>,
}

macro_rules! sql {
    ($path:literal) => {
        Some(include_str!(concat!("../../sql/migrations/", $path, ".sql")))
    };
}

/// All migrations, in order.
pub const MIGRATIONS: &[Migration] = &[
    Migration { version: 1, name: "control", common: sql!("common/0001_control"), timescale: None, postgres: None },
    Migration {
        version: 2,
        name: "events",
        common: None,
        timescale: sql!("timescale/0002_events"),
        postgres: sql!("postgres/0002_events"),
    },
    Migration { version: 3, name: "ingest", common: sql!("common/0003_ingest"), timescale: None, postgres: None },
    Migration {
        version: 4,
        name: "key_limits",
        common: sql!("common/0004_key_limits"),
        timescale: None,
        postgres: None,
    },
    Migration {
        version: 5,
        name: "text",
        common: None,
        timescale: sql!("timescale/0005_text"),
        postgres: sql!("postgres/0005_text"),
    },
    Migration { version: 6, name: "touched", common: sql!("common/0006_touched"), timescale: None, postgres: None },
    Migration {
        version: 7,
        name: "metrics",
        common: None,
        timescale: sql!("timescale/0007_metrics"),
        postgres: sql!("postgres/0007_metrics"),
    },
    Migration { version: 8, name: "buckets", common: sql!("common/0008_buckets"), timescale: None, postgres: None },
    Migration {
        version: 9,
        name: "rollups",
        common: None,
        timescale: sql!("timescale/0009_rollups"),
        postgres: sql!("postgres/0009_rollups"),
    },
    Migration {
        version: 10,
        name: "correlations",
        common: None,
        timescale: sql!("timescale/0010_correlations"),
        postgres: sql!("postgres/0010_correlations"),
    },
    Migration { version: 11, name: "derived", common: sql!("common/0011_derived"), timescale: None, postgres: None },
    Migration {
        version: 12,
        name: "lifecycle",
        common: sql!("common/0012_lifecycle"),
        timescale: None,
        postgres: None,
    },
    Migration {
        version: 13,
        name: "rejections",
        common: sql!("common/0013_rejections"),
        timescale: None,
        postgres: None,
    },
];

impl Migration {
    /// The statements for one engine.
    pub fn sql(&self, engine: Engine) -> &'static str {
        let own = match engine {
            Engine::Timescale => self.timescale,
            Engine::Postgres => self.postgres,
        };
        own.or(self.common).expect("every migration has a file for each engine: checked by a test")
    }

    /// SHA-256 of the statements, in hex.
    pub fn checksum(&self, engine: Engine) -> String {
        hex(&Sha256::digest(self.sql(engine)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Where a database stands against this version of Tidegate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Standing {
    /// Versions not applied yet.
    pub pending: Vec<i32>,
    /// Applied versions whose file differs from the one embedded here.
    pub altered: Vec<i32>,
    /// Applied versions that this binary does not know: it is older than the database.
    pub unknown: Vec<i32>,
}

impl Standing {
    /// Nothing to do and nothing wrong.
    pub fn is_current(&self) -> bool {
        *self == Self::default()
    }
}

/// Compares what is applied with what is embedded; reads only.
pub async fn standing(client: &Client, engine: Engine) -> Result<Standing, StorageError> {
    let exists: bool =
        client.query_one("SELECT to_regclass('tidegate.schema_migrations') IS NOT NULL", &[]).await?.get(0);
    if !exists {
        return Ok(Standing { pending: MIGRATIONS.iter().map(|m| m.version).collect(), ..Standing::default() });
    }
    let rows = client.query("SELECT version, checksum FROM tidegate.schema_migrations ORDER BY version", &[]).await?;
    let applied: Vec<(i32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let mut standing = Standing::default();
    for migration in MIGRATIONS {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => standing.pending.push(migration.version),
            Some((_, checksum)) if *checksum != migration.checksum(engine) => standing.altered.push(migration.version),
            Some(_) => {}
        }
    }
    let known = |version: &i32| MIGRATIONS.iter().any(|m| m.version == *version);
    standing.unknown = applied.iter().map(|(version, _)| *version).filter(|version| !known(version)).collect();
    Ok(standing)
}

/// Applies what is pending, each migration in its own transaction; returns the versions applied. The caller holds the
/// migration lock.
pub async fn apply(client: &Client, engine: Engine) -> Result<Vec<i32>, StorageError> {
    let standing = standing(client, engine).await?;
    if let Some(version) = standing.altered.first() {
        return Err(StorageError::not_ready(format!(
            "migration {version} was applied with other content than this version of Tidegate has; migrations are \
             immutable: run the binary that applied it, or restore the file"
        )));
    }
    if let Some(version) = standing.unknown.first() {
        return Err(StorageError::not_ready(format!(
            "the database has migration {version}, which this older version of Tidegate does not know; run the newer one"
        )));
    }
    for migration in MIGRATIONS.iter().filter(|m| standing.pending.contains(&m.version)) {
        let started = Instant::now();
        let what = format!("migration {} ({})", migration.version, migration.name);
        let run = async {
            client.batch_execute("BEGIN; SET LOCAL search_path = tidegate, public;").await?;
            client.batch_execute(migration.sql(engine)).await?;
            let elapsed_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
            client
                .execute(
                    "INSERT INTO tidegate.schema_migrations (version, name, checksum, execution_ms) VALUES ($1, $2, $3, $4)",
                    &[&migration.version, &migration.name, &migration.checksum(engine), &elapsed_ms],
                )
                .await?;
            client.batch_execute("COMMIT").await
        };
        if let Err(error) = run.await {
            // The first error is the one to report; a failed rollback only means that the connection is gone.
            let _ = client.batch_execute("ROLLBACK").await;
            return Err(StorageError::from(error).doing(&what));
        }
        tracing::info!(version = migration.version, name = migration.name, "migration applied");
    }
    Ok(standing.pending)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dense_and_every_engine_has_its_sql() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version), Ok(index + 1));
            assert_ne!(migration.sql(Engine::Timescale).trim(), "");
            assert_ne!(migration.sql(Engine::Postgres).trim(), "");
            assert!(migration.common.is_none() || (migration.timescale.is_none() && migration.postgres.is_none()));
        }
    }

    #[test]
    fn checksums_are_sha256_of_the_file() {
        let sum = MIGRATIONS[1].checksum(Engine::Postgres);
        assert_eq!(sum.len(), 64);
        assert_ne!(sum, MIGRATIONS[1].checksum(Engine::Timescale));
    }
}
