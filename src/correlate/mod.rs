//! Correlations: pairs of events that belong together, found behind the ingest path.
//!
//! [`Correlations`] works through the minutes that events were written to: causal pairs by parent and by shared correlation
//! id, and what the other rules need; then through the minutes whose types changed, for temporal pairs. [`Anomalies`] ties
//! outliers of metrics to errors of the same asset. Rules, formulae and cost: docs/CORRELATIONS.md.

mod anomaly;
mod causal;
mod chain;
mod lift;
mod pairs;
mod parents;
mod robust;
mod summary;
mod temporal;
mod upkeep;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::AtomicI32;
use std::time::Duration;

use deadpool_postgres::{Object, Transaction};
use jiff::Timestamp;
use serde_json::{Value, json};
use uuid::Uuid;

pub use anomaly::Anomalies;
use causal::Slice;
use chain::Point;
use pairs::Side;
use parents::Child;
use summary::Summary;

use crate::jobs::minutes::{self, Range, Tally, Work, minute_of};
use crate::jobs::{Counts, Job};
use crate::limits::{CHAIN_GAP_MAX, EVENT_BLOCK_MINUTES, RELATED_EVENTS_PER_SLICE};
use crate::storage::{Engine, PartitionedTables, StorageError};

/// Transactions of a run that look for the parents of orphans.
const SEARCHES_PER_RUN: usize = 20;

/// Finds causal and temporal pairs.
pub struct Correlations {
    /// The partitioned relations, on the postgres engine.
    partitions: Option<Arc<PartitionedTables>>,
    /// Which `correlation_groups` there is.
    engine: Engine,
    /// How long pairs are kept: older ones are not made.
    kept: Duration,
    /// Where upkeep goes on, in minutes since 1970.
    upkeep_from: AtomicI32,
}

impl Job for Correlations {
    const NAME: &'static str = "correlations";
    const INTERVAL: Duration = Duration::from_secs(1);

    async fn run_once(&self, client: &mut Object) -> Result<Counts, StorageError> {
        // Perhaps another node, or an operator, took a partition away.
        let forget = |_: &StorageError| self.partitions.iter().for_each(|tables| tables.of("correlations").forget());
        self.work(client).await.inspect_err(forget)
    }
}

impl Correlations {
    async fn work(&self, client: &mut Object) -> Result<Counts, StorageError> {
        let mut tally = Tally::default();
        let groups = self.groups_relation(client).await?;
        let chains = Chains { job: self, groups };
        minutes::work(&chains, client, &mut tally).await?;
        for _ in 0..SEARCHES_PER_RUN {
            if !parents::search(self, client, &mut tally).await? {
                break;
            }
        }
        minutes::work(&temporal::Temporal(self), client, &mut tally).await?;
        self.keep_up(client, &chains.groups, &mut tally).await?;
        let lag = minutes::lag::<Chains<'_>>(client).await?;
        metrics::gauge!("tidegate_correlation_lag_seconds").set(lag.as_secs_f64());
        Ok(tally.into_counts())
    }

    /// Has not found anything yet.
    pub fn new(partitions: Option<Arc<PartitionedTables>>, engine: Engine, kept: Duration) -> Self {
        Self { partitions, engine, kept, upkeep_from: AtomicI32::default() }
    }

    /// What of `correlation_groups` is stored: reading the view would also compute what is not, from all recent events.
    async fn groups_relation(&self, client: &Object) -> Result<String, StorageError> {
        match self.engine {
            Engine::Postgres => Ok("correlation_groups_closed".to_owned()),
            Engine::Timescale => {
                let sql = "SELECT format('%I.%I', materialization_hypertable_schema, materialization_hypertable_name) \
                           FROM timescaledb_information.continuous_aggregates \
                           WHERE view_schema = 'tidegate' AND view_name = 'correlation_groups'";
                Ok(client.query_one(sql, &[]).await?.get(0))
            }
        }
    }

    /// Whether pairs of a time are kept at all.
    fn keeps(&self, until: Timestamp) -> bool {
        let age = Timestamp::now().duration_since(until);
        age.as_secs() < i64::try_from(self.kept.as_secs()).unwrap_or(i64::MAX)
    }

    /// Makes the partitions in which pairs of a range may lie: those of its own time, and of a day after it, when one of its
    /// events turns out to be the earlier one.
    async fn make_partitions(&self, range: &Range) -> Result<(), StorageError> {
        let Some(partitions) = &self.partitions else { return Ok(()) };
        if !self.keeps(range.ends_at()) {
            return Ok(());
        }
        let hour_us = 3_600_000_000;
        let from_us = range.starts_at().as_microsecond();
        let hours = i64::try_from(CHAIN_GAP_MAX.as_secs() / 3600).unwrap_or(0) + 1;
        partitions.of("correlations").ensure((0..=hours).map(|hour| from_us + hour * hour_us)).await.map(drop)
    }
}

