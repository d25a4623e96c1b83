//! The database that was written to before, so that nothing is written to another one.
//!
//! A database is known by the id of its installation, which goes with the data wherever they go, and by how far its
//! numbering of batches had come: one that has given out fewer is an older state of it. How far is taken from a while ago,
//! since a standby that is promoted may lag behind. A primary whose cluster has gone on on another timeline is none. What is known is kept in the folder of data, looked at before a
//! schema is touched, and on every new connection that may write.

use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard};

use deadpool_postgres::{ClientWrapper, Hook, HookError, Pool};
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::connect::{connect_to, on_connection, place};
use super::seen::{Seen, left_behind};
use super::standing::Timeline;
use super::{Layout, StorageError};
use crate::config::ConnectionUrl;
use crate::durable::DurableFile;
use crate::limits::DATABASE_LAG_MAX;

/// What was read of the logs of streams may be of another history: `streams::epoch` begins one where the newest tick says so.
const ANOTHER_HISTORY: &str = "BEGIN; SET LOCAL lock_timeout = '10s'; LOCK TABLE tidegate.lock_sequencer IN EXCLUSIVE MODE; \
    UPDATE tidegate.sequencer_ticks SET timeline = 'accepted' \
    WHERE tick = (SELECT max(tick) FROM tidegate.sequencer_ticks); COMMIT";

/// Its name in the folder of data.
const FILE: &str = "database";
const VERSION: u32 = 1;
const BYTES_MAX: usize = 16 * 1024;

/// Which database one is, as it says itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Identity {
    id: Uuid,
    batches: i64,
    has_timescaledb: bool,
    /// None: it takes no writes.
    timeline: Option<Timeline>,
}

/// What is known of a database.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Known {
    id: Uuid,
    /// Where it was, for people.
    place: String,
    /// Without TimescaleDB its relations are not what they were.
    hypertables: bool,
    /// It had given out this number of a batch, for so long that every standby knew it.
    batches: i64,
    /// And later this one, at this time in unix microseconds.
    newer: (i64, i64),
    /// The newest on which it took writes; None: noted by a version that did not look.
    #[serde(default)]
    timeline: Option<Timeline>,
}

/// The database that this process, or the one before it, wrote to.
#[derive(Debug)]
pub struct KnownDatabase {
    /// None: the folder is not this process's alone.
    file: Option<DurableFile>,
    /// Where every connection must lead; None before the first one was made.
    expected: Mutex<Option<Known>>,
    seen: Arc<Seen>,
}

impl KnownDatabase {
    /// Kept in `folder`.
    pub fn open(folder: Option<&Path>) -> Arc<Self> {
        let file = folder.map(|folder| DurableFile::new(folder.join(FILE), "database", VERSION, BYTES_MAX));
        Arc::new(Self { file, expected: Mutex::default(), seen: Arc::default() })
    }

    /// What is known of its servers.
    pub(super) fn seen(&self) -> &Arc<Seen> {
        &self.seen
    }

    /// What was known before the start, or is since an operator accepted a database, be it of an older timeline.
    pub(super) fn recall(&self) {
        if let Some(known) = self.file.as_ref().and_then(read) {
            self.seen.begin(known.timeline);
        }
    }

    /// Refuses another database than the one before. Changes nothing; reads the file again, since an operator may have
    /// accepted one.
    pub(super) async fn check(&self, owner: &ConnectionUrl) -> Result<(), StorageError> {
        let Some(known) = self.file.as_ref().and_then(read) else { return Ok(()) };
        let (client, _task) = connect_to(owner, Arc::default()).await?;
        known.compare(identify(&client).await?.as_ref()).map_err(StorageError::another_database)
    }

    /// The same of a connection that somebody has.
    pub async fn check_on(&self, client: &Client) -> Result<(), StorageError> {
        let expected = self.expected().clone();
        let Some(known) = expected.or_else(|| self.file.as_ref().and_then(read)) else { return Ok(()) };
        known.compare(identify(client).await?.as_ref()).map_err(StorageError::another_database)
    }

