//! Lists of groups and of what they have parked. They are read where groups are written to: a copy of the database that lags would not
//! have what was made just now.

use super::error::GroupError;
use super::group::{GroupName, Groups};
use super::parked::Parked;
use super::status::{LIST, Status};
use crate::limits::{GROUP_LISTED_BYTES, PARKED_EVENT_BYTES_MAX, PARKED_LISTED_BYTES};
use crate::query::{FoundRows, Listing, Page, PageRequest, ReadError, Reads};
use crate::storage::StorageError;

/// How the groups of a stream stand, by name.
pub struct GroupsQuery {
    pub groups: Groups,
    pub stream: String,
}

/// Parked events of a group, by offset.
pub struct ParkedQuery {
    pub groups: Groups,
    pub at: GroupName,
}

impl Listing for GroupsQuery {
    type Item = Status;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Status>, ReadError> {
        let (scope, after) = request.start::<String>(&format!("groups {:?}", self.stream))?;
        let limit = reads.room(request.limit, GROUP_LISTED_BYTES)?;
        let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let (tenant_id, nothing) = (&*request.tenant_id, None::<&str>);
        let behind = after.as_ref().map(|_| &*self.stream);
        let rows = self.groups.run(LIST, &[&tenant_id, &self.stream, &nothing, &behind, &after, &rows]).await?;
        let found = FoundRows { rows, cut: false };
        Page::of(found, limit, |row| Ok(Status::read(row)?), |last| Ok(scope.encode(&Status::read(last)?.name)))
    }
}

impl Listing for ParkedQuery {
    type Item = Parked;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Parked>, ReadError> {
        let group = self.groups.find(&self.at).await?;
        // Of another group of this name, made since, nothing is passed over.
        let (scope, after) = request.start::<i64>(&format!("parked {}", group.id))?;
        let limit = reads.room(request.limit, PARKED_LISTED_BYTES)?;
        let rows = i64::try_from(limit + 1).unwrap_or(i64::MAX);
        let bytes_max = i32::try_from(PARKED_EVENT_BYTES_MAX).unwrap_or(i32::MAX);
        let sql = include_str!("../../sql/queries/group_parked.sql");
        let behind = after.unwrap_or(-1);
        let rows = self.groups.run(sql, &[&group.id, &&*request.tenant_id, &behind, &rows, &bytes_max]).await?;
        let found = FoundRows { rows, cut: false };
        Page::of(found, limit, |row| Ok(Parked::read(row)?), |last| Ok(scope.encode(&Parked::read(last)?.offset)))
    }
}

impl From<GroupError> for ReadError {
    /// Of what only looks.
    fn from(error: GroupError) -> Self {
        match error {
            GroupError::NotFound(what) => Self::NotFound(what),
            GroupError::Read(error) => error,
            GroupError::Storage(error) => Self::Storage(error),
            other => Self::Storage(StorageError::fatal(format!("groups cannot be listed: {other:?}"))),
        }
    }
}
