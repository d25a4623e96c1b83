//! Parked events: what a group passes over, because it was handed out too often, or because somebody said so. Each is a dead
//! letter of the stage `consume`, to be replayed to that group alone, or dropped.

use std::sync::LazyLock;

use deadpool_postgres::Object;
use jiff::Timestamp;
use serde::Serialize;
use serde_json::json;
use serde_json::value::RawValue;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;
use uuid::Uuid;

use super::error::GroupError;
use super::group::{Group, Groups, hold};
use crate::limits::{GROUP_PARKED_MAX, PARKED_PER_CALL_MAX};
use crate::query::{LoggedEvent, columns};

/// The code of what somebody has parked.
const ON_PURPOSE: &str = "parked";
/// That of what was handed out too often.
const TOO_OFTEN: &str = "max_deliveries";
/// Of dead letters of parked events.
pub const PARKED_CODES: [&str; 2] = [TOO_OFTEN, ON_PURPOSE];

/// Hands parked events out again.
static REPLAY: LazyLock<String> = LazyLock::new(|| pick(include_str!("../../sql/queries/group_replay.sql")));

/// Gives parked events up.
static DROP: LazyLock<String> = LazyLock::new(|| pick(include_str!("../../sql/queries/group_drop.sql")));

/// The statement that picks parked events, with what becomes of them.
fn pick(then: &str) -> String {
    include_str!("../../sql/queries/group_pick.sql").replace("{then}", then.trim_end())
}

/// Why events are parked, and by whom.
pub struct Parking {
    pub code: &'static str,
    pub reason: String,
    pub deliveries: i32,
    pub key_id: Uuid,
}

columns! {
    /// A parked event as it is listed.
    pub struct Parked {
        pub offset: i64,
        /// Of its dead letter.
        pub id: Uuid,
        pub parked_at: Timestamp,
        /// `parked`, or `replaying` while it is to be handed out again.
        pub state: String,
        pub deliveries: i32,
        pub code: Option<String>,
        pub reason: Option<String>,
        pub event_id: Option<Uuid>,
        /// Of its last replay.
        pub outcome: Option<String>,
        pub outcome_detail: Option<String>,
        /// As it was when it was parked; null where it is too large to be listed.
        pub event: Option<Box<RawValue>>,
    }
}

/// Which parked events.
pub enum Which {
    /// Those at these offsets.
    At(Vec<i64>),
    /// The first ones.
    All,
}

/// How many were replayed or dropped, and how many are left.
#[derive(Debug, Clone, Copy, Serialize)]
pub struct Picked {
    pub count: i64,
    pub left: i64,
}

impl Parking {
    /// By itself, after so many deliveries.
    pub fn of_itself(group: &Group, deliveries: i32, error: Option<&str>, key_id: Uuid) -> Self {
        let reason = error.map_or_else(
            || format!("handed out {deliveries} times to the group {} and never acknowledged", group.at.name),
            |error| format!("handed out {deliveries} times to the group {}; at last: {error}", group.at.name),
        );
        Self { code: TOO_OFTEN, reason, deliveries, key_id }
    }

    /// Those that are parked by themselves are, however many there are; the group is paused then.
    fn is_on_purpose(&self) -> bool {
        self.code == ON_PURPOSE
    }

    /// On purpose.
    pub fn on_purpose(reason: Option<String>, key_id: Uuid) -> Self {
        let reason = reason.unwrap_or_else(|| "parked on purpose".to_owned());
        Self { code: ON_PURPOSE, reason, deliveries: 0, key_id }
    }
}

impl Parked {
    pub(super) fn read(row: &Row) -> Result<Self, tokio_postgres::Error> {
        let event: Option<String> = row.try_get(10)?;
        Ok(Self {
            offset: row.try_get(0)?,
            id: row.try_get(1)?,
            parked_at: row.try_get(2)?,
            state: row.try_get(3)?,
            deliveries: row.try_get(4)?,
            code: row.try_get(5)?,
            reason: row.try_get(6)?,
            event_id: row.try_get(7)?,
            outcome: row.try_get(8)?,
            outcome_detail: row.try_get(9)?,
            event: event.and_then(|event| RawValue::from_string(event).ok()),
        })
    }
}

impl Groups {
    /// Parks the event at an offset, whichever member holds it. Returns false if it was parked already.
    pub async fn park(&self, group: &Group, offset: i64, parking: &Parking) -> Result<bool, GroupError> {
        let (event, _room) = self.event_at(group, offset).await?;
        Ok(self.park_all(group, parking, &[event]).await? > 0)
    }

