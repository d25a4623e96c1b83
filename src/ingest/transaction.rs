//! One attempt to write a batch: BEGIN, claims, COPY, ledger, dead letters, new series, use, manifests, COMMIT.
//!
//! Everything of a batch is in one transaction, so that an answer of 200 means that its rows, its ledger row and its
//! dead letters are all there or, if the attempt fails, none is. Statements are prepared once a connection and sent
//! together wherever one does not need the answer of another: BEGIN with the claims, and the last COPY with all that
//! follows. COMMIT counts only when every reply before it was a success: after a failed statement it rolls back.

use std::collections::VecDeque;

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::{Client, Statement};

use super::attempts::{Attempts, TransactionId, Verdict};
use super::births::{self as births_lock, Births};
use super::copy::{copy, copy_sql, finish};
use super::ledger::{self, Claim};
use super::outcome::Outcome;
use super::plan::{Chunks, Place, Plan, PlanConfig, plan};
use super::series::{self, FreshSeries, KnownSeries};
use super::series_quota::SeriesQuota;
use super::stream_quota::{self, StreamQuota};
use super::submission::Submission;
use super::usage::{self, Usage};
use super::{dead_letters, manifests, replay, staging};
use crate::model::{Kind, Relation};
use crate::storage::{Slices, StorageError, Store};

/// READ COMMITTED whatever the database's default: the ledger must be read as it is once the key's lock is held.
pub const BEGIN: &str = "BEGIN ISOLATION LEVEL READ COMMITTED";
const BIRTH_LOCK_TIMEOUT: &str = "SET LOCAL lock_timeout = '200ms'";
const IDENTIFY: &str = "SELECT pg_current_xact_id()::text, pg_postmaster_start_time()";

/// Why an attempt failed.
pub struct Failure {
    pub error: StorageError,
    /// The transaction is over and the connection as good as new: COMMIT was answered, with a rollback.
    pub over: bool,
    /// Replies of the connection can no longer be told apart: a COPY that is refused before it begins is answered
    /// twice (tokio-postgres 0.7.18 ends it with a Sync of its own). It must not be used again, not even for a
    /// ROLLBACK.
    pub out_of_step: bool,
    /// Chunks are cut otherwise than was planned: it is to be planned again.
    pub recut: bool,
    /// The plan whose rows met the error, and which of its COPYs, if it was one: only then is an error's line a row.
    pub copy: Option<(Plan, Option<usize>)>,
    /// Rows that are other events than those which have their ids and timestamps (rowstore profile), and how they differ.
    pub conflicts: Vec<(Place, String)>,
    /// Samples of series that their organization may not have as well.
    pub over_quota: Vec<Place>,
    /// Events of streams that their organization may not have as well.
    pub over_streams: Vec<Place>,
}

impl Failure {
    /// Of a COPY behind which another one was begun.
    fn of_copy(error: impl Into<StorageError>, plan: Plan, index: Option<usize>) -> Self {
        Self { out_of_step: true, copy: Some((plan, index)), ..error.into().into() }
    }

    fn of_conflicts(conflicts: Vec<(Place, String)>) -> Self {
        Self { conflicts, ..StorageError::fatal("events have ids and timestamps of other events").into() }
    }

    fn over_quota(over_quota: Vec<Place>) -> Self {
        Self { over_quota, ..StorageError::fatal("an organization has too many series").into() }
    }

    fn over_streams(over_streams: Vec<Place>) -> Self {
        Self { over_streams, ..StorageError::fatal("an organization has too many streams").into() }
    }
}

impl From<tokio_postgres::Error> for Failure {
    fn from(error: tokio_postgres::Error) -> Self {
        StorageError::from(error).into()
    }
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self {
            error,
            over: false,
            out_of_step: false,
            recut: false,
            copy: None,
            conflicts: Vec::new(),
            over_quota: Vec::new(),
            over_streams: Vec::new(),
        }
    }
}

/// The first id of a block of [`BATCH_ID_BLOCK`](crate::limits::BATCH_ID_BLOCK).
const NEXT_BLOCK: &str = include_str!("../../sql/queries/batch_ids_block.sql");

/// Draws batch ids in blocks.
#[derive(Debug, Default)]
pub struct BatchIds {
    blocks: VecDeque<std::ops::Range<i64>>,
}

