//! Consumer groups that do not get on.

use tokio_postgres::Client;

use super::finding::{Finding, expect};
use crate::groups;
use crate::storage::StorageError;

/// What has been stored for so long and not been read is not just next in line.
const UNREAD_MAX_S: f64 = 3600.0;

pub async fn finding(client: &Client) -> Result<Finding, StorageError> {
    let groups = groups::of_all(client).await?;
    let stuck: Vec<String> = groups
        .iter()
        .filter_map(|group| {
            let of = format!("{} of {} ({})", group.name, group.stream, group.tenant_id);
            match (&group.paused_reason, group.oldest_unread_s) {
                (Some(reason), _) => Some(format!("{of} is paused: {reason}")),
                (None, Some(unread_s)) if unread_s > UNREAD_MAX_S && !group.paused => {
                    let (lag, hours, members) = (group.lag, unread_s / 3600.0, group.members);
                    Some(format!("{of} is {lag} offsets behind, {hours:.1} h, with {members} members"))
                }
                _ => None,
            }
        })
        .collect();
    let found = if stuck.is_empty() { format!("{} groups", groups.len()) } else { stuck.join("; ") };
    Ok(expect(
        "groups",
        stuck.is_empty(),
        found,
        "see that their members run, and what they fail on (tidegate groups show, groups parked); a group that nobody reads any \
         more is to be deleted",
    ))
}
