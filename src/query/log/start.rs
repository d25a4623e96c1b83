//! Where a reader of a stream begins, and whether that is still there.

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
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
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
        let position = match start {
            Start::Cursor(text) => Some(decoded(tenant_id, stream, text)?),
            Start::Earliest | Start::Latest | Start::Offset(_) => None,
        };
        let state = self.stream_state(tenant_id, stream, position).await?;
        let gone = |why, go_on: i64| {
            let cursor = Position { epoch: state.epoch, offset: go_on, batch: 0 }.cursor(&scope(tenant_id, stream));
            ReadError::Gone(Box::new(Gone { why, begin: state.begin, end: state.end, go_on, cursor }))
        };
        let offset = match (start, position) {
            (Start::Latest, _) => return Ok((state, state.end)),
            (Start::Offset(offset), _) => *offset,
            (_, Some(position)) => position.offset,
            (_, None) => return Ok((state, state.begin)),
        };
        // Where an epoch began it is known how far both histories are the same.
        if let Some(at) = state.diverged.filter(|at| position.is_some() && offset > *at) {
            return Err(gone(WhyGone::OtherHistory, at.max(state.begin)));
        }
        match position {
            _ if offset < state.begin => Err(gone(WhyGone::Expired, state.begin)),
            Some(position) if offset > state.end || state.is_another(position) => {
                Err(gone(WhyGone::OtherHistory, state.begin))
            }
            _ if offset > state.end => Err(ReadError::PastEnd { offset, end: state.end }),
            _ => Ok((state, offset)),
        }
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
        Ok(LogState {
            begin: row.try_get(0)?,
            end: row.try_get(1)?,
            epoch: row.try_get(2)?,
            diverged: row.try_get(3)?,
            newest_batch: row.try_get(4)?,
            batch_before: row.try_get(5)?,
        })
    }
}

impl LogState {
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