impl BatchIds {
    /// Makes sure that `count` ids can be drawn without the database.
    pub async fn refill(&mut self, client: &Client, count: usize) -> Result<(), tokio_postgres::Error> {
        let left =
            |blocks: &VecDeque<std::ops::Range<i64>>| blocks.iter().map(|block| block.end - block.start).sum::<i64>();
        while usize::try_from(left(&self.blocks)).unwrap_or(0) < count {
            let start: i64 = client.query_one(NEXT_BLOCK, &[]).await?.get(0);
            self.blocks.push_back(start..start + crate::limits::BATCH_ID_BLOCK);
        }
        Ok(())
    }

    /// Takes `count` ids out, for one batch.
    pub fn take(&mut self, count: usize) -> Self {
        Self { blocks: (0..count).map(|_| self.draw()).map(|id| id..id + 1).collect() }
    }

    fn draw(&mut self) -> i64 {
        // Of a batch of very many streams each block is one id: those that are used up go one by one.
        loop {
            let block = self.blocks.front_mut().expect("refill() was called with the number of ids needed");
            match block.next() {
                Some(id) => return id,
                None => drop(self.blocks.pop_front()),
            }
        }
    }
}

/// The statements of a transaction, prepared once a connection.
struct Statements {
    identify: Statement,
    ledger: ledger::LedgerStatements,
    copy: Statement,
    manifests: Statement,
    series: Statement,
    usage: Statement,
}

impl Statements {
    async fn of(client: &Object, kind: Kind, table: &str) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            identify: client.prepare_cached(IDENTIFY).await?,
            ledger: ledger::LedgerStatements::of(client).await?,
            copy: client.prepare_cached(&copy_sql(table, kind)).await?,
            manifests: client.prepare_cached(manifests::INSERT).await?,
            series: client.prepare_cached(series::INSERT).await?,
            usage: client.prepare_cached(usage::INSERT).await?,
        })
    }
}

/// What an attempt is made with.
#[derive(Clone, Copy)]
pub struct Means<'a> {
    /// What all submissions of the batch hold.
    pub kind: Kind,
    pub config: PlanConfig,
    /// The chunks known to be in the columnstore.
    pub births: &'a Births,
    /// The series known to be in the catalog.
    pub series: &'a KnownSeries,
    /// How many an organization may have.
    pub series_quota: &'a SeriesQuota,
    /// The same of streams.
    pub stream_quota: &'a StreamQuota,
    /// How the relation is cut into chunks.
    pub slices: &'a Slices,
    /// What COPY writes to.
    pub table: &'a str,
    /// What makes partitions that are missing.
    pub store: &'a Store,
    /// Longest wait for a lock, as PostgreSQL writes it; None: the session's.
    pub lock_timeout: Option<&'a str>,
}