    /// From now on this is the one.
    pub(super) async fn adopt(
        &self,
        owner: &ConnectionUrl,
        client: &Client,
        layout: Layout,
    ) -> Result<(), StorageError> {
        let absent = || StorageError::not_ready("the database does not say which one it is");
        let found = identify(client).await?.ok_or_else(absent)?;
        let now = Timestamp::now();
        let known = match self.file.as_ref().and_then(read).filter(|known| known.id == found.id) {
            Some(known) => {
                Known { place: place(&owner.server), hypertables: layout.has_hypertables(), ..known.seen(found, now) }
            }
            None => Known::new(owner, layout, found, now),
        };
        if let Some(timeline) = known.timeline {
            self.seen.note(timeline);
        }
        *self.expected() = Some(known);
        self.save().await;
        Ok(())
    }

    /// Refuses a new connection of a pool that leads elsewhere, and says why.
    pub(super) fn guard(self: &Arc<Self>) -> Hook {
        let own = Arc::clone(self);
        Hook::async_fn(move |client: &mut ClientWrapper, _| {
            let own = Arc::clone(&own);
            Box::pin(async move {
                let Some(known) = own.expected().clone() else { return Ok(()) };
                let found = identify(client).await.map_err(HookError::Backend)?;
                known.compare(found.as_ref()).map_err(HookError::message)?;
                own.follow(found.and_then(|found| found.timeline)).await;
                Ok(())
            })
        })
    }

    /// Keeps a timeline that is newer, before anything is written on it: after a start the one before is still refused.
    async fn follow(&self, timeline: Option<Timeline>) {
        let Some(timeline) = timeline.filter(|timeline| self.seen.note(*timeline)) else { return };
        if let Some(known) = &mut *self.expected() {
            known.timeline = Some(timeline);
        }
        self.save().await;
    }

    /// Notes from time to time how far the database has come, for as long as the process runs.
    pub async fn keep(self: Arc<Self>, pool: Pool) {
        loop {
            tokio::time::sleep(DATABASE_LAG_MAX).await;
            match on_connection(&pool, async |client| Ok(identify(client).await?)).await {
                Ok(Some(found)) => {
                    if let Some(known) = &mut *self.expected() {
                        *known = known.clone().seen(found, Timestamp::now());
                    }
                    self.save().await;
                }
                Ok(None) => {}
                Err(error) => tracing::debug!(%error, "it is not known how far the database has come"),
            }
        }
    }

    async fn save(&self) {
        let (Some(file), Some(known)) = (&self.file, self.expected().clone()) else { return };
        write(file, Some(&known));
    }

    fn expected(&self) -> MutexGuard<'_, Option<Known>> {
        self.expected.lock().expect("no code panics while holding it")
    }
}

/// How a database stands to the one that was written to before.
#[derive(Debug)]
pub enum Acquaintance {
    /// None was.
    New,
    Same(Uuid),
    /// It is another one, and why.
    Another(String),
    /// What is known cannot be read.
    Unreadable(String),
}

/// How the database stands to what is kept in `folder`; for `doctor`, which changes nothing.
pub async fn acquaintance(folder: &Path, client: &Client) -> Result<Acquaintance, StorageError> {
    let file = DurableFile::new(folder.join(FILE), "database", VERSION, BYTES_MAX);
    let content = match file.look() {
        Ok(content) => content,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Acquaintance::New),
        Err(error) => return Ok(Acquaintance::Unreadable(format!("{}: {error}", file.path().display()))),
    };
    let known: Option<Known> = match serde_json::from_slice(&content) {
        Ok(known) => known,
        Err(error) => return Ok(Acquaintance::Unreadable(format!("{}: {error}", file.path().display()))),
    };
    let Some(known) = known else { return Ok(Acquaintance::New) };
    Ok(match known.compare(identify(client).await?.as_ref()) {
        Ok(()) => Acquaintance::Same(known.id),
        Err(why) => Acquaintance::Another(why),
    })
}

/// An operator says that this database is the right one from now on; returns what is known of it. None: it holds nothing
/// of Tidegate yet, and whichever is there next is the right one. What consumers know may be ahead of it, which a base backup that
/// is started as it is does not know by itself.
pub async fn accept(folder: &Path, owner: &ConnectionUrl) -> Result<Option<Uuid>, StorageError> {
    let (client, _task) = connect_to(owner, Arc::default()).await?;
    let found = identify(&client).await?;
    let layout = super::standing_layout(&client).await?;
    let known = found.zip(layout).map(|(found, layout)| Known::new(owner, layout, found, Timestamp::now()));
    let file = DurableFile::new(folder.join(FILE), "database", VERSION, BYTES_MAX);
    let content = serde_json::to_vec(&known).expect("it is made of plain values");
    if !folder.is_dir() {
        return Err(StorageError::fatal(format!(
            "there is no data_dir {}: from a new one nothing was written to another database, and `tidegate serve` starts as \
             it is; otherwise name the data_dir of `serve` with --data-dir",
            folder.display()
        )));
    }
    let path = file.path().display().to_string();
    file.save(&content).map_err(|error| StorageError::fatal(format!("{path} cannot be written: {error}")))?;
    match client.batch_execute(ANOTHER_HISTORY).await {
        // Of a version before there were logs.
        Err(error) if error.code() == Some(&SqlState::UNDEFINED_TABLE) => {}
        Err(error) if error.code() == Some(&SqlState::INVALID_SCHEMA_NAME) => {}
        done => done?,
    }
    Ok(known.map(|known| known.id))
}

