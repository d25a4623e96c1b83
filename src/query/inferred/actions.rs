//! GET /v1/actions: actions with the resource that they worked on (the view `actions`).

use jiff::Timestamp;
use serde_json::value::RawValue;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::InferredRow;
use crate::query::columns::columns;
use crate::query::place::Order;

columns! {
    pub struct Action from "actions" {
        pub id: i64,
        pub action_id: String,
        pub action_type: String,
        pub action_timestamp: Timestamp,
        pub workflow_id: Option<String>,
        pub namespace: Option<String>,
        pub kind: Option<String>,
        pub name: Option<String>,
        pub alert_name: Option<String>,
        pub alert_fingerprint: Option<String>,
        pub alert_severity: Option<String>,
        pub cluster_name: Option<String>,
        pub environment: Option<String>,
        pub parameters: Option<Json<Box<RawValue>>> = "action_parameters",
        /// started, succeeded or failed.
        pub status: String = "execution_status",
        pub started_at: Option<Timestamp> = "execution_start_time",
        pub finished_at: Option<Timestamp> = "execution_end_time",
        pub duration_ms: Option<i64> = "execution_duration_ms",
        pub error: Option<String> = "execution_error",
        /// Whether it can be compared with others.
        pub has_embedding: bool,
        /// Of the oldest event that told of it.
        pub created_at: Timestamp,
        /// Of the newest one, which is this event.
        pub updated_at: Timestamp,
        pub event_id: Uuid,
        pub event_stream: String,
        pub event_offset: i64,
        /// From what was asked for, by cosine: 0 the same direction, 2 the opposite one. None where similar ones were not asked for.
        pub distance: Option<f64> = later,
    }
}

impl InferredRow for Action {
    const WHAT: &'static str = "actions";
    const ORDER: Order = Order::Number("action_timestamp");
    const FILTERS: &'static [(&'static str, &'static str)] = &[
        ("action_id", "action_id"),
        ("action_type", "action_type"),
        ("status", "execution_status"),
        ("namespace", "namespace"),
        ("kind", "kind"),
        ("name", "name"),
        ("alert_name", "alert_name"),
        ("cluster_name", "cluster_name"),
        ("environment", "environment"),
    ];
    const STATUSES: &'static [&'static str] = &["started", "succeeded", "failed"];
}
