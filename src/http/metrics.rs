//! GET /metrics in Prometheus' text format, the books of conservation included.
//!
//! What the process does is for everybody who can reach it. Which tenants there are, and what they send, is for keys: an
//! operator's shows all of them, any other its own; `metrics.open` shows all of them to the machine itself.

use std::fmt::Write;
use std::sync::{Arc, PoisonError};

use hyper::{Response, StatusCode};
use metrics::{counter, gauge};

use super::call::Visit;
use super::response::{Body, answer, full};
use crate::budget::HeldFor;
use crate::groups::Status;
use crate::ingest::Counts;
use crate::lifecycle::{AssetCount, SeriesCount};
use crate::query::ReadersInUse;
use crate::telemetry::process;
use crate::tenancy::Scope;

/// Of how many tenants the assets are told: as many as groups.
const TENANTS_WITH_ASSETS_MAX: usize = 1000;

pub fn metrics(visit: &Visit<'_>) -> Response<Body> {
    let Visit { api, principal, peer } = visit;
    // One scrape at a time: two at once would show some accounts as they were and others as they are.
    let recorder = api.metrics.lock().unwrap_or_else(PoisonError::into_inner);
    if let Some(spool) = api.ingest.spool() {
        spool.stats().report();
    }
    let (total, mut tenants) = api.ingest.conservation.snapshot();
    for (account, items) in total.accounts() {
        match account {
            "in_flight" | "spooled" => gauge!(format!("tidegate_items_{account}")).set(exact(items)),
            _ => counter!(format!("tidegate_items_{account}_total")).absolute(items),
        }
    }
    gauge!("tidegate_requests_waiting").set(exact(api.ingest.waiting() as u64));
    gauge!("tidegate_body_bytes_held").set(exact(api.ingest.budget.used(HeldFor::Body) as u64));
    gauge!("tidegate_answer_bytes_held").set(exact(api.ingest.budget.used(HeldFor::Answer) as u64));
    if let Some(attached) = api.attached.get() {
        let bytes: usize = attached.homes.iter().map(|home| home.reads.logs().bytes()).sum();
        gauge!("tidegate_read_ahead_bytes").set(exact(bytes as u64));
        let in_use: Vec<_> = attached.homes.iter().map(|home| home.reads.in_use()).collect();
        let [running, waiting] = [|one: &ReadersInUse| one.running, |one: &ReadersInUse| one.waiting]
            .map(|of| in_use.iter().map(of).sum::<usize>());
        for (state, reads) in [("running", running), ("waiting", waiting)] {
            gauge!("tidegate_reads", "state" => state).set(exact(reads as u64));
        }
    }
    let drain = api.ingest.pressure.drain();
    gauge!("tidegate_drain_rows_per_second").set(drain.rows_per_s);
    gauge!("tidegate_drain_bytes_per_second").set(drain.bytes_per_s);
    recorder.run_upkeep();
    let mut text = recorder.render();
    let all = principal.is_some_and(|principal| principal.may(Scope::Operator))
        || (api.metrics_open && peer.to_canonical().is_loopback());
    tenants.retain(|(tenant, _)| all || principal.is_some_and(|principal| principal.tenant_id == *tenant));
    append_tenants(&mut text, &tenants);
    if let Some(attached) = api.attached.get() {
        append_series(&mut text, &tenants, |tenant| attached.home(tenant).lifecycle.series.of(tenant));
        let mut assets: Vec<_> = attached.homes.iter().flat_map(|home| home.lifecycle.series.assets()).collect();
        assets.retain(|(tenant, _)| all || principal.is_some_and(|principal| *principal.tenant_id == **tenant));
        append_assets(&mut text, &assets);
        let counts: Vec<_> = attached.homes.iter().filter_map(|home| home.group_counts.now()).collect();
        if !counts.is_empty() {
            let own = |(tenant_id, _): &&(String, Status)| {
                all || principal.is_some_and(|principal| *principal.tenant_id == **tenant_id)
            };
            append_groups(&mut text, &counts.iter().flat_map(|counts| counts.iter()).filter(own).collect::<Vec<_>>());
        }
    }
    process::append(&mut text);
    answer(StatusCode::OK, "text/plain; version=0.0.4; charset=utf-8", full(text))
}

