//! A group: what it wants, where it is, and the log that it reads.

use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Pool, Transaction};
use jiff::Timestamp;
use tokio_postgres::Row;
use tokio_postgres::types::ToSql;

use super::error::GroupError;
use super::turns::{Lent, Turns};
use crate::limits::MEMBER_SILENCE_MIN;
use crate::query::{LogState, OrderedBy, Position, ReadError, Readers, Start, Wanted, stream_cursors};
use crate::storage::StorageError;

const STATE: &str = include_str!("../../sql/queries/group_state.sql");

/// A name of a group: of a tenant's stream.
#[derive(Debug, Clone)]
pub struct GroupName {
    pub tenant_id: Arc<str>,
    pub stream: String,
    pub name: String,
}

/// What a group wants.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// 0: however often it takes.
    pub max_deliveries: i32,
    pub ack_timeout: Duration,
    /// Empty: all.
    pub event_types: Vec<String>,
    pub ordered_by: Option<OrderedBy>,
}

/// A group as it is now.
#[derive(Debug, Clone)]
pub struct Group {
    pub id: i64,
    pub at: GroupName,
    pub settings: Settings,
    pub paused_at: Option<Timestamp>,
    pub paused_reason: Option<String>,
    pub created_at: Timestamp,
    pub generation: i64,
    /// Everything before is done with.
    pub committed: i64,
    /// Everything before was given out, where there are leases.
    pub claimed: i64,
    /// How often one member was given what begins at `committed`, and whether one event by itself.
    pub deliveries: i32,
    pub alone: bool,
    pub has_leases: bool,
    pub log: LogState,
}

/// The groups of a database.
pub struct AllGroups {
    pool: Pool,
    readers: Readers,
    turns: Arc<Turns>,
}

/// Those of a tenant.
#[derive(Clone)]
pub struct Groups {
    tenant_id: Arc<str>,
    pool: Pool,
    pub(super) readers: Readers,
    turns: Arc<Turns>,
}

impl AllGroups {
    /// Through connections that may write, and readers for the events.
    pub fn new(pool: Pool, readers: Readers) -> Self {
        Self { pool, readers, turns: Arc::default() }
    }

    pub fn of(&self, tenant_id: &Arc<str>) -> Groups {
        let (pool, readers, turns) = (self.pool.clone(), self.readers.clone(), Arc::clone(&self.turns));
        Groups { tenant_id: Arc::clone(tenant_id), pool, readers, turns }
    }
}

impl Groups {
    pub async fn find(&self, at: &GroupName) -> Result<Group, GroupError> {
        self.find_since(at, None).await
    }

    /// The same; what was read before a cursor's position may be gone.
    pub(super) async fn find_since(&self, at: &GroupName, position: Option<Position>) -> Result<Group, GroupError> {
        let (epoch, offset) = position.map(|position| (position.epoch, position.offset)).unzip();
        let rows = self.run(STATE, &[&&*at.tenant_id, &at.stream, &at.name, &epoch, &offset]).await?;
        Group::read(at, rows.first().ok_or(GroupError::NotFound("group"))?)
    }

    /// One statement.
    pub(super) async fn run(&self, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Vec<Row>, GroupError> {
        let lent = self.connection().await?;
        let asked = async {
            let statement = lent.client.prepare_cached(sql).await?;
            Ok(lent.client.query(&statement, parameters).await?)
        };
        let rows = asked.await;
        lent.end(rows)
    }

    pub(super) async fn connection(&self) -> Result<Lent, GroupError> {
        self.turns.lend(&self.tenant_id, &self.pool).await
    }
}

/// Holds a group until the end of a transaction: what it has is counted and added to by one at a time.
pub(super) async fn hold(transaction: &Transaction<'_>, group: &Group) -> Result<(), GroupError> {
    let hold = transaction.prepare_cached(include_str!("../../sql/queries/group_hold.sql")).await?;
    transaction.query_opt(&hold, &[&group.id]).await?.map(drop).ok_or(GroupError::NotFound("group"))
}

/// Holds where a group is until the end of a transaction: nothing more of it is given out. A statement of its own, since the next one's
/// snapshot is to have what was given out before.
pub(super) async fn hold_place(transaction: &Transaction<'_>, group: &Group) -> Result<(), GroupError> {
    let hold = "SELECT FROM consumer_offsets WHERE group_id = $1 FOR UPDATE";
    let hold = transaction.prepare_cached(hold).await?;
    transaction.query_opt(&hold, &[&group.id]).await?.map(drop).ok_or(GroupError::NotFound("group"))
}

/// Deletes what a group, whose place is held, has given out. A range that is just cut in two, or given back in part, leaves another row,
/// which a statement that waited for the first one does not see: so the last one finds none.
pub(super) async fn delete_leases(transaction: &Transaction<'_>, group: &Group) -> Result<(), GroupError> {
    let delete = "DELETE FROM consumer_leases WHERE group_id = $1 AND NOT is_replay";
    let delete = transaction.prepare_cached(delete).await?;
    while transaction.execute(&delete, &[&group.id]).await? > 0 {}
    Ok(())
}

impl Group {
    fn read(at: &GroupName, row: &Row) -> Result<Self, GroupError> {
        let ordered_by: Option<&str> = row.try_get(4)?;
        let known = |name: &str| OrderedBy::ALL.into_iter().find(|known| known.as_str() == name);
        let ordered_by = match ordered_by.map(known) {
            Some(None) => {
                return Err(StorageError::fatal("a group is ordered by what this version does not know").into());
            }
            other => other.flatten(),
        };
        Ok(Self {
            id: row.try_get(0)?,
            at: at.clone(),
            settings: Settings {
                max_deliveries: row.try_get(1)?,
                ack_timeout: Duration::from_millis(row.try_get::<_, i64>(2)?.unsigned_abs()),
                event_types: row.try_get(3)?,
                ordered_by,
            },
            paused_at: row.try_get(5)?,
            paused_reason: row.try_get(6)?,
            created_at: row.try_get(7)?,
            generation: row.try_get(8)?,
            committed: row.try_get(9)?,
            claimed: row.try_get(10)?,
            deliveries: row.try_get(11)?,
            alone: row.try_get(12)?,
            has_leases: row.try_get(13)?,
            log: LogState::read(row, 14)?,
        })
    }

