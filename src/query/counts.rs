//! GET /v1/events/counts: how many, by time bucket and by field.
//!
//! What the hourly rollup can tell (buckets of hours or days; modules, types and severities) comes from it, but for the hours
//! at both ends that are asked for in part, and those where it lags: these are counted from events. So the counts are exact
//! whichever way they are made.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Map, Value};
use tokio_postgres::Row;
use tokio_postgres::types::Type;

use super::cursor::{CursorError, Scope};
use super::filter::{Field, Filter, Sql};
use super::fresh::Kind;
use super::levels::{Micros, Part, Source, Width, before, parts};
use super::windows::Window;
use super::{Found, Page, ReadError, Reads};

/// Width of a bucket.
pub type Bucket = Width;

/// A field to group by.
pub type GroupBy = Field;

const HOURLY: &str = "event_counts_hourly";
const HOURLY_FIELDS: [Field; 3] = [Field::SourceModule, Field::EventType, Field::Severity];

#[derive(Debug, Clone)]
pub struct CountsQuery {
    pub tenant_id: String,
    pub filter: Filter,
    pub bucket: Option<Bucket>,
    pub group_by: Vec<GroupBy>,
    /// Groups of the page.
    pub limit: usize,
    /// Where the page starts.
    pub cursor: Option<String>,
}

#[derive(Debug, Serialize)]
pub struct Count {
    /// Start of the bucket, when counted by time.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub bucket: Option<Timestamp>,
    /// The fields grouped by.
    #[serde(flatten)]
    pub group: Map<String, Value>,
    pub count: i64,
}

impl CountsQuery {
    /// Whether the hourly rollup has what is asked for.
    fn is_hourly(&self) -> bool {
        let known = |field: &Field| HOURLY_FIELDS.contains(field);
        matches!(self.bucket, None | Some(Width::Hour | Width::Day))
            && self.group_by.iter().all(known)
            && self.filter.fields.iter().all(|(field, _)| known(field))
            && self.filter.correlation_ids.is_empty()
            && self.filter.payload.is_none()
    }

    /// What is grouped by, `time` being the column that tells the time.
    fn columns(&self, time: &str) -> Vec<String> {
        let bucket = self.bucket.map(|width| {
            format!("date_bin('{}', {time}, TIMESTAMPTZ '1970-01-01 00:00:00+00') AS at", width.interval())
        });
        bucket.into_iter().chain(self.group_by.iter().map(|field| field.name().to_owned())).collect()
    }

    /// ` GROUP BY 1, 2` of all that is grouped by.
    fn grouping(&self) -> String {
        let numbers: Vec<String> = (1..=self.columns("").len()).map(|number| number.to_string()).collect();
        if numbers.is_empty() { String::new() } else { format!(" GROUP BY {}", numbers.join(", ")) }
    }

    /// The counts of one piece.
    fn push_piece(&self, sql: &mut Sql, stored: &str, piece: &Piece) {
        let (time, count, relation) = match piece.source {
            Source::Rollup => ("bucket", "sum(count)::bigint", stored),
            Source::Rows => ("timestamp", "count(*)", "events"),
        };
        let columns: Vec<String> = self.columns(time).into_iter().chain([format!("{count} AS n")]).collect();
        sql.push(&format!("SELECT {} FROM {relation}", columns.join(", ")));
        match piece.source {
            Source::Rows => sql.push_where(&self.tenant_id, &self.filter.within(&piece.window)),
            Source::Rollup => {
                sql.push(" WHERE tenant_id = ").bind(self.tenant_id.clone(), Type::TEXT);
                for (sign, at) in [(">=", piece.window.from), ("<", piece.window.to)] {
                    if let Some(at) = at {
                        sql.push(&format!(" AND bucket {sign} ")).bind(at, Type::TIMESTAMPTZ);
                    }
                }
                for (field, values) in &self.filter.fields {
                    sql.push_any_of(field.name(), values);
                }
            }
        }
        sql.push(&self.grouping());
    }
}

/// A part of what is counted.
struct Piece {
    source: Source,
    window: Window,
}

