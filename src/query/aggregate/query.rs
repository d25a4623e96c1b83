//! The question and its answer: buckets chosen, groups found, cells or samples aggregated, lines filled, pages cut.

use std::collections::BTreeMap;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use super::function::{Aggregate, Rank};
use super::grid::{Grid, SavedGrid};
use super::groups::{GroupBy, Groups, name};
use super::lines::{Fill, GroupKey, Line, fill, newest_first};
use super::statement::{Samples, Source, Statement};
use crate::limits::{AGGREGATED_ROWS_MAX, AGGREGATED_SAMPLES_MAX, LOOK_BACK_BUCKETS, PAGE_ROWS_MAX, POINTS_AUTO_MAX};
use crate::model::Level;
use crate::query::cells::{Cells, bounded, time};
use crate::query::columns::columns;
use crate::query::cursor::CursorError;
use crate::query::error::ReadError;
use crate::query::levels::{Micros, Resolution};
use crate::query::listing::{Listing, Page, PageRequest, PageRoom};
use crate::query::reads::Reads;
use crate::query::series::SeriesFilter;
use crate::query::sql::Sql;

/// Bytes that a value of a line takes in memory.
const VALUE_BYTES: usize = 64;

columns! {
    pub struct Aggregated {
        /// Start of the bucket, or the moment.
        pub bucket: Timestamp,
        /// What the group has in common, by what it is grouped by.
        pub dimensions: GroupName,
        pub value: Option<f64>,
    }
}

/// The dimensions of a group as JSON, which its lines share.
#[derive(Debug)]
pub struct GroupName(Arc<RawValue>);

impl Serialize for GroupName {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.0.as_ref().serialize(serializer)
    }
}

#[derive(Debug, Clone)]
pub struct AggregateQuery {
    pub series: SeriesFilter,
    pub aggregate: Aggregate,
    pub group_by: Vec<GroupBy>,
    pub resolution: Resolution,
    /// Buckets of a line at most.
    pub points: Option<i64>,
    pub fill: Option<Fill>,
    /// So many lines, those that rank first.
    pub top: Option<(i64, Rank)>,
    /// First bucket, inclusive.
    pub from: Timestamp,
    /// Last bucket, exclusive.
    pub to: Timestamp,
}

/// Where a page starts: in an answer of these buckets, behind this one of this group.
type Position = (SavedGrid, Micros, GroupKey);

impl Listing for AggregateQuery {
    type Item = Aggregated;

    const ROWS_DEFAULT: usize = PAGE_ROWS_MAX;
    /// Each page computes the answer again.
    const ROWS_STREAMED: usize = PAGE_ROWS_MAX;

    /// Newest first, then by group.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Aggregated>, ReadError> {
        let Self { series, aggregate, group_by, resolution, points, fill: filled, top, from, to } = self;
        let what =
            format!("aggregate {series:?} {aggregate:?} {group_by:?} {resolution:?} {points:?} {filled:?} {top:?}");
        let (scope, after) = request.start::<Position>(&what)?;
        let now = Timestamp::now().as_microsecond();
        let (grid, after) = match after {
            Some((grid, at, key)) => (grid.load().ok_or(CursorError::Malformed)?, Some((at, key))),
            None => {
                let range = (from.as_microsecond(), to.as_microsecond());
                (Grid::choose(&reads.kept, *resolution, *points, range, now, POINTS_AUTO_MAX), None)
            }
        };
        let mut lines = self.lines(reads, &request.tenant_id, grid, now).await?;
        if let Some(filled) = filled {
            let buckets = usize::try_from(grid.buckets()).unwrap_or(usize::MAX);
            let rows = lines.len().saturating_mul(buckets);
            if rows > AGGREGATED_ROWS_MAX {
                return Err(too_many());
            }
            reads.hold(rows * VALUE_BYTES)?;
            lines.values_mut().for_each(|line| fill(line, &grid, *filled));
        }
        let (mut items, mut room, mut names) = (Vec::new(), PageRoom::new(), BTreeMap::new());
        let mut next = None;
        let mut last = None;
        let is_behind = |at: Micros, key: &GroupKey| {
            after.as_ref().is_none_or(|(after_at, after_key)| at < *after_at || at == *after_at && key > after_key)
        };
        for (at, key, value) in newest_first(&lines).into_iter().filter(|(at, key, _)| is_behind(*at, key)) {
            let dimensions = GroupName(Arc::clone(names.entry(key).or_insert_with(|| name(group_by, key))));
            let item = Aggregated { bucket: time(at)?, dimensions, value };
            if items.len() >= request.limit || !room.take(&item) && !items.is_empty() {
                next = last;
                break;
            }
            items.push(item);
            last = Some((at, key));
        }
        let next_cursor = next.map(|(at, key): (Micros, &GroupKey)| scope.encode(&(grid.saved(), at, key)));
        Ok(Page { resolution: Some(grid.resolution().into()), ..Page::new(items, next_cursor) })
    }
}

