//! The job that follows the logs: each batch that concerns a projection is in a queue from the moment it is logged.

use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;

use super::apart::take;
use super::apply::Target;
use super::begin::{begin, begin_projection, hold};
use super::letters;
use super::look::{Following, Position, Understood, look, understand};
use super::statements::Place;
use crate::jobs::{Job, RunCounts};
use crate::limits::{
    LOG_RUN, PROJECTED_LOOKS_PER_TURN, PROJECTION_QUEUE_ROWS, PROJECTION_SWEEP_EVERY, PROJECTION_TICK,
    PROJECTION_TICK_IDLE,
};
use crate::precedence::Precedence;
use crate::projections::ALL;
use crate::storage::StorageError;

/// How often a node that does not lead asks whether it may.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The leader comes back at once.
const GO_ON_AFTER: Duration = Duration::from_millis(5);

/// What bounds the rows and letters of a tenant.
#[derive(Debug, Clone, Copy)]
pub struct Bounds {
    pub assets: i64,
    /// Of dead letters, in bytes a UTC day.
    pub letter_bytes: i64,
}

impl Bounds {
    pub fn new(assets: usize, letter_bytes: u64) -> Self {
        Self {
            assets: i64::try_from(assets).unwrap_or(i64::MAX),
            letter_bytes: i64::try_from(letter_bytes).unwrap_or(i64::MAX),
        }
    }
}

pub struct Processor {
    bounds: Bounds,
    precedence: Precedence,
    /// When this node led last, and when it looked for what is not in the queue.
    led: Mutex<Option<Instant>>,
    swept: Mutex<Option<Instant>>,
}

/// What was done, and whether there was nothing more to do.
#[derive(Debug, Default)]
struct Done {
    events: u64,
    rows: u64,
    unfit: u64,
    looks: u64,
}

/// A stream with something in the queue.
struct Waiting {
    tenant_id: String,
    stream: String,
    /// The newest entry of it that was seen.
    turn: i64,
    projections: i32,
}

impl Job for Processor {
    fn name(&self) -> &'static str {
        "processor"
    }

    fn interval(&self) -> Duration {
        let led = *self.led.lock().expect("no code panics while holding it");
        if led.is_some_and(|at| at.elapsed() < ASK_EVERY) { GO_ON_AFTER } else { ASK_EVERY }
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let run = self.run(client).await;
        if run.is_err() {
            // What fails is not tried again at once.
            *self.led.lock().expect("no code panics while holding it") = None;
        }
        run
    }
}

impl Processor {
    pub fn new(bounds: Bounds, precedence: Precedence) -> Self {
        Self { bounds, precedence, led: Mutex::default(), swept: Mutex::default() }
    }

    async fn run(&self, client: &Object) -> Result<RunCounts, StorageError> {
        let begun = Instant::now();
        let mut done = Done::default();
        self.begin_new(client).await?;
        self.sweep(client).await?;
        let mut pause = PROJECTION_TICK;
        while begun.elapsed() < LOG_RUN {
            *self.led.lock().expect("no code panics while holding it") = Some(Instant::now());
            let waiting = waiting(client).await?;
            let mut failed = None;
            for stream in &waiting {
                let turn = Instant::now();
                if let Err(error) = self.follow(client, stream, &mut done).await {
                    // Of this stream alone, perhaps: others do not wait for it.
                    if client.batch_execute("ROLLBACK").await.is_err() {
                        return Err(error);
                    }
                    failed.get_or_insert(error);
                }
                self.precedence.give_way(turn.elapsed()).await;
            }
            failed.map_or(Ok(()), Err)?;
            pause = if waiting.is_empty() { (pause * 2).min(PROJECTION_TICK_IDLE) } else { PROJECTION_TICK };
            tokio::time::sleep(pause).await;
        }
        Ok(vec![("looks", done.looks), ("events", done.events), ("rows", done.rows), ("unfit", done.unfit)])
    }

    /// Begins projections that were never looked at here.
    async fn begin_new(&self, client: &Object) -> Result<(), StorageError> {
        let new = client.query("SELECT name FROM projections WHERE begun_at IS NULL ORDER BY bit", &[]).await?;
        for row in new {
            begin_projection(client, row.get(0)).await?;
        }
        Ok(())
    }

    /// Looks for what another version has logged and not put into the queue: when this node begins to lead, and now and then.
    async fn sweep(&self, client: &Object) -> Result<(), StorageError> {
        let is_due = {
            let swept = self.swept.lock().expect("no code panics while holding it");
            let led = *self.led.lock().expect("no code panics while holding it");
            let has_led = led.is_some_and(|at| at.elapsed() < ASK_EVERY);
            !has_led || swept.is_none_or(|at| at.elapsed() >= PROJECTION_SWEEP_EVERY)
        };
        if is_due {
            client.execute(include_str!("../../sql/queries/projection_sweep.sql"), &[]).await?;
            *self.swept.lock().expect("no code panics while holding it") = Some(Instant::now());
        }
        Ok(())
    }

