//! How a job works through touched minutes: in blocks, in slices, in short transactions, and from where it stopped.
//!
//! A block is taken away from the queue in the transaction that begins with it. What is too much for one transaction goes
//! on in the next: the position is a row of `touched_passes`, committed with what the slice made. A crash rolls back one
//! slice. A block that is touched while a pass is under way is gone through once more from its start.

use std::collections::BTreeMap;
use std::future::Future;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;
use serde_json::Value;

use super::RunCounts;
use crate::limits::{TOUCHED_BLOCKS_PER_TRANSACTION, TOUCHED_RUN_MAX};
use crate::model::Kind;
use crate::precedence::Precedence;
use crate::storage::StorageError;

/// Consecutive minutes of a tenant.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MinuteRange {
    pub tenant_id: String,
    /// In minutes since 1970, the first.
    pub from_minute: i32,
    /// Exclusive.
    pub to_minute: i32,
}

impl MinuteRange {
    pub fn starts_at(&self) -> Timestamp {
        minute_at(self.from_minute)
    }

    pub fn ends_at(&self) -> Timestamp {
        minute_at(self.to_minute)
    }
}

pub fn minute_at(minute: i32) -> Timestamp {
    Timestamp::from_second(i64::from(minute) * 60).expect("minutes of an i32 lie within the years that jiff knows")
}

/// The minute that a time falls into.
pub fn minute_of(at: Timestamp) -> i32 {
    i32::try_from(at.as_second().div_euclid(60)).expect("the years that jiff knows have minutes that fit")
}

/// What a run did, by name.
#[derive(Debug, Default)]
pub struct Tally(BTreeMap<&'static str, u64>);

impl Tally {
    pub fn add(&mut self, what: &'static str, count: usize) {
        *self.0.entry(what).or_default() += count as u64;
    }

    pub fn into_counts(self) -> RunCounts {
        self.0.into_iter().collect()
    }
}

#[derive(Debug, Clone, Copy)]
pub struct MinuteQueue {
    pub name: &'static str,
    /// The rows whose minutes are noted in it as they are written; None: another job notes them.
    pub rows: Option<Kind>,
}

impl MinuteQueue {
    /// Of minutes as rows of a kind are written.
    pub const fn of(rows: Kind, name: &'static str) -> Self {
        Self { name, rows: Some(rows) }
    }

    /// Of minutes that another job notes.
    pub const fn noted(name: &'static str) -> Self {
        Self { name, rows: None }
    }
}

/// The queues that somebody works through. Minutes are spread into these and no others, and only a [`Worker`] works through
/// one: what is worked through is filled.
#[derive(Default)]
pub struct MinuteQueues {
    queues: Vec<MinuteQueue>,
    /// Before what works through them.
    pub(super) precedence: Precedence,
}

impl MinuteQueues {
    pub fn behind(precedence: &Precedence) -> Self {
        Self { queues: Vec::new(), precedence: precedence.clone() }
    }

    /// Takes the queues of a work in.
    ///
    /// # Panics
    /// If one of them is another work's already: the two would take each other's minutes.
    pub fn worker<W: Work>(&mut self, work: W) -> Worker<W> {
        for queue in work.queues() {
            assert!(
                self.queues.iter().all(|other| other.name != queue.name),
                "the queue {} has two workers",
                queue.name
            );
            self.queues.push(*queue);
        }
        Worker { work, precedence: self.precedence.clone() }
    }

    /// Kinds of rows and the names of the queues that they are spread into, side by side.
    pub(super) fn of_rows(&self) -> (Vec<&'static str>, Vec<&'static str>) {
        self.queues.iter().filter_map(|queue| Some((queue.rows?.table(), queue.name))).unzip()
    }
}

/// A work whose queues are filled.
pub struct Worker<W> {
    work: W,
    precedence: Precedence,
}

fn names(work: &impl Work) -> Vec<&'static str> {
    work.queues().iter().map(|queue| queue.name).collect()
}

