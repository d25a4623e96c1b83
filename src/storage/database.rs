//! The database as the rest of Tidegate sees it: six pools, the layout, its partitions; embedded or external.

use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::Pool;

use super::chunks::{ChunkLayout, Slices};
use super::citus::Cell;
use super::connect::{Canceller, Role, Warnings, place, pool};
use super::embedded::{self, DataDirLock, EmbeddedConfig, EmbeddedError, EmbeddedServer, Running};
use super::hosts::for_start;
use super::install::{self, Installed};
use super::known::KnownDatabase;
use super::listener::Listener;
use super::relied_on::only_row;
use super::seen::{Seen, View};
use super::servers::{Servers, Watch};
use super::supervisor::Supervisor;
use super::{StorageError, Store, data_dir, needs, priority};
use crate::config::{Config, ConnectionUrl};
use crate::limits::{GROUP_CONNECTIONS, OWNER_IDLE_MAX};
use crate::model::{Kind, PerKind};

/// A crash recovery of the embedded server may replay gigabytes of WAL.
const EMBEDDED_START_TIMEOUT: Duration = Duration::from_secs(300);

/// Connections of the owner: two for each job (what it does, and its lock), one for partitions on demand, two for letters that
/// projections look at again, one to spare. Opened as they are needed.
const OWNER_CONNECTIONS: usize = 32;
/// Kinds of rows that have writers of their own.
const WRITTEN_KINDS: usize = Kind::ALL.len();
/// Connections of the ingest path beside the writers': the late lane of each kind, the drain of the spool, the probe.
const SIDE_WRITER_CONNECTIONS: usize = WRITTEN_KINDS + 2;
/// Connections of a command: the job's, its lock's, one for partitions, one for how it ended.
pub(super) const COMMAND_CONNECTIONS: usize = 4;
/// Connections that verify keys: look-ups are cached, so that few are under way.
const VERIFIER_CONNECTIONS: usize = 2;

/// Connections that exports keep while they go on, beside those that reads take turns on.
const EXPORT_CONNECTIONS: usize = 4;

/// The one on which messages are heard.
const LISTENER_CONNECTIONS: usize = 1;
/// For each host that the URLs name: the one on which it is looked at.
const WATCH_CONNECTIONS: usize = 1;
/// The one on which the node says that it lives.
const NODE_CONNECTIONS: usize = 1;

/// Connections that a process may open at once, with this configuration.
fn connections_max(config: &Config) -> usize {
    let of_readers = config.database.readers + EXPORT_CONNECTIONS;
    let of_writers = writer_connections(config) + VERIFIER_CONNECTIONS + GROUP_CONNECTIONS;
    OWNER_CONNECTIONS + of_writers + of_readers + LISTENER_CONNECTIONS + WATCH_CONNECTIONS + NODE_CONNECTIONS
}

fn writer_connections(config: &Config) -> usize {
    config.database.writers * WRITTEN_KINDS + SIDE_WRITER_CONNECTIONS
}

/// Of the owner's sessions: what a node that has stopped without a word had begun is ended by the server.
fn idle_ends() -> String {
    format!("SET idle_in_transaction_session_timeout = {};", OWNER_IDLE_MAX.as_millis())
}

/// Where the database is, once found or started; no connection is made yet.
pub struct Location {
    owner: ConnectionUrl,
    writer: ConnectionUrl,
    reader: ConnectionUrl,
    external: bool,
    /// Who may make roles: of the embedded server its superuser.
    admin: ConnectionUrl,
    supervisor: Option<Supervisor>,
    /// A command line that opens psql for people; None: they need a login of their own (`tidegate readers create`), for those
    /// of an external database are the service's.
    pub psql: Option<String>,
}

impl Location {
    /// For `serve`: the configured database, or an embedded server that this process alone owns.
    pub async fn own(config: &Config) -> Result<Self, StorageError> {
        data_dir::check(&config.data_dir)?;
        match Self::external(config)? {
            Some(location) => Ok(location),
            None => Self::start(config).await,
        }
    }