    /// Goes on in a stream, for each projection that may be concerned; takes it out of the queue when all have caught up.
    async fn follow(&self, client: &Object, waiting: &Waiting, done: &mut Done) -> Result<(), StorageError> {
        let mut have_all = true;
        for (bit, projection) in ALL.iter().enumerate() {
            let of = Following { projection, bit: 1 << bit, tenant_id: &waiting.tenant_id, stream: &waiting.stream };
            if waiting.projections & of.bit != 0 {
                have_all &= self.catch_up(client, of, done).await?;
            }
        }
        if have_all {
            let passed = "DELETE FROM projection_queue WHERE tenant_id = $1 AND stream = $2 AND turn <= $3";
            let passed = client.prepare_cached(passed).await?;
            client.execute(&passed, &[&waiting.tenant_id, &waiting.stream, &waiting.turn]).await?;
        }
        Ok(())
    }

    /// Some looks; false where there is more to be done.
    async fn catch_up(&self, client: &Object, of: Following<'_>, done: &mut Done) -> Result<bool, StorageError> {
        for _ in 0..PROJECTED_LOOKS_PER_TURN {
            let at = position(client, of).await?;
            let found = look(client, of, at, false).await?;
            done.looks += 1;
            if found.next == at {
                return Ok(found.is_end);
            }
            done.events += found.events.len() as u64;
            let Understood { sayings, fit, mut unfit } = understand(of, found.events);
            begin(client).await?;
            hold(client, of.projection.name).await?;
            if !advance(client, of, at, found.next).await? {
                // Another has taken over, or a rebuild has put it elsewhere.
                client.batch_execute("ROLLBACK").await?;
                continue;
            }
            let target = Target {
                tables: of.projection.tables,
                place: Place::Live,
                tenant_id: of.tenant_id,
                shared_rows_max: self.bounds.assets,
            };
            let mut taken = take(client, target, &sayings).await?;
            let applied = taken.applied;
            unfit.extend(
                fit.into_iter().filter_map(|event| taken.refused.remove(&event.offset).map(|why| (event, why))),
            );
            let kept = letters::keep(client, of, &unfit, self.bounds.letter_bytes).await?;
            if applied.refused > 0 {
                let note = client.prepare_cached(include_str!("../../sql/queries/over_quota_note.sql")).await?;
                client.query_one(&note, &[&of.tenant_id, &applied.refused, &"assets"]).await?;
            }
            client.batch_execute("COMMIT").await?;
            done.rows += applied.rows as u64;
            self.count(of, unfit.len() as u64, kept, done);
        }
        Ok(false)
    }

    fn count(&self, of: Following<'_>, unfit: u64, kept: u64, done: &mut Done) {
        if unfit == 0 {
            return;
        }
        done.unfit += unfit;
        metrics::counter!("tidegate_projection_unfit_total", "projection" => of.projection.name, "kept" => "yes")
            .increment(kept);
        let beyond = unfit.saturating_sub(kept);
        metrics::counter!("tidegate_projection_unfit_total", "projection" => of.projection.name, "kept" => "no")
            .increment(beyond);
    }
}

/// Streams that have something in the queue, those that wait longest first.
async fn waiting(client: &Object) -> Result<Vec<Waiting>, StorageError> {
    let waiting = client.prepare_cached(include_str!("../../sql/queries/projection_waiting.sql")).await?;
    let rows = client.query(&waiting, &[&PROJECTION_QUEUE_ROWS]).await?;
    let read = |row: &tokio_postgres::Row| Waiting {
        tenant_id: row.get(0),
        stream: row.get(1),
        turn: row.get(2),
        projections: row.get(3),
    };
    Ok(rows.iter().map(read).collect())
}

async fn position(client: &Object, of: Following<'_>) -> Result<Position, StorageError> {
    let sql =
        "SELECT committed, all_before FROM projection_offsets WHERE projection = $1 AND tenant_id = $2 AND stream = $3";
    let sql = client.prepare_cached(sql).await?;
    let row = client.query_opt(&sql, &[&of.projection.name, &of.tenant_id, &of.stream]).await?;
    Ok(row.map_or(Position { committed: 0, all_before: 0 }, |row| Position {
        committed: row.get(0),
        all_before: row.get(1),
    }))
}

/// Moves on, if nobody else has meanwhile.
async fn advance(client: &Object, of: Following<'_>, from: Position, to: Position) -> Result<bool, StorageError> {
    let advance = "INSERT INTO projection_offsets AS o (projection, tenant_id, stream, committed) VALUES ($1, $2, $3, $5) \
                   ON CONFLICT (projection, tenant_id, stream) DO UPDATE SET committed = EXCLUDED.committed, updated_at = now() \
                   WHERE o.committed = $4";
    let advance = client.prepare_cached(advance).await?;
    let moved = client
        .execute(&advance, &[&of.projection.name, &of.tenant_id, &of.stream, &from.committed, &to.committed])
        .await?;
    Ok(moved > 0)
}
