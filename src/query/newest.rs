//! Lists that are read newest first: by a time, and by what tells rows of one time apart.

use jiff::{SignedDuration, Timestamp};
use serde::Serialize;
use tokio_postgres::Row;

use super::error::ReadError;
use super::listing::{Page, PageRequest};
use super::place::{Direction, RowKey};
use super::reads::{FoundRows, Reads};
use super::sql::Sql;
use super::windows::Window;

pub use super::place::Order;

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
    /// Asked for piece by piece, for rows that are looked for; else all at once.
    pub by_age: bool,
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
        let Self { what, order, window, by_age, has_large } = self;
        let (scope, after) = request.start::<RowKey>(&what)?;
        let behind = after.and_then(|(at, _)| at.checked_add(SignedDuration::from_micros(1)).ok());
        let whole = Window { from: window.from, to: [behind, window.to].into_iter().flatten().min() };
        let windows: Vec<Window> = if by_age { whole.pieces(Timestamp::now()).collect() } else { vec![whole] };
        let sql = |window: &Window, rows: usize| {
            let mut sql = select(&Piece { order, window: *window, bound: after.map(Bound::Behind) });
            order.push(&mut sql, Direction::NewestFirst);
            sql.push_limit(rows);
            sql
        };
        let mut found = reads.newest(windows, request.limit, sql).await?;
        if has_large {
            let whole =
                |at: &Window, place: RowKey| select(&Piece { order, window: *at, bound: Some(Bound::At(place)) });
            reads.with_large(&mut found, order, request, whole).await?;
        }
        Page::of(found, request.limit, read, |last| Ok(scope.encode(&order.place(last)?)))
    }
}

impl Reads {
    /// Puts a row with values that are too large to be listed alone on its page, or first on the next one; where no page
    /// holds it, it stays without its values. `whole` asks for the row at a place with all of them.
    pub(super) async fn with_large(
        &self,
        found: &mut FoundRows,
        order: Order,
        request: &PageRequest,
        whole: impl FnOnce(&Window, RowKey) -> Sql,
    ) -> Result<(), ReadError> {
        let Some(large) = Large::first(&found.rows, order)? else { return Ok(()) };
        if large.index > 0 {
            found.rows.truncate(large.index);
            found.cut = true;
        } else if request.streamed || large.bytes <= self.page_bytes {
            let sql = whole(&Window::at(large.place.0), large.place);
            found.cut |= found.rows.len() > 1;
            found.rows.truncate(1);
            if let Some(whole) = self.rows_of(&sql, large.bytes).await?.pop() {
                found.rows = vec![whole];
            }
        }
        Ok(())
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
