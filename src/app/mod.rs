//! A running Tidegate, put together in two phases, and taken apart again in order from either.
//!
//! 1. [`Listening`]: what is known without the database. Listener, spool, budgets, keys that were good lately: the
//!    [`Front`]. It answers from its first moment: what it can take goes into the spool, the rest is asked to come again.
//!    It waits for the database and brings it up to date.
//! 2. [`App`]: what needs the database is put to work, the [`Backend`], and given to the front, once.
//!
//! An embedded server is started before the first phase, so that one that cannot start is an error of the start. Stop:
//! not ready, accept no more, let requests finish, flush the lanes, stop drain and jobs, close pools, close the spool,
//! stop the embedded server; each step bounded, and who is late is named.

mod backend;
mod front;

use std::sync::Arc;

use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::backup::{Schedule, Source};
use crate::config::{Config, LiveLimits};
use crate::http;
use crate::limits::{AWAY_PAUSE_MAX, SHUTDOWN_DEADLINE, UNMET_PAUSE_MAX, WAIT_PAUSE_FIRST};
use crate::nodes::Heartbeat;
use crate::shutdown::Signals;
use crate::storage::{Database, KnownDatabase, Location, StorageError, needs};
use crate::syslog;
use crate::telemetry;
use crate::tenancy::acts::Actor;
use crate::tenancy::control;

use backend::Backend;
use front::Front;

/// The first phase: requests are answered, whether the database is there or not.
pub struct Listening {
    config: Config,
    location: Location,
    known: Arc<KnownDatabase>,
    front: Front,
    heartbeat: Heartbeat,
    /// Whether the database is what it must be: then others may be told of this node.
    proven: watch::Sender<bool>,
}

/// The second phase: ready.
pub struct App {
    pub welcome: Welcome,
    location: Location,
    front: Front,
    backend: Backend,
    backups: Schedule,
    heartbeat: Heartbeat,
}

/// A database that is there, up to date, and proven to be what is needed.
pub struct Reached {
    database: Database,
    first_key: Option<FirstKey>,
}

/// The key of an installation without any organization, which nobody can see again.
pub struct FirstKey {
    pub tenant_id: String,
    pub text: String,
}

/// What is said once, when the process is ready.
pub struct Welcome {
    pub url: String,
    pub first_key: Option<FirstKey>,
    /// A command line that opens psql for people; None: they need a login of their own.
    pub psql: Option<String>,
    pub engine: String,
}

impl Listening {
    /// Returns once requests are answered.
    pub async fn start(config: &Config, limits: &LiveLimits) -> Result<Self, StorageError> {
        let metrics = telemetry::start_metrics().map_err(|error| StorageError::fatal(format!("metrics: {error}")))?;
        let tls = config.tls.as_ref().map(http::Tls::load).transpose();
        let tls = tls.map_err(|error| StorageError::fatal(error.to_string()))?;
        // Before anything is made on disk.
        let listener = TcpListener::bind(config.listen.as_str()).await.map_err(|error| {
            StorageError::fatal(format!(
                "cannot listen on {}: {error}; set `listen` to an address that is this machine's and a port that is free and allowed",
                config.listen
            ))
        })?;
        let syslog = match &config.syslog {
            Some(syslog) => Some(syslog::Bound::bind(syslog).await.map_err(StorageError::fatal)?),
            None => None,
        };
        let location = Location::own(config).await?;
        match Front::start(listener, syslog, tls, metrics, config, limits).await {
            Ok(front) => {
                let known = KnownDatabase::open(front.folder(config));
                let (proven, is_proven) = watch::channel(false);
                let heartbeat = front.beat(location.owner(), &known, is_proven);
                Ok(Self { config: config.clone(), location, known, front, heartbeat, proven })
            }
            Err(error) => {
                // The embedded server must not outlive a failed start.
                let _ = location.close().await;
                Err(error)
            }
        }
    }