    /// Parks events; how many were not parked before.
    pub(super) async fn park_all(
        &self,
        group: &Group,
        parking: &Parking,
        events: &[LoggedEvent],
    ) -> Result<i64, GroupError> {
        let ids: Vec<Uuid> = events.iter().map(|_| Uuid::now_v7()).collect();
        let offsets: Vec<i64> = events.iter().map(|event| event.offset).collect();
        let event_ids: Vec<Uuid> = events.iter().map(|event| event.id).collect();
        let raw: Vec<Vec<u8>> = events.iter().map(|event| event.text().as_bytes().to_vec()).collect();
        let received: Vec<Timestamp> = events.iter().map(|event| event.created_at).collect();
        let ordered_by = group.settings.ordered_by;
        let slots: Vec<Option<i16>> = events.iter().map(|event| ordered_by.map(|by| by.slot(event))).collect();
        let parameters = json!({ "stream": group.at.stream, "group": group.at.name });
        let Parking { code, reason, deliveries, key_id } = parking;
        let is_on_purpose = parking.is_on_purpose();
        let parameters: [&(dyn ToSql + Sync); 15] = [
            &group.id,
            &&*group.at.tenant_id,
            &ids,
            &offsets,
            &event_ids,
            &raw,
            &received,
            &slots,
            deliveries,
            code,
            reason,
            &parameters,
            key_id,
            &GROUP_PARKED_MAX,
            &is_on_purpose,
        ];
        let mut lent = self.connection().await?;
        let parked = park_of(&mut lent.client, group, is_on_purpose, &parameters).await;
        let parked = lent.end(parked)?;
        metrics::counter!("tidegate_group_parked_total", "code" => *code).increment(parked.unsigned_abs());
        Ok(parked)
    }

    /// Hands parked events out again, to this group alone.
    pub async fn replay(&self, group: &Group, which: &Which) -> Result<Picked, GroupError> {
        let picked = picked(
            which,
            &self.run(&REPLAY, &[&group.id, &which.offsets(), &per_call(), &["parked"].as_slice()]).await?,
        )?;
        if picked.count > 0 {
            self.wake(&group.at).await;
        }
        Ok(picked)
    }

    /// Gives parked events up: their dead letters say so, and stay as long as others.
    pub async fn drop_parked(&self, group: &Group, which: &Which) -> Result<Picked, GroupError> {
        let (states, tenant) = (["parked", "replaying"], &*group.at.tenant_id);
        let parameters: [&(dyn ToSql + Sync); 5] =
            [&group.id, &which.offsets(), &per_call(), &states.as_slice(), &tenant];
        picked(which, &self.run(&DROP, &parameters).await?)
    }

    /// A replay was in vain.
    pub(super) async fn replay_failed(
        &self,
        group: &Group,
        offset: i64,
        code: &str,
        why: &str,
    ) -> Result<(), GroupError> {
        let sql = include_str!("../../sql/queries/group_replay_failed.sql");
        self.run(sql, &[&group.id, &&*group.at.tenant_id, &offset, &code, &why]).await.map(drop)
    }
}

/// In one transaction.
async fn park_of(
    client: &mut Object,
    group: &Group,
    is_on_purpose: bool,
    parameters: &[&(dyn ToSql + Sync)],
) -> Result<i64, GroupError> {
    let transaction = client.transaction().await?;
    hold(&transaction, group).await?;
    if is_on_purpose {
        let parked = "SELECT count(*) FROM consumer_parked WHERE group_id = $1 AND state IN ('parked', 'replaying')";
        let parked = transaction.prepare_cached(parked).await?;
        if transaction.query_one(&parked, &[&group.id]).await?.get::<_, i64>(0) >= GROUP_PARKED_MAX {
            return Err(GroupError::Full("parked events in the group"));
        }
    }
    let park = transaction.prepare_cached(include_str!("../../sql/queries/group_park.sql")).await?;
    let parked = transaction.query_one(&park, parameters).await?.get(0);
    transaction.commit().await?;
    Ok(parked)
}

impl Which {
    fn offsets(&self) -> Option<&[i64]> {
        match self {
            Self::At(offsets) => Some(offsets),
            Self::All => None,
        }
    }
}

fn per_call() -> i64 {
    i64::try_from(PARKED_PER_CALL_MAX).unwrap_or(i64::MAX)
}

/// Of a statement that says how many it found, how many are left, and how many of those that were meant a consumer is acknowledging.
fn picked(which: &Which, rows: &[Row]) -> Result<Picked, GroupError> {
    let Some(row) = rows.first() else { return Ok(Picked { count: 0, left: 0 }) };
    let (picked, acknowledged): (Picked, i64) = (Picked { count: row.get(0), left: row.get(1) }, row.get(2));
    match which {
        Which::At(_) if picked.count == 0 && acknowledged > 0 => Err(GroupError::Busy),
        _ => Ok(picked),
    }
}