    /// For commands: the configured database, the embedded server of a running `serve`, or that of a data_dir which has
    /// one, started for as long as the command takes. A command run in the wrong folder must not make an empty database.
    pub async fn find(config: &Config) -> Result<Self, StorageError> {
        if let Some(location) = Self::external(config)? {
            return Ok(location.without_old_primaries().await);
        }
        match embedded::locate_running(&config.data_dir) {
            Some(running) => Self::embedded(&running, None),
            None if embedded::has_cluster(&config.data_dir) => Self::start(config).await,
            None => Err(StorageError::fatal(format!(
                "no database is configured (database_url), and there is none in {}; name the folder with --data-dir, or \
                 start one with `tidegate serve`",
                config.data_dir.display()
            ))),
        }
    }

    /// The same, and where there is no database an embedded one is made.
    pub async fn find_or_make(config: &Config) -> Result<Self, StorageError> {
        if let Some(location) = Self::beside(config)? {
            return Ok(location);
        }
        data_dir::check(&config.data_dir)?;
        Self::start(config).await
    }

    fn external(config: &Config) -> Result<Option<Self>, StorageError> {
        let database = &config.database;
        let Some(url) = &database.database_url else { return Ok(None) };
        let or_owner = |other: &Option<ConnectionUrl>| other.as_ref().unwrap_or(url).clone();
        let reader = or_owner(&database.reader_url);
        let (owner, writer) = (url.clone(), or_owner(&database.writer_url));
        let admin = owner.clone();
        Ok(Some(Self { owner, writer, reader, external: true, admin, supervisor: None, psql: None }))
    }

    /// A command knows nothing of before; of several servers that take writes it means the newest all the same.
    async fn without_old_primaries(mut self) -> Self {
        let seen = Seen::default();
        let each = [&mut self.owner, &mut self.writer, &mut self.reader, &mut self.admin];
        futures_util::future::join_all(each.map(async |url| *url = for_start(url, &seen).await)).await;
        self
    }

    async fn start(config: &Config) -> Result<Self, StorageError> {
        let fatal = |error: EmbeddedError| StorageError::fatal(error.to_string());
        let lock = DataDirLock::acquire(&config.data_dir).map_err(fatal)?;
        Self::start_locked(config, lock, None, Vec::new()).await
    }

    /// The embedded server of a data directory by itself: for a command that holds the lock, since nobody may write meanwhile. None of
    /// TimescaleDB's jobs runs. `bin_dir` has the server's programs, if they are not where they are looked for.
    pub async fn alone(config: &Config, lock: DataDirLock, bin_dir: Option<PathBuf>) -> Result<Self, StorageError> {
        let no_jobs = [embedded::NO_JOBS].map(|(name, value)| (name.to_owned(), value.to_owned()));
        Self::start_locked(config, lock, bin_dir, no_jobs.to_vec()).await
    }

    async fn start_locked(
        config: &Config,
        lock: DataDirLock,
        bin_dir: Option<PathBuf>,
        extra_settings: Vec<(String, String)>,
    ) -> Result<Self, StorageError> {
        let fatal = |error: EmbeddedError| StorageError::fatal(error.to_string());
        let settings = EmbeddedConfig {
            data_dir: config.data_dir.clone(),
            bin_dir,
            start_timeout: EMBEDDED_START_TIMEOUT,
            durable: true,
            preload_timescaledb: config.database.engine != crate::config::EngineChoice::Postgres,
            extra_settings,
        };
        let server = EmbeddedServer::start_locked(settings.clone(), lock.clone()).await.map_err(fatal)?;
        let running = Running { socket_dir: server.socket_dir().to_owned(), port: server.port() };
        Self::embedded(&running, Some(Supervisor::watch(server, settings, lock)))
    }

    fn embedded(running: &Running, supervisor: Option<Supervisor>) -> Result<Self, StorageError> {
        let url = |role: &str| {
            let parsed = running.url(role, embedded::DATABASE).parse();
            parsed.map(ConnectionUrl::plain).map_err(StorageError::from)
        };
        Ok(Self {
            owner: url(embedded::OWNER)?,
            writer: url(embedded::WRITER)?,
            reader: url(embedded::READER)?,
            external: false,
            admin: url(embedded::SUPERUSER)?,
            supervisor,
            psql: Some(running.psql_line(embedded::GUEST, embedded::DATABASE)),
        })
    }

    /// For a command that works without a database as well: the configured one, or that of a running `serve`.
    pub fn beside(config: &Config) -> Result<Option<Self>, StorageError> {
        if let Some(location) = Self::external(config)? {
            return Ok(Some(location));
        }
        embedded::locate_running(&config.data_dir).map(|running| Self::embedded(&running, None)).transpose()
    }