    /// Waits for the database, however long. An error is what waiting does not mend and was found at the first try,
    /// while somebody is there to read it; what is found later is waited out as well. May be dropped at any moment.
    pub async fn reach(&self) -> Result<Reached, StorageError> {
        let mut pause = WAIT_PAUSE_FIRST;
        let mut first = true;
        let mut said = String::new();
        loop {
            let error = match self.try_to_reach().await {
                Ok(reached) => return Ok(reached),
                Err(error) => error,
            };
            let passes = error.is_retryable();
            if first && (!passes || error.is_of_tls()) {
                return Err(error);
            }
            first = false;
            let reason = error.to_string();
            if reason != said {
                let (address, spooling) = (&self.front.address, self.front.ingest.spools());
                tracing::error!(%address, spooling, reason, "listening; the database cannot be used yet and is waited for");
                said.clone_from(&reason);
            }
            self.front.ingest.waits_because(&error);
            tokio::time::sleep(pause).await;
            pause = (pause * 2).min(if passes { AWAY_PAUSE_MAX } else { UNMET_PAUSE_MAX });
        }
    }

    async fn try_to_reach(&self) -> Result<Reached, StorageError> {
        let database = Backend::open(&self.location, &self.config, &self.known, &self.front.ingest.registry).await?;
        self.proven.send_replace(true);
        // Last of all: a key that nobody was shown would be lost.
        match first_key(&database).await {
            Ok(first_key) => Ok(Reached { database, first_key }),
            Err(error) => {
                database.close();
                Err(error)
            }
        }
    }

    /// Puts to work what needs the database.
    pub fn attach(self, reached: Reached) -> App {
        let Reached { database, first_key } = reached;
        let Self { config, location, known, front, heartbeat, proven: _ } = self;
        let backend = Backend::start(database, &location, &front, &config, known);
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let url = format!("{scheme}://{}", front.address);
        let welcome = Welcome { url, first_key, psql: location.psql.clone(), engine: backend.engine() };
        let backups = Schedule::start(Source::of(&location, &config.data_dir), &config.backup);
        App { welcome, location, front, backend, backups, heartbeat }
    }

    pub async fn stop(self) -> bool {
        let in_order = stop(self.front, None, self.heartbeat).await;
        close(self.location).await && in_order
    }
}

impl App {
    pub fn location(&self) -> &Location {
        &self.location
    }

    /// Waits for a signal and stops in order; true when everything ended in time.
    pub async fn run(self, mut signals: Signals) -> bool {
        let signal = signals.next().await;
        tracing::info!(signal, "stopping; a second signal stops at once");
        let Self { location, front, backend, backups, heartbeat, .. } = self;
        backups.stop().await;
        let in_order = tokio::select! {
            in_order = stop(front, Some(backend), heartbeat) => in_order,
            signal = signals.next() => {
                tracing::error!(signal, "stopping at once; what was answered 200 is stored");
                false
            }
        };
        close(location).await && in_order
    }

    pub async fn stop(self) -> bool {
        self.backups.stop().await;
        let in_order = stop(self.front, Some(self.backend), self.heartbeat).await;
        close(self.location).await && in_order
    }
}

/// On a database without any organization, makes one and a key.
async fn first_key(database: &Database) -> Result<Option<FirstKey>, StorageError> {
    let mut client = database.owner.get().await?;
    let made = control::first_start(&mut client, &Actor::of_this_process()).await?;
    Ok(made.map(|(organization, key)| FirstKey { tenant_id: organization.tenant_id, text: key.key }))
}

/// Stops what there is, within the deadline.
async fn stop(front: Front, backend: Option<Backend>, heartbeat: Heartbeat) -> bool {
    let all = async {
        let (quiet, mut in_order) = front.finish_requests().await;
        if let Some(backend) = backend {
            in_order &= backend.stop().await;
        }
        // When it is known what is left in the spool.
        heartbeat.stop().await;
        quiet.close().await;
        in_order
    };
    tokio::time::timeout(SHUTDOWN_DEADLINE, all).await.unwrap_or_else(|_| {
        tracing::error!(deadline_s = SHUTDOWN_DEADLINE.as_secs(), "not everything stopped in time");
        false
    })
}

/// Stops the embedded server last, in every case: bounded, since it is ended by force if it must be.
async fn close(location: Location) -> bool {
    match location.close().await {
        Ok(()) => {
            tracing::info!("stopped");
            true
        }
        Err(error) => {
            tracing::error!(%error, "the embedded server did not stop in order");
            false
        }
    }
}

/// One connection of the owner, for commands; refused where a pooler takes the session away between two statements.
pub async fn owner_client(location: &Location) -> Result<tokio_postgres::Client, StorageError> {
    let client = needs::owner_session(location.owner()).await?;
    client.batch_execute(&crate::storage::session_sql(crate::storage::Role::Owner, "")).await?;
    Ok(client)
}
