//! Whether a rollup is up to date: which of its buckets lag behind the rows, known from what the database itself notes.
//!
//! Asked before the rollup is read. A bucket that is clean then holds at least what was committed before, also when it is
//! recomputed between the two questions, so that an answer is exact at any moment, however late its data.

use std::time::Duration;

use super::error::ReadError;
use super::levels::{Micros, before};
use super::reads::Reads;
use super::sql::Sql;
use crate::model::{Kind, Level};

const HOUR: Duration = Duration::from_secs(3600);

/// What is known of a rollup within a range.
pub struct Freshness {
    /// Where it lags, in no order, not overlapping.
    pub stale: Vec<(Micros, Micros)>,
    /// What is stored ends here; behind it the relation computes from rows, or has nothing.
    pub open_from: Micros,
    /// How long the tenant keeps its events, if shorter than others.
    events_age: Option<Duration>,
    /// The same of its raw metrics.
    metrics_age: Option<Duration>,
}

impl Reads {
    /// Where `level` lags for a tenant within `[from, to)`; both at bounds of its buckets, since what is noted is times of rows.
    pub(super) async fn freshness(
        &self,
        level: &Level,
        tenant_id: &str,
        (from, to): (Micros, Micros),
    ) -> Result<Freshness, ReadError> {
        let mut sql = Sql::new("");
        sql.value(level.name.to_owned()).value(from).value(to).value(tenant_id.to_owned());
        sql.text = self.layout.stale_sql().to_owned();
        let rows = self.rows(&sql).await?.rows;
        let age = |column: usize| {
            let days: Option<i32> = rows.first().and_then(|row| row.get(column));
            days.and_then(|days| u64::try_from(days).ok()).map(|days| Duration::from_secs(days * 24 * 3600))
        };
        Ok(Freshness {
            stale: rows
                .iter()
                .filter_map(|row| Some((row.get::<_, Option<_>>(2)?, row.get::<_, Option<_>>(3)?)))
                .collect(),
            open_from: rows.first().and_then(|row| row.get::<_, Option<_>>(4)).unwrap_or(from),
            events_age: age(0),
            metrics_age: age(1),
        })
    }

    /// The first bucket of a level whose rows are surely all there still.
    pub(super) fn rows_since(&self, level: &Level, fresh: &Freshness, now: Micros) -> Micros {
        let (common, own) = match level.source() {
            Kind::Events => (self.kept.events, fresh.events_age),
            Kind::Metrics => (self.kept.metrics, fresh.metrics_age),
        };
        let common = before(now, common);
        let own = own.map_or(Micros::MIN, |age| level.ceil(before(now, age)));
        // Chunks go as a whole, once all of it has expired, and none is shorter than an hour; rows of a tenant go one by one.
        let common = if level.width > HOUR { level.ceil(common) } else { level.floor(common) };
        common.max(own)
    }
}
