//! Loads a data set as the ingest path would have left it, without HTTP and JSON: COPYs of one tenant's rows, day by day from
//! old to new, on the columnstore nothing but direct compress.
//!
//! The first COPY of each tenant into a day goes alone, on one connection: it makes the chunks, and two transactions that
//! made several chunks at once could wait for each other. Afterwards several connections write.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use tidegate::model::Relation;
use tidegate::storage::{Layout, Store};
use tidegate::wire::event::COPY_COLUMNS;
use tokio_postgres::{Client, Statement};

use super::analytics::Filled;
use super::dataset::{Dataset, Span};
use super::meter::Meter;
use super::rows::DAY_US;
use super::target::Target;
use super::tuples::{SAMPLE_COLUMNS, Tuples};
use super::{CONNECTIONS, Result, as_f64};

/// COPYs of one transaction: COMMIT is no part of what is measured here, and each COPY is a batch of its own all the same.
const COPIES_PER_COMMIT: usize = 8;
const PROGRESS: Duration = Duration::from_secs(10);

/// What is loaded.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    Events,
    Metrics,
}

impl Kind {
    /// The relation.
    pub fn table(self) -> &'static str {
        match self {
            Self::Events => "events",
            Self::Metrics => "metrics",
        }
    }

    /// Its rows in a data set.
    pub fn span(self, dataset: &Dataset) -> Span {
        match self {
            Self::Events => dataset.events,
            Self::Metrics => dataset.samples,
        }
    }

    /// How many of all tenants.
    pub fn rows(self, dataset: &Dataset) -> u64 {
        match self {
            Self::Events => dataset.event_count(),
            Self::Metrics => dataset.sample_count(),
        }
    }
}

/// One COPY: rows of one tenant that follow each other in time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    tenant: usize,
    numbers: Range<u64>,
}

/// Loads the rows of one kind, `copy_rows` a COPY.
pub async fn fill(target: &Target, kind: Kind, dataset: Dataset, copy_rows: u64) -> Result<Filled> {
    let tuples = Arc::new(Tuples::new(dataset, &target.tenants)?);
    let span = kind.span(&dataset);
    // What a run that was interrupted left.
    target.owner.batch_execute(&format!("TRUNCATE {}", kind.table())).await?;
    if !target.is_timescale() {
        make_partitions(target, kind.table(), span.from_us, span.to_us).await?;
    }
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        writers.push(Arc::new(Writer::new(target, kind, &tuples).await?));
    }
    let meter = Meter::start(target);
    let mut progress = Progress::new(kind.table(), kind.rows(&dataset));
    let batch_ids = Arc::new(AtomicU64::new(1));
    for day in span.days() {
        let pieces = pieces(&span, dataset.tenants, &day, copy_rows);
        // As many as there are tenants with rows: the first of each.
        let firsts = pieces.iter().take_while(|piece| piece.numbers.start == pieces[0].numbers.start).count();
        let rows: u64 = pieces.iter().map(|piece| piece.numbers.end - piece.numbers.start).sum();
        for first in pieces[..firsts].chunks(COPIES_PER_COMMIT) {
            writers[0].write(first, &batch_ids).await?;
        }
        let (rest, next) = (Arc::new(pieces), Arc::new(AtomicUsize::new(firsts)));
        let mut tasks = tokio::task::JoinSet::new();
        for writer in &writers {
            let (writer, rest, next, ids) =
                (Arc::clone(writer), Arc::clone(&rest), Arc::clone(&next), Arc::clone(&batch_ids));
            tasks.spawn(async move {
                loop {
                    let at = next.fetch_add(COPIES_PER_COMMIT, Ordering::Relaxed);
                    let Some(some) = rest.get(at..(at + COPIES_PER_COMMIT).min(rest.len())) else { return Ok(()) };
                    if some.is_empty() {
                        return Ok::<(), Box<dyn std::error::Error + Send + Sync>>(());
                    }
                    writer.write(some, &ids).await?;
                }
            });
        }
        while let Some(task) = tasks.join_next().await {
            task??;
        }
        progress.done(rows);
    }
    let usage = meter.stop(target);
    target.check_stored_in(kind.table(), kind.rows(&dataset)).await?;
    Ok(Filled { table: kind.table().to_owned(), rows: kind.rows(&dataset), usage })
}

