//! Loads a data set as the ingest path would have left it, without HTTP: COPYs of one tenant's rows, day by day from old to
//! new, on the columnstore nothing but direct compress.
//!
//! The first COPY of each tenant into a day goes alone, on one connection: it makes the chunks, and two transactions that
//! made several chunks at once could wait for each other. Afterwards several connections write.

use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::SinkExt;
use tidegate::model::{Kind, Relation};
use tidegate::storage::{Layout, Store};
use tokio_postgres::{Client, Statement};

use super::common::{CONNECTIONS, DAY_US, Result};
use super::dataset::{Dataset, Span};
use super::figures::Figures;
use super::meter::Meter;
use super::rows::Encoder;
use super::target::Target;

/// COPYs of one transaction: COMMIT is no part of what is measured here, and each COPY is a batch of its own all the same.
const COPIES_PER_COMMIT: usize = 8;

/// One COPY: rows of one tenant that follow each other in time.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Piece {
    tenant: usize,
    numbers: Range<u64>,
}

/// Loads the rows of one kind, `copy_rows` a COPY.
pub async fn fill(target: &Target, kind: Kind, dataset: Dataset, copy_rows: u64, figures: &mut Figures) -> Result<()> {
    let span = dataset.span(kind);
    // What a run that was interrupted left.
    target.owner.batch_execute(&format!("TRUNCATE {}", kind.table())).await?;
    if !target.is_timescale() {
        make_partitions(target, kind.table(), span.from_us, span.to_us).await?;
    }
    let tenants: Arc<[String]> = target.tenants.clone().into();
    let mut writers = Vec::new();
    for _ in 0..CONNECTIONS {
        writers.push(Writer::new(target, kind, dataset, &tenants).await?);
    }
    let meter = Meter::start(target);
    let days = span.days();
    for (day, number) in days.iter().zip(1..) {
        let pieces: Arc<[Piece]> = pieces(&span, dataset.tenants, day, copy_rows).into();
        // As many as there are tenants with rows: the first of each.
        let firsts = pieces.iter().take_while(|piece| piece.numbers.start == pieces[0].numbers.start).count();
        for first in pieces[..firsts].chunks(COPIES_PER_COMMIT) {
            writers[0].write(first).await?;
        }
        let (next, mut tasks) = (Arc::new(AtomicUsize::new(firsts)), tokio::task::JoinSet::new());
        for mut writer in writers.drain(..) {
            let (pieces, next) = (Arc::clone(&pieces), Arc::clone(&next));
            tasks.spawn(async move { writer.write_from(&pieces, &next).await.map(|()| writer) });
        }
        while let Some(writer) = tasks.join_next().await {
            writers.push(writer??);
        }
        println!("    {}: day {number} of {}", kind.table(), days.len());
    }
    let usage = meter.stop(target);
    target.check_stored(kind.table(), dataset.rows(kind)).await?;
    usage.add(figures, &loaded(kind), "row", dataset.rows(kind));
    Ok(())
}

/// The name of the figures of loading.
pub fn loaded(kind: Kind) -> String {
    format!("loading {}", kind.table())
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
    encoder: Encoder,
    kind: Kind,
    dataset: Dataset,
    tenants: Arc<[String]>,
}

impl Writer {
    async fn new(target: &Target, kind: Kind, dataset: Dataset, tenants: &Arc<[String]>) -> Result<Self> {
        let client = target.writer(true).await?;
        let (table, columns) = (kind.table(), kind.copy_columns());
        let copy = client.prepare(&format!("COPY {table} ({columns}) FROM STDIN (FORMAT binary)")).await?;
        Ok(Self { client, copy, encoder: Encoder::default(), kind, dataset, tenants: Arc::clone(tenants) })
    }

    /// The pieces from `next` on, as long as there are some.
    async fn write_from(&mut self, pieces: &[Piece], next: &AtomicUsize) -> Result<()> {
        loop {
            let at = next.fetch_add(COPIES_PER_COMMIT, Ordering::Relaxed);
            match pieces.get(at..(at + COPIES_PER_COMMIT).min(pieces.len())) {
                Some(some) if !some.is_empty() => self.write(some).await?,
                _ => return Ok(()),
            }
        }
    }

    async fn write(&mut self, pieces: &[Piece]) -> Result<()> {
        self.client.batch_execute("BEGIN").await?;
        for Piece { tenant, numbers } in pieces {
            let body = self.dataset.body(self.kind, *tenant, numbers.clone());
            let received_us = self.dataset.span(self.kind).at_us(numbers.end);
            // No two of a tenant are alike.
            let batch_id = i64::try_from(numbers.start << 16 | *tenant as u64)?;
            let stream = self.encoder.stream(self.kind, batch_id, &body, &self.tenants[*tenant], received_us)?;
            let mut sink = Box::pin(self.client.copy_in(&self.copy).await?);
            sink.send(stream).await?;
            sink.as_mut().finish().await?;
        }
        Ok(self.client.batch_execute("COMMIT").await?)
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