/// The accounts of each tenant. Not kept by the recorder, which shows everybody all that it has.
fn append_tenants(into: &mut String, tenants: &[(Arc<str>, Counts)]) {
    let Some((_, first)) = tenants.first() else { return };
    for (at, (account, _)) in first.accounts().into_iter().enumerate() {
        let (ending, kind) = match account {
            "in_flight" | "spooled" => ("", "gauge"),
            _ => ("_total", "counter"),
        };
        let name = format!("tidegate_tenant_items_{account}{ending}");
        // A String takes everything.
        let _ = writeln!(into, "# HELP {name} tidegate_items_{account}{ending} of a tenant\n# TYPE {name} {kind}");
        for (tenant, counts) in tenants {
            let items = counts.accounts()[at].1;
            let _ = writeln!(into, "{name}{{tenant=\"{}\"}} {items}", label(tenant));
        }
    }
}

fn label(tenant: &str) -> String {
    tenant.replace('\\', "\\\\").replace('"', "\\\"").replace('\n', "\\n")
}

/// The series of each of these tenants; nothing where another node counts them.
fn append_series(into: &mut String, tenants: &[(Arc<str>, Counts)], series: impl Fn(&str) -> Option<SeriesCount>) {
    let counted: Vec<(&str, SeriesCount)> =
        tenants.iter().filter_map(|(tenant, _)| Some((&**tenant, series(tenant)?))).collect();
    let mut append = |name: &str, help: &str, of: fn(&SeriesCount) -> i64| {
        let _ = writeln!(into, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (tenant, count) in &counted {
            let _ = writeln!(into, "{name}{{tenant=\"{}\"}} {}", label(tenant), of(count));
        }
    };
    if !counted.is_empty() {
        append("tidegate_tenant_series", "series of a tenant in the catalog", |count| count.stored);
        append("tidegate_tenant_series_active", "of them, those with a sample of the last hour", |count| count.active);
    }
}

/// The assets of each of these tenants, of as many as are told of groups.
fn append_assets(into: &mut String, tenants: &[(String, AssetCount)]) {
    let mut append = |name: &str, help: &str, of: fn(&AssetCount) -> i64| {
        let _ = writeln!(into, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (tenant, count) in tenants.iter().take(TENANTS_WITH_ASSETS_MAX) {
            let _ = writeln!(into, "{name}{{tenant=\"{}\"}} {}", label(tenant), of(count));
        }
    };
    if !tenants.is_empty() {
        append("tidegate_tenant_assets", "assets of a tenant that were heard of in the last hour", |count| count.heard);
        append(
            "tidegate_tenant_assets_silent",
            "assets of a tenant that were heard of in the day before the last hour, and not since",
            |count| count.silent,
        );
    }
}

/// How far groups are.
fn append_groups(into: &mut String, groups: &[&(String, Status)]) {
    let mut append = |name: &str, help: &str, of: fn(&Status) -> f64| {
        let _ = writeln!(into, "# HELP {name} {help}\n# TYPE {name} gauge");
        for (tenant_id, group) in groups {
            let [tenant, stream, group_name] = [tenant_id, &group.stream, &group.name].map(|text| label(text));
            let labels = format!("tenant=\"{tenant}\",stream=\"{stream}\",group=\"{group_name}\"");
            let _ = writeln!(into, "{name}{{{labels}}} {}", of(group));
        }
    };
    if groups.is_empty() {
        return;
    }
    append("tidegate_group_lag", "offsets that a group is not done with", |group| exact(group.lag.unsigned_abs()));
    append("tidegate_group_oldest_unread_seconds", "how long the first of them has been stored", |group| {
        group.oldest_unread_s.unwrap_or(0.0)
    });
    append("tidegate_group_members", "members that hold something, or were heard of lately", |group| {
        exact(group.members.unsigned_abs())
    });
    append("tidegate_group_redeliveries", "how often what is out or given back was handed out before", |group| {
        exact(group.redeliveries.unsigned_abs())
    });
    append("tidegate_group_parked", "parked events of a group", |group| exact(group.parked.unsigned_abs()));
    append("tidegate_group_paused", "1 while nothing is handed out", |group| f64::from(u8::from(group.paused)));
}

#[expect(clippy::cast_precision_loss, reason = "gauges are doubles; exact up to 2^53")]
fn exact(number: u64) -> f64 {
    number as f64
}