/// Makes the partitions of a relation with the product's own code: its jobs make them only around now.
pub async fn make_partitions(target: &Target, table: &str, from_us: i64, to_us: i64) -> Result<()> {
    let tables = Store::new(Layout::Native, &target.owner_pool()?, Duration::from_micros(DAY_US.unsigned_abs()));
    let days = (from_us.div_euclid(DAY_US)..=to_us.div_euclid(DAY_US)).map(|day| day * DAY_US);
    let relation =
        Relation::all().find(|relation| relation.table() == table).expect("callers name relations that there are");
    tables.ensure(relation, days).await?;
    Ok(())
}

/// The COPYs of a day, all tenants' firsts first, and so on: about in the order in which rows would have come in.
fn pieces(span: &Span, tenants: usize, day: &Range<i64>, copy_rows: u64) -> Vec<Piece> {
    let of_day = span.numbers(day.start, day.end);
    let starts = of_day.clone().step_by(usize::try_from(copy_rows).expect("a COPY has few rows"));
    let numbers = starts.map(|start| start..(start + copy_rows).min(of_day.end));
    numbers.flat_map(|numbers| (0..tenants).map(move |tenant| Piece { tenant, numbers: numbers.clone() })).collect()
}

/// A connection that writes.
struct Writer {
    client: Client,
    copy: Statement,
    kind: Kind,
    tuples: Arc<Tuples>,
}

impl Writer {
    async fn new(target: &Target, kind: Kind, tuples: &Arc<Tuples>) -> Result<Self> {
        let client = target.writer(true).await?;
        let columns = match kind {
            Kind::Events => COPY_COLUMNS,
            Kind::Metrics => SAMPLE_COLUMNS,
        };
        let copy = client.prepare(&format!("COPY {} ({columns}) FROM STDIN (FORMAT binary)", kind.table())).await?;
        Ok(Self { client, copy, kind, tuples: Arc::clone(tuples) })
    }

    async fn write(&self, pieces: &[Piece], batch_ids: &AtomicU64) -> Result<()> {
        self.client.batch_execute("BEGIN").await?;
        for piece in pieces {
            let batch_id = i64::try_from(batch_ids.fetch_add(1, Ordering::Relaxed))?;
            let stream = match self.kind {
                Kind::Events => self.tuples.events(piece.tenant, piece.numbers.clone(), batch_id),
                Kind::Metrics => self.tuples.samples(piece.tenant, piece.numbers.clone(), batch_id),
            };
            let mut sink = Box::pin(self.client.copy_in(&self.copy).await?);
            sink.send(stream).await?;
            sink.as_mut().finish().await?;
        }
        self.client.batch_execute("COMMIT").await?;
        Ok(())
    }
}

/// Says now and then how far something that takes minutes has come.
pub struct Progress {
    what: String,
    total: u64,
    sum: u64,
    started: Instant,
    said: Instant,
}

impl Progress {
    /// Of `total` things.
    pub fn new(what: &str, total: u64) -> Self {
        Self { what: what.to_owned(), total, sum: 0, started: Instant::now(), said: Instant::now() }
    }

    /// So many more are done.
    pub fn done(&mut self, more: u64) {
        self.sum += more;
        if self.said.elapsed() > PROGRESS || self.sum == self.total {
            let rate = as_f64(self.sum) / self.started.elapsed().as_secs_f64();
            println!("    {}: {} of {}, {rate:.0}/s", self.what, self.sum, self.total);
            self.said = Instant::now();
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pieces_have_every_row_of_a_day_once_and_begin_with_each_tenant() {
        let span = Span { from_us: 5 * DAY_US + 1, to_us: 7 * DAY_US + 1, per_tenant: 5001 };
        let mut numbers = vec![Vec::new(); 3];
        for day in span.days() {
            let pieces = pieces(&span, 3, &day, 1000);
            if let [first, second, third, ..] = &pieces[..] {
                assert_eq!([first.tenant, second.tenant, third.tenant], [0, 1, 2]);
                assert!(first.numbers == third.numbers);
            }
            pieces.into_iter().for_each(|piece| numbers[piece.tenant].extend(piece.numbers));
        }
        assert!(numbers.iter().all(|numbers| numbers.iter().copied().eq(0..5001)));
    }
}