impl Reads {
    /// One page of counts, newest bucket first, then largest group first.
    ///
    /// Its cursor is a number of groups: where a group stands follows from counts, and these change while events arrive.
    pub async fn counts(&self, query: &CountsQuery) -> Result<Page<Count>, ReadError> {
        let asked = format!("counts {} {:?} {:?}", query.filter.describe(), query.bucket, query.group_by);
        let scope = Scope::new(&query.tenant_id, &asked);
        let passed = match &query.cursor {
            None => 0,
            Some(cursor) => match scope.decode(cursor)? {
                [passed] if passed >= 0 => passed,
                _ => return Err(CursorError::Malformed.into()),
            },
        };
        let whole = Window { from: query.filter.from, to: query.filter.to };
        let pieces = if query.is_hourly() {
            self.pieces(query, whole).await?
        } else if whole.from.is_some() {
            vec![Piece { source: Source::Rows, window: whole }]
        } else {
            return Err(ReadError::Unbounded(
                "without from, counts are of the hourly rollup: buckets of 1h or 1d, grouped and filtered by source_module, \
                 event_type and severity; for anything else give from"
                    .into(),
            ));
        };
        let fields = query.group_by.iter().map(|field| field.name());
        let names: Vec<&str> = query.bucket.map(|_| "at").into_iter().chain(fields).collect();
        let columns: Vec<&str> = names.iter().copied().chain(["coalesce(sum(n), 0)::bigint"]).collect();
        let mut sql = Sql::new(&format!("SELECT {} FROM (", columns.join(", ")));
        let stored = self.stored(HOURLY);
        for (index, piece) in pieces.iter().enumerate() {
            sql.push(if index > 0 { " UNION ALL " } else { "" });
            query.push_piece(&mut sql, &stored, piece);
        }
        sql.push(") counted").push(&query.grouping());
        let newest_first = if query.bucket.is_some() { "1 DESC, " } else { "" };
        sql.push(&format!(" ORDER BY {newest_first}{} DESC", columns.len()));
        for number in 1 + usize::from(query.bucket.is_some())..columns.len() {
            sql.push(&format!(", {number}"));
        }
        sql.push(" LIMIT ").bind(i64::try_from(query.limit + 1).unwrap_or(i64::MAX), Type::INT8);
        sql.push(" OFFSET ").bind(passed, Type::INT8);
        let (rows, cut) = self.rows(&sql).await?;
        let first_field = usize::from(query.bucket.is_some());
        let count = |row: &Row| {
            let value = |index: usize| row.get::<_, Option<String>>(first_field + index).into();
            let fields = query.group_by.iter().enumerate();
            Ok(Count {
                bucket: query.bucket.map(|_| row.get(0)),
                group: fields.map(|(index, field)| (field.name().to_owned(), value(index))).collect(),
                count: row.get(names.len()),
            })
        };
        let shown = i64::try_from(rows.len().min(query.limit)).unwrap_or(i64::MAX);
        Page::of(Found { rows, cut }, query.limit, count, |_| scope.encode([passed.saturating_add(shown)]))
    }

    /// What comes from the rollup and what from events.
    async fn pieces(&self, query: &CountsQuery, whole: Window) -> Result<Vec<Piece>, ReadError> {
        let now = Timestamp::now().as_microsecond();
        let from = whole.from.map_or(Micros::MIN, Timestamp::as_microsecond);
        let to = whole.to.map_or(Micros::MAX, Timestamp::as_microsecond);
        // The hours that are asked for whole.
        let hours = (Width::Hour.ceil(from), if to == Micros::MAX { to } else { Width::Hour.floor(to) });
        let of_rows = |from, to| Piece { source: Source::Rows, window: window(from, to) };
        if hours.0 >= hours.1 {
            return Ok(vec![of_rows(from, to)]);
        }
        // There are no events that are older.
        let oldest = before(now, self.kept.events);
        let fresh = self.freshness(HOURLY, &query.tenant_id, (hours.0.max(Width::Hour.floor(oldest)), hours.1)).await?;
        let rows_since = self.rows_since(Kind::Events, Width::Hour, &fresh, now);
        let rollup_since = self.kept.since(Width::Hour, now).unwrap_or(Micros::MAX);
        let mut cut = vec![Part { source: Source::Rows, from, to: hours.0 }];
        cut.extend(parts(Width::Hour, hours, rollup_since, rows_since, &fresh.stale));
        cut.push(Part { source: Source::Rows, from: hours.1, to });
        let cut = cut.into_iter().filter(|part| part.from < part.to);
        let pieces: Vec<Piece> =
            cut.map(|part| Piece { source: part.source, window: window(part.from, part.to) }).collect();
        Ok(if pieces.is_empty() { vec![of_rows(from, to)] } else { pieces })
    }
}

/// The ends of time are no bounds.
fn window(from: Micros, to: Micros) -> Window {
    let bound = |at: Micros| Timestamp::from_microsecond(at).ok();
    Window { from: bound(from), to: bound(to) }
}