/// What is done with touched minutes.
pub trait Work: Send + Sync + 'static {
    /// Where minutes are noted for it; passes go by the name of the first.
    fn queues(&self) -> &[MinuteQueue];
    /// Width of a block: as many minutes at most are one range.
    const BLOCK_MINUTES: i32;
    /// Whether a block is due only when it is over, and then as a whole.
    const WHOLE_BLOCKS: bool = false;
    /// How long after it was noted a block is due.
    const SETTLED_AFTER: Duration = Duration::ZERO;

    /// What must not happen within a transaction: partitions are made on another connection.
    fn prepare(&self, _range: &MinuteRange) -> impl Future<Output = Result<(), StorageError>> + Send {
        async { Ok(()) }
    }

    /// Does a bounded part of a range, from the position that the slice before it returned; None when it is done.
    fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &MinuteRange,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> impl Future<Output = Result<Option<Value>, StorageError>> + Send;
}

/// Statements of many chunks are planned for the times that they ask for; a compiled plan costs more than it saves.
const SETTINGS: &str = "SET LOCAL plan_cache_mode = force_custom_plan; SET LOCAL jit = off";

impl<W: Work> Worker<W> {
    pub fn work(&self) -> &W {
        &self.work
    }

    /// Works until nothing is due, and no longer than [`TOUCHED_RUN_MAX`]. Passes under way, the oldest blocks and the newest
    /// take turns, so that neither a block of millions of rows nor days of late data hold up what has just come in.
    pub async fn run(&self, client: &mut Object, tally: &mut Tally) -> Result<(), StorageError> {
        let begun = Instant::now();
        loop {
            let mut idle = !self.step(pass(&self.work, client, tally)).await?;
            for order in [
                include_str!("../../sql/queries/touched_blocks.sql"),
                include_str!("../../sql/queries/touched_blocks_newest.sql"),
            ] {
                for queue in self.work.queues() {
                    idle &= !self.step(blocks(&self.work, client, order, queue.name, tally)).await?;
                }
            }
            if idle || begun.elapsed() > TOUCHED_RUN_MAX {
                return Ok(());
            }
        }
    }

    /// Gives way after it, when it did something.
    async fn step(&self, step: impl Future<Output = Result<bool, StorageError>>) -> Result<bool, StorageError> {
        let begun = Instant::now();
        let worked = step.await?;
        if worked {
            self.precedence.give_way(begun.elapsed()).await;
        }
        Ok(worked)
    }

    /// How long what is due has been waiting, at most.
    pub async fn lag(&self, client: &Object) -> Result<Duration, StorageError> {
        let statement = client.prepare_cached(include_str!("../../sql/queries/touched_lag.sql")).await?;
        let row = client.query_one(&statement, &[&names(&self.work), &W::BLOCK_MINUTES, &W::WHOLE_BLOCKS]).await?;
        let lag_s: f64 = row.get(0);
        Ok(Duration::from_secs_f64(lag_s.max(0.0)))
    }
}

/// One slice of the pass that waited longest; false when there is none.
async fn pass<W: Work>(work: &W, client: &mut Object, tally: &mut Tally) -> Result<bool, StorageError> {
    let job = work.queues()[0].name;
    let next = "SELECT tenant_id, from_minute, to_minute, block, position, again FROM touched_passes WHERE job = $1 \
                ORDER BY turn <= clock_timestamp(), turn LIMIT 1";
    let next = client.prepare_cached(next).await?;
    let Some(row) = client.query_opt(&next, &[&job]).await? else { return Ok(false) };
    let range = MinuteRange { tenant_id: row.get(0), from_minute: row.get(1), to_minute: row.get(2) };
    let (block, position, again): (i32, Option<Value>, bool) = (row.get(3), row.get(4), row.get(5));
    work.prepare(&range).await?;
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    let position = work.slice(&transaction, &range, position.as_ref(), tally).await?;
    let finished = position.is_none() && !again;
    let sql = if finished {
        "DELETE FROM touched_passes WHERE job = $1 AND tenant_id = $2 AND block = $3 AND $4::jsonb IS NULL"
    } else {
        // Without a position it starts over, and so looks at what was noted so far.
        "UPDATE touched_passes SET position = $4, again = again AND $4::jsonb IS NOT NULL, turn = clock_timestamp() \
         WHERE job = $1 AND tenant_id = $2 AND block = $3"
    };
    let statement = transaction.prepare_cached(sql).await?;
    transaction.execute(&statement, &[&job, &range.tenant_id, &block, &position]).await?;
    transaction.commit().await?;
    tally.add("slices", 1);
    Ok(true)
}

