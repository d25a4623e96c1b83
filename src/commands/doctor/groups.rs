//! Consumer groups that do not get on.

use tokio_postgres::Client;

use super::finding::{Finding, expect};
use crate::groups::{self, Status};
use crate::limits::GROUP_LABELS_MAX;
use crate::storage::StorageError;

/// What has been stored for so long and not been read is not just next in line.
const UNREAD_MAX_S: f64 = 3600.0;

pub async fn finding(client: &Client) -> Result<Finding, StorageError> {
    let groups = groups::of_all(client).await?;
    let stuck: Vec<String> = groups.iter().filter_map(stuck).collect();
    let are_all = i64::try_from(groups.len()).is_ok_and(|count| count < GROUP_LABELS_MAX);
    let found = match (stuck.is_empty(), are_all) {
        (false, _) => stuck.join("; "),
        (true, true) if groups.len() == 1 => "1 group".to_owned(),
        (true, true) => format!("{} groups", groups.len()),
        (true, false) => format!("the first {} groups", groups.len()),
    };
    Ok(expect(
        "groups",
        stuck.is_empty(),
        found,
        "see that their members run, and what they fail on (tidegate groups show, groups parked); put a group whose next \
         events have expired where the stream begins (tidegate groups reset --to earliest); a group that nobody reads any \
         more is to be deleted",
    ))
}

/// What keeps a group, if something does. One that somebody has paused is left alone.
fn stuck((tenant_id, group): &(String, Status)) -> Option<String> {
    let of = format!("{} of {} ({tenant_id})", group.name, group.stream);
    if let Some(reason) = &group.paused_reason {
        return Some(format!("{of} is paused: {reason}"));
    }
    if group.paused {
        return None;
    }
    if group.committed < group.begin {
        return Some(format!("{of} has not read what has expired, {} offsets", group.begin - group.committed));
    }
    let unread_s = group.oldest_unread_s.filter(|seconds| *seconds > UNREAD_MAX_S)?;
    Some(format!("{of} is {} offsets behind, {:.1} h, with {} members", group.lag, unread_s / 3600.0, group.members))
}
