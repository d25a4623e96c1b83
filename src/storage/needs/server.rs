//! What the server and the database are: version, encoding, whether it can be written, TimescaleDB, the clock.

use jiff::Timestamp;
use tokio_postgres::Client;

use super::need::{Need, Severity};
use crate::config::{Config, EngineChoice};
use crate::limits::{POSTGRES_MAJOR_MIN, POSTGRES_MAJOR_TRIED};
use crate::storage::extension::{Extension, TIMESCALEDB_SUPPORTED};
use crate::storage::{Layout, StorageError, standing_layout, toast};

/// Clock difference from which timestamps near the bounds of the window are judged differently.
const SKEW_MS_MAX: i64 = 1000;

/// What no statement of Tidegate's would work without.
pub async fn needs(client: &Client) -> Result<Vec<Need>, StorageError> {
    let version = version(client).await?;
    if version.forbids_start() {
        return Ok(vec![version]);
    }
    let row = client.query_one(include_str!("../../../sql/queries/needs_server.sql"), &[]).await?;
    let (encoding, read_only, standby): (String, bool, bool) = (row.get(0), row.get(1), row.get(2));
    let (database, user, character_class): (String, String, String) = (row.get(3), row.get(4), row.get(5));
    let encoding = Need::expect(
        "encoding",
        Severity::Must,
        encoding == "UTF8",
        format!("{encoding}, LC_CTYPE {character_class} (nothing depends on that)"),
        format!(
            "the encoding of a database is for good, and this one cannot hold every text that is sent; make another: \
             CREATE DATABASE name OWNER {user} ENCODING 'UTF8' LOCALE 'C' TEMPLATE template0"
        ),
    );
    // A standby is promoted one day, or the name that leads to it leads elsewhere.
    let severity = if standby { Severity::Passes } else { Severity::Must };
    let (found, mend) = match (standby, read_only) {
        (true, _) => ("a standby, which cannot be written", "name the primary in database_url".to_owned()),
        (false, true) => (
            "transactions are read-only by default",
            format!(
                "ALTER DATABASE {database} RESET default_transaction_read_only; ALTER ROLE {user} RESET \
                 default_transaction_read_only; where a managed service sets it, its disk is nearly full: make room"
            ),
        ),
        (false, false) => ("yes", String::new()),
    };
    Ok(vec![version, encoding, Need::expect("writable", severity, !standby && !read_only, found, mend)])
}

async fn version(client: &Client) -> Result<Need, StorageError> {
    let sql = "SELECT current_setting('server_version'), current_setting('server_version_num')::int / 10000";
    let row = client.query_one(sql, &[]).await?;
    let (version, major): (String, i32) = (row.get(0), row.get(1));
    let major = u32::try_from(major).unwrap_or(0);
    let found = format!("{version}; {POSTGRES_MAJOR_MIN} to {POSTGRES_MAJOR_TRIED} are supported");
    Ok(if major < POSTGRES_MAJOR_MIN {
        let mend = format!("Tidegate needs PostgreSQL {POSTGRES_MAJOR_MIN} or newer: upgrade the server");
        Need::unmet("PostgreSQL", Severity::Must, found, mend)
    } else {
        let mend = "look for a Tidegate that was tried on this version";
        Need::expect("PostgreSQL", Severity::Advice, major <= POSTGRES_MAJOR_TRIED, found, mend)
    })
}

/// TimescaleDB, as the database was made with it or the configuration asks for it; `auto` on a new database is content with
/// whatever there is.
pub async fn timescaledb(client: &Client, config: &Config) -> Result<Need, StorageError> {
    const NAME: &str = "TimescaleDB";
    let standing = standing_layout(client).await?;
    let extension = Extension::look(client).await?;
    let needed = match standing {
        Some(layout) => layout.has_hypertables(),
        None => config.database.engine == EngineChoice::Timescale,
    };
    let (found, fault) = match &extension {
        Some(extension) => {
            let license = extension.license.as_deref().unwrap_or("unknown");
            (
                format!("{}, license {license}; {TIMESCALEDB_SUPPORTED} is supported", extension.version),
                extension.fault(),
            )
        }
        None => ("not in this database".to_owned(), None),
    };
    if !needed {
        let why = match (standing, config.database.engine) {
            (Some(_), _) => "not needed: this database was made with engine postgres",
            (None, EngineChoice::Postgres) => "not needed: engine = postgres is configured",
            (None, _) => "an empty database: engine = auto takes what the server offers",
        };
        return Ok(Need::met(NAME, format!("{found}; {why}")));
    }
    if let Some((fault, mend)) = fault {
        return Ok(Need::unmet(NAME, Severity::Must, fault, mend));
    }
    if extension.is_some() {
        return Ok(Need::met(NAME, found));
    }
    if standing.is_some() {
        let mend = "restore the database with the extension (timescaledb_pre_restore and timescaledb_post_restore around \
                    pg_restore), or name the one that it was made in";
        let found = "not in this database, whose relations were made with it";
        return Ok(Need::unmet(NAME, Severity::Must, found, mend));
    }
    let offered = "SELECT default_version FROM pg_available_extensions WHERE name = 'timescaledb'";
    Ok(match client.query_opt(offered, &[]).await?.map(|row| row.get::<_, String>(0)) {
        Some(version) => Need::met(NAME, format!("{version} can be made here, and will be")),
        None => Need::unmet(
            NAME,
            Severity::Must,
            "engine = timescale is configured, but TimescaleDB is not installed on this server",
            "install its package and add timescaledb to shared_preload_libraries, or set engine = postgres",
        ),
    })
}

/// Long values are compressed by lz4 where rows go straight into the columnstore; None where they do not.
pub async fn lz4(client: &Client, config: &Config) -> Result<Option<Need>, StorageError> {
    let direct = match standing_layout(client).await? {
        Some(layout) => layout.direct_compress(),
        None => {
            let layout = Layout::of_hypertables(config.database.storage_profile);
            layout.direct_compress() && Extension::look(client).await?.is_some()
        }
    };
    if !direct {
        return Ok(None);
    }
    let has = toast::has_lz4(client).await?;
    let found = if has { "compresses long values" } else { "PostgreSQL was built without it: pglz is used instead" };
    Ok(Some(Need::expect("lz4", Severity::Advice, has, found, toast::WITHOUT_LZ4)))
}

pub async fn clock(client: &Client) -> Result<Need, StorageError> {
    let before = Timestamp::now();
    let server: Timestamp = client.query_one("SELECT clock_timestamp()", &[]).await?.get(0);
    let after = Timestamp::now();
    // The server's answer lies between the two; what lies outside is skew.
    let skew_ms =
        (before.as_millisecond() - server.as_millisecond()).max(server.as_millisecond() - after.as_millisecond());
    Ok(Need::expect(
        "clock",
        Severity::Advice,
        skew_ms <= SKEW_MS_MAX,
        format!("{} ms apart", skew_ms.max(0)),
        "synchronise the clocks of this machine and the database's (NTP)",
    ))
}
