//! What ingestion knows of streams that are defined.

use std::io;
use std::path::PathBuf;
use std::sync::{Arc, OnceLock, PoisonError, RwLock};
use std::time::Instant;

use deadpool_postgres::{Object, Pool};
use serde_json::Value;
use tokio::sync::{Notify, watch};
use tokio_postgres::Row;

use super::compiled::{Compiled, SchemaKey};
use super::definition::{MaskSpec, Mode};
use super::kept::KeptFile;
use super::key;
use super::known::{Changed, Known, Stream, Tenant};
use super::loading::Loading;
use super::rules::TenantRules;
use super::turns::{Turn, Turns};
use super::warnings::Warnings;
use crate::config::StreamsConfig;
use crate::limits::{
    DEFINITIONS_AGE_MAX, DEFINITIONS_LOOK_EVERY, DEFINITIONS_LOOK_PAUSE, DEFINITIONS_LOOK_TIMEOUT,
    DEFINITIONS_WAIT_MAX, SCHEMA_LOAD_MAX, SCHEMAS_COMPILED_BYTES, WARNINGS_NOTED_EVERY,
};
use crate::schema::Schema;
use crate::storage::{StorageError, give_back, only_row};

const CHANGED: &str = include_str!("../../sql/queries/definitions_changed.sql");
const REVISION: &str = "SELECT revision, mask_key_check FROM event_stream_revision";
const SCHEMA: &str =
    "SELECT schema::text FROM event_stream_schemas WHERE tenant_id = $1 AND stream = $2 AND version = $3";

/// It has never been known what streams are defined, so that nothing may be kept of them.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct NotKnown;

/// Connections of the database: to look, which nothing holds up, and to note what was found.
#[derive(Clone)]
pub struct Pools {
    pub looks: Pool,
    pub notes: Pool,
}

pub struct Registry {
    known: RwLock<Option<Arc<Known>>>,
    /// Empty until the database is there for the first time.
    pools: RwLock<Option<Pools>>,
    compiled: Arc<Compiled>,
    warnings: Arc<Warnings>,
    auto_create: bool,
    configured_key: Option<String>,
    data_dir: PathBuf,
    secret: OnceLock<Vec<u8>>,
    /// None: nothing is taken while the database is away.
    file: Option<KeptFile>,
    /// One look at a time.
    looking: tokio::sync::Mutex<()>,
    /// When the last look began that came to an end; None: none did.
    looked: watch::Sender<Option<Instant>>,
    /// Somebody waits for one.
    wanted: Notify,
    loading: Loading,
    turns: Turns,
}

impl Registry {
    /// Knows what an earlier process left in the folder of data, if anything may be kept there. Blocks.
    pub fn open(config: &StreamsConfig, data_dir: PathBuf, keeps: bool) -> Arc<Self> {
        let file = keeps.then(|| KeptFile::in_folder(&data_dir));
        let known = file.as_ref().and_then(KeptFile::load).map(Arc::new);
        let compiled = Arc::new(Compiled::new(SCHEMAS_COMPILED_BYTES));
        Arc::new(Self {
            known: RwLock::new(known),
            pools: RwLock::default(),
            loading: Loading::new(Arc::clone(&compiled), SCHEMA_LOAD_MAX),
            compiled,
            warnings: Arc::default(),
            auto_create: config.auto_create,
            configured_key: config.mask_key.clone(),
            data_dir,
            secret: OnceLock::new(),
            file,
            looking: tokio::sync::Mutex::default(),
            looked: watch::Sender::default(),
            wanted: Notify::new(),
            turns: Turns::default(),
        })
    }

    /// From now on the database of `pools` is asked. Called again where the first one could not be opened after all.
    pub async fn attach(&self, pools: Pools) -> Result<(), StorageError> {
        self.look_in(&pools.looks, true).await?;
        *self.pools.write().unwrap_or_else(PoisonError::into_inner) = Some(pools);
        Ok(())
    }

