//! GET /v1/events/counts: how many, by time bucket and by field.
//!
//! What the rollups can tell (modules, types and severities) comes from them: whole hours that are closed from the hourly one,
//! the other closed minutes of the last days from that of minutes. What is left are the minutes at both ends that are asked
//! for in part, the newest, and those where a rollup lags: these are counted from events. So the counts are exact whichever
//! way they are made.

use std::iter::once;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;

use super::columns::{Cells, Columns};
use super::error::ReadError;
use super::filter::{Filter, FilterField};
use super::levels::{Micros, ReadFrom, before, parts};
use super::listing::{Listing, Page, PageRequest};
use super::reads::{Bounds, Reads};
use super::sql::Sql;
use super::windows::Window;
use crate::limits::{COUNTED_BUCKETS_MAX, COUNTS_TIMEOUT, PAGE_ROWS_MAX};
use crate::model::{EVENT_COUNTS, EVENT_MINUTES, Level};

/// The fields that the rollups have.
const KEPT_FIELDS: [&str; 3] = ["source_module", "event_type", "severity"];

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
        sql.push_union(&pieces, |sql, piece| self.push_piece(sql, &request.tenant_id, reads, piece));
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

/// A part of the time that is asked for, `[from, to)`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Piece {
    /// The rollup that tells it; None: it is counted from events.
    level: Option<&'static Level>,
    from: Micros,
    to: Micros,
}

impl Piece {
    fn of_rows(from: Micros, to: Micros) -> Self {
        Self { level: None, from, to }
    }
}

/// What is counted by itself.
struct Counted {
    piece: Piece,
    /// The one that all of it lies in.
    bucket: Option<Micros>,
}

impl CountsQuery {
    /// Whether a rollup has what is asked for, if its buckets fit.
    fn is_kept(&self, level: &Level) -> bool {
        let known = |field: &FilterField| KEPT_FIELDS.contains(&field.name);
        self.bucket.is_none_or(|bucket| bucket.width_us() % level.width_us() == 0)
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
    fn by_bucket(&self, pieces: Vec<Piece>, now: Micros) -> Vec<Counted> {
        let width = self.bucket.map(Level::width_us);
        let mut counted = Vec::new();
        for piece in pieces {
            let whole = Counted { piece, bucket: None };
            let Some(width) = width.filter(|_| piece.level.is_none() && piece.from > Micros::MIN) else {
                counted.push(whole);
                continue;
            };
            let open = piece.to.min(now.saturating_add(width));
            let buckets = open.saturating_sub(piece.from).saturating_div(width);
            if buckets > COUNTED_BUCKETS_MAX {
                counted.push(whole);
                continue;
            }
            let mut from = piece.from;
            while from < open {
                let bucket = from.div_euclid(width) * width;
                let to = (bucket + width).min(piece.to);
                counted.push(Counted { piece: Piece { from, to, ..piece }, bucket: Some(bucket) });
                from = to;
            }
            // Also of a piece without time: there must be something to ask for.
            if from < piece.to || from == piece.from {
                counted.push(Counted { piece: Piece { from, ..piece }, bucket: None });
            }
        }
        counted
    }

    fn push_piece(&self, sql: &mut Sql, tenant_id: &str, reads: &Reads, counted: &Counted) {
        let piece = &counted.piece;
        let (time, count, relation) = match piece.level {
            Some(level) => ("bucket", "sum(count)::bigint", reads.layout.stored(level)),
            None => ("timestamp", "count(*)", "events"),
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
    /// What comes from which rollup, and what from events.
    async fn pieces(&self, query: &CountsQuery, tenant_id: &str) -> Result<Vec<Piece>, ReadError> {
        let now = Timestamp::now().as_microsecond();
        let from = query.window.from.map_or(Micros::MIN, Timestamp::as_microsecond);
        let to = query.window.to.map_or(Micros::MAX, Timestamp::as_microsecond);
        if query.window.from.is_none() && !query.is_kept(EVENT_COUNTS) {
            return Err(ReadError::Unbounded(
                "without from, counts are of the hourly rollup: buckets of 1h or 1d, grouped and filtered by source_module, \
                 event_type and severity; for anything else give from"
                    .into(),
            ));
        }
        let mut pieces = vec![Piece::of_rows(from, to)];
        for level in [EVENT_COUNTS, EVENT_MINUTES].into_iter().filter(|level| query.is_kept(level)) {
            pieces = self.told(level, tenant_id, pieces, now).await?;
        }
        Ok(pieces)
    }

    /// The same pieces, of which a level tells what it has of those that no other tells.
    async fn told(
        &self,
        level: &'static Level,
        tenant_id: &str,
        pieces: Vec<Piece>,
        now: Micros,
    ) -> Result<Vec<Piece>, ReadError> {
        let whole = |piece: &Piece| {
            (level.ceil(piece.from), if piece.to == Micros::MAX { piece.to } else { level.floor(piece.to) })
        };
        let kept_since = self.kept.since(level, now).unwrap_or(Micros::MAX);
        let buckets = pieces.iter().filter(|piece| piece.level.is_none()).map(whole);
        let kept = buckets.map(|(from, to)| (from.max(kept_since), to)).filter(|(from, to)| from < to);
        let Some(range) = kept.reduce(|a, b| (a.0.min(b.0), a.1.max(b.1))) else { return Ok(pieces) };
        // There are no events that are older, and so nothing that lags.
        let oldest = level.floor(before(now, self.kept.events));
        let fresh = self.freshness(level, tenant_id, (range.0.max(oldest), range.1)).await?;
        let rows_since = self.rows_since(level, &fresh, now);
        let mut stale = fresh.stale;
        stale.push((fresh.open_from, range.1));
        let mut told = Vec::new();
        for piece in pieces {
            let (from, to) = whole(&piece);
            if piece.level.is_some() || from >= to {
                told.push(piece);
                continue;
            }
            told.push(Piece::of_rows(piece.from, from));
            told.extend(parts(level, (from, to), kept_since, rows_since, &stale).into_iter().map(|part| Piece {
                level: (part.source == ReadFrom::Rollup).then_some(level),
                from: part.from,
                to: part.to,
            }));
            told.push(Piece::of_rows(to, piece.to));
        }
        // One at least: there must be something to ask for.
        let nothing = told.first().copied();
        told.retain(|piece| piece.from < piece.to);
        if told.is_empty() {
            told.extend(nothing)
        }
        Ok(told)
    }
}
