//! GET /v1/events/counts: how many, by time bucket and by field.
//!
//! What the hourly rollup can tell (buckets of hours or days; modules, types and severities) comes from it, but for
//! the hours at both ends that are asked for in part, and those where it lags: these are counted from events. So the
//! counts are exact whichever way they are made.

use std::iter::once;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use super::columns::{Cells, Columns};
use super::error::ReadError;
use super::filter::{Filter, FilterField};
use super::levels::{Micros, Part, ReadFrom, before, parts};
use super::listing::{Listing, Page, PageRequest};
use super::reads::{Bounds, Reads};
use super::sql::Sql;
use super::windows::Window;
use crate::limits::{COUNTED_BUCKETS_MAX, COUNTS_TIMEOUT, PAGE_ROWS_MAX};
use crate::model::{EVENT_COUNTS, Level};

/// The fields that the hourly rollup has.
const HOURLY_FIELDS: [&str; 3] = ["source_module", "event_type", "severity"];

#[derive(Debug, Clone)]
pub struct CountsQuery {
    pub filter: Filter,
    pub window: Window,
    pub bucket: Option<&'static Level>,
    pub group_by: Vec<FilterField>,
    /// All groups, or none if a page does not hold them.
    pub whole: bool,
}

#[derive(Debug, Serialize)]
pub struct Count {
    /// Start of the bucket, when counted by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Timestamp>,
    #[serde(flatten)]
    pub group: Map<String, Value>,
    pub count: i64,
}

impl Columns for Count {
    /// All that can be asked for.
    fn names() -> Vec<&'static str> {
        once("bucket").chain(FilterField::groups().map(|field| field.name)).chain(once("count")).collect()
    }

    fn write(&self, cells: &mut Cells) {
        cells.push(&self.bucket);
        for field in FilterField::groups() {
            cells.push(&self.group.get(field.name));
        }
        cells.push(&self.count);
    }
}

impl Listing for CountsQuery {
    type Item = Count;

    const ROWS_DEFAULT: usize = PAGE_ROWS_MAX;
    /// Each page counts again.
    const ROWS_STREAMED: usize = PAGE_ROWS_MAX;

    fn columns(&self) -> Vec<&'static str> {
        self.grouped().chain(once("count")).collect()
    }

    /// Newest bucket first, then largest group first.
    ///
    /// Its cursor is a number of groups: where a group stands follows from counts, and these change while events
    /// arrive.
    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Count>, ReadError> {
        let bucket = self.bucket.map(|level| level.name);
        let what = format!("counts {} {bucket:?} {:?}", self.filter.describe(), self.group_by);
        let (scope, passed) = request.start::<u32>(&what)?;
        let passed = passed.unwrap_or(0);
        let pieces = self.by_bucket(reads.pieces(self, &request.tenant_id).await?, Timestamp::now().as_microsecond());
        let mut sql = Sql::new("SELECT ");
        for name in self.grouped() {
            sql.push(name).push(", ");
        }
        sql.push("coalesce(sum(n), 0)::bigint AS count FROM (");
        let stored = reads.layout.stored(EVENT_COUNTS);
        sql.push_union(&pieces, |sql, piece| self.push_piece(sql, &request.tenant_id, stored, piece));
        sql.push(") counted").push(&self.grouping());
        let newest_first = self.bucket.map(|_| "bucket DESC");
        let order =
            newest_first.into_iter().chain(once("count DESC")).chain(self.group_by.iter().map(|field| field.name));
        sql.push(" ORDER BY ").push(&order.collect::<Vec<_>>().join(", "));
        sql.push_limit(request.limit + 1).push(" OFFSET ").bind(i64::from(passed));
        let bounds = Bounds { time: COUNTS_TIMEOUT, bytes: Some(reads.page_bytes) };
        let found = reads.rows_within(&sql, bounds).await.map_err(|error| match error {
            ReadError::Timeout => ReadError::CountsTimeout,
            other => other,
        })?;
        let mut page = Page::of(found, request.limit, |row| self.count(row), |_| Ok(String::new()))?;
        let shown = u32::try_from(page.items.len()).unwrap_or(u32::MAX);
        page.next_cursor = page.next_cursor.map(|_| scope.encode(&passed.saturating_add(shown)));
        if self.whole && page.next_cursor.is_some() { Err(ReadError::TooManyGroups) } else { Ok(page) }
    }
}

/// What is counted by itself.
struct Counted {
    part: Part,
    /// The one that all of it lies in.
    bucket: Option<Micros>,
}

impl CountsQuery {
    /// Whether the hourly rollup has what is asked for.
    fn is_hourly(&self) -> bool {
        let known = |field: &FilterField| HOURLY_FIELDS.contains(&field.name);
        let whole_hours = |level: &Level| level.width_us() % EVENT_COUNTS.width_us() == 0;
        self.bucket.is_none_or(whole_hours)
            && self.group_by.iter().all(known)
            && self.filter.fields.iter().all(|(field, _)| known(field))
            && self.filter.correlation_ids.is_empty()
            && !self.filter.looks_into_payload()
    }

