//! Numbered, checksummed, forward-only migrations, embedded in the binary.
//!
//! A version number means the same thing on both engines; where the SQL differs, each engine has its own file of that
//! number. Nodes that start together take turns under the lock of
//! installers. A file that changed after it was applied is an
//! error, never a second run.
//!
//! Two versions run beside each other while nodes are replaced one after the other: a program that runs goes on when a newer one
//! brings the schema up to date, and one that is started then, since its machine failed or since somebody goes back, does so
//! where every migration that it does not know says that it may ([`RUNS_WITH`]). It changes nothing of the schema then.

use std::time::Instant;

use sha2::{Digest, Sha256};
use tokio_postgres::error::SqlState;
use tokio_postgres::{Client, Row};

use super::{Layout, StorageError, tenant_views};
use crate::limits::{MIGRATION_LOCK_TIMEOUT, MIGRATION_PAUSE, MIGRATION_TRIES};

pub struct Migration {
    /// Its number, from 1.
    pub version: i32,
    pub name: &'static str,
    hypertables: &'static str,
    partitions: &'static str,
    /// Whether its file is a query for statements that cannot run in a transaction. They run one after another, and again if
    /// they were cut short.
    apart: bool,
}

/// The statements of a file that is the same for every engine.
macro_rules! common {
    ($file:literal) => {{
        let sql = include_str!(concat!("../../sql/migrations/common/", $file, ".sql"));
        Migration::new($file, sql, sql)
    }};
}

/// Those of a file for each engine.
macro_rules! each {
    ($file:literal) => {
        Migration::new(
            $file,
            include_str!(concat!("../../sql/migrations/timescale/", $file, ".sql")),
            include_str!(concat!("../../sql/migrations/postgres/", $file, ".sql")),
        )
    };
}

/// Those that a query for each engine returns, and that cannot run in a transaction.
macro_rules! apart {
    ($file:literal) => {
        Migration { apart: true, ..each!($file) }
    };
}

/// The oldest program that may start on a database with the migrations from this number on, by the newest migration that it knows:
/// raised by the first one that an older program cannot work with.
const RUNS_WITH: i32 = FIRST_BESIDE;
/// The first program that asks whether it may start on a newer schema, and the first migration that says so.
const FIRST_BESIDE: i32 = 37;

/// Whether this database can have views of tenants' readers.
const VIEWS_OF_READERS: &str = "SELECT to_regclass('tidegate.reader_logins') IS NOT NULL";

pub const MIGRATIONS: &[Migration] = &[
    common!("0001_control"),
    each!("0002_events"),
    common!("0003_ingest"),
    common!("0004_key_limits"),
    each!("0005_text"),
    common!("0006_touched"),
    each!("0007_metrics"),
    common!("0008_buckets"),
    each!("0009_rollups"),
    each!("0010_correlations"),
    common!("0011_derived"),
    common!("0012_lifecycle"),
    common!("0013_rejections"),
    common!("0014_level_sources"),
    common!("0015_locks"),
    common!("0016_inferred_quota"),
    common!("0017_identity"),
    each!("0018_bare_ids"),
    common!("0019_request_columns"),
    common!("0020_series"),
    each!("0021_series_buckets"),
    apart!("0022_series_watermarks"),
    each!("0023_series_levels"),
    common!("0024_newest"),
    common!("0025_series_upkeep"),
    each!("0026_event_minutes"),
    common!("0027_sequencer"),
    common!("0028_replays"),
    common!("0029_groups"),
    common!("0030_projections"),
    common!("0031_actions"),
    common!("0032_definitions"),
    common!("0033_administration"),
    common!("0034_readers"),
    common!("0035_usage"),
    common!("0036_originals"),
    common!("0037_nodes"),
    common!("0038_citus"),
];

impl Migration {
    /// Of a file called by its number in four digits, an underscore and its name.
    const fn new(file: &'static str, hypertables: &'static str, partitions: &'static str) -> Self {
        let (number, name) = file.split_at(4);
        let (mut version, mut index) = (0, 0);
        while index < number.len() {
            version = version * 10 + (number.as_bytes()[index] - b'0') as i32;
            index += 1;
        }
        Self { version, name: name.split_at(1).1, hypertables, partitions, apart: false }
    }

