//! How groups stand.

use jiff::Timestamp;
use tokio_postgres::Row;

use super::error::GroupError;
use super::group::{GroupName, Groups};
use crate::limits::GROUP_LABELS_MAX;
use crate::query::columns;
use crate::storage::StorageError;

pub(super) const LIST: &str = include_str!("../../sql/queries/group_list.sql");

columns! {
    /// A group as it is listed.
    pub struct Status {
        pub stream: String,
        pub name: String,
        pub max_deliveries: i32,
        /// With its unit, as it is given.
        pub ack_timeout: String,
        pub event_types: Vec<String>,
        pub ordered_by: Option<String>,
        pub paused: bool,
        pub paused_at: Option<Timestamp>,
        pub paused_reason: Option<String>,
        pub created_at: Timestamp,
        pub generation: i64,
        pub committed: i64,
        pub begin: i64,
        pub end: i64,
        /// Offsets that are neither done with nor expired.
        pub lag: i64,
        /// How long the first of them has been stored.
        pub oldest_unread_s: Option<f64>,
        /// That hold something, or were heard of lately.
        pub members: i64,
        pub leases: i64,
        /// How often what is out or given back was handed out before.
        pub redeliveries: i64,
        pub parked: i64,
    }
}

impl Status {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let paused_at: Option<Timestamp> = row.try_get(7)?;
        let timeout_ms: i64 = row.try_get(4)?;
        Ok(Self {
            stream: row.try_get(1)?,
            name: row.try_get(2)?,
            max_deliveries: row.try_get(3)?,
            ack_timeout: written(timeout_ms),
            event_types: row.try_get(5)?,
            ordered_by: row.try_get(6)?,
            paused: paused_at.is_some(),
            paused_at,
            paused_reason: row.try_get(8)?,
            created_at: row.try_get(9)?,
            generation: row.try_get(10)?,
            committed: row.try_get(11)?,
            begin: row.try_get(12)?,
            end: row.try_get(13)?,
            lag: row.try_get(14)?,
            oldest_unread_s: row.try_get(15)?,
            members: row.try_get(16)?,
            leases: row.try_get(17)?,
            redeliveries: row.try_get(18)?,
            parked: row.try_get(19)?,
        })
    }
}

/// A time as it is configured.
fn written(ms: i64) -> String {
    if ms % 1000 == 0 { format!("{}s", ms / 1000) } else { format!("{ms}ms") }
}

/// The first groups of all tenants, each with its tenant.
pub async fn of_all(client: &tokio_postgres::Client) -> Result<Vec<(String, Status)>, StorageError> {
    let nothing = None::<&str>;
    let rows = client.query(LIST, &[&nothing, &nothing, &nothing, &nothing, &nothing, &GROUP_LABELS_MAX]).await?;
    let read = rows.iter().map(|row| Ok((row.try_get(0)?, Status::read(row)?)));
    read.collect::<Result<_, tokio_postgres::Error>>().map_err(StorageError::from)
}

impl Groups {
    pub async fn status(&self, at: &GroupName) -> Result<Status, GroupError> {
        let nothing = None::<&str>;
        let rows = self.run(LIST, &[&&*at.tenant_id, &at.stream, &at.name, &nothing, &nothing, &1_i64]).await?;
        Ok(Status::read(rows.first().ok_or(GroupError::NotFound("group"))?)?)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::limits::ACK_TIMEOUT_DEFAULT;

    #[test]
    fn times_are_written_as_they_are_given() {
        assert_eq!([1500, 30_000, 100].map(written), ["1500ms", "30s", "100ms"]);
        assert_eq!(written(i64::try_from(ACK_TIMEOUT_DEFAULT.as_millis()).expect("short")), "30s");
    }
}