    /// Where to look for what the database must be.
    pub fn place(&self, config: &Config) -> needs::Place<'_> {
        let (owner, writer, reader) = (&self.owner, &self.writer, &self.reader);
        needs::Place { owner, writer, reader, external: self.external, connections_max: connections_max(config) }
    }

    pub fn writer(&self) -> &ConnectionUrl {
        &self.writer
    }

    pub fn reader(&self) -> &ConnectionUrl {
        &self.reader
    }

    /// Whether it is somebody else's server, and not one that Tidegate started.
    pub fn is_external(&self) -> bool {
        self.external
    }

    /// For what needs the right to make roles.
    pub fn admin(&self) -> &ConnectionUrl {
        &self.admin
    }

    /// The owner's connection settings, for commands that need one connection and no pool.
    pub fn owner(&self) -> &ConnectionUrl {
        &self.owner
    }

    /// A small pool of the owner's, for commands that do a job's work.
    pub fn owner_pool(&self) -> Result<Pool, StorageError> {
        pool(&self.owner, Role::Owner, COMMAND_CONNECTIONS, "", Default::default(), None)
    }

    /// Stops the embedded server, if this process owns it.
    pub async fn close(self) -> Result<(), StorageError> {
        match self.supervisor {
            Some(supervisor) => supervisor.stop().await,
            None => Ok(()),
        }
    }
}

/// Pools and engine, ready for use: roles, schema and policies are in place.
#[derive(Clone)]
pub struct Database {
    /// Migrations, partitions and jobs.
    pub owner: Pool,
    pub writer: Pool,
    pub verifier: Pool,
    /// What consumer groups write.
    pub consumers: Pool,
    pub reader: Pool,
    pub exports: Pool,
    /// What the database is installed as.
    pub installed: Installed,
    /// What is kept in chunks or partitions.
    pub store: Store,
    /// How the relations that are written to are cut into chunks.
    pub slices: PerKind<Arc<Slices>>,
    /// What COPY writes to.
    pub copied: PerKind<Arc<str>>,
    /// What the server warned of on the pools' connections.
    pub warnings: Arc<Warnings>,
    /// For queries of the reader's connections that nobody waits for.
    pub canceller: Canceller,
    /// Hears what the database's sessions tell each other.
    pub listener: Listener,
    /// The servers that reads may go to.
    pub servers: Servers,
    /// Hashed into the names of what sessions tell each other, which any login can hear: a guessed name cannot be tried.
    pub salt: Arc<str>,
}

impl Database {
    /// Installs or updates the schema, proves the write path, and opens the pools; of the known database, and no other.
    pub async fn open(location: &Location, config: &Config, known: &Arc<KnownDatabase>) -> Result<Self, StorageError> {
        known.recall();
        let start = async |url| for_start(url, known.seen()).await;
        let (owner_url, writer_url, reader_url) =
            tokio::join!(start(&location.owner), start(&location.writer), start(&location.reader));
        known.check(&owner_url).await?;
        let (owner, writer, reader) = (&owner_url, &writer_url, &reader_url);
        let places = needs::Place { owner, writer, reader, ..location.place(config) };
        let (installed, before, owner) = install::install_looking(&places, config).await?;
        // What the roles may do is known only on a schema that is there: once more where it was made or changed, be it by
        // another process meanwhile.
        let is_as_before = installed.applied.is_empty() && !needs::wait_for_the_schema(&before);
        needs::warn(&if is_as_before { before } else { needs::require(&places, config).await? });
        install::prove_direct_compress(&writer_url, installed.layout).await?;
        let chunks = ChunkLayout::read(&owner, installed.layout, config).await?;
        known.adopt(&location.owner, &owner, installed.layout).await?;
        let salt = only_row(owner.query_opt("SELECT salt FROM tidegate.claim_salt", &[]).await?, "claim_salt")?;
        let salt: String = salt.get(0);
        drop(owner);
        let database = Self::pools(location, config, installed, chunks, known, salt.into())?;
        // Each path once, so that a wrong URL or password is found now and not by the first sender or reader.
        for (key, url, pool) in
            [("writer_url", &location.writer, &database.writer), ("reader_url", &location.reader, &database.reader)]
        {
            if let Err(error) = pool.get().await.map_err(StorageError::from) {
                return Err(error.doing(&format!("{key} ({})", place(&url.server))));
            }
        }
        Ok(database)
    }