    /// The names of what is grouped by.
    fn grouped(&self) -> impl Iterator<Item = &'static str> {
        self.bucket.map(|_| "bucket").into_iter().chain(self.group_by.iter().map(|field| field.name))
    }

    /// ` GROUP BY 1, 2` of all that is grouped by.
    fn grouping(&self) -> String {
        let numbers: Vec<String> = (1..=self.grouped().count()).map(|number| number.to_string()).collect();
        if numbers.is_empty() { String::new() } else { format!(" GROUP BY {}", numbers.join(", ")) }
    }

    /// Rows bucket by bucket, as far as these are few: on the columnstore counts are vectorized, unless they are grouped by
    /// what must be computed of each row's time. What lies ahead is little, whatever its buckets.
    fn by_bucket(&self, pieces: Vec<Part>, now: Micros) -> Vec<Counted> {
        let width = self.bucket.map(Level::width_us);
        let mut counted = Vec::new();
        for part in pieces {
            let whole = Counted { part, bucket: None };
            let Some(width) = width.filter(|_| part.source == ReadFrom::Rows && part.from > Micros::MIN) else {
                counted.push(whole);
                continue;
            };
            let open = part.to.min(now.saturating_add(width));
            let buckets = open.saturating_sub(part.from).saturating_div(width);
            if buckets > COUNTED_BUCKETS_MAX {
                counted.push(whole);
                continue;
            }
            let mut from = part.from;
            while from < open {
                let bucket = from.div_euclid(width) * width;
                let to = (bucket + width).min(part.to);
                counted.push(Counted { part: Part { from, to, ..part }, bucket: Some(bucket) });
                from = to;
            }
            // Also of a part without time: there must be something to ask for.
            if from < part.to || from == part.from {
                counted.push(Counted { part: Part { from, ..part }, bucket: None });
            }
        }
        counted
    }

    fn push_piece(&self, sql: &mut Sql, tenant_id: &str, stored: &str, counted: &Counted) {
        let piece = &counted.part;
        let (time, count, relation) = match piece.source {
            ReadFrom::Rollup => ("bucket", "sum(count)::bigint", stored),
            ReadFrom::Rows => ("timestamp", "count(*)", "events"),
        };
        sql.push("SELECT ");
        let bucket = counted.bucket.and_then(|bucket| Timestamp::from_microsecond(bucket).ok());
        if let Some(bucket) = bucket {
            sql.bind(bucket).push(" AS bucket, ");
        } else if let Some(level) = self.bucket {
            let width = level.interval();
            sql.push(&format!("date_bin('{width}', {time}, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS bucket, "));
        }
        for field in &self.group_by {
            sql.push(field.name).push(", ");
        }
        sql.push_of_tenant(&format!("{count} AS n FROM {relation}"), tenant_id);
        // The ends of time are no bounds.
        let bound = |at: Micros| Timestamp::from_microsecond(at).ok();
        sql.push_within(time, &Window { from: bound(piece.from), to: bound(piece.to) });
        self.filter.push(sql);
        match bucket {
            None => sql.push(&self.grouping()),
            // No bucket of nothing.
            Some(_) if self.group_by.is_empty() => sql.push(" HAVING count(*) > 0"),
            Some(_) => {
                let fields: Vec<&str> = self.group_by.iter().map(|field| field.name).collect();
                sql.push(" GROUP BY ").push(&fields.join(", "))
            }
        };
    }

    fn count(&self, row: &Row) -> Result<Count, ReadError> {
        let value =
            |field: &FilterField| Ok((field.name.to_owned(), row.try_get::<_, Option<String>>(field.name)?.into()));
        Ok(Count {
            bucket: self.bucket.map(|_| row.try_get("bucket")).transpose()?,
            group: self.group_by.iter().map(value).collect::<Result<_, ReadError>>()?,
            count: row.try_get("count")?,
        })
    }
}

impl Reads {
    /// What comes from the rollup and what from events.
    async fn pieces(&self, query: &CountsQuery, tenant_id: &str) -> Result<Vec<Part>, ReadError> {
        let now = Timestamp::now().as_microsecond();
        let from = query.window.from.map_or(Micros::MIN, Timestamp::as_microsecond);
        let to = query.window.to.map_or(Micros::MAX, Timestamp::as_microsecond);
        let of_rows = |from, to| Part { source: ReadFrom::Rows, from, to };
        if !query.is_hourly() {
            if query.window.from.is_some() {
                return Ok(vec![of_rows(from, to)]);
            }
            return Err(ReadError::Unbounded(
                "without from, counts are of the hourly rollup: buckets of 1h or 1d, grouped and filtered by source_module, \
                 event_type and severity; for anything else give from"
                    .into(),
            ));
        }
        // The hours that are asked for whole.
        let hours = (EVENT_COUNTS.ceil(from), if to == Micros::MAX { to } else { EVENT_COUNTS.floor(to) });
        if hours.0 >= hours.1 {
            return Ok(vec![of_rows(from, to)]);
        }
        // There are no events that are older.
        let oldest = before(now, self.kept.events);
        let fresh = self.freshness(EVENT_COUNTS, tenant_id, (hours.0.max(EVENT_COUNTS.floor(oldest)), hours.1)).await?;
        let rows_since = self.rows_since(EVENT_COUNTS, &fresh, now);
        let rollup_since = self.kept.since(EVENT_COUNTS, now).unwrap_or(Micros::MAX);
        let mut pieces = vec![of_rows(from, hours.0)];
        pieces.extend(parts(EVENT_COUNTS, hours, rollup_since, rows_since, &fresh.stale));
        pieces.push(of_rows(hours.1, to));
        pieces.retain(|piece| piece.from < piece.to);
        Ok(if pieces.is_empty() { vec![of_rows(from, to)] } else { pieces })
    }
}