impl AggregateQuery {
    /// The values of each group, by bucket.
    async fn lines(
        &self,
        reads: &Reads,
        tenant_id: &str,
        grid: Grid,
        now: Micros,
    ) -> Result<BTreeMap<GroupKey, Line>, ReadError> {
        let dimensions: Vec<&str> = self.group_by.iter().filter_map(GroupBy::dimension).collect();
        let sets = reads.sets(tenant_id, &self.series, &dimensions).await?;
        let groups = Groups::of(sets.as_ref().filter(|_| !dimensions.is_empty()), dimensions.len());
        let statement = Statement {
            aggregate: self.aggregate,
            grid,
            columns: self.group_by.iter().filter_map(GroupBy::column).collect(),
            groups: sets.as_ref().filter(|_| !dimensions.is_empty()).map(|sets| (sets, groups.numbers.clone())),
            top: self.top,
        };
        let level = grid.level.unwrap_or_else(finest);
        // What came before counts to the first bucket.
        let back = if self.aggregate.has_steps() { LOOK_BACK_BUCKETS * level.width_us() } else { 0 };
        let (first, from) = (time(grid.from)?, grid.from.saturating_sub(back));
        let series =
            Samples { tenant_id, series: &self.series, sets: sets.as_ref(), from: time(from)?, to: time(grid.to)? };
        let mut source = Source::Samples(series);
        let cells;
        if let Some(level) = grid.level {
            bounded(level, grid.from, grid.to)?;
            let parts = reads.parts_of(tenant_id, level, (from, grid.to), now).await?;
            if parts.is_empty() {
                return Ok(BTreeMap::new());
            }
            let stored = reads.layout.stored(level);
            cells = Cells { tenant_id, series: &self.series, sets: sets.as_ref(), level, stored, parts };
            let is_told = match statement.told(&cells, first)? {
                None => true,
                Some(sql) => reads.rows(&sql).await?.rows.first().is_none_or(|row| row.get(0)),
            };
            if is_told {
                source = Source::Cells(&cells);
            }
        }
        if let Source::Samples(samples) = &source {
            self.check_samples(reads, samples, grid.from, now).await?;
        }
        let found = reads.rows(&statement.answer(&source, first, AGGREGATED_ROWS_MAX + 1)?).await?;
        if found.cut || found.rows.len() > AGGREGATED_ROWS_MAX {
            return Err(too_many());
        }
        reads.hold(found.rows.len() * VALUE_BYTES)?;
        let mut lines: BTreeMap<GroupKey, Line> = BTreeMap::new();
        for row in found.rows {
            let at: Timestamp = row.try_get("bucket")?;
            lines
                .entry(groups.key(&self.group_by, &row)?)
                .or_default()
                .insert(at.as_microsecond(), row.try_get("value")?);
        }
        Ok(lines)
    }

    /// Refuses what is computed from samples where these are not all there, or too many.
    async fn check_samples(
        &self,
        reads: &Reads,
        samples: &Samples<'_>,
        from: Micros,
        now: Micros,
    ) -> Result<(), ReadError> {
        let aggregate = self.aggregate.name();
        let fresh = reads.freshness(finest(), samples.tenant_id, (from, from)).await?;
        let since = reads.rows_since(finest(), &fresh, now);
        if from < since {
            return Err(ReadError::Unbounded(format!(
                "aggregate={aggregate} does not follow from what rollups keep of these series, and samples are kept since {}: ask \
                 for a later from, or for an aggregate that does (avg, sum, min, max, count, stddev; a percentile of one \
                 series by itself; last, rate, increase and delta of counters)",
                time(since)?
            )));
        }
        let mut sql = Sql::new("SELECT count(*) FROM (");
        samples.push(&mut sql, "");
        sql.push_limit(AGGREGATED_SAMPLES_MAX + 1).push(") s");
        let count: i64 = reads.rows(&sql).await?.rows.first().map_or(0, |row| row.get(0));
        if usize::try_from(count).is_ok_and(|count| count <= AGGREGATED_SAMPLES_MAX) {
            return Ok(());
        }
        Err(ReadError::Unbounded(format!(
            "aggregate={aggregate} is computed from samples here, and there are more than {AGGREGATED_SAMPLES_MAX} of them: narrow \
             from and to, or ask for fewer series"
        )))
    }
}

fn finest() -> &'static Level {
    Level::of_metrics().next().expect("there are levels of metrics")
}

fn too_many() -> ReadError {
    ReadError::Unbounded(format!(
        "the answer has more than {AGGREGATED_ROWS_MAX} values: ask for fewer points, group by less, or for the top lines alone"
    ))
}
