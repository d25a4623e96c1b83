//! Lists of control tables: organizations, keys, people, and what was done. They are read on the owner's connections, in transactions that
//! are confined to a tenant, so that row-level security stands behind what a statement asks.

mod audit;
mod keys;
mod organizations;
mod sessions;
mod usage;
mod users;

use std::time::Duration;

use deadpool_postgres::Pool;
use jiff::Timestamp;
use jiff::civil::Date;
use serde::Serialize;
use serde::de::DeserializeOwned;
use uuid::Uuid;

use super::columns::StoredRow;
use super::error::ReadError;
use super::listing::{Page, PageRequest};
use super::reads::{FoundRows, HANG_GRACE, Lease, Reads};
use super::sql::Sql;
use crate::limits::READ_TIMEOUT;
use crate::storage::StorageError;

pub use audit::{AuditQuery, AuditRow};
pub use keys::{KeyRow, KeysQuery};
pub use organizations::{OrganizationRow, OrganizationsQuery};
pub use sessions::{SessionRow, SessionsQuery};
pub use usage::{UsageQuery, UsageRow};
pub use users::{UserRow, UsersQuery};

/// Whose rows of control tables are read, and by which connections.
#[derive(Clone)]
pub struct Confined {
    /// The owner's.
    pub pool: Pool,
    /// None: everybody's, for operators.
    pub tenant_id: Option<String>,
}

impl Confined {
    /// What its cursors belong to: an operator's are not a tenant's.
    fn what(&self) -> &str {
        self.tenant_id.as_deref().unwrap_or("*")
    }
}

/// Where a row stands in its list: what the list's key has of it.
trait Place: Serialize + DeserializeOwned {
    fn push(self, sql: &mut Sql);
}

impl Place for i64 {
    fn push(self, sql: &mut Sql) {
        sql.bind(self);
    }
}

/// Of ids that are made of the time.
impl Place for Uuid {
    fn push(self, sql: &mut Sql) {
        sql.bind(self);
    }
}

impl Place for (Timestamp, Uuid) {
    fn push(self, sql: &mut Sql) {
        sql.push("(").bind(self.0).push(", ").bind(self.1).push(")");
    }
}

/// Of days, each with its organization.
impl Place for (Date, String) {
    fn push(self, sql: &mut Sql) {
        sql.push("(").bind(self.0).push(", ").bind(self.1).push(")");
    }
}

/// A list, its newest rows first.
struct Newest<'a> {
    confined: &'a Confined,
    /// The list, and all that is asked for.
    what: String,
    /// The column that says whose a row is.
    tenant: &'static str,
    /// By their slug: rows of this organization alone.
    organization: &'a Option<String>,
    /// What it is ordered by: a column, or two with a comma between.
    key: &'static str,
}

impl Newest<'_> {
    /// A page of it; `narrow` says what else is asked of a row.
    async fn page<R: StoredRow + Serialize, P: Place>(
        &self,
        reads: &Reads,
        request: &PageRequest,
        narrow: impl FnOnce(&mut Sql),
        place: impl Fn(&R) -> P,
    ) -> Result<Page<R>, ReadError> {
        let Self { confined, what, tenant, organization, key } = self;
        let (scope, after) = request.start::<P>(&format!("{what} {} {organization:?}", confined.what()))?;
        let mut sql = Sql::new(R::select(""));
        sql.push(" WHERE true");
        for tenant_id in [&confined.tenant_id, *organization].into_iter().flatten() {
            sql.push(&format!(" AND {tenant} = ")).bind(tenant_id.clone());
        }
        narrow(&mut sql);
        if let Some(after) = after {
            sql.push(&format!(" AND ({key}) < "));
            after.push(&mut sql);
        }
        sql.push(&format!(" ORDER BY {} DESC", key.replace(", ", " DESC, "))).push_limit(request.limit + 1);
        let found = reads.confined(confined, &sql).await?;
        Page::of(found, request.limit, R::read, |last| Ok(scope.encode(&place(&R::read(last)?))))
    }
}

/// Begins a transaction that sees one tenant's rows, or everybody's.
const BEGIN: &str = "BEGIN READ ONLY; SET LOCAL statement_timeout = '30s'";
const CONFINE: &str = "SELECT set_config('tidegate.tenant', $1, true)";

impl Reads {
    /// The rows of a query on control tables, of which it sees no more than it may.
    async fn confined(&self, confined: &Confined, sql: &Sql) -> Result<FoundRows, ReadError> {
        let client = confined.pool.get().await.map_err(StorageError::from)?;
        // Dropped before it is given back, the connection is closed, and the transaction with it.
        let mut lease = Lease::new(client, self.canceller());
        let read = async {
            let client = lease.client();
            client.batch_execute(BEGIN).await?;
            client.execute(CONFINE, &[&confined.what()]).await?;
            let found = self.take_rows(client, sql, Some(self.page_bytes)).await?;
            client.batch_execute("COMMIT").await?;
            Ok::<_, ReadError>(found)
        };
        let within: Duration = READ_TIMEOUT + HANG_GRACE;
        let found = tokio::time::timeout(within, read).await.map_err(|_elapsed| StorageError::silence())??;
        lease.give_back();
        Ok(found)
    }
}