/// The first slices of some blocks in one transaction; false when nothing is due.
async fn blocks<W: Work>(
    work: &W,
    client: &mut Object,
    order: &str,
    queue: &str,
    tally: &mut Tally,
) -> Result<bool, StorageError> {
    let due = client.prepare_cached(order).await?;
    let limit = TOUCHED_BLOCKS_PER_TRANSACTION;
    let settled_s = W::SETTLED_AFTER.as_secs_f64();
    let rows = client.query(&due, &[&queue, &W::BLOCK_MINUTES, &limit, &W::WHOLE_BLOCKS, &settled_s]).await?;
    let due: Vec<(String, i32)> = rows.iter().map(|row| (row.get(0), row.get(1))).collect();
    for (tenant_id, block) in &due {
        let range = MinuteRange {
            tenant_id: tenant_id.clone(),
            from_minute: *block,
            to_minute: block.saturating_add(W::BLOCK_MINUTES),
        };
        work.prepare(&range).await?;
    }
    let transaction = client.transaction().await?;
    transaction.batch_execute(SETTINGS).await?;
    // All are taken before the first is read, and in one order.
    let mut taken = Vec::with_capacity(due.len());
    let take = transaction.prepare_cached(include_str!("../../sql/queries/touched_take.sql")).await?;
    for (tenant_id, block) in due {
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 5] =
            [&names(work), &tenant_id, &block, &W::BLOCK_MINUTES, &W::WHOLE_BLOCKS];
        let row = transaction.query_one(&take, &parameters).await?;
        let (from, to): (Option<i32>, Option<i32>) = (row.get(0), row.get(1));
        let (Some(from_minute), Some(to_minute)) = (from, to) else { continue };
        let since: Timestamp = row.get(2);
        let range = if W::WHOLE_BLOCKS {
            MinuteRange { tenant_id, from_minute: block, to_minute: block.saturating_add(W::BLOCK_MINUTES) }
        } else {
            MinuteRange { tenant_id, from_minute, to_minute }
        };
        taken.push((range, block, since));
    }
    tally.add("blocks", taken.len());
    for (range, block, since) in &taken {
        begin(work, &transaction, range, *block, *since, tally).await?;
    }
    transaction.commit().await?;
    Ok(!taken.is_empty())
}

/// The first slice of a block that was taken; when a pass of it is under way, that one is told.
async fn begin<W: Work>(
    work: &W,
    transaction: &Transaction<'_>,
    range: &MinuteRange,
    block: i32,
    since: Timestamp,
    tally: &mut Tally,
) -> Result<(), StorageError> {
    let job = work.queues()[0].name;
    let under_way = "UPDATE touched_passes SET again = true, from_minute = least(from_minute, $4), \
                     to_minute = greatest(to_minute, $5) WHERE job = $1 AND tenant_id = $2 AND block = $3";
    let under_way = transaction.prepare_cached(under_way).await?;
    let (tenant_id, from, to) = (&range.tenant_id, &range.from_minute, &range.to_minute);
    if transaction.execute(&under_way, &[&job, tenant_id, &block, from, to]).await? > 0 {
        return Ok(());
    }
    let Some(position) = work.slice(transaction, range, None, tally).await? else { return Ok(()) };
    let remember = "INSERT INTO touched_passes (job, tenant_id, block, from_minute, to_minute, position, since) \
                    VALUES ($1, $2, $3, $4, $5, $6, $7)";
    let remember = transaction.prepare_cached(remember).await?;
    transaction.execute(&remember, &[&job, tenant_id, &block, from, to, &position, &since]).await?;
    Ok(())
}
