//! One read: its turn, its connection, and the memory of what it finds; bounded in time and bytes, and cancelled when
//! nobody waits for it.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use futures_util::StreamExt;
use serde::Serialize;
use serde_json::Value;
use tokio_postgres::Row;

use super::error::ReadError;
use super::levels::Kept;
use super::queue::Turn;
use super::sql::Sql;
use super::windows::Window;
use crate::budget::Reservation;
use crate::limits::{READ_STEP_BYTES, READ_TIMEOUT};
use crate::storage::{Canceller, Layout, StorageError, give_back};

/// Given to a database beyond the timeout that it should have kept itself.
pub(super) const HANG_GRACE: Duration = Duration::from_secs(2);
/// What is made of rows is held beside them: a value, and then its text.
const HELD_PER_BYTE: usize = 2;

/// The reads that one answer, or one page of a stream, is made of.
pub struct Reads {
    pool: Pool,
    /// Where what was answered a moment ago is known: a reader's connection may lead to a copy.
    pub(super) current: Pool,
    canceller: Canceller,
    pub(super) layout: Layout,
    /// Whether there is an index of what payloads contain.
    pub(super) payload_gin: bool,
    pub(super) kept: Arc<Kept>,
    /// Bytes of rows that a page may take.
    pub(super) page_bytes: usize,
    /// How long a page may be looked for before it is answered with what there is.
    pub(super) search_time: Duration,
    _turn: Turn,
    held: Mutex<Held>,
    /// What was asked of the database, where its plans are to be shown.
    explained: Option<Mutex<Vec<Explained>>>,
}

/// A statement of a read.
#[derive(Debug, Serialize)]
pub struct Explained {
    pub statement: String,
    pub rows: usize,
    pub ms: f64,
    /// As EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) has it, of a second run.
    pub plan: Value,
}

struct Held {
    reservation: Reservation,
    /// Bytes of rows that came.
    row_bytes: usize,
}

/// What a page may take.
#[derive(Debug, Clone, Copy)]
pub struct PageMax {
    /// Of rows.
    pub bytes: usize,
    /// To look for it.
    pub time: Duration,
}

/// Rows of a query, and whether there were more than a page may hold.
pub struct FoundRows {
    pub rows: Vec<Row>,
    pub cut: bool,
}

/// What becomes of a row, and whether it was the last one that is wanted.
pub(super) type Take<'a> = dyn FnMut(Row) -> Result<bool, ReadError> + Send + 'a;

/// What a query may take.
#[derive(Clone, Copy)]
pub(super) struct Bounds {
    pub time: Duration,
    /// None: the memory has been taken.
    pub bytes: Option<usize>,
}

impl Reads {
    pub(super) fn new(
        pool: Pool,
        canceller: Canceller,
        layout: Layout,
        kept: Arc<Kept>,
        turn: Turn,
        reservation: Reservation,
        PageMax { bytes: page_bytes, time: search_time }: PageMax,
    ) -> Self {
        let held = Mutex::new(Held { reservation, row_bytes: 0 });
        let (_turn, explained, payload_gin) = (turn, None, false);
        let current = pool.clone();
        Self { pool, current, canceller, layout, payload_gin, kept, page_bytes, search_time, _turn, held, explained }
    }

    /// From now on every statement is explained.
    pub fn explain(&mut self) {
        self.explained = Some(Mutex::default());
    }

    /// What was asked so far.
    pub fn explained(&self) -> Vec<Explained> {
        let asked = self.explained.as_ref().map(|asked| asked.lock().unwrap_or_else(PoisonError::into_inner));
        asked.map(|mut asked| std::mem::take(&mut *asked)).unwrap_or_default()
    }

    /// Ends the turn; the memory goes with the answer.
    pub fn into_reservation(self) -> Reservation {
        self.held.into_inner().unwrap_or_else(PoisonError::into_inner).reservation
    }

    /// The first `limit + 1` rows of a list that is read newest first: window by window, until there are enough of
    /// them. The same rows as one query would give, without planning and opening every chunk there is.
    pub(super) async fn newest(
        &self,
        windows: impl IntoIterator<Item = Window>,
        limit: usize,
        sql: impl Fn(&Window, usize) -> Sql,
    ) -> Result<FoundRows, ReadError> {
        let begun = Instant::now();
        let mut found = FoundRows { rows: Vec::new(), cut: false };
        let mut bytes = 0;
        for window in windows {
            if begun.elapsed() > READ_TIMEOUT {
                return Err(ReadError::Timeout);
            }
            let FoundRows { rows, cut } = self.rows(&sql(&window, limit + 1 - found.rows.len())).await?;
            bytes += rows.iter().map(Row::raw_size_bytes).sum::<usize>();
            found.rows.extend(rows);
            found.cut = cut || bytes >= self.page_bytes;
            if found.cut || found.rows.len() > limit {
                break;
            }
        }
        Ok(found)
    }