    /// Opens the pools of a database that is already installed.
    fn pools(
        location: &Location,
        config: &Config,
        installed: Installed,
        chunks: ChunkLayout,
        known: &Arc<KnownDatabase>,
        salt: Arc<str>,
    ) -> Result<Self, StorageError> {
        let warnings = Arc::new(Warnings::default());
        let view = |reads: bool| View { seen: Arc::clone(known.seen()), reads };
        let make = |url: &ConnectionUrl, role: Role, size: usize, extra: &str| {
            // Readers may be led to a copy, which is not written to.
            let reads = role == Role::Reader;
            let guard = (!reads).then(|| known.guard());
            pool(url, role, size, extra, (Arc::clone(&warnings), view(reads)), guard)
        };
        let owner = make(&location.owner, Role::Owner, OWNER_CONNECTIONS, &idle_ends())?;
        let writer =
            make(&location.writer, Role::Writer, writer_connections(config), &installed.layout.writer_settings())?;
        let verifier = make(&location.writer, Role::Verifier, VERIFIER_CONNECTIONS, "")?;
        let consumers = make(&location.writer, Role::Consumer, GROUP_CONNECTIONS, "")?;
        let reader = make(&location.reader, Role::Reader, config.database.readers, "")?;
        let behind = (!location.external).then(priority::stands_behind);
        let exports =
            pool(&location.reader, Role::Export, EXPORT_CONNECTIONS, "", (Arc::clone(&warnings), view(true)), behind)?;
        let store = Store::new(installed.layout, &owner, config.chunk_interval);
        let canceller = Canceller::new(&location.reader);
        let slices = chunks.kept(&owner);
        let listener = Listener::new(&location.owner, view(false));
        let copied = PerKind::new(|kind: Kind| kind.table().into());
        Ok(Self {
            owner,
            writer,
            verifier,
            consumers,
            reader,
            exports,
            installed,
            store,
            slices,
            copied,
            warnings,
            canceller,
            listener,
            servers: Servers::default(),
            salt,
        })
    }

    /// The database of a cell, which connections find where `seen` leads; partitions are made and dropped by its coordinator.
    pub(super) fn of_cell(
        &self,
        location: &Location,
        config: &Config,
        cell: &Cell,
        seen: &Arc<Seen>,
    ) -> Result<Self, StorageError> {
        let settings = cell.settings();
        let make = |url: &ConnectionUrl, role: Role, size: usize| {
            let idle = if role == Role::Owner { idle_ends() } else { String::new() };
            let settings = format!("{idle} {settings}");
            let reads = matches!(role, Role::Reader | Role::Export);
            let view = View { seen: Arc::clone(seen), reads };
            pool(url, role, size, &settings, (Arc::clone(&self.warnings), view), None)
        };
        let view = View { seen: Arc::clone(seen), reads: false };
        Ok(Self {
            owner: make(&location.owner, Role::Owner, OWNER_CONNECTIONS)?,
            writer: make(&location.writer, Role::Writer, writer_connections(config))?,
            verifier: make(&location.writer, Role::Verifier, VERIFIER_CONNECTIONS)?,
            consumers: make(&location.writer, Role::Consumer, GROUP_CONNECTIONS)?,
            reader: make(&location.reader, Role::Reader, config.database.readers)?,
            exports: make(&location.reader, Role::Export, EXPORT_CONNECTIONS)?,
            listener: Listener::new(&location.owner, view),
            copied: cell.copied.clone(),
            ..self.clone()
        })
    }

    /// Looks at the servers for as long as the process runs, where there are several.
    pub fn watch(&self, location: &Location, config: &Config, known: &KnownDatabase) -> Option<Watch> {
        let lag_max = config.database.reader_lag_max;
        Watch::new(&location.owner, &location.reader, (known.seen(), lag_max), &self.servers)
    }

    /// Closes the pools; connections in use end when they are given back.
    pub fn close(&self) {
        self.owner.close();
        self.writer.close();
        self.verifier.close();
        self.consumers.close();
        self.reader.close();
        self.exports.close();
    }
}
