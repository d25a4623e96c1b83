//! Groups are made, altered, paused and deleted.

use deadpool_postgres::Object;
use tokio_postgres::IsolationLevel;
use tokio_postgres::error::SqlState;
use tokio_postgres::types::ToSql;

use super::error::GroupError;
use super::group::{Group, GroupName, Groups, Settings, delete_leases, hold, hold_place};
use super::reset::To;
use crate::limits::{GROUP_CREATE_TRIES, GROUPS_PER_TENANT_MAX};

/// What is to be changed of a group; None: it stays.
#[derive(Debug, Default)]
pub struct Change {
    pub max_deliveries: Option<i32>,
    pub ack_timeout_ms: Option<i64>,
    pub event_types: Option<Vec<String>>,
}

impl Groups {
    /// Makes a group that begins there. The stream need not have anything yet.
    pub async fn create(&self, at: &GroupName, settings: &Settings, start: &To) -> Result<Group, GroupError> {
        let committed = self.place(at, start).await?;
        let timeout_ms = i64::try_from(settings.ack_timeout.as_millis()).unwrap_or(i64::MAX);
        let ordered_by = settings.ordered_by.map(|by| by.as_str());
        let sql = include_str!("../../sql/queries/group_create.sql");
        let parameters: [&(dyn ToSql + Sync); 9] = [
            &&*at.tenant_id,
            &at.stream,
            &at.name,
            &settings.max_deliveries,
            &timeout_ms,
            &settings.event_types,
            &ordered_by,
            &committed,
            &GROUPS_PER_TENANT_MAX,
        ];
        for _ in 0..GROUP_CREATE_TRIES {
            let mut lent = self.connection().await?;
            let made = create_of(&mut lent.client, sql, &parameters).await;
            match lent.end(made)? {
                Made::Yes => return self.find(at).await,
                Made::Full => return Err(GroupError::Full("groups")),
                Made::Again => {}
            }
        }
        Err(GroupError::Busy)
    }

    /// What is handed out from now on goes by it.
    pub async fn alter(&self, at: &GroupName, change: &Change) -> Result<Group, GroupError> {
        let group = self.find(at).await?;
        let sql = "UPDATE consumer_groups SET max_deliveries = coalesce($2, max_deliveries), \
                   ack_timeout_ms = coalesce($3, ack_timeout_ms), event_types = coalesce($4, event_types) \
                   WHERE group_id = $1 AND deleted_at IS NULL";
        self.run(sql, &[&group.id, &change.max_deliveries, &change.ack_timeout_ms, &change.event_types]).await?;
        self.find(at).await
    }

    /// Nothing is handed out until it is resumed; what was is acknowledged as ever. Waits for a consumer's open transaction.
    pub async fn pause(&self, at: &GroupName) -> Result<Group, GroupError> {
        let group = self.find(at).await?;
        let sql = "WITH held AS MATERIALIZED (SELECT group_id FROM consumer_offsets WHERE group_id = $1 FOR UPDATE) \
                   UPDATE consumer_groups g SET paused_at = coalesce(paused_at, now()), paused_reason = NULL FROM held h \
                   WHERE g.group_id = h.group_id";
        self.run(sql, &[&group.id]).await?;
        self.find(at).await
    }

    pub async fn resume(&self, at: &GroupName) -> Result<Group, GroupError> {
        let group = self.find(at).await?;
        let sql = "UPDATE consumer_groups SET paused_at = NULL, paused_reason = NULL WHERE group_id = $1";
        self.run(sql, &[&group.id]).await?;
        self.wake(at).await;
        self.find(at).await
    }

    /// Its name is free at once, and who waits for its events is told that it is gone.
    pub async fn delete(&self, at: &GroupName) -> Result<(), GroupError> {
        let group = self.find(at).await?;
        let mut lent = self.connection().await?;
        let deleted = delete_of(&mut lent.client, &group).await;
        lent.end(deleted)?;
        self.wake(at).await;
        Ok(())
    }
}

/// In one transaction. Who adds something to the group holds it, or its place, as this does: what was added before is deleted, and what
/// comes later finds no group.
async fn delete_of(client: &mut Object, group: &Group) -> Result<(), GroupError> {
    let transaction = client.transaction().await?;
    hold_place(&transaction, group).await?;
    hold(&transaction, group).await?;
    delete_leases(&transaction, group).await?;
    let delete = transaction.prepare_cached(include_str!("../../sql/queries/group_delete.sql")).await?;
    transaction.execute(&delete, &[&group.id]).await?;
    transaction.commit().await?;
    Ok(())
}

/// What came of making a group.
enum Made {
    Yes,
    /// The tenant has as many as it may.
    Full,
    /// Another was made at the same time.
    Again,
}

/// One that is made at the same time is counted by one of the two: the transaction is serializable.
async fn create_of(client: &mut Object, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<Made, GroupError> {
    let made = async {
        let transaction = client.build_transaction().isolation_level(IsolationLevel::Serializable).start().await?;
        let statement = transaction.prepare_cached(sql).await?;
        let made = transaction.query_opt(&statement, parameters).await?;
        transaction.commit().await?;
        Ok::<_, tokio_postgres::Error>(made)
    };
    match made.await {
        Ok(Some(_)) => Ok(Made::Yes),
        Ok(None) => Ok(Made::Full),
        Err(error) if error.code() == Some(&SqlState::T_R_SERIALIZATION_FAILURE) => Ok(Made::Again),
        Err(error) => Err(error.into()),
    }
}
