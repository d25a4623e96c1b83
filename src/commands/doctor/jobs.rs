//! Whether what has to happen by itself does: refreshes, compression, retention, and the workers for it.

use std::time::Duration;

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::config::Config;
use crate::lifecycle::{LifecycleStatus, waited};
use crate::model::LEVELS;
use crate::storage::{Layout, StorageError};

/// The lifecycle job runs every minute; a chunk that waits for this long is not just next in line.
const WAITING_MAX: Duration = Duration::from_secs(6 * 3600);
/// A job that has not run for so many of its pauses, and a minute, is not run by anybody.
const PAUSES_MAX: f64 = 3.0;
const SLOW_RUN_S: f64 = 180.0;
/// Late rows show within a minute; buckets that wait for this long are behind.
const DIRTY_MAX_S: f64 = 300.0;

pub async fn findings(
    client: &Client,
    layout: Layout,
    status: &LifecycleStatus,
    config: &Config,
) -> Result<Vec<Finding>, StorageError> {
    let mut findings =
        vec![chunks(status), jobs(client, status).await?, refreshes(status, config), quotas(client, config).await?];
    if layout.has_hypertables() {
        findings.push(workers(client).await?);
    }
    Ok(findings)
}

/// Chunks that wait to be compressed or put in order.
fn chunks(status: &LifecycleStatus) -> Finding {
    let late: Vec<String> = status
        .relations
        .iter()
        .filter_map(|relation| {
            let hours = waited(relation).filter(|waited| *waited > WAITING_MAX)?.as_secs() / 3600;
            Some(format!("{}: {} wait, the first for {hours} h", relation.relation, relation.waiting))
        })
        .collect();
    let waiting: u64 = status.relations.iter().map(|relation| relation.waiting).sum();
    expect(
        "chunks",
        late.is_empty(),
        if late.is_empty() { format!("{waiting} closed chunks wait to be put in order") } else { late.join("; ") },
        "they are larger and slower to read than they need be: see that `tidegate serve` runs, what the job `lifecycle` says \
         (tidegate lifecycle status), and who holds locks on them; `tidegate lifecycle run` does what is due now",
    )
}

/// Tidegate's jobs and TimescaleDB's policies.
pub async fn jobs(client: &Client, status: &LifecycleStatus) -> Result<Finding, StorageError> {
    if status.jobs.is_empty() {
        return Ok(ok("jobs", "none has run yet: `tidegate serve` runs them"));
    }
    let failing: Vec<String> = status
        .jobs
        .iter()
        .filter(|job| job.failing)
        .map(|job| format!("{}: {}", job.job, job.last_error.as_deref().unwrap_or("failed")))
        .collect();
    if !failing.is_empty() {
        return Ok(bad(
            "jobs",
            FindingState::Warning,
            failing.join("; "),
            "a job is tried again by itself; if the error stays, it says what to mend",
        ));
    }
    let sql =
        "SELECT job FROM job_runs WHERE finished_at < now() - make_interval(secs => interval_s * $1 + $2) ORDER BY 1";
    let idle: Vec<String> =
        client.query(sql, &[&PAUSES_MAX, &SLOW_RUN_S]).await?.iter().map(|row| row.get(0)).collect();
    Ok(expect(
        "jobs",
        idle.is_empty(),
        if idle.is_empty() {
            format!("{} run", status.jobs.len())
        } else {
            format!("not run lately: {}", idle.join(", "))
        },
        "jobs run in `tidegate serve`: start it, or see its log",
    ))
}

/// Organizations that have more of something than they may.
async fn quotas(client: &Client, config: &Config) -> Result<Finding, StorageError> {
    let sql = "SELECT format('%s of %s (%s times since %s)', what, tenant_id, refused, since::timestamptz(0)) FROM over_quota \
               ORDER BY refused DESC LIMIT 10";
    let over: Vec<String> = client.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    Ok(expect(
        "quotas",
        over.is_empty(),
        if over.is_empty() { "no organization is over one".to_owned() } else { over.join("; ") },
        &format!(
            "no row is made in asset_metadata for what is beyond limits.assets_per_tenant ({}); events and metrics are stored. \
             See what the organization sends as asset_id: a value that is new each time is no asset. Assets go by themselves \
             when their rows have expired; DELETE FROM tidegate.asset_metadata makes room at once. Samples of series beyond \
             limits.series_per_tenant ({}) are refused and kept as dead letters: see what changes in their dimensions",
            config.limits.assets_per_tenant, config.limits.series_per_tenant
        ),
    ))
}

/// How far the rollups that are kept are behind.
fn refreshes(status: &LifecycleStatus, config: &Config) -> Finding {
    let mut late = Vec::new();
    for level in LEVELS.iter().filter(|level| *config.rollups.of(level)) {
        let Some(found) = status.rollups.iter().find(|found| found.relation == level.name) else { continue };
        let allowed_s = 2.0 * found.bucket_s + level.settle.as_secs_f64();
        match found.lag_s {
            Some(lag_s) if lag_s > allowed_s => {
                late.push(format!("{}: {lag_s:.0} s behind, {allowed_s:.0} are usual", level.name));
            }
            None => late.push(format!("{}: nothing is stored yet", level.name)),
            Some(_) => {}
        }
        if let Some(waiting_s) = found.waiting_s.filter(|waiting_s| *waiting_s > DIRTY_MAX_S) {
            let waiting = found.waiting;
            late.push(format!("{}: {waiting} late buckets wait, the first for {waiting_s:.0} s", level.name));
        }
    }
    expect(
        "rollups",
        late.is_empty(),
        if late.is_empty() { "every kept level is within two buckets".to_owned() } else { late.join("; ") },
        "reads stay right and become slower, since what is not stored is computed: see `jobs`, the load of the database, and \
         rollups.levels (1m and 5m cost most)",
    )
}

/// Background workers of TimescaleDB: each policy that runs takes one, and its scheduler one for each database.
async fn workers(client: &Client) -> Result<Finding, StorageError> {
    let row = client.query_one(include_str!("../../../sql/queries/doctor_workers.sql"), &[]).await?;
    let [workers, processes, parallel, policies, databases, own]: [i64; 6] = std::array::from_fn(|n| row.get(n));
    let (needed, processes_needed) = (policies + databases, workers + parallel + 3);
    let mut found = format!(
        "timescaledb.max_background_workers {workers}, max_worker_processes {processes}; {policies} policies in {databases} \
         databases"
    );
    if own > 0 {
        found.push_str(&format!("; {own} refreshes are run by Tidegate, because workers failed or there are none"));
    }
    Ok(if workers < needed {
        bad(
            "workers",
            FindingState::Warning,
            found,
            format!(
                "set timescaledb.max_background_workers to {needed} or more and restart: policies wait for each other"
            ),
        )
    } else {
        expect(
            "workers",
            processes >= processes_needed,
            found,
            "raise max_worker_processes to timescaledb.max_background_workers + max_parallel_workers + 3, and restart",
        )
    })
}
