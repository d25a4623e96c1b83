//! GET /v1/services.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::InferredRow;
use crate::query::columns::columns;
use crate::query::place::Order;

columns! {
    pub struct Service from "services" {
        pub id: Uuid,
        pub name: String,
        /// active or retired.
        pub status: String,
        pub description: Option<String>,
        pub version: Option<String>,
        pub owner: Option<String>,
        pub team: Option<String>,
        pub repository: Option<String>,
        pub tags: Option<Json<Box<RawValue>>>,
        pub metadata: Option<Json<Box<RawValue>>>,
        pub registered_at: Option<Timestamp>,
        pub retired_at: Option<Timestamp>,
        /// Of the oldest event that told of it.
        pub created_at: Timestamp,
        /// Of the newest one, which is this event.
        pub updated_at: Timestamp,
        pub event_id: Uuid,
        pub event_stream: String,
        pub event_offset: i64,
    }
}

impl InferredRow for Service {
    const WHAT: &'static str = "services";
    const ORDER: Order = Order::Id("updated_at");
    const FILTERS: &'static [(&'static str, &'static str)] =
        &[("name", "name"), ("status", "status"), ("owner", "owner"), ("team", "team")];
    const STATUSES: &'static [&'static str] = &["active", "retired"];
}
