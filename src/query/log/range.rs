//! A range of a stream for a consumer group: those of its events that the group wants.

use std::ops::Range;
use std::time::Instant;

use super::fetch::PageLimit;
use super::logged::LoggedEvent;
use super::logs::Logs;
use super::wanted::Wanted;
use crate::limits::GROUP_LOOK_MAX;
use crate::query::error::ReadError;
use crate::query::reads::Reads;

impl Reads {
    /// The next events of a range that are wanted, `limit` at most, and the offset behind what was looked at. That is where the
    /// range begins where a copy of the database does not have its log yet.
    pub async fn log_range(
        &self,
        logs: &Logs,
        tenant_id: &str,
        stream: &str,
        range: Range<i64>,
        limit: PageLimit,
        wanted: &Wanted,
    ) -> Result<(Vec<LoggedEvent>, i64), ReadError> {
        let begun = Instant::now();
        let mut from = range.start;
        while from < range.end && (from == range.start || begun.elapsed() < GROUP_LOOK_MAX) {
            let found = self.events_from(logs, tenant_id, stream, from..range.end, limit, wanted).await?;
            if !found.data.is_empty() || found.next_offset <= from {
                return Ok((found.data, found.next_offset));
            }
            self.drop_rows();
            from = found.next_offset;
        }
        Ok((Vec::new(), from))
    }
}