/// Runs one attempt on `client`; `ids` holds one for each (tenant, stream) that the batch can have. On failure the
/// caller rolls back, unless the failure says that it is over; `attempts` says whether COMMIT may have happened.
pub async fn attempt(
    client: &Object,
    batch: &[Submission],
    attempts: &mut Attempts,
    ids: &mut BatchIds,
    means: Means<'_>,
) -> Result<Vec<Verdict>, Failure> {
    let statements = Statements::of(client, means.kind, means.table).await?;
    let begin = match means.lock_timeout {
        Some(timeout) => format!("{BEGIN}; SET LOCAL lock_timeout = '{timeout}'"),
        None => BEGIN.to_owned(),
    };
    let (begun, identified, claims) = tokio::join!(
        biased;
        client.batch_execute(&begin),
        client.query_one(&statements.identify, &[]),
        ledger::claim(client, &statements.ledger, batch),
    );
    begun?;
    let row = identified?;
    attempts.transaction = Some(TransactionId { xid: row.get(0), server_start: row.get(1) });
    let claims = claims?;
    let taking: Vec<usize> = (0..batch.len()).filter(|index| matches!(claims[*index], Claim::New)).collect();
    let (slices, now_us) = (means.slices.map(), Timestamp::now().as_microsecond());
    let chunks = Chunks { slices: &slices, now_us, births: means.births };
    let mut plan = plan(batch, &taking, means.config, chunks, |tenant_id, stream| {
        attempts.batch_id(tenant_id, stream, || ids.draw())
    });
    if means.kind == Kind::Events {
        let over = means.stream_quota.over(client, &plan.manifests).await?;
        if !over.is_empty() {
            return Err(Failure::over_streams(stream_quota::rows_of(&over, batch, &taking)));
        }
    }
    let mut fresh = match means.kind {
        Kind::Events => FreshSeries::default(),
        Kind::Metrics => means.series.fresh(batch, &taking),
    };
    fresh.look_up(client, batch).await?;
    let (reserved, over) = means.series_quota.reserve(client, batch, &fresh).await?;
    if !over.is_empty() {
        return Err(Failure::over_quota(means.series.rows_of(&over, batch, &taking)));
    }
    births_lock::lock(client, means.kind, &plan.births).await?;
    if !plan.births.is_empty() && means.lock_timeout.is_some() {
        // Live batches may wait for the locks of these births: a transaction that has them must not wait for a closed
        // chunk.
        client.batch_execute(BIRTH_LOCK_TIMEOUT).await?;
    }
    if !plan.births.is_empty() && !means.slices.settle(client, &plan.births, now_us).await? {
        let error = StorageError::retryable("chunks are cut otherwise than this process knew");
        return Err(Failure { recut: true, ..error.into() });
    }
    means.store.ensure(Relation::Raw(means.kind), plan.timestamps_us(batch)).await?;
    dead_letters::insert(client, batch, taking.iter().copied()).await?;
    replay::note(client, batch, taking.iter().copied()).await?;
    let mut duplicates = vec![0; batch.len()];
    let mut open = None;
    if attempts.staged {
        match staging::copy(client, batch, &mut plan).await {
            Ok(staged) if staged.conflicts.is_empty() => duplicates = staged.duplicates,
            Ok(staged) => return Err(Failure::of_conflicts(staged.conflicts)),
            Err(error) => return Err(Failure::of_copy(error, plan, None)),
        }
    } else {
        match copy(client, &statements.copy, batch, &plan, means.config).await {
            Ok(last) => open = last,
            Err((index, error)) => {
                return Err(Failure::of_copy(error, plan, Some(index)));
            }
        }
    }
    let written: Vec<(usize, Outcome)> =
        taking.iter().map(|&index| (index, batch[index].outcome(duplicates[index]))).collect();
    let mut verdicts: Vec<Verdict> = claims.into_iter().map(Verdict::Claimed).collect();
    let remembered = ledger::remembered(batch, &written);
    let used = Usage::of(means.kind, batch, &written);
    for (index, outcome) in written {
        verdicts[index] = Verdict::Written(outcome);
    }
    // Noted before COMMIT is sent: if this future is dropped while it waits for replies, the outcome is unknown.
    attempts.unconfirmed = Some(verdicts);
    let (copied, remembered, listed, counted, noted, committed) = tokio::join!(
        biased;
        finish(open),
        ledger::remember(client, &statements.ledger, &remembered),
        series::insert(client, &statements.series, batch, &fresh),
        used.note(client, &statements.usage),
        manifests::insert(client, &statements.manifests, means.kind.table(), &plan.manifests),
        client.batch_execute("COMMIT"),
    );
    // Before COMMIT a statement that the server refused means a rollback, whatever it was refused for.
    let refused = |error: &tokio_postgres::Error| error.as_db_error().is_some();
    let over = committed.is_ok();
    let (error, rolled_back, in_copy) = match (copied, remembered.and(listed).and(counted).and(noted), committed) {
        (Ok(()), Ok(()), Ok(())) => {
            if means.kind == Kind::Events {
                means.stream_quota.committed(&plan.manifests);
            }
            means.births.committed(plan.births);
            means.series.committed(fresh);
            reserved.committed();
            return Ok(attempts.unconfirmed.take().unwrap_or_default());
        }
        (Err(error), ..) => {
            let rolled_back = refused(&error);
            (StorageError::from(error), rolled_back, true)
        }
        (_, Err(error), _) => {
            let rolled_back = refused(&error);
            (StorageError::from(error), rolled_back, false)
        }
        (.., Err(error)) => {
            // A server that shuts down may have committed before it said so.
            let rolled_back = error.as_db_error().is_some_and(|db| !matches!(&db.code().code()[..2], "08" | "57"));
            (StorageError::from(error).doing("COMMIT"), rolled_back, false)
        }
    };
    if rolled_back {
        attempts.unconfirmed = None;
    }
    let copy = in_copy.then(|| plan.copies.len().checked_sub(1)).flatten().map(|last| (plan, Some(last)));
    Err(Failure { over: over && rolled_back, copy, ..error.into() })
}
