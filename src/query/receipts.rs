//! GET /v1/receipts/{id}: where a request is.

use jiff::Timestamp;
use uuid::Uuid;

use super::columns::{StoredRow, columns};
use super::error::ReadError;
use super::reads::Reads;
use super::sql::Sql;

columns! {
    pub struct Receipt from "ingest_ledger" {
        pub receipt: Uuid,
        /// `committed`: the ledger row is written in the transaction of the events.
        pub status: String = "'committed'",
        pub accepted: i32,
        pub rejected: i32,
        /// Events that were there already (rowstore profile).
        pub duplicates: i32,
        pub errors: serde_json::Value,
        pub committed_at: Timestamp = "created_at",
    }
}

impl Reads {
    pub async fn receipt(&self, tenant_id: &str, id: Uuid) -> Result<Receipt, ReadError> {
        let mut sql = Sql::of_tenant(&Receipt::select(""), tenant_id);
        sql.push(" AND receipt = ").bind(id);
        // Who was promised something asks until it is there, and a copy would not have it yet.
        self.current_rows(&sql).await?.first().map_or(Err(ReadError::NotFound("receipt")), Receipt::read)
    }
}
