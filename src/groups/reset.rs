//! Where a group is put, and how many events that is.

use deadpool_postgres::Object;
use jiff::Timestamp;
use serde::Serialize;

use super::error::GroupError;
use super::group::{Group, GroupName, Groups, delete_leases, hold_place};
use crate::query::{LogState, Position, Start, stream_cursors};

/// Where a group is to be.
#[derive(Debug, Clone)]
pub enum To {
    Start(Start),
    /// With all events since then, and others that came with them.
    Time(Timestamp),
}

/// A reset, done or only looked at.
#[derive(Debug, Clone, Serialize)]
pub struct Reset {
    pub dry_run: bool,
    /// Where the group was, and where it is to be.
    pub from: i64,
    pub to: i64,
    /// Events that come again.
    pub again: i64,
    /// Events that are passed over.
    pub skipped: i64,
    /// That of now.
    pub generation: i64,
    pub cursor: String,
}

impl Groups {
    /// Puts a group somewhere else, and begins another generation; with `dry_run` only says what that would be. Waits for a
    /// consumer's open transaction.
    pub async fn reset(&self, group: &Group, to: &To, dry_run: bool) -> Result<Reset, GroupError> {
        let from = group.committed;
        let to = self.place(&group.at, to).await?;
        let (again, skipped) =
            (self.events_between(group, to, from).await?, self.events_between(group, from, to).await?);
        let mut generation = group.generation;
        if !dry_run {
            let mut lent = self.connection().await?;
            let begun = reset_of(&mut lent.client, group, to).await;
            generation = lent.end(begun)?;
            self.wake(&group.at).await;
        }
        Ok(Reset { dry_run, from, to, again, skipped, generation, cursor: group.cursor(to, 0) })
    }

    /// The offset that is meant.
    pub(super) async fn place(&self, at: &GroupName, to: &To) -> Result<i64, GroupError> {
        let start = match to {
            To::Start(start) => start,
            To::Time(since) => {
                let log = self.log(at, None).await?;
                let sql = include_str!("../../sql/queries/group_since.sql");
                let rows = self.run(sql, &[&&*at.tenant_id, &at.stream, since, &log.begin, &log.end]).await?;
                return Ok(rows.first().map_or(log.end, |row| row.get::<_, i64>(0)).max(log.begin));
            }
        };
        let position = start.position(&at.tenant_id, &at.stream)?;
        let log = self.log(at, position).await?;
        Ok(log.offset_of(&stream_cursors(&at.tenant_id, &at.stream), start, position)?)
    }

    async fn log(&self, at: &GroupName, position: Option<Position>) -> Result<LogState, GroupError> {
        let sql = include_str!("../../sql/queries/group_log.sql");
        let (epoch, offset) = position.map(|position| (position.epoch, position.offset)).unzip();
        let rows = self.run(sql, &[&&*at.tenant_id, &at.stream, &epoch, &offset]).await?;
        Ok(rows.first().map(|row| LogState::read(row, 0)).transpose()?.unwrap_or_default())
    }

    async fn events_between(&self, group: &Group, from: i64, to: i64) -> Result<i64, GroupError> {
        if from >= to {
            return Ok(0);
        }
        let sql = include_str!("../../sql/queries/group_events_between.sql");
        let rows = self.run(sql, &[&&*group.at.tenant_id, &group.at.stream, &from, &to]).await?;
        Ok(rows.first().map_or(0, |row| row.get(0)))
    }
}

/// In one transaction; returns the generation that begins.
async fn reset_of(client: &mut Object, group: &Group, to: i64) -> Result<i64, GroupError> {
    let transaction = client.transaction().await?;
    hold_place(&transaction, group).await?;
    delete_leases(&transaction, group).await?;
    let reset = transaction.prepare_cached(include_str!("../../sql/queries/group_reset.sql")).await?;
    let generation = transaction.query_one(&reset, &[&group.id, &to]).await?.get(0);
    transaction.commit().await?;
    Ok(generation)
}
