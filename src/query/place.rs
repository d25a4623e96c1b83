//! Where a row stands in a list that is ordered by time: its time, and what tells rows of one time apart.

use jiff::Timestamp;
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::ReadError;
use super::sql::Sql;

#[derive(Debug, Clone, Copy)]
pub enum Order {
    /// By `timestamp`, `batch_id` and `batch_seq`: as rows were written.
    Written,
    /// By this column and `id`, a UUID.
    Id(&'static str),
    /// By this column and `id`, a whole number.
    Number(&'static str),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Direction {
    #[default]
    NewestFirst,
    OldestFirst,
}

impl Direction {
    fn keyword(self) -> &'static str {
        match self {
            Self::NewestFirst => "DESC",
            Self::OldestFirst => "ASC",
        }
    }

    /// How a row compares to one that comes before it.
    pub fn behind(self) -> &'static str {
        match self {
            Self::NewestFirst => "<",
            Self::OldestFirst => ">",
        }
    }
}

/// A row's place in an order: its time, and `batch_id` and `batch_seq`, or both halves of its id.
pub type RowKey = (Timestamp, [i64; 2]);

/// The place before every row of a time, as rows were written.
pub fn before_all_at(at: Timestamp) -> RowKey {
    (at, [i64::MIN; 2])
}

impl Order {
    pub fn time(self) -> &'static str {
        match self {
            Self::Written => "timestamp",
            Self::Id(time) | Self::Number(time) => time,
        }
    }

    pub fn place(self, row: &Row) -> Result<RowKey, ReadError> {
        let rest = match self {
            Self::Written => [row.try_get("batch_id")?, row.try_get::<_, i32>("batch_seq")?.into()],
            Self::Id(_) => {
                let (high, low) = row.try_get::<_, Uuid>("id")?.as_u64_pair();
                [high.cast_signed(), low.cast_signed()]
            }
            Self::Number(_) => [row.try_get("id")?, 0],
        };
        Ok((row.try_get(self.time())?, rest))
    }

    /// Adds the condition that a row compares so to a place. Columns as they are, so that an index serves.
    pub fn push_place(self, sql: &mut Sql, sign: &str, (at, [first, second]): RowKey) {
        match self {
            Self::Written => {
                let ordinal = second.clamp(i32::MIN.into(), i32::MAX.into());
                let ordinal = i32::try_from(ordinal).expect("clamped to its range");
                sql.push(&format!(" AND (timestamp, batch_id, batch_seq) {sign} (")).bind(at);
                sql.push(", ").bind(first).push(", ").bind(ordinal).push(")");
            }
            Self::Number(time) => {
                sql.push(&format!(" AND ({time}, id) {sign} (")).bind(at).push(", ").bind(first).push(")");
            }
            Self::Id(time) => {
                let id = Uuid::from_u64_pair(first.cast_unsigned(), second.cast_unsigned());
                sql.push(&format!(" AND ({time}, id) {sign} (")).bind(at).push(", ").bind(id).push(")");
            }
        }
    }

    /// Adds ORDER BY.
    pub fn push(self, sql: &mut Sql, direction: Direction) {
        let way = direction.keyword();
        match self {
            Self::Written => sql.push(&format!(" ORDER BY timestamp {way}, batch_id {way}, batch_seq {way}")),
            Self::Id(time) | Self::Number(time) => sql.push(&format!(" ORDER BY {time} {way}, id {way}")),
        };
    }
}