    /// The statements for one layout: those of its engine.
    pub fn sql(&self, layout: Layout) -> &'static str {
        if layout.has_hypertables() { self.hypertables } else { self.partitions }
    }

    /// SHA-256 of the statements, in hex.
    pub fn checksum(&self, layout: Layout) -> String {
        hex(&Sha256::digest(self.sql(layout)))
    }
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The newest that this program knows.
pub fn latest() -> i32 {
    MIGRATIONS.iter().map(|migration| migration.version).max().unwrap_or(0)
}

/// Where a database stands against this version of Tidegate.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct SchemaStanding {
    /// Versions not applied yet.
    pub pending: Vec<i32>,
    /// Applied versions whose file differs from the one embedded here.
    pub altered: Vec<i32>,
    /// Applied versions that this binary does not know, and is not to work with: it is older than the database.
    pub unknown: Vec<i32>,
    /// Those that it does not know and may work with: a newer version is there as well.
    pub newer: Vec<i32>,
}

impl SchemaStanding {
    /// Nothing to do and nothing wrong.
    pub fn is_current(&self) -> bool {
        self.newer.is_empty() && self.is_usable()
    }

    /// The same, or a newer version has changed what this one does not mind.
    pub fn is_usable(&self) -> bool {
        self.pending.is_empty() && self.altered.is_empty() && self.unknown.is_empty()
    }
}

/// Compares what is applied with what is embedded; reads only.
pub async fn standing(client: &Client, layout: Layout) -> Result<SchemaStanding, StorageError> {
    let exists: bool =
        client.query_one("SELECT to_regclass('tidegate.schema_migrations') IS NOT NULL", &[]).await?.get(0);
    if !exists {
        return Ok(SchemaStanding {
            pending: MIGRATIONS.iter().map(|m| m.version).collect(),
            ..SchemaStanding::default()
        });
    }
    // By its name in a text: a schema from before has no such column.
    let sql = "SELECT version, checksum, (to_jsonb(m) ->> 'runs_with')::int FROM tidegate.schema_migrations m ORDER BY version";
    let rows = client.query(sql, &[]).await?;
    let applied: Vec<(i32, String)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    let runs_with = |row: &Row| row.get::<_, Option<i32>>(2).is_some_and(|oldest| oldest <= latest());
    let mut standing = SchemaStanding::default();
    for migration in MIGRATIONS {
        match applied.iter().find(|(version, _)| *version == migration.version) {
            None => standing.pending.push(migration.version),
            Some((_, checksum)) if *checksum != migration.checksum(layout) => standing.altered.push(migration.version),
            Some(_) => {}
        }
    }
    let known = |version: &i32| MIGRATIONS.iter().any(|m| m.version == *version);
    for row in rows.iter().filter(|row| !known(&row.get(0))) {
        let list = if runs_with(row) { &mut standing.newer } else { &mut standing.unknown };
        list.push(row.get(0));
    }
    Ok(standing)
}

/// Applies what is pending, each migration in its own transaction or apart from one; returns the versions applied. None: a newer
/// version has brought the schema further, and it is not this one's to change. The caller holds the installers' lock.
pub async fn apply(client: &Client, layout: Layout) -> Result<Option<Vec<i32>>, StorageError> {
    let standing = standing(client, layout).await?;
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
    if !standing.newer.is_empty() {
        if standing.is_usable() {
            tracing::warn!(
                newer = ?standing.newer,
                "the schema is a newer version's, beside which this one runs; it is left as it is: go on with the upgrade"
            );
            return Ok(None);
        }
        return Err(StorageError::not_ready(format!(
            "the database has migrations {:?} of a newer version of Tidegate, and lacks {:?} of this one's: run the newer one",
            standing.newer, standing.pending
        )));
    }
    let made = "SELECT to_regclass('tidegate.organizations') IS NOT NULL";
    let is_new = standing.pending.len() == MIGRATIONS.len();
    if is_new && client.query_one(made, &[]).await?.get(0) {
        return Err(StorageError::not_ready(
            "the table tidegate.schema_migrations is empty, and its tables are there: put it back from a backup of that table, \
             or use a new database",
        ));
    }
    let mut applied = Vec::new();
    let mut views_dropped = false;
    for migration in MIGRATIONS.iter().filter(|m| standing.pending.contains(&m.version)) {
        let what = format!("migration {} ({})", migration.version, migration.name);
        let mut tries = 1;
        let done = loop {
            let error = match apply_one(client, migration, layout).await {
                Ok(done) => break done,
                Err(error) => error,
            };
            // The first error is the one to report; a failed rollback only means that the connection is gone.
            let _ = client.batch_execute("ROLLBACK").await;
            // What it drops or changes is read by views that are made again when all are applied.
            if is_read_by_views(&error) && !views_dropped && client.query_one(VIEWS_OF_READERS, &[]).await?.get(0) {
                tenant_views::drop_all(client).await?;
                views_dropped = true;
                continue;
            }
            if error.code() != Some(&SqlState::LOCK_NOT_AVAILABLE) || tries == MIGRATION_TRIES {
                return Err(StorageError::from(error).doing(&what));
            }
            tracing::warn!(
                version = migration.version,
                tries,
                "a migration waits for a table that others use; they go first, and it is tried again"
            );
            tries += 1;
            tokio::time::sleep(MIGRATION_PAUSE).await;
        };
        if done {
            // Of a new database one line says that all are.
            if !is_new {
                tracing::info!(version = migration.version, name = migration.name, "migration applied");
            }
            applied.push(migration.version);
        }
    }
    if is_new {
        tracing::info!(migrations = applied.len(), "the tables of a new database are made");
    }
    Ok(Some(applied))
}

