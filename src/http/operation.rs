//! What operators and their tools ask: /healthz, /readyz, /metrics, /openapi.json, and the console.

use std::sync::PoisonError;

use hyper::{Response, StatusCode};
use metrics::{counter, gauge};
use serde_json::json;

use super::response::{Body, answer, full, json as json_answer};
use super::{Api, Readiness};
use crate::ingest::Health;

/// The API's description; a test checks it against the routes.
pub const OPENAPI: &str = include_str!("openapi.json");
const CONSOLE: &str = include_str!("console.html");

/// GET /healthz: the process answers.
pub fn healthz() -> Response<Body> {
    json_answer(StatusCode::OK, &json!({ "status": "ok", "version": env!("CARGO_PKG_VERSION") }))
}

/// GET /readyz: the process can serve requests now, or why it cannot.
pub async fn readyz(api: &Api) -> Response<Body> {
    let not_ready = |reason: String| {
        json_answer(StatusCode::SERVICE_UNAVAILABLE, &json!({ "status": "not_ready", "reason": reason }))
    };
    if *api.readiness.borrow() == Readiness::Stopping {
        return not_ready("shutting down".into());
    }
    let reason = match api.ingest.health() {
        Health::Away { since, reason } => {
            format!("the database has not taken batches for {} s: {reason}", since.elapsed().as_secs())
        }
        Health::Available => match api.reads.ping().await {
            Ok(()) => match api.ingest.undrained() {
                None => return json_answer(StatusCode::OK, &json!({ "status": "ready" })),
                Some(reason) => format!("spooled requests cannot be written: {reason}"),
            },
            Err(error) => format!("the database cannot be asked: {error}"),
        },
    };
    if api.ingest.spools() {
        return json_answer(StatusCode::OK, &json!({ "status": "degraded", "reason": reason }));
    }
    not_ready(reason)
}

/// GET /metrics in Prometheus' text format, the books of conservation included.
pub fn metrics(api: &Api) -> Response<Body> {
    // One scrape at a time: two at once would show some accounts as they were and others as they are.
    let recorder = api.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spool) = api.ingest.spool() {
        spool.stats().report();
    }
    let (total, tenants) = api.ingest.conservation.snapshot();
    for (account, items) in total.accounts() {
        match account {
            "in_flight" | "spooled" => gauge!(format!("tidegate_items_{account}")).set(exact(items)),
            _ => counter!(format!("tidegate_items_{account}_total")).absolute(items),
        }
    }
    for (tenant, counts) in tenants {
        for (account, items) in counts.accounts() {
            match account {
                "in_flight" | "spooled" => {
                    gauge!(format!("tidegate_tenant_items_{account}"), "tenant" => tenant.to_string())
                        .set(exact(items));
                }
                _ => {
                    counter!(format!("tidegate_tenant_items_{account}_total"), "tenant" => tenant.to_string())
                        .absolute(items);
                }
            }
        }
    }
    gauge!("tidegate_requests_waiting").set(exact(api.ingest.waiting() as u64));
    gauge!("tidegate_body_bytes_held").set(exact(api.ingest.budget.used() as u64));
    let drain = api.ingest.pressure.drain();
    gauge!("tidegate_drain_rows_per_second").set(drain.rows_per_s);
    gauge!("tidegate_drain_bytes_per_second").set(drain.bytes_per_s);
    recorder.run_upkeep();
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", full(recorder.render()))
}

/// GET /openapi.json
pub fn openapi() -> Response<Body> {
    answer(StatusCode::OK, "application/json", full(OPENAPI))
}

/// GET /: a page for people.
pub fn console() -> Response<Body> {
    answer(StatusCode::OK, "text/html; charset=utf-8", full(CONSOLE))
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; exact up to 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}
