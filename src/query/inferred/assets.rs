//! GET /v1/assets and /v1/assets/{id}.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use crate::query::columns::{StoredRow, columns};
use crate::query::error::ReadError;
use crate::query::listing::{Listing, Page, PageRequest};
use crate::query::reads::Reads;
use crate::query::sql::Sql;

columns! {
    pub struct Asset from "asset_metadata" {
        pub asset_id: String,
        /// Its id where no event has said a name.
        pub name: String = "asset_name",
        /// `unknown` where no event has said it.
        pub asset_type: String,
        pub version: Option<String>,
        pub owner: Option<String> = "owner_id",
        pub team: Option<String> = "team_id",
        pub tags: Option<Json<Box<RawValue>>>,
        pub metadata: Option<Json<Box<RawValue>>>,
        /// Timestamps of the oldest and the newest event or metric of the asset.
        pub first_seen: Timestamp,
        pub last_seen: Timestamp,
        /// The newest event that said something of it, and when that was; None: no event has.
        pub told_at: Option<Timestamp>,
        pub event_id: Option<Uuid>,
        pub event_stream: Option<String>,
        pub event_offset: Option<i64>,
    }
}

/// In the order of ids.
#[derive(Debug, Clone)]
pub struct AssetsQuery {
    pub types: Vec<String>,
    pub owners: Vec<String>,
    pub teams: Vec<String>,
}

impl Listing for AssetsQuery {
    type Item = Asset;

    async fn page(&self, reads: &Reads, request: &PageRequest) -> Result<Page<Asset>, ReadError> {
        let Self { types, owners, teams } = self;
        let (scope, after) = request.start::<String>(&format!("assets {types:?} {owners:?} {teams:?}"))?;
        let mut sql = Sql::of_tenant(&Asset::select(""), &request.tenant_id);
        sql.push_any_of("asset_type", types);
        sql.push_any_of("owner_id", owners);
        sql.push_any_of("team_id", teams);
        if let Some(after) = after {
            sql.push(" AND asset_id > ").bind(after);
        }
        sql.push(" ORDER BY asset_id").push_limit(request.limit + 1);
        let found = reads.rows(&sql).await?;
        Page::of(found, request.limit, Asset::read, |last| Ok(scope.encode(&Asset::read(last)?.asset_id)))
    }
}

impl Reads {
    pub async fn asset(&self, tenant_id: &str, asset_id: &str) -> Result<Asset, ReadError> {
        let mut sql = Sql::of_tenant(&Asset::select(""), tenant_id);
        sql.push(" AND asset_id = ").bind(asset_id.to_owned());
        self.rows(&sql).await?.rows.first().map_or(Err(ReadError::NotFound("asset")), Asset::read)
    }
}