    fn pools(&self) -> Option<Pools> {
        self.pools.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    fn known(&self) -> Option<Arc<Known>> {
        self.known.read().unwrap_or_else(PoisonError::into_inner).clone()
    }

    /// What the tenant's streams ask of a request whose body has so many bytes; None: nothing.
    pub fn rules(&self, tenant_id: &Arc<str>, body_bytes: usize) -> Result<Option<TenantRules>, NotKnown> {
        let known = self.known().ok_or(NotKnown)?;
        let tenant = known.tenants.get(tenant_id);
        let closed = !self.auto_create && !known.is_partial;
        if tenant.is_none() && !closed {
            return Ok(None);
        }
        let (compiled, warnings) = (Arc::clone(&self.compiled), Arc::clone(&self.warnings));
        Ok(Some(TenantRules::new(Arc::clone(tenant_id), tenant.cloned(), closed, compiled, warnings, body_bytes)))
    }

    /// What is known of a tenant's streams now; None: it has defined none. Another `Arc` once that has changed.
    pub fn tenant(&self, tenant_id: &str) -> Option<Arc<Tenant>> {
        self.known()?.tenants.get(tenant_id).cloned()
    }

    /// The secret of masks, if this process has needed it before.
    pub fn known_secret(&self) -> Option<&[u8]> {
        self.secret.get().map(Vec::as_slice)
    }

    /// The secret of masks; made when it is needed first. Blocks then.
    pub fn secret(&self) -> io::Result<&[u8]> {
        if let Some(secret) = self.secret.get() {
            return Ok(secret);
        }
        let secret = key::secret(self.configured_key.as_deref(), &self.data_dir)?;
        Ok(self.secret.get_or_init(|| secret))
    }

    /// Waits for the turn of a tenant to judge what takes long; it ends when it is dropped.
    pub async fn turn(&self, tenant_id: &Arc<str>) -> Turn {
        self.turns.take(tenant_id).await
    }

    /// Loads the schemas that `rules` did not have at hand: what was decoded is to be decoded again.
    pub async fn load(&self, rules: &mut TenantRules) -> Result<(), StorageError> {
        let away = || StorageError::retryable("the database has not been there since the start");
        let pool = self.pools().ok_or_else(away)?.looks;
        let mut loaded = Vec::new();
        for (stream, version) in rules.pending() {
            let key = (Arc::clone(rules.tenant_id()), stream.clone(), version);
            let text = text_of(pool.clone(), key.clone());
            let schema = self.loading.get(&key, text, Schema::compile).await.map_err(|why| {
                StorageError::retryable(format!("version {version} of the schema of stream {stream}: {why}"))
            })?;
            loaded.push((stream, schema));
        }
        rules.again(loaded);
        Ok(())
    }

    /// Looks for changes at once: what was changed here is known here.
    pub async fn look(&self) -> Result<(), StorageError> {
        match self.pools() {
            Some(pools) => self.look_in(&pools.looks, false).await,
            None => Ok(()),
        }
    }

    /// Waits until what is known is no older than it may be, for a bounded time; asked before events are read. Whether it is.
    pub async fn freshen(&self) -> bool {
        if self.is_fresh() {
            return true;
        }
        let mut looked = self.looked.subscribe();
        self.wanted.notify_one();
        // Nobody to look any more is as good as a look that fails.
        let _ = tokio::time::timeout(DEFINITIONS_WAIT_MAX, looked.changed()).await;
        self.is_fresh()
    }

    /// Waits for the same as long as it takes.
    pub async fn fresh(&self) {
        let mut looked = self.looked.subscribe();
        while !self.freshen().await {
            tracing::debug!("it is awaited how streams are defined now");
            // The sender is this registry's own.
            let _ = looked.changed().await;
        }
    }

    fn is_fresh(&self) -> bool {
        self.looked.borrow().is_some_and(|at| at.elapsed() < DEFINITIONS_AGE_MAX)
    }

    async fn look_in(&self, pool: &Pool, whole: bool) -> Result<(), StorageError> {
        let _one = self.looking.lock().await;
        let begun = Instant::now();
        let known = self.known().filter(|known| !whole && !known.is_partial);
        let found = within(pool, async |client| {
            let statement = client.prepare_cached(REVISION).await?;
            let row = only_row(client.query_opt(&statement, &[]).await?, "event_stream_revision")?;
            let (revision, check): (i64, Option<String>) = (row.get(0), row.get(1));
            // A database that was restored goes back.
            let known = known.as_ref().filter(|known| known.revision <= revision);
            if known.is_some_and(|known| known.revision == revision) {
                return Ok(None);
            }
            let behind = known.map_or(0, |known| known.revision);
            let statement = client.prepare_cached(CHANGED).await?;
            let rows = client.query(&statement, &[&behind]).await?;
            let mut next = known.map_or_else(Known::default, |known| Known::clone(known));
            next.note(rows.iter().map(changed).collect::<Result<Vec<_>, _>>()?);
            next.revision = next.revision.max(revision);
            Ok(Some((next, check)))
        })
        .await?;
        if let Some((next, check)) = found {
            self.take_over(next, check);
        }
        self.looked.send_replace(Some(begun));
        Ok(())
    }

    /// What was changed here, and could not be looked up, is known here all the same. The next look finds it again.
    pub async fn note(&self, tenant_id: &str, name: &str, stream: Stream) {
        let _one = self.looking.lock().await;
        let Some(known) = self.known() else { return };
        let mut next = Known::clone(&known);
        let (tenant_id, name, revision) = (tenant_id.to_owned(), name.to_owned(), next.revision);
        next.note([Changed { tenant_id, name, stream, revision }]);
        self.take_over(next, None);
    }

    /// From now on this is known; `check` is of the secret that the database's hashes were made with. Keeps it in the file, which blocks.
    fn take_over(&self, next: Known, check: Option<String>) {
        // Numbers of versions are given again then.
        if self.known().is_some_and(|before| before.revision > next.revision) {
            self.compiled.forget();
        }
        let masks = next.tenants.values().any(|tenant| tenant.has_masks());
        if masks
            && let Some(check) = check
            && self.secret().is_ok_and(|secret| key::check(secret) != check)
        {
            tracing::error!(
                "the secret of masks of this process is another than that of the one that masked first: equal values get different hashes; set streams.mask_key to the same on every node"
            );
        }
        if let Some(file) = &self.file
            && let Err(error) = file.save(&next)
        {
            tracing::error!(%error, "what is masked could not be kept for a start without the database");
        }
        *self.known.write().unwrap_or_else(PoisonError::into_inner) = Some(Arc::new(next));
    }

    /// Looks for changes, and writes down what schemas have warned of, for as long as the process runs.
    pub async fn keep(self: Arc<Self>) {
        let mut noted = Instant::now();
        loop {
            tokio::select! {
                () = tokio::time::sleep(DEFINITIONS_LOOK_EVERY) => {}
                () = self.wanted.notified() => {}
            }
            if let Err(error) = self.look().await {
                tracing::debug!(%error, "it is not known whether definitions of streams have changed");
                // Who waits goes on without it.
                self.looked.send_modify(|_| ());
                // A database that refuses at once would be asked once for each request, on a connection of its own each.
                tokio::time::sleep(DEFINITIONS_LOOK_PAUSE).await;
            }
            if noted.elapsed() >= WARNINGS_NOTED_EVERY {
                self.note_warnings().await;
                noted = Instant::now();
            }
        }
    }

    /// Writes down what schemas have warned of.
    pub async fn note_warnings(&self) {
        let Some(pools) = self.pools() else { return };
        if let Err(error) = within(&pools.notes, async |client| Ok(self.warnings.write(client).await?)).await {
            tracing::warn!(%error, "what schemas have warned of could not be written down; it is tried again");
        }
    }
}

/// Runs statements on a connection of a pool, in a bounded time.
pub async fn within<T>(
    pool: &Pool,
    work: impl AsyncFnOnce(&mut Object) -> Result<T, StorageError>,
) -> Result<T, StorageError> {
    let deadline = tokio::time::Instant::now() + DEFINITIONS_LOOK_TIMEOUT;
    let mut client =
        tokio::time::timeout_at(deadline, pool.get()).await.map_err(|_elapsed| StorageError::silence())??;
    match tokio::time::timeout_at(deadline, work(&mut client)).await {
        Ok(Ok(done)) => Ok(done),
        Ok(Err(error)) => {
            give_back(client, &error);
            Err(error)
        }
        Err(_elapsed) => {
            drop(Object::take(client));
            Err(StorageError::silence())
        }
    }
}

async fn text_of(pool: Pool, (tenant_id, stream, version): SchemaKey) -> Result<String, String> {
    let found = within(&pool, async |client| {
        let statement = client.prepare_cached(SCHEMA).await?;
        Ok(client.query_opt(&statement, &[&&*tenant_id, &&*stream, &version]).await?)
    });
    let row = found.await.map_err(|error| error.to_string())?;
    row.map(|row| row.get(0)).ok_or_else(|| "there is no such version".to_owned())
}

fn changed(row: &Row) -> Result<Changed, StorageError> {
    let (name, mode): (String, String) = (row.get(1), row.get(2));
    let wrong = |what: &str| {
        StorageError::not_ready(format!("the definition of stream {name} has {what} that this version does not know"))
    };
    let mask: Value = row.get(4);
    let specs: Vec<MaskSpec> = serde_json::from_value(mask).map_err(|_| wrong("masks"))?;
    let masks = MaskSpec::parse_all(&specs).map_err(|_| wrong("masks"))?;
    let mode = Mode::of(&mode).ok_or_else(|| wrong("a mode"))?;
    let stream = Stream { mode, version: row.get(3), masks, deleted: row.get(5) };
    Ok(Changed { tenant_id: row.get(0), name, stream, revision: row.get(6) })
}
