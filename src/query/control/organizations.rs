//! GET /v1/organizations.

use jiff::Timestamp;
use uuid::Uuid;

use super::Confined;
use crate::query::columns::{StoredRow, columns};
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
    type Item = OrganizationRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<OrganizationRow>, ReadError> {
        let what = format!("organizations {} {:?}", self.confined.what(), self.is_active);
        let (scope, after) = request.start::<(Timestamp, Uuid)>(&what)?;
        let mut sql = Sql::new(OrganizationRow::select(""));
        sql.push(" WHERE true");
        if let Some(tenant_id) = &self.confined.tenant_id {
            sql.push(" AND tenant_id = ").bind(tenant_id.clone());
        }
        if let Some(active) = self.is_active {
            sql.push(if active { " AND is_active" } else { " AND NOT is_active" });
        }
        if let Some((at, id)) = after {
            sql.push(" AND (created_at, id) < (").bind(at).push(", ").bind(id).push(")");
        }
        sql.push(" ORDER BY created_at DESC, id DESC").push_limit(request.limit + 1);
        let found = reads.confined(&self.confined, &sql).await?;
        Page::of(found, request.limit, OrganizationRow::read, |last| {
            let last = OrganizationRow::read(last)?;
            Ok(scope.encode(&(last.created_at, last.id)))
        })
    }
}