    /// The cursor at an offset, behind this batch (0: not known).
    pub fn cursor(&self, offset: i64, batch: i64) -> String {
        Position { epoch: self.log.epoch, offset, batch }.cursor(&stream_cursors(&self.at.tenant_id, &self.at.stream))
    }

    /// In offsets that can still be read.
    pub fn lag(&self) -> i64 {
        (self.log.end - self.committed.max(self.log.begin)).max(0)
    }

    /// An error where what is to come next has expired.
    pub fn reaches(&self, offset: i64) -> Result<(), ReadError> {
        self.log.reaches(&stream_cursors(&self.at.tenant_id, &self.at.stream), offset)
    }

    /// The offset at which a reader begins that wants this. `self` was found for the position of its cursor.
    pub fn offset_of(&self, start: &Start) -> Result<i64, ReadError> {
        let position = start.position(&self.at.tenant_id, &self.at.stream)?;
        self.log.offset_of(&stream_cursors(&self.at.tenant_id, &self.at.stream), start, position)
    }

    pub fn ack_timeout_ms(&self) -> i64 {
        i64::try_from(self.settings.ack_timeout.as_millis()).unwrap_or(i64::MAX)
    }

    /// How long a member is there that was just heard of.
    pub fn heard_for_ms(&self) -> i64 {
        let heard_for = self.settings.ack_timeout.max(MEMBER_SILENCE_MIN);
        i64::try_from(heard_for.as_millis()).unwrap_or(i64::MAX)
    }

    /// What it wants of a range, without single offsets.
    pub fn wanted(&self) -> Wanted {
        Wanted { event_types: self.settings.event_types.clone(), ..Wanted::default() }
    }

    /// What is to be done with something that was handed out so often, the last time `alone` or not.
    pub fn turn(&self, deliveries: i32, alone: bool) -> Turn {
        let max = self.settings.max_deliveries;
        if max == 0 || deliveries + 1 < max {
            Turn::Together
        } else if deliveries < max || !alone {
            // The last time each event is by itself, so that none is parked for what its neighbours do.
            Turn::Alone
        } else {
            Turn::Park
        }
    }
}

/// How something is handed out next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Turn {
    Together,
    /// One event by itself.
    Alone,
    /// Not any more.
    Park,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_last_delivery_is_alone_and_then_it_is_parked() {
        let group = |max_deliveries| Group {
            id: 1,
            at: GroupName { tenant_id: "a".into(), stream: "s".into(), name: "g".into() },
            settings: Settings {
                max_deliveries,
                ack_timeout: Duration::from_secs(1),
                event_types: Vec::new(),
                ordered_by: None,
            },
            paused_at: None,
            paused_reason: None,
            created_at: Timestamp::UNIX_EPOCH,
            generation: 1,
            committed: 0,
            claimed: 0,
            deliveries: 0,
            alone: false,
            has_leases: false,
            log: LogState::default(),
        };
        use Turn::{Alone, Park, Together};
        let turns = |max, turns: &[(i32, bool)]| -> Vec<Turn> {
            turns.iter().map(|(deliveries, alone)| group(max).turn(*deliveries, *alone)).collect()
        };
        assert_eq!(turns(3, &[(0, false), (1, false), (2, false), (3, true)]), [Together, Together, Alone, Park]);
        assert_eq!(turns(1, &[(0, false), (1, true)]), [Alone, Park]);
        assert_eq!(turns(0, &[(0, false), (1000, true)]), [Together, Together]);
        // It was lowered meanwhile: what went together is first taken apart.
        assert_eq!(turns(2, &[(7, false), (8, true)]), [Alone, Park]);
    }
}