/// Works through minutes of events.
struct Chains<'a> {
    job: &'a Correlations,
    groups: String,
}

/// How far a range is.
enum Position {
    /// There are more orphans that wait for its events.
    Orphans,
    After(Side),
}

impl Position {
    fn parse(value: &Value) -> Option<Self> {
        if value == "orphans" {
            return Some(Self::Orphans);
        }
        let at = Timestamp::from_microsecond(value["at_us"].as_i64()?).ok()?;
        Some(Self::After(Side { at, id: value["id"].as_str()?.parse().ok()? }))
    }

    fn value(&self) -> Value {
        match self {
            Self::Orphans => json!("orphans"),
            Self::After(side) => json!({ "at_us": side.at.as_microsecond(), "id": side.id }),
        }
    }
}

impl Work for Chains<'_> {
    const QUEUES: &'static [&'static str] = &["correlations"];
    const BLOCK_MINUTES: i32 = EVENT_BLOCK_MINUTES;

    async fn prepare(&self, range: &Range) -> Result<(), StorageError> {
        self.job.make_partitions(range).await
    }

    async fn slice(
        &self,
        transaction: &Transaction<'_>,
        range: &Range,
        position: Option<&Value>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        if !self.job.keeps(range.ends_at()) {
            tally.add("blocks_too_old", 1);
            return Ok(None);
        }
        // A position that cannot be read is of another version: from the start.
        let after = match position.and_then(Position::parse) {
            Some(Position::After(side)) => Some(side),
            Some(Position::Orphans) => {
                if parents::resolve(transaction, range, tally).await? {
                    return Ok(Some(Position::Orphans.value()));
                }
                None
            }
            None => {
                let summary = Summary::of(transaction, range).await?;
                summary.remember(transaction, range, tally).await?;
                if parents::resolve(transaction, range, tally).await? {
                    return Ok(Some(Position::Orphans.value()));
                }
                if !summary.has_related() {
                    return Ok(None);
                }
                None
            }
        };
        self.events(transaction, range, after, tally).await
    }
}

impl Chains<'_> {
    /// Relates the next events of a range.
    async fn events(
        &self,
        transaction: &Transaction<'_>,
        range: &Range,
        after: Option<Side>,
        tally: &mut Tally,
    ) -> Result<Option<Value>, StorageError> {
        let tenant_id = &range.tenant_id;
        let statement = transaction.prepare_cached(include_str!("../../sql/queries/chain_events.sql")).await?;
        let from = after.map_or(range.starts_at(), |side| side.at.max(range.starts_at()));
        let start = after.unwrap_or(Side { at: Timestamp::MIN, id: Uuid::nil() });
        let start = Side { at: start.at.max(Timestamp::UNIX_EPOCH), id: start.id };
        let parameters: [&(dyn tokio_postgres::types::ToSql + Sync); 6] =
            [tenant_id, &from, &range.ends_at(), &start.at, &start.id, &RELATED_EVENTS_PER_SLICE];
        let rows = transaction.query(&statement, &parameters).await?;
        let mut groups: BTreeMap<Uuid, Vec<Point>> = BTreeMap::new();
        let mut children = Vec::new();
        for row in &rows {
            let event = Side { id: row.get(0), at: row.get(1) };
            if let Some(correlation_id) = row.get::<_, Option<Uuid>>(2) {
                let group = groups.entry(correlation_id).or_default();
                // The same event stored twice is one.
                if group.last().is_none_or(|last| last.key() != (event.at, event.id)) {
                    group.push(Point { at: event.at, id: event.id, module: row.get(4) });
                }
            }
            if let Some(parent_id) = row.get::<_, Option<Uuid>>(3).filter(|parent_id| *parent_id != event.id) {
                children.push(Child { parent_id, event });
            }
        }
        let last = rows.last().map(|row| Side { id: row.get(0), at: row.get(1) });
        let full = i64::try_from(rows.len()).is_ok_and(|rows| rows == RELATED_EVENTS_PER_SLICE);
        let next = last.filter(|_| full);
        let slice = Slice {
            groups,
            cut_from: after.map(|side| minute_of(side.at)),
            cut_to: next.map(|side| minute_of(side.at)),
        };
        tally.add("events", rows.len());
        let (written, taken_away) = causal::relate(transaction, tenant_id, &self.groups, &slice).await?;
        tally.add("pairs", written);
        tally.add("pairs_taken_away", taken_away);
        parents::relate(transaction, tenant_id, &children, tally).await?;
        Ok(next.map(|side| Position::After(side).value()))
    }
}
