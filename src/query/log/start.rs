//! Where a reader of a stream begins, and whether that is still there.

use tokio_postgres::Row;

use crate::query::cursor::{CursorError, CursorScope};
use crate::query::error::{Gone, ReadError, WhyGone};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

/// Where to begin.
#[derive(Debug, Clone)]
pub enum Start {
    Earliest,
    /// At the end: with what comes.
    Latest,
    Offset(i64),
    /// Where an earlier page, or an earlier event, said.
    Cursor(String),
}

/// A stream's log as it is now.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct LogState {
    /// The first offset that has not expired.
    pub begin: i64,
    /// The one that the next event gets.
    pub end: i64,
    /// Which history of the log this is.
    pub epoch: i64,
    /// Where what was read in the cursor's epoch may be gone; -1: everywhere.
    diverged: Option<i64>,
    /// The batch before the end.
    pub newest_batch: i64,
    /// The batch before the cursor; None: it is not known any more.
    batch_before: Option<i64>,
}

/// Where in a log; cursors say it, and each event that is sent has one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Position {
    pub epoch: i64,
    pub offset: i64,
    /// The batch that lies before, by which another history is told that nobody noted; 0: none.
    pub batch: i64,
}

/// Cursors of a stream, whatever is asked of it.
pub fn scope(tenant_id: &str, stream: &str) -> CursorScope {
    CursorScope::new(tenant_id, &format!("stream {stream}"))
}

impl Reads {
    /// The stream as it is, and the offset at which a reader begins that wants this.
    pub(super) async fn stream_start(
        &self,
        tenant_id: &str,
        stream: &str,
        start: &Start,
    ) -> Result<(LogState, i64), ReadError> {
        let position = start.position(tenant_id, stream)?;
        let state = self.stream_state(tenant_id, stream, position).await?;
        let offset = state.offset_of(&scope(tenant_id, stream), start, position)?;
        Ok((state, offset))
    }

    async fn stream_state(
        &self,
        tenant_id: &str,
        stream: &str,
        position: Option<Position>,
    ) -> Result<LogState, ReadError> {
        let mut sql = Sql::new(include_str!("../../../sql/queries/stream_state.sql"));
        sql.value(tenant_id.to_owned()).value(stream.to_owned());
        sql.value(position.map(|position| position.epoch)).value(position.map(|position| position.offset));
        sql.keeps_plan = true;
        let found = self.rows(&sql).await?.rows;
        let row = found.first().ok_or(ReadError::NotFound("stream"))?;
        Ok(LogState::read(row, 0)?)
    }
}

impl Start {
    /// Where a cursor is; None: it is none.
    pub fn position(&self, tenant_id: &str, stream: &str) -> Result<Option<Position>, CursorError> {
        match self {
            Self::Cursor(text) => decoded(tenant_id, stream, text).map(Some),
            Self::Earliest | Self::Latest | Self::Offset(_) => Ok(None),
        }
    }
}

impl LogState {
    /// From six columns of a row, the first of which is this one.
    pub fn read(row: &Row, first: usize) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            begin: row.try_get(first)?,
            end: row.try_get(first + 1)?,
            epoch: row.try_get(first + 2)?,
            diverged: row.try_get(first + 3)?,
            newest_batch: row.try_get(first + 4)?,
            batch_before: row.try_get(first + 5)?,
        })
    }

    /// The offset at which a reader begins that wants this, whose cursor is at `position`.
    pub fn offset_of(&self, scope: &CursorScope, start: &Start, position: Option<Position>) -> Result<i64, ReadError> {
        let gone = |why, go_on| self.gone(scope, why, go_on);
        let offset = match (start, position) {
            (Start::Latest, _) => return Ok(self.end),
            (Start::Offset(offset), _) => *offset,
            (_, Some(position)) => position.offset,
            (_, None) => return Ok(self.begin),
        };
        // Where an epoch began it is known how far both histories are the same.
        if let Some(at) = self.diverged.filter(|at| position.is_some() && offset > *at) {
            return Err(gone(WhyGone::OtherHistory, at.max(self.begin)));
        }
        match position {
            _ if offset < self.begin => Err(gone(WhyGone::Expired, self.begin)),
            Some(position) if offset > self.end || self.is_another(position) => {
                Err(gone(WhyGone::OtherHistory, self.begin))
            }
            _ if offset > self.end => Err(ReadError::PastEnd { offset, end: self.end }),
            _ => Ok(offset),
        }
    }

    /// An error where what comes behind an offset has expired.
    pub fn reaches(&self, scope: &CursorScope, offset: i64) -> Result<(), ReadError> {
        if offset < self.begin { Err(self.gone(scope, WhyGone::Expired, self.begin)) } else { Ok(()) }
    }

    fn gone(&self, scope: &CursorScope, why: WhyGone, go_on: i64) -> ReadError {
        let cursor = Position { epoch: self.epoch, offset: go_on, batch: 0 }.cursor(scope);
        ReadError::Gone(Box::new(Gone { why, begin: self.begin, end: self.end, go_on, cursor }))
    }

    /// Whether what was read before a position is not what lies there now.
    fn is_another(&self, position: Position) -> bool {
        position.batch != 0 && self.batch_before.is_some_and(|batch| batch != position.batch)
    }
}

impl Position {
    /// In as few bytes as can be.
    pub fn cursor(self, scope: &CursorScope) -> String {
        let Self { epoch, offset, batch } = self;
        scope.encode(&(epoch, offset, batch))
    }
}

fn decoded(tenant_id: &str, stream: &str, cursor: &str) -> Result<Position, CursorError> {
    let (epoch, offset, batch): (i64, i64, i64) = scope(tenant_id, stream).decode(cursor)?;
    if offset < 0 {
        return Err(CursorError::Malformed);
    }
    Ok(Position { epoch, offset, batch })
}
