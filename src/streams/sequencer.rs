//! The sequencer: gives every committed batch of events its base in the log of its stream.
//!
//! Writers commit in any order, and a batch whose transaction began first may be seen last. So nothing is told from numbers
//! or times: a tick appends what its snapshot sees and the newest tick's did not. Each tick takes the lock in a statement of
//! its own, so that its snapshot is taken when the tick before is committed, from any node.

use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::append::{Append, Appended, OLD, TICK};
use super::epoch;
use crate::jobs::{Job, RunCounts};
use crate::limits::{
    ITEMS_PER_REQUEST_MAX, LATE_JOINED_BATCHES_MAX, LOG_OLD_BATCHES, LOG_RUN, LOG_TICK, LOG_TICK_IDLE, LOG_UPKEEP_EVERY,
};
use crate::storage::{Fate, Layout, StorageError};

/// The planner must not take a queue that was just emptied for one that is always small.
const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED; SET LOCAL lock_timeout = '10s'; SET LOCAL enable_seqscan = off; \
                     SET LOCAL jit = off; LOCK TABLE lock_sequencer IN EXCLUSIVE MODE";

/// Ordinals that rows may have had which were left out of a batch of a version before: as many as a transaction holds.
const UNKNOWN_SPAN: i32 = 4_000_000;
const _: () = assert!((LATE_JOINED_BATCHES_MAX + 1) * ITEMS_PER_REQUEST_MAX < UNKNOWN_SPAN as usize);

/// How often a node that does not lead asks whether it may.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The leader comes back at once.
const GO_ON_AFTER: Duration = Duration::from_millis(5);

pub struct Sequencer {
    /// Ordinals that a batch of a version before may have handed out beyond those of its rows.
    unknown_span: i32,
    /// When this node led last.
    led: Mutex<Option<Instant>>,
    /// A batch turned out to be logged already: what the newest tick says is not so.
    repair: AtomicBool,
    deleted: Mutex<Deleted>,
    /// The newest tick that this process knows of: a database whose newest one is older went on from an earlier moment.
    seen: AtomicI64,
}

impl Job for Sequencer {
    fn name(&self) -> &'static str {
        "sequencer"
    }

    fn interval(&self) -> Duration {
        let led = *self.led.lock().expect("no code panics while holding it");
        if led.is_some_and(|at| at.elapsed() < ASK_EVERY) { GO_ON_AFTER } else { ASK_EVERY }
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let run = self.run(client).await;
        if let Err(error) = &run {
            // What fails is not tried again at once.
            *self.led.lock().expect("no code panics while holding it") = None;
            *self.deleted.lock().expect("no code panics while holding it") = Deleted::default();
            if matches!(error.fate(), Fate::RejectRow { .. } | Fate::DuplicateRow) {
                self.repair.store(true, Ordering::Relaxed);
            }
        }
        run
    }
}

/// How far it was deleted what the newest tick had left behind. The next time begins there: while an old snapshot keeps the
/// rows that are gone, they would all be looked at again.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Deleted {
    /// The queue is empty up to this transaction.
    xid: String,
    tick: i64,
}

impl Default for Deleted {
    fn default() -> Self {
        Self { xid: "0".to_owned(), tick: i64::MIN }
    }
}

impl Sequencer {
    pub fn new(layout: Layout) -> Self {
        let unknown_span = if layout.tells_equal_events() { UNKNOWN_SPAN } else { 0 };
        Self {
            unknown_span,
            led: Mutex::default(),
            repair: AtomicBool::new(false),
            deleted: Mutex::default(),
            seen: AtomicI64::new(i64::MIN),
        }
    }

