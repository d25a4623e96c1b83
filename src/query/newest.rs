//! Lists that are read newest first: by a time, and by what tells rows of one time apart.

use jiff::{SignedDuration, Timestamp};
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

    /// Adds the condition that a row is behind a place.
    fn push_behind(self, sql: &mut Sql, (at, [first, second]): RowKey) {
        match self {
            Self::Written => {
                sql.push(" AND (timestamp, batch_id, batch_seq::bigint) < (").bind(at);
                sql.push(", ").bind(first).push(", ").bind(second).push(")");
            }
            Self::Id(time) => {
                let id = Uuid::from_u64_pair(first.cast_unsigned(), second.cast_unsigned());
                sql.push(&format!(" AND ({time}, id) < (")).bind(at).push(", ").bind(id).push(")");
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
    after: Option<RowKey>,
}

impl Piece {
    /// Adds the conditions that a row is in this piece: a bound of time, which excludes chunks, and the exact one.
    pub fn push(&self, sql: &mut Sql) {
        sql.push_within(self.order.time(), &self.window);
        if let Some(after) = self.after {
            self.order.push_behind(sql, after);
        }
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
}

impl Newest {
    /// One page of the rows of `select`, which has the columns of the order.
    pub async fn page<T>(
        self,
        reads: &Reads,
        request: &PageRequest,
        select: impl Fn(&Piece) -> Sql,
        read: impl Fn(&Row) -> Result<T, ReadError>,
    ) -> Result<Page<T>, ReadError> {
        let Self { what, order, window, density } = self;
        let (scope, after) = request.start::<RowKey>(&what)?;
        let behind = after.and_then(|(at, _)| at.checked_add(SignedDuration::from_micros(1)).ok());
        let whole = Window { from: window.from, to: [behind, window.to].into_iter().flatten().min() };
        let windows: Vec<Window> = match density {
            Some(density) => whole.pieces(Timestamp::now(), density).collect(),
            None => vec![whole],
        };
        let sql = |window: &Window, rows: usize| {
            let mut sql = select(&Piece { order, window: *window, after });
            order.push(&mut sql);
            sql.push_limit(rows);
            sql
        };
        let found = reads.newest(windows, request.limit, sql).await?;
        Page::of(&found, request.limit, read, |last| Ok(scope.encode(&order.place(last)?)))
    }
}
