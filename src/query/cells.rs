//! Buckets of a level: of the rollup what it has, and of the rest what is computed from rows.

use jiff::Timestamp;

use super::error::ReadError;
use super::levels::{Micros, Part, ReadFrom, parts};
use super::reads::Reads;
use super::series::{SeriesFilter, Sets};
use super::sql::Sql;
use super::windows::Window;
use crate::limits::BUCKETS_MAX;
use crate::model::Level;

/// Where the buckets of a question are.
pub(super) struct Cells<'a> {
    pub tenant_id: &'a str,
    pub series: &'a SeriesFilter,
    pub sets: Option<&'a Sets>,
    pub level: &'static Level,
    pub stored: &'static str,
    pub parts: Vec<Part>,
}

impl Cells<'_> {
    /// Adds the query for these columns of all of them, in no order; there is a part at least.
    pub fn push(&self, sql: &mut Sql, columns: &str) -> Result<(), ReadError> {
        let bounds = self.parts.iter().map(|part| Ok((part.source, time(part.from)?, time(part.to)?)));
        sql.push_union(bounds.collect::<Result<Vec<_>, ReadError>>()?, |sql, (source, from, to)| {
            sql.push(&format!("SELECT {columns} FROM "));
            match source {
                ReadFrom::Rollup => sql.push(self.stored),
                ReadFrom::Rows => {
                    sql.push(&format!("metrics_rollup(INTERVAL '{}', ", self.level.interval()));
                    sql.bind(from).push(", ").bind(to).push(")")
                }
            };
            sql.push_of_tenant("", self.tenant_id);
            sql.push_within("bucket", &Window { from: Some(from), to: Some(to) });
            self.series.push_with(sql, self.sets);
        });
        Ok(())
    }
}

impl Reads {
    /// Which of a level's buckets in a range come from where.
    pub(super) async fn parts_of(
        &self,
        tenant_id: &str,
        level: &Level,
        range: (Micros, Micros),
        now: Micros,
    ) -> Result<Vec<Part>, ReadError> {
        let range = (level.ceil(range.0), level.ceil(range.1));
        let fresh = self.freshness(level, tenant_id, range).await?;
        let rollup_since = self.kept.since(level, now).unwrap_or(Micros::MAX);
        let rows_since = self.rows_since(level, &fresh, now);
        Ok(parts(level, range, rollup_since, rows_since, &fresh.stale))
    }
}

/// Refuses a range that has too many buckets of a level.
pub(super) fn bounded(level: &Level, from: Micros, to: Micros) -> Result<(), ReadError> {
    if level.buckets(from, to) <= BUCKETS_MAX {
        return Ok(());
    }
    let resolution = level.resolution.unwrap_or_default();
    Err(ReadError::Unbounded(format!(
        "resolution={resolution} has more than {BUCKETS_MAX} buckets between from and to; ask for a wider resolution, or narrow \
         from and to"
    )))
}

pub(super) fn time(at: Micros) -> Result<Timestamp, ReadError> {
    Timestamp::from_microsecond(at).map_err(|_| ReadError::Value("a time is out of range".into()))
}