    /// Runs one query, and takes rows until they are all there or fill a page; `cut` says that there were more.
    pub(super) async fn rows(&self, sql: &Sql) -> Result<FoundRows, ReadError> {
        self.rows_within(sql, Bounds { time: READ_TIMEOUT, bytes: Some(self.page_bytes) }).await
    }

    /// The same, with values of `bytes` in all, however large: taken from the budget before any of them comes.
    pub(super) async fn rows_of(&self, sql: &Sql, bytes: usize) -> Result<Vec<Row>, ReadError> {
        self.hold(HELD_PER_BYTE * bytes)?;
        Ok(self.rows_within(sql, Bounds { time: READ_TIMEOUT, bytes: None }).await?.rows)
    }

    /// The database ends a query after `READ_TIMEOUT` by itself; one that hangs is given up a little later. A
    /// client that stops waiting earlier cancels it.
    pub(super) async fn rows_within(&self, sql: &Sql, bounds: Bounds) -> Result<FoundRows, ReadError> {
        let Some(explained) = &self.explained else { return self.ask(sql, bounds).await };
        let begun = Instant::now();
        let found = self.ask(sql, bounds).await?;
        let (statement, ms) = (sql.text.clone(), begun.elapsed().as_secs_f64() * 1000.0);
        let plan = sql.with_text(format!("EXPLAIN (ANALYZE, BUFFERS, FORMAT JSON) {statement}"));
        let plan = self.ask(&plan, Bounds { time: READ_TIMEOUT, bytes: None }).await?.rows;
        let plan = plan.first().map_or(Ok(Value::Null), |row| row.try_get(0))?;
        let asked = Explained { statement, rows: found.rows.len(), ms, plan };
        explained.lock().unwrap_or_else(PoisonError::into_inner).push(asked);
        Ok(found)
    }

    async fn ask(&self, sql: &Sql, bounds: Bounds) -> Result<FoundRows, ReadError> {
        let mut rows = Vec::new();
        let mut taking = self.taking(bounds.bytes, &mut rows);
        let cut = self.ask_each(sql, bounds.time, &mut taking).await?;
        drop(taking);
        Ok(FoundRows { rows, cut })
    }

    /// Runs one query, and gives rows away as they come, until `take` says that it has enough; whether it did. The memory is
    /// its.
    pub(super) async fn each_row(&self, sql: &Sql, take: &mut Take<'_>) -> Result<bool, ReadError> {
        self.ask_each(sql, READ_TIMEOUT, take).await
    }

    /// A read that the server lost, or that was in the way of what a standby replays, is begun once more: by then there may be
    /// another server.
    async fn ask_each(&self, sql: &Sql, time: Duration, take: &mut Take<'_>) -> Result<bool, ReadError> {
        let mut given = false;
        let mut noting = |row| {
            given = true;
            take(row)
        };
        match self.ask_once(self.lease().await?, sql, time, &mut noting).await {
            Err(ReadError::Storage(error)) if !given && error.is_of_this_server() => {
                metrics::counter!("tidegate_reads_repeated_total").increment(1);
                tracing::debug!(%error, "a read is begun once more");
                self.ask_once(self.lease().await?, sql, time, take).await
            }
            done => done,
        }
    }

    /// The rows of a query that must not come from a copy that lags.
    pub(super) async fn current_rows(&self, sql: &Sql) -> Result<Vec<Row>, ReadError> {
        let client = self.current.get().await.map_err(StorageError::from)?;
        let lease = Lease::new(client, self.canceller.clone());
        let mut rows = Vec::new();
        self.ask_once(lease, sql, READ_TIMEOUT, &mut self.taking(Some(self.page_bytes), &mut rows)).await?;
        Ok(rows)
    }

    async fn ask_once(
        &self,
        mut lease: Lease,
        sql: &Sql,
        time: Duration,
        take: &mut Take<'_>,
    ) -> Result<bool, ReadError> {
        let time = if time < READ_TIMEOUT { time } else { READ_TIMEOUT + HANG_GRACE };
        match tokio::time::timeout(time, pass_rows(lease.client(), sql, take)).await {
            Ok(Ok(cut)) => {
                if !cut {
                    lease.give_back();
                }
                Ok(cut)
            }
            Ok(Err(error)) => {
                match &error {
                    // It is still under way, and is cancelled.
                    ReadError::Busy { .. } => {}
                    ReadError::Storage(error) => lease.give_back_after(error),
                    // The database has said so, and is done with it.
                    _ => lease.give_back(),
                }
                Err(error)
            }
            Err(_elapsed) if time < READ_TIMEOUT => Err(ReadError::Timeout),
            // Its own timeout should have fired before: it hangs.
            Err(_elapsed) => Err(StorageError::silence().into()),
        }
    }