/// Columns that a view reads are neither dropped nor changed.
fn is_read_by_views(error: &tokio_postgres::Error) -> bool {
    [Some(&SqlState::DEPENDENT_OBJECTS_STILL_EXIST), Some(&SqlState::FEATURE_NOT_SUPPORTED)].contains(&error.code())
}

/// Writers and readers queue behind a migration that waits for a lock, so that it does not wait long. False: it was applied
/// meanwhile.
///
/// The installers' lock ends with the connection that holds it, and what an installer that was killed was at goes on in the
/// server, to its COMMIT if that was sent. So migrations take turns by themselves, too.
async fn apply_one(client: &Client, migration: &Migration, layout: Layout) -> Result<bool, tokio_postgres::Error> {
    let started = Instant::now();
    if migration.apart {
        for row in client.query(migration.sql(layout), &[]).await? {
            client.batch_execute(row.get(0)).await?;
        }
    }
    let lock_timeout_ms = MIGRATION_LOCK_TIMEOUT.as_millis();
    let begin = format!(
        "BEGIN; SET LOCAL search_path = tidegate, public; SET LOCAL lock_timeout = {lock_timeout_ms}; \
         LOCK TABLE schema_migrations IN SHARE ROW EXCLUSIVE MODE"
    );
    client.batch_execute(&begin).await?;
    let there = "SELECT EXISTS (SELECT FROM schema_migrations WHERE version = $1)";
    if client.query_one(there, &[&migration.version]).await?.get(0) {
        client.batch_execute("ROLLBACK").await?;
        return Ok(false);
    }
    if !migration.apart {
        client.batch_execute(migration.sql(layout)).await?;
    }
    let elapsed_ms = i64::try_from(started.elapsed().as_millis()).unwrap_or(i64::MAX);
    client
        .execute(
            "INSERT INTO tidegate.schema_migrations (version, name, checksum, execution_ms) VALUES ($1, $2, $3, $4)",
            &[&migration.version, &migration.name, &migration.checksum(layout), &elapsed_ms],
        )
        .await?;
    if migration.version >= FIRST_BESIDE {
        let sql = "UPDATE tidegate.schema_migrations SET runs_with = $2 WHERE version = $1";
        client.execute(sql, &[&migration.version, &RUNS_WITH]).await?;
    }
    client.batch_execute("COMMIT").await?;
    Ok(true)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn versions_are_dense_and_every_engine_has_its_sql() {
        for (index, migration) in MIGRATIONS.iter().enumerate() {
            assert_eq!(usize::try_from(migration.version), Ok(index + 1));
            assert!(Layout::ALL.into_iter().all(|layout| !migration.sql(layout).trim().is_empty()));
        }
    }

    #[test]
    fn checksums_are_sha256_of_the_file() {
        let sum = MIGRATIONS[1].checksum(Layout::Native);
        assert_eq!(sum.len(), 64);
        assert_ne!(sum, MIGRATIONS[1].checksum(Layout::Columnstore));
    }
}
