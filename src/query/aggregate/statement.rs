//! The statement that groups and aggregates: cells or samples, their steps where these count, groups by bucket, and the lines
//! that rank first.

use jiff::Timestamp;

use super::function::{Aggregate, Basis, Rank};
use super::grid::Grid;
use crate::query::cells::Cells;
use crate::query::error::ReadError;
use crate::query::series::{SeriesFilter, Sets};
use crate::query::sql::Sql;
use crate::query::windows::Window;

/// What is asked of rows, wherever they come from.
pub struct Statement<'a> {
    pub aggregate: Aggregate,
    pub grid: Grid,
    /// Columns that are grouped by.
    pub columns: Vec<&'static str>,
    /// The sets of dimensions with the number of each one's group, where there are groups of them; sets without one are of
    /// group 0.
    pub groups: Option<(&'a Sets, Vec<i32>)>,
    pub top: Option<(i64, Rank)>,
}

/// The rows that an answer is computed from.
pub enum Source<'a> {
    Cells(&'a Cells<'a>),
    Samples(Samples<'a>),
}

#[derive(Clone, Copy)]
pub struct Samples<'a> {
    pub tenant_id: &'a str,
    pub series: &'a SeriesFilter,
    pub sets: Option<&'a Sets>,
    pub from: Timestamp,
    pub to: Timestamp,
}

impl Samples<'_> {
    /// Adds the query for these columns of them.
    pub fn push(&self, sql: &mut Sql, columns: &str) {
        sql.push_of_tenant(&format!("SELECT {columns} FROM metrics"), self.tenant_id);
        sql.push_within("timestamp", &Window { from: Some(self.from), to: Some(self.to) });
        self.series.push_with(sql, self.sets);
    }
}

impl Source<'_> {
    fn kind(&self) -> Basis {
        match self {
            Self::Cells(_) => Basis::Cells,
            Self::Samples(_) => Basis::Samples,
        }
    }
}

impl Statement<'_> {
    /// Rows of bucket, columns, `dims` where there are groups of dimensions, and value; at most `limit`.
    pub fn answer(&self, source: &Source<'_>, from: Timestamp, limit: usize) -> Result<Sql, ReadError> {
        let mut sql = Sql::new("WITH ");
        self.push_rows(&mut sql, source)?;
        let width_s = self.grid.width.map(|width| width / 1_000_000);
        let value = self.aggregate.value(source.kind(), width_s);
        sql.push("answer AS (");
        self.push_groups(&mut sql, &format!("({value})::double precision AS value"), from);
        sql.push(")");
        let keys = self.keys().join(", ");
        match self.top.filter(|_| !keys.is_empty()) {
            None => sql.push(" SELECT * FROM answer"),
            Some((count, rank)) => {
                // Of equals the first ones, so that each page has the same.
                sql.push(&format!(", first AS (SELECT {keys} FROM answer GROUP BY {keys} ORDER BY "));
                sql.push(&format!("{} DESC NULLS LAST, {keys} LIMIT ", rank.sql())).bind(count);
                sql.push(&format!(") SELECT * FROM answer JOIN first USING ({keys})"))
            }
        };
        sql.push_limit(limit);
        Ok(sql)
    }

    /// Whether cells tell all that is asked for: one row; None: they always do.
    pub fn told(&self, cells: &Cells<'_>, from: Timestamp) -> Result<Option<Sql>, ReadError> {
        let Some(told) = self.aggregate.told() else { return Ok(None) };
        let mut sql = Sql::new("WITH ");
        sql.push("cells AS (");
        cells.push(&mut sql, &self.columns(Basis::Cells))?;
        sql.push("), answer AS (");
        self.push_groups(&mut sql, &format!("{told} AS told"), from);
        sql.push(") SELECT coalesce(bool_and(told), true) FROM answer");
        Ok(Some(sql))
    }

    fn columns(&self, basis: Basis) -> String {
        let at = match basis {
            Basis::Cells => "bucket",
            Basis::Samples => "timestamp",
        };
        format!("{at} AS at, asset_id, metric_type, metric_name, series_id, {}", self.aggregate.columns(basis))
    }

    /// Adds `cells`, what is aggregated: where steps count, each with its own.
    fn push_rows(&self, sql: &mut Sql, source: &Source<'_>) -> Result<(), ReadError> {
        let columns = self.columns(source.kind());
        sql.push(if self.aggregate.has_steps() { "ordered AS (" } else { "cells AS (" });
        match source {
            Source::Cells(cells) => cells.push(sql, &columns)?,
            Source::Samples(samples) => samples.push(sql, &columns),
        }
        if self.aggregate.has_steps() {
            sql.push(&format!(
                "), cells AS (SELECT *, {} AS step FROM (SELECT *, lag(last_value) OVER series AS before, \
                 lag(at) OVER series AS before_at FROM ordered WHERE last_value IS NOT NULL \
                 WINDOW series AS (PARTITION BY asset_id, metric_type, metric_name, series_id ORDER BY {})) r",
                self.aggregate.step(),
                Aggregate::order(source.kind())
            ));
        }
        sql.push("), ");
        Ok(())
    }

    /// Adds the SELECT of this value for each group and bucket from `from` on.
    fn push_groups(&self, sql: &mut Sql, value: &str, from: Timestamp) {
        const EPOCH: &str = "TIMESTAMPTZ '1970-01-01 00:00:00+00'";
        let bucket = match self.grid.width {
            None => "at".to_owned(),
            Some(width) => format!("date_bin('{} seconds', at, {EPOCH})", width / 1_000_000),
        };
        sql.push(&format!("SELECT {bucket} AS bucket, "));
        for column in &self.columns {
            sql.push(column).push(", ");
        }
        if let Some((sets, numbers)) = &self.groups {
            // Looked up in the arrays: a join, whose plan depends on how many rows are thought to be there, may compare each
            // row with each set.
            let (ids, numbers) = (sql.parameter(sets.ids.clone()), sql.parameter(numbers.clone()));
            let at = format!("width_bucket(series_id, {ids})");
            sql.push(&format!("CASE WHEN ({ids})[{at}] = series_id THEN ({numbers})[{at}] ELSE 0 END AS dims, "));
        }
        sql.push(value).push(" FROM cells");
        sql.push(" WHERE at >= ").bind(from);
        let numbers: Vec<String> = (1..=1 + self.keys().len()).map(|number| number.to_string()).collect();
        sql.push(&format!(" GROUP BY {}", numbers.join(", ")));
    }

    /// The columns that tell groups apart.
    fn keys(&self) -> Vec<&'static str> {
        self.columns.iter().copied().chain(self.groups.as_ref().map(|_| "dims")).collect()
    }
}
