//! GET /v1/keys.

use jiff::Timestamp;
use uuid::Uuid;

use super::{Confined, Newest};
use crate::query::columns::columns;
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;

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
    const OF_CONTROL: bool = true;
    type Item = KeyRow;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<KeyRow>, ReadError> {
        let newest = Newest {
            confined: &self.confined,
            what: "keys".into(),
            tenant: "o.tenant_id",
            organization: &self.organization,
            key: "k.created_at, k.id",
        };
        newest.page(reads, request, |_| {}, |row: &KeyRow| (row.created_at, row.id)).await
    }
}