    /// A connection of its own, for as long as it is held.
    pub(super) async fn lease(&self) -> Result<Lease, ReadError> {
        let client = self.pool.get().await.map_err(StorageError::from)?;
        Ok(Lease::new(client, self.canceller.clone()))
    }

    /// With which queries on other connections are cancelled.
    pub(super) fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }

    /// The rows of a query on a connection, in memory that is taken as they come.
    pub(super) async fn take_rows(
        &self,
        client: &Object,
        sql: &Sql,
        bytes_max: Option<usize>,
    ) -> Result<FoundRows, ReadError> {
        let mut rows = Vec::new();
        let mut taking = self.taking(bytes_max, &mut rows);
        let cut = pass_rows(client, sql, &mut taking).await?;
        drop(taking);
        Ok(FoundRows { rows, cut })
    }

    /// Takes rows, and memory for them, until there are so many bytes; None: the memory has been taken.
    fn taking<'a>(
        &'a self,
        bytes_max: Option<usize>,
        rows: &'a mut Vec<Row>,
    ) -> impl FnMut(Row) -> Result<bool, ReadError> + Send + 'a {
        let mut bytes = 0;
        move |row| {
            let mut is_enough = false;
            if let Some(bytes_max) = bytes_max {
                bytes += row.raw_size_bytes();
                self.hold_row(row.raw_size_bytes())?;
                is_enough = bytes >= bytes_max;
            }
            rows.push(row);
            Ok(is_enough)
        }
    }

    /// Takes memory for a row beside those that came.
    pub(super) fn hold_row(&self, bytes: usize) -> Result<(), ReadError> {
        let wanted = {
            let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
            held.row_bytes += bytes;
            HELD_PER_BYTE * held.row_bytes
        };
        self.hold(wanted)
    }

    /// The rows that came are not kept: those that come next have their memory.
    pub(super) fn drop_rows(&self) {
        self.held.lock().unwrap_or_else(PoisonError::into_inner).row_bytes = 0;
    }

    /// Takes memory for a page of rows that come by another way, and returns how many of them it may have.
    pub fn room(&self, rows: usize, row_bytes: usize) -> Result<usize, ReadError> {
        let rows = rows.min(self.page_bytes / row_bytes).max(1);
        self.hold(rows * row_bytes)?;
        Ok(rows)
    }

    /// Takes memory for what will be `bytes` in all.
    pub(super) fn hold(&self, bytes: usize) -> Result<(), ReadError> {
        let mut held = self.held.lock().unwrap_or_else(PoisonError::into_inner);
        Ok(held.reservation.grow_answer(bytes.next_multiple_of(READ_STEP_BYTES))?)
    }
}

/// Gives the rows of a query away, until `take` says that it has enough; whether it did.
pub(super) async fn pass_rows(client: &Object, sql: &Sql, take: &mut Take<'_>) -> Result<bool, ReadError> {
    let parameters = sql.parameters();
    let rows = if sql.keeps_plan {
        let (values, types): (Vec<_>, Vec<_>) = parameters.into_iter().unzip();
        let statement = client.prepare_typed_cached(&sql.text, &types).await?;
        client.query_raw(&statement, values).await?
    } else {
        client.query_typed_raw(&sql.text, parameters).await?
    };
    let mut stream = std::pin::pin!(rows);
    while let Some(row) = stream.next().await {
        if take(row?)? {
            return Ok(true);
        }
    }
    Ok(false)
}

/// A connection on which a query may be under way. Dropped before it was given back (the reader hung up, or the page
/// is full), it cancels the query and closes the connection: the next reader must not wait behind it.
pub(super) struct Lease {
    client: Option<Object>,
    canceller: Canceller,
}

impl Lease {
    pub(super) fn new(client: Object, canceller: Canceller) -> Self {
        Self { client: Some(client), canceller }
    }

    pub(super) fn client(&self) -> &Object {
        self.client.as_ref().expect("held until it is given back")
    }

    pub(super) fn give_back(&mut self) {
        self.client.take();
    }

    fn give_back_after(&mut self, error: &StorageError) {
        if let Some(client) = self.client.take() {
            give_back(client, error);
        }
    }
}

impl Drop for Lease {
    fn drop(&mut self) {
        let Some(object) = self.client.take() else { return };
        let client = Object::take(object);
        let (query, canceller) = (client.cancel_token(), self.canceller.clone());
        tokio::spawn(async move {
            if let Err(error) = canceller.cancel(query).await {
                tracing::debug!(%error, "an abandoned query could not be cancelled; its timeout will end it");
            }
            drop(client);
        });
    }
}
