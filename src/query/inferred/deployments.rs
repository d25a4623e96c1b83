//! GET /v1/deployments.

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::InferredRow;
use crate::query::columns::columns;
use crate::query::place::Order;

columns! {
    pub struct Deployment from "deployments" {
        pub id: Uuid,
        pub deployment_id: String,
        /// The name of a service; None: no event has said it.
        pub service: Option<String>,
        pub environment: Option<String>,
        pub version: Option<String>,
        /// started, succeeded, failed or rolled_back.
        pub status: String,
        pub commit_sha: Option<String>,
        pub deployed_by: Option<String>,
        pub url: Option<String>,
        pub started_at: Option<Timestamp>,
        pub finished_at: Option<Timestamp>,
        /// From start to finish.
        pub duration_ms: Option<i64> = "(CASE WHEN finished_at >= started_at THEN extract(epoch FROM finished_at - started_at) * 1000 END)::bigint",
        pub rolled_back_at: Option<Timestamp>,
        pub rolled_back_to: Option<String>,
        pub error: Option<String>,
        pub metadata: Option<Json<Box<RawValue>>>,
        /// Of the oldest event that told of it.
        pub created_at: Timestamp,
        /// Of the newest one, which is this event.
        pub updated_at: Timestamp,
        pub event_id: Uuid,
        pub event_stream: String,
        pub event_offset: i64,
    }
}

impl InferredRow for Deployment {
    const WHAT: &'static str = "deployments";
    const ORDER: Order = Order::Id("updated_at");
    const FILTERS: &'static [(&'static str, &'static str)] = &[
        ("deployment_id", "deployment_id"),
        ("service", "service"),
        ("environment", "environment"),
        ("version", "version"),
        ("status", "status"),
    ];
    const STATUSES: &'static [&'static str] = &["started", "succeeded", "failed", "rolled_back"];
}
