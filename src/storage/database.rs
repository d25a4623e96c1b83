//! The database as the rest of Tidegate sees it: three pools, the engine, its partitions; embedded or external.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;
use tokio_postgres::Config as PgConfig;

use super::connect::{Role, Warnings, pool};
use super::embedded::{self, EmbeddedConfig, EmbeddedServer};
use super::engine::{self, Installed};
use super::{Engine, Partitions, StorageError};
use crate::config::Config;

/// A crash recovery of the embedded server may replay gigabytes of WAL.
const EMBEDDED_START_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections of the owner: one for jobs, one for partitions on demand, one to spare.
const OWNER_CONNECTIONS: usize = 3;
/// Connections that verify keys: look-ups are cached, so that few are under way.
const VERIFIER_CONNECTIONS: usize = 2;

/// Where the database is, once found or started; no connection is made yet.
pub struct Location {
    owner: PgConfig,
    writer: PgConfig,
    reader: PgConfig,
    /// The private server, when this process owns it.
    pub embedded: Option<EmbeddedServer>,
    /// A command line that opens psql as the reader.
    pub psql: String,
}

impl Location {
    /// Finds the configured database, a running embedded server of the same `data_dir`, or starts one.
    pub async fn find(config: &Config) -> Result<Self, StorageError> {
        let database = &config.database;
        if let Some(url) = &database.database_url {
            let or_owner = |other: &Option<String>| parse(other.as_ref().unwrap_or(url));
            let shown = database.reader_url.as_ref().unwrap_or(url);
            return Ok(Self {
                owner: parse(url)?,
                writer: or_owner(&database.writer_url)?,
                reader: or_owner(&database.reader_url)?,
                embedded: None,
                psql: format!("psql \"{}\"", without_password(shown)),
            });
        }
        if let Some(running) = embedded::locate_running(&config.data_dir) {
            let url = |role: &str| embedded_url(&running.socket_dir, running.port, role);
            return Self::of_embedded(url, None);
        }
        let server = EmbeddedServer::start(EmbeddedConfig {
            data_dir: config.data_dir.clone(),
            start_timeout: EMBEDDED_START_TIMEOUT,
            durable: true,
            preload_timescaledb: config.database.engine != crate::config::EngineChoice::Postgres,
            extra_settings: Vec::new(),
        })
        .await
        .map_err(|error| StorageError::fatal(error.to_string()))?;
        let (socket_dir, port) = (server.socket_dir().to_owned(), server.port());
        Self::of_embedded(|role| embedded_url(&socket_dir, port, role), Some(server))
    }

    fn of_embedded(url: impl Fn(&str) -> String, server: Option<EmbeddedServer>) -> Result<Self, StorageError> {
        Ok(Self {
            owner: parse(&url(embedded::OWNER))?,
            writer: parse(&url(embedded::WRITER))?,
            reader: parse(&url(embedded::READER))?,
            embedded: server,
            psql: format!("psql \"{}\"", url(embedded::READER)),
        })
    }

    /// The owner's connection settings, for commands that need one connection and no pool.
    pub fn owner(&self) -> &PgConfig {
        &self.owner
    }

    /// The writer's connection settings.
    pub fn writer(&self) -> &PgConfig {
        &self.writer
    }

    /// Stops the embedded server, if this process owns it.
    pub async fn close(self) -> Result<(), StorageError> {
        match self.embedded {
            Some(server) => server.stop().await.map_err(|error| StorageError::fatal(error.to_string())),
            None => Ok(()),
        }
    }
}

fn embedded_url(socket_dir: &Path, port: u16, role: &str) -> String {
    format!("host={} port={port} user={role} dbname={}", socket_dir.display(), embedded::DATABASE)
}

fn parse(url: &str) -> Result<PgConfig, StorageError> {
    // The text itself may hold a password and is not repeated.
    url.parse().map_err(|_| StorageError::fatal("a database URL could not be parsed"))
}

/// The URL with its password left out: psql asks for it, or takes it from PGPASSWORD or a password file.
fn without_password(url: &str) -> String {
    let Some(scheme_end) = url.find("://").map(|at| at + 3) else {
        return url.split_whitespace().filter(|word| !word.starts_with("password=")).collect::<Vec<_>>().join(" ");
    };
    let authority_end = url[scheme_end..].find('/').map_or(url.len(), |at| scheme_end + at);
    let Some(at) = url[..authority_end].rfind('@') else { return url.to_owned() };
    let user = url[scheme_end..at].split(':').next().unwrap_or_default();
    format!("{}{user}{}", &url[..scheme_end], &url[at..])
}

/// Pools and engine, ready for use: roles, schema and policies are in place.
#[derive(Clone)]
pub struct Database {
    /// Migrations, partitions and jobs.
    pub owner: Pool,
    /// The ingest path.
    pub writer: Pool,
    /// Key verification.
    pub verifier: Pool,
    /// The query path.
    pub reader: Pool,
    /// What the database is installed as.
    pub installed: Installed,
    /// The partitions of events; None on the timescale engine, which makes its chunks itself.
    pub partitions: Option<Arc<Partitions>>,
    /// What the server warned of on the pools' connections.
    pub warnings: Arc<Warnings>,
}

impl Database {
    /// Installs or updates the schema, proves the write path, and opens the pools.
    pub async fn open(location: &Location, config: &Config) -> Result<Self, StorageError> {
        let installed = engine::install(&location.owner, config).await?;
        engine::prove_direct_compress(&location.writer, &installed).await?;
        Self::pools(location, config, installed)
    }

    /// Opens the pools of a database that is already installed.
    fn pools(location: &Location, config: &Config, installed: Installed) -> Result<Self, StorageError> {
        let warnings = Arc::new(Warnings::default());
        let make = |url: &PgConfig, role: Role, size: usize, extra: &str| pool(url, role, size, extra, Arc::clone(&warnings));
        let owner = make(&location.owner, Role::Owner, OWNER_CONNECTIONS, "")?;
        let writer = make(&location.writer, Role::Writer, config.database.writers, installed.writer_settings())?;
        let verifier = make(&location.writer, Role::Verifier, VERIFIER_CONNECTIONS, "")?;
        let reader = make(&location.reader, Role::Reader, config.database.readers, "")?;
        let partitions = (installed.engine == Engine::Postgres)
            .then(|| Arc::new(Partitions::new(owner.clone(), config.chunk_interval)));
        Ok(Self { owner, writer, verifier, reader, installed, partitions, warnings })
    }

    /// Closes the pools; connections in use end when they are given back.
    pub fn close(&self) {
        self.owner.close();
        self.writer.close();
        self.verifier.close();
        self.reader.close();
    }
}

#[cfg(test)]
mod tests {
    use super::without_password;

    #[test]
    fn the_password_is_left_out() {
        assert_eq!(without_password("postgres://u:p%40ss@h:1/d?x=1"), "postgres://u@h:1/d?x=1");
        assert_eq!(without_password("postgres://h/d"), "postgres://h/d");
        assert_eq!(without_password("host=h password=secret user=u"), "host=h user=u");
    }
}
