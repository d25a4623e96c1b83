//! GET /v1/organizations.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Confined, Newest};
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

columns! {
    /// An organization as it is listed.
    pub struct OrganizationRow from "organizations" {
        pub id: Uuid,
        /// Its immutable slug: the tenant of its data.
        pub tenant_id: String,
        pub name: String,
        pub is_active: bool,
        pub created_at: Timestamp,
        pub events_retention_days: Option<i32>,
        pub metrics_retention_days: Option<i32>,
        pub correlations_retention_days: Option<i32>,
    }
}

/// The newest first.
#[derive(Clone)]
pub struct OrganizationsQuery {
    pub confined: Confined,
    pub is_active: Option<bool>,
}

impl Listing for OrganizationsQuery {
    const OF_CONTROL: bool = true;
    type Item = OrganizationRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<OrganizationRow>, ReadError> {
        let newest = Newest {
            confined: &self.confined,
            what: format!("organizations {:?}", self.is_active),
            tenant: "tenant_id",
            organization: &None,
            key: "created_at, id",
        };
        let which = |sql: &mut Sql| {
            if let Some(active) = self.is_active {
                sql.push(if active { " AND is_active" } else { " AND NOT is_active" });
            }
        };
        newest.page(reads, request, which, |row: &OrganizationRow| (row.created_at, row.id)).await
    }
}
