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
}

/// Where in a log: its epoch and an offset.
pub type Position = (i64, i64);

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
        let state = self.stream_state(tenant_id, stream, position.map(|(epoch, _)| epoch)).await?;
        let gone = |why, go_on: i64| {
            let cursor = scope(tenant_id, stream).encode(&(state.epoch, go_on));
            ReadError::Gone(Box::new(Gone { why, begin: state.begin, end: state.end, go_on, cursor }))
        };
        let offset = match start {
            Start::Earliest => return Ok((state, state.begin)),
            Start::Latest => return Ok((state, state.end)),
            Start::Offset(offset) => *offset,
            Start::Cursor(_) => position.map_or(state.begin, |(_, offset)| offset),
        };
        match state.diverged {
            Some(at) if offset > at => Err(gone(WhyGone::OtherHistory, at.max(state.begin))),
            _ if offset < state.begin => Err(gone(WhyGone::Expired, state.begin)),
            // We gave it out, and have not come so far: where the histories differ nobody knows.
            _ if offset > state.end && position.is_some() => Err(gone(WhyGone::OtherHistory, state.begin)),
            _ if offset > state.end => Err(ReadError::PastEnd { offset, end: state.end }),
            _ => Ok((state, offset)),
        }
    }

    async fn stream_state(&self, tenant_id: &str, stream: &str, epoch: Option<i64>) -> Result<LogState, ReadError> {
        let mut sql = Sql::new(include_str!("../../../sql/queries/stream_state.sql"));
        sql.value(tenant_id.to_owned()).value(stream.to_owned()).value(epoch);
        sql.keeps_plan = true;
        let found = self.rows(&sql).await?.rows;
        let row = found.first().ok_or(ReadError::NotFound("stream"))?;
        Ok(LogState { begin: row.try_get(0)?, end: row.try_get(1)?, epoch: row.try_get(2)?, diverged: row.try_get(3)? })
    }
}

fn decoded(tenant_id: &str, stream: &str, cursor: &str) -> Result<Position, CursorError> {
    let (epoch, offset): Position = scope(tenant_id, stream).decode(cursor)?;
    if offset < 0 {
        return Err(CursorError::Malformed);
    }
    Ok((epoch, offset))
}
