//! What members wait for beside new events: what others give back, which they are told, and what comes by its time.

use std::time::Duration;

use super::error::GroupError;
use super::group::{Group, GroupName, Groups};
use crate::limits::GROUP_LOOK_EVERY;

const DUE: &str = include_str!("../../sql/queries/group_due.sql");
/// Wakes who waits for the stream, as sql/queries/log_append.sql does.
const WAKE: &str = "SELECT pg_notify('tidegate_log', left(encode(sha256(convert_to($1 || ' ' || $2 || ' ' || salt, 'UTF8')), 'hex'), 8)) FROM claim_salt";

impl Groups {
    /// Tells who waits, at any node, that there may be something: what a member gave back, or a group that stands elsewhere. Who
    /// is not told looks again all the same, a little later.
    pub(super) async fn wake(&self, at: &GroupName) {
        if let Err(error) = self.run(WAKE, &[&&*at.tenant_id, &at.stream]).await {
            tracing::debug!(?error, "who waits for a group could not be told that there may be something");
        }
    }

    /// In how long there may be something for a member that was given nothing, without its being told; None: only by what it is
    /// told.
    pub async fn due(&self, group: &Group, member: Option<&str>) -> Result<Option<Duration>, GroupError> {
        let every_ms = i64::try_from(GROUP_LOOK_EVERY.as_millis()).unwrap_or(i64::MAX);
        let rows = self.run(DUE, &[&group.id, &member.unwrap_or_default(), &every_ms]).await?;
        let due_ms: Option<i64> = rows.first().map(|row| row.try_get(0)).transpose()?.flatten();
        let due = due_ms.map(|ms| Duration::from_millis(ms.unsigned_abs()));
        let given_out =
            if member.is_some() && group.settings.ordered_by.is_none() { group.claimed } else { group.committed };
        // There is something, and it was not to be had: others have so much that they are to acknowledge first, or the readers
        // are led to a copy that does not have it yet.
        let behind = (given_out < group.log.end && group.paused_at.is_none()).then_some(GROUP_LOOK_EVERY);
        Ok(due.into_iter().chain(behind).min())
    }
}
