//! GET /v1/keys.

use jiff::Timestamp;
use uuid::Uuid;

use super::Confined;
use crate::query::columns::{StoredRow, columns};
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

columns! {
    /// A key as it is listed: never its secret.
    pub struct KeyRow from "api_keys k JOIN organizations o ON o.id = k.org_id" {
        pub id: Uuid = "k.id",
        pub tenant_id: String,
        pub label: String,
        pub scopes: Vec<String>,
        pub created_at: Timestamp = "k.created_at",
        pub expires_at: Option<Timestamp>,
        pub revoked_at: Option<Timestamp>,
        /// To the minute; None: not since this is noted.
        pub last_used_at: Option<Timestamp>,
        pub events_per_second: Option<i64>,
        pub bytes_per_second: Option<i64>,
        pub burst_seconds: Option<i32>,
    }
}

/// The newest first.
#[derive(Clone)]
pub struct KeysQuery {
    pub confined: Confined,
    /// Of this organization, by its slug.
    pub organization: Option<String>,
}

impl Listing for KeysQuery {
    type Item = KeyRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<KeyRow>, ReadError> {
        let what = format!("keys {} {:?}", self.confined.what(), self.organization);
        let (scope, after) = request.start::<(Timestamp, Uuid)>(&what)?;
        let mut sql = Sql::new(KeyRow::select(""));
        sql.push(" WHERE true");
        for tenant_id in [&self.confined.tenant_id, &self.organization].into_iter().flatten() {
            sql.push(" AND o.tenant_id = ").bind(tenant_id.clone());
        }
        if let Some((at, id)) = after {
            sql.push(" AND (k.created_at, k.id) < (").bind(at).push(", ").bind(id).push(")");
        }
        sql.push(" ORDER BY k.created_at DESC, k.id DESC").push_limit(request.limit + 1);
        let found = reads.confined(&self.confined, &sql).await?;
        Page::of(found, request.limit, KeyRow::read, |last| {
            let last = KeyRow::read(last)?;
            Ok(scope.encode(&(last.created_at, last.id)))
        })
    }
}