/// None: it holds nothing of Tidegate, or of a time before installations had ids.
async fn identify(client: &Client) -> Result<Option<Identity>, tokio_postgres::Error> {
    match client.query_typed(include_str!("../../sql/queries/identity.sql"), &[]).await {
        Ok(rows) => Ok(rows.first().map(|row| Identity {
            id: row.get("id"),
            batches: row.get("batches"),
            has_timescaledb: row.get("has_timescaledb"),
            timeline: row
                .get::<_, Option<&str>>("timeline")
                .and_then(|number| Timeline::parse(row.get("system"), number)),
        })),
        Err(error) => match error.code() {
            Some(&SqlState::UNDEFINED_TABLE | &SqlState::UNDEFINED_COLUMN | &SqlState::INVALID_SCHEMA_NAME) => Ok(None),
            _ => Err(error),
        },
    }
}

fn read(file: &DurableFile) -> Option<Known> {
    let content = file.load()?;
    serde_json::from_slice(&content).unwrap_or_else(|error| {
        file.set_aside(&error.to_string());
        None
    })
}

fn write(file: &DurableFile, known: Option<&Known>) {
    let content = serde_json::to_vec(&known).expect("it is made of plain values");
    if let Err(error) = file.save(&content) {
        tracing::error!(path = %file.path().display(), %error, "it cannot be kept which database is written to");
    }
}

impl Known {
    fn new(owner: &ConnectionUrl, layout: Layout, found: Identity, now: Timestamp) -> Self {
        let newer = (found.batches, now.as_microsecond());
        let (id, timeline) = (found.id, found.timeline);
        Self { id, place: place(&owner.server), hypertables: layout.has_hypertables(), batches: 0, newer, timeline }
    }

    /// The same, after it was seen at `now`.
    fn seen(mut self, found: Identity, now: Timestamp) -> Self {
        let goes_on = |known: Timeline| found.timeline.is_some_and(|found| !found.is_left_for(known));
        if self.timeline.is_none_or(goes_on) {
            self.timeline = found.timeline.or(self.timeline);
        }
        let (newer, newer_us) = self.newer;
        let now_us = now.as_microsecond();
        match u64::try_from(now_us - newer_us) {
            Ok(age_us) if u128::from(age_us) < DATABASE_LAG_MAX.as_micros() => self,
            Ok(_) => Self { batches: newer, newer: (found.batches, now_us), ..self },
            // The clock was set back.
            Err(_) => Self { newer: (newer, now_us), ..self },
        }
    }

    /// Err: it is another one, and why.
    fn compare(&self, found: Option<&Identity>) -> Result<(), String> {
        let Self { id, place, hypertables, batches, .. } = self;
        let other = match found {
            None => "holds nothing of Tidegate, or only what an older version left".to_owned(),
            Some(found) if found.id != *id => format!("is the installation {}", found.id),
            Some(Identity { timeline: Some(at), .. }) if self.timeline.is_some_and(|newest| at.is_left_for(newest)) => {
                left_behind(*at, self.timeline.unwrap_or(*at))
            }
            Some(found) if *hypertables && !found.has_timescaledb => "has lost the extension TimescaleDB".to_owned(),
            Some(found) if found.batches < *batches => format!(
                "is an older state of it: it has numbered batches up to {}, and had up to {batches}",
                found.batches
            ),
            Some(_) => return Ok(()),
        };
        Err(format!(
            "this is not the database that was written to before (installation {id}, {place}): it {other}; nothing is written \
             to it. Set database_url to the right one; if this one is right from now on, run `tidegate accept-database`, and \
             start again"
        ))
    }
}

#[cfg(test)]
#[path = "known_tests.rs"]
mod tests;
