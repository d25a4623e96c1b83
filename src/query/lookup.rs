//! Events by what they are called: by a reader, by their children, and by id and timestamp, which is what a correlation
//! knows of its two events.

use std::collections::HashMap;

use jiff::{SignedDuration, Timestamp};
use tokio_postgres::Row;
use uuid::Uuid;

use super::error::ReadError;
use super::reads::{FoundRows, Reads};
use super::sql::Sql;
use super::windows::Window;
use crate::limits::UUID_TIME_SKEW;

pub type EventKey = (Uuid, Timestamp);

/// The key of a row that has id and timestamp.
pub fn key(row: &Row) -> Result<EventKey, ReadError> {
    Ok((row.try_get("id")?, row.try_get("timestamp")?))
}

/// Keys that are further apart are looked for apart, so that what lies between them is not read.
const GAP: SignedDuration = SignedDuration::from_hours(1);

/// What a reader calls an event.
#[derive(Debug, Clone)]
pub struct EventName {
    /// The id that it is stored under, or what the id that was sent stands for without its source.
    pub id: Uuid,
    /// The source that it is of, as the column has it; None: any.
    pub source_module: Option<String>,
}

/// The events that a look-up is about.
pub(super) struct Wanted<'a> {
    pub column: IdColumn,
    pub id: Uuid,
    pub source_module: Option<&'a str>,
    /// But not the one with this id.
    pub except: Option<Uuid>,
}

/// Which of an event's two ids is compared.
#[derive(Debug, Clone, Copy)]
pub enum IdColumn {
    /// The one that it is stored under.
    Id,
    /// The one that a CloudEvent's sender gave it beside its source.
    BareId,
}

impl IdColumn {
    pub fn name(self) -> &'static str {
        match self {
            Self::Id => "id",
            Self::BareId => "bare_id",
        }
    }
}

impl Reads {
    /// The event of a tenant that is called so, as a row of `select`: stored under this id, else sent with it. Of several
    /// one whose timestamp is within a day of the time that the id itself tells (UUIDv7), else the newest.
    pub(super) async fn event_named(
        &self,
        select: &str,
        tenant_id: &str,
        name: &EventName,
    ) -> Result<Option<Row>, ReadError> {
        let told = time_of(name.id).and_then(|at| Window::around(at, UUID_TIME_SKEW));
        for column in [IdColumn::Id, IdColumn::BareId] {
            let windows = told.into_iter().chain(Window::default().pieces(Timestamp::now()));
            let wanted = Wanted { column, id: name.id, source_module: name.source_module.as_deref(), except: None };
            let found = self.event_within(select, tenant_id, &wanted, windows).await?;
            if found.is_some() {
                return Ok(found);
            }
        }
        Ok(None)
    }

    /// The newest of a tenant's events that are wanted within the first of these windows that has one, as a row of `select`.
    pub(super) async fn event_within(
        &self,
        select: &str,
        tenant_id: &str,
        wanted: &Wanted<'_>,
        windows: impl IntoIterator<Item = Window>,
    ) -> Result<Option<Row>, ReadError> {
        let sql = |window: &Window, rows: usize| {
            let mut sql = Sql::of_tenant(select, tenant_id);
            sql.push_within("timestamp", window);
            sql.push(" AND ").push(wanted.column.name()).push(" = ").bind(wanted.id);
            if let Some(source_module) = wanted.source_module {
                sql.push(" AND source_module = ").bind(source_module.to_owned());
            }
            if let Some(other) = wanted.except {
                sql.push(" AND id <> ").bind(other);
            }
            let mut sql = sql.into_few("*");
            sql.push(" ORDER BY timestamp DESC").push_limit(rows);
            sql
        };
        Ok(self.newest(windows, 0, sql).await?.rows.pop())
    }

    /// The events of a tenant with these keys, as rows of `select`, which has id and timestamp; the flag says that
    /// they do not fit a page, and some are missing.
    pub(super) async fn events_at(
        &self,
        tenant_id: &str,
        select: &str,
        keys: impl IntoIterator<Item = EventKey>,
    ) -> Result<(HashMap<EventKey, Row>, bool), ReadError> {
        let groups = grouped(keys.into_iter().collect());
        if groups.is_empty() {
            return Ok((HashMap::new(), false));
        }
        let mut sql = Sql::new("");
        sql.push_union(&groups, |sql, group| {
            let ids: Vec<Uuid> = group.iter().map(|(_, id)| *id).collect();
            sql.push_of_tenant(select, tenant_id);
            sql.push(" AND timestamp >= ").bind(group[0].0).push(" AND timestamp <= ").bind(group[group.len() - 1].0);
            sql.push(" AND id = ANY (").bind(ids).push(")");
        });
        let FoundRows { rows, cut } = self.rows(&sql).await?;
        let keyed = |row: Row| Ok((key(&row)?, row));
        Ok((rows.into_iter().map(keyed).collect::<Result<_, ReadError>>()?, cut))
    }
}

/// The time in a UUIDv7.
fn time_of(id: Uuid) -> Option<Timestamp> {
    let (seconds, nanoseconds) = id.get_timestamp().filter(|_| id.get_version_num() == 7)?.to_unix();
    Timestamp::new(i64::try_from(seconds).ok()?, i32::try_from(nanoseconds).ok()?).ok()
}

/// Each key once, in the order of time, in groups without a gap.
fn grouped(keys: Vec<EventKey>) -> Vec<Vec<(Timestamp, Uuid)>> {
    let mut keys: Vec<(Timestamp, Uuid)> = keys.into_iter().map(|(id, at)| (at, id)).collect();
    keys.sort_unstable();
    keys.dedup();
    keys.chunk_by(|a, b| b.0.duration_since(a.0) <= GAP).map(<[_]>::to_vec).collect()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn keys_far_apart_are_looked_for_apart() {
        let at = |text: &str| text.parse::<Timestamp>().unwrap();
        let (a, b) = (Uuid::from_u128(1), Uuid::from_u128(2));
        let (one, two, later) =
            (at("2026-01-01T00:00:00Z"), at("2026-01-01T01:00:00Z"), at("2026-01-01T02:00:00.000001Z"));
        let groups = grouped(vec![(a, later), (b, two), (a, one), (b, two)]);
        assert_eq!(groups, [vec![(one, a), (two, b)], vec![(later, a)]]);
        assert!(grouped(Vec::new()).is_empty());
    }
}
