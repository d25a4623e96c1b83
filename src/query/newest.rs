//! Lists that are read newest first: by a time, and by what tells rows of one time apart.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::ReadError;
use super::listing::{Page, PageRequest};
use super::reads::Reads;
use super::sql::Sql;
use super::windows::{Density, Window};

#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// By `timestamp`, `batch_id` and `batch_seq`: as rows were written.
    Written,
    /// By this column and `id`.
    Id(&'static str),
}

/// A row's place in an order: its time, and `batch_id` and `batch_seq`, or both halves of its id.
type RowKey = (Timestamp, [i64; 2]);

impl Order {
    fn time(self) -> &'static str {
        match self {
            Self::Written => "timestamp",
            Self::Id(time) => time,
        }
    }

    fn place(self, row: &Row) -> Result<RowKey, ReadError> {
        let rest = match self {
            Self::Written => [row.try_get("batch_id")?, row.try_get::<_, i32>("batch_seq")?.into()],
            Self::Id(_) => {
                let (high, low) = row.try_get::<_, Uuid>("id")?.as_u64_pair();
                [high.cast_signed(), low.cast_signed()]
            }
        };
        Ok((row.try_get(self.time())?, rest))
    }

    /// Adds the condition that a row is at a place, or behind it.
    fn push_place(self, sql: &mut Sql, sign: &str, (at, [first, second]): RowKey) {
        match self {
            Self::Written => {
                sql.push(&format!(" AND (timestamp, batch_id, batch_seq::bigint) {sign} (")).bind(at);
                sql.push(", ").bind(first).push(", ").bind(second).push(")");
            }
            Self::Id(time) => {
                let id = Uuid::from_u64_pair(first.cast_unsigned(), second.cast_unsigned());
                sql.push(&format!(" AND ({time}, id) {sign} (")).bind(at).push(", ").bind(id).push(")");
            }
        }
    }

    fn push(self, sql: &mut Sql) {
        match self {
            Self::Written => sql.push(" ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC"),
            Self::Id(time) => sql.push(&format!(" ORDER BY {time} DESC, id DESC")),
        };
    }
}

/// A piece of such a list.
pub struct Piece {
    order: Order,
    window: Window,
    bound: Option<Bound>,
}

/// Which rows of a window.
#[derive(Clone, Copy)]
enum Bound {
    Behind(RowKey),
    /// This one alone, with all its values.
    At(RowKey),
}

impl Piece {
    /// Adds the conditions that a row is in this piece: a bound of time, which excludes chunks, and the exact one.
    pub fn push(&self, sql: &mut Sql) {
        sql.push_within(self.order.time(), &self.window);
        match self.bound {
            None => {}
            Some(Bound::Behind(place)) => self.order.push_place(sql, "<", place),
            Some(Bound::At(place)) => self.order.push_place(sql, "=", place),
        }
    }

    /// Whether values are asked for however large they are.
    pub fn is_whole(&self) -> bool {
        matches!(self.bound, Some(Bound::At(_)))
    }
}

/// A list that is read newest first.
pub struct Newest {
    /// What is listed, for its cursors.
    pub what: String,
    pub order: Order,
    pub window: Window,
    /// None: all of it is asked for at once.
    pub density: Option<Density>,
    /// Rows have the column `large`: see [`super::columns::StoredRow::select_listed`].
    pub has_large: bool,
}

impl Newest {
    /// One page of the rows of `select`, which has the columns of the order.
    pub async fn page<T: Serialize>(
        self,
        reads: &Reads,
        request: &PageRequest,
        select: impl Fn(&Piece) -> Sql,
        read: impl Fn(&Row) -> Result<T, ReadError>,
    ) -> Result<Page<T>, ReadError> {
        let Self { what, order, window, density, has_large } = self;
        let (scope, after) = request.start::<RowKey>(&what)?;
        let behind = after.and_then(|(at, _)| at.checked_add(SignedDuration::from_micros(1)).ok());
        let whole = Window { from: window.from, to: [behind, window.to].into_iter().flatten().min() };
        let windows: Vec<Window> = match density {
            Some(density) => whole.pieces(Timestamp::now(), density).collect(),
            None => vec![whole],
        };
        let sql = |window: &Window, rows: usize| {
            let mut sql = select(&Piece { order, window: *window, bound: after.map(Bound::Behind) });
            order.push(&mut sql);
            sql.push_limit(rows);
            sql
        };
        let mut found = reads.newest(windows, request.limit, sql).await?;
        if has_large && let Some(large) = Large::first(&found.rows, order)? {
            // Alone on its page, or first on the next one; or, where no page holds it, listed without its values.
            if large.index > 0 {
                found.rows.truncate(large.index);
                found.cut = true;
            } else if request.streamed || large.bytes <= reads.page_bytes {
                let at = large.place.0;
                let window = Window { from: Some(at), to: at.checked_add(SignedDuration::from_micros(1)).ok() };
                let sql = select(&Piece { order, window, bound: Some(Bound::At(large.place)) });
                found.cut |= found.rows.len() > 1;
                found.rows.truncate(1);
                if let Some(whole) = reads.rows_of(&sql, large.bytes).await?.pop() {
                    found.rows = vec![whole];
                }
            }
        }
        Page::of(found, request.limit, read, |last| Ok(scope.encode(&order.place(last)?)))
    }
}

/// A row with values that are too large to be listed.
struct Large {
    index: usize,
    place: RowKey,
    bytes: usize,
}

impl Large {
    fn first(rows: &[Row], order: Order) -> Result<Option<Self>, ReadError> {
        for (index, row) in rows.iter().enumerate() {
            let bytes = usize::try_from(row.try_get::<_, i64>("large")?).unwrap_or(usize::MAX);
            if bytes > 0 {
                return Ok(Some(Self { index, place: order.place(row)?, bytes }));
            }
        }
        Ok(None)
    }
}