    async fn run(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let begun = Instant::now();
        self.is_leading();
        let mut appended =
            epoch::settle(client, self.repair.load(Ordering::Relaxed), &self.seen).await?.unwrap_or_default();
        self.repair.store(false, Ordering::Relaxed);
        let (mut pause, mut any_old, mut tells) = (LOG_TICK, true, true);
        let mut kept_up_at: Option<Instant> = None;
        while begun.elapsed() < LOG_RUN {
            self.is_leading();
            if kept_up_at.is_none_or(|at| at.elapsed() >= LOG_UPKEEP_EVERY) {
                kept_up_at = Some(Instant::now());
                any_old = true;
                self.delete_behind(client).await?;
            }
            if any_old {
                // What was stored before there was a log comes first, so that it has the lower offsets.
                let old = self.append_old(client, &mut tells).await?;
                appended += old;
                any_old = !old.is_nothing();
                if any_old {
                    continue;
                }
            }
            let fresh = tick(client, &mut tells).await?;
            appended += fresh;
            pause = if fresh.is_nothing() { (pause * 2).min(LOG_TICK_IDLE) } else { LOG_TICK };
            tokio::time::sleep(pause).await;
        }
        Ok(vec![("batches", appended.batches), ("events", appended.events)])
    }

    fn is_leading(&self) {
        *self.led.lock().expect("no code panics while holding it") = Some(Instant::now());
    }

    /// Deletes what the newest tick has left behind.
    async fn delete_behind(&self, client: &Object) -> Result<(), StorageError> {
        let newest = "SELECT tick, pg_snapshot_xmin(snapshot)::text FROM sequencer_ticks ORDER BY tick DESC LIMIT 1";
        let newest = client.prepare_cached(newest).await?;
        let Some(row) = client.query_opt(&newest, &[]).await? else { return Ok(()) };
        let now = Deleted { tick: row.get(0), xid: row.get(1) };
        self.seen.fetch_max(now.tick, Ordering::Relaxed);
        let before = self.deleted.lock().expect("no code panics while holding it").clone();
        if before == now {
            return Ok(());
        }
        let queue = "DELETE FROM batch_queue WHERE xid >= $1::text::xid8 AND xid < $2::text::xid8";
        client.execute(&client.prepare_cached(queue).await?, &[&before.xid, &now.xid]).await?;
        let ticks = "DELETE FROM sequencer_ticks WHERE tick >= $1 AND tick < $2";
        client.execute(&client.prepare_cached(ticks).await?, &[&before.tick, &now.tick]).await?;
        *self.deleted.lock().expect("no code panics while holding it") = now;
        Ok(())
    }

    /// A bounded number of batches of versions before; their index is empty once they are logged.
    async fn append_old(&self, client: &Object, tells: &mut bool) -> Result<Appended, StorageError> {
        append(client, &OLD, tells, &[&LOG_OLD_BATCHES, &self.unknown_span]).await
    }
}

/// One look.
async fn tick(client: &Object, tells: &mut bool) -> Result<Appended, StorageError> {
    let began = Instant::now();
    let appended = append(client, &TICK, tells, &[]).await?;
    if !appended.is_nothing() {
        metrics::histogram!("tidegate_log_tick_seconds").record(began.elapsed().as_secs_f64());
    }
    Ok(appended)
}

/// Appends to the log; without telling anybody, where that cannot be done.
async fn append(
    client: &Object,
    append: &Append,
    tells: &mut bool,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Appended, StorageError> {
    if *tells {
        match append_by(client, &append.telling, parameters).await {
            Err(error) if error.code() == Some(&SqlState::PROGRAM_LIMIT_EXCEEDED) => {
                tracing::warn!(
                    %error,
                    "nobody can be told of new events, since the server's NOTIFY queue is full: who waits for them looks every two \
                     seconds; end the session that listens and has a transaction open (pg_notification_queue_usage)"
                );
                *tells = false;
            }
            appended => return Ok(appended?),
        }
    }
    Ok(append_by(client, &append.silent, parameters).await?)
}

/// A transaction that appends to the log, sent in one go.
async fn append_by(
    client: &Object,
    statement: &str,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<Appended, tokio_postgres::Error> {
    let statement = client.prepare_cached(statement).await?;
    let (begun, row, committed) = tokio::join!(
        biased;
        client.batch_execute(BEGIN),
        client.query_opt(&statement, parameters),
        client.batch_execute("COMMIT"),
    );
    begun?;
    let row = row?;
    committed?;
    Ok(Appended::of(row.as_ref()))
}
