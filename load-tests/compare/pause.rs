//! Holds back what the product does by itself while something is measured that it would change: its jobs, by holding their
//! leaders' locks as another node would, and the policies of TimescaleDB.

use std::time::Duration;

use tokio_postgres::Client;

use super::common::Result;
use super::target::Target;

/// What is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All jobs and policies: what was loaded stays as it is.
    Everything,
    /// What makes rollups; the other jobs go on.
    Refreshes,
}

/// The jobs that make rollups, and those of the whole product.
const ROLLUP_JOBS: [&str; 2] = ["rollups", "late_rollups"];
const JOBS: [&str; 7] = ["rollups", "late_rollups", "lifecycle", "touched", "correlations", "inferred", "anomalies"];
const POLICIES: &str = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs \
     WHERE owner::text = 'tidegate_owner' AND ($1 OR proc_name = 'policy_refresh_continuous_aggregate')";
/// A policy that runs is over soon, but for one that has much to catch up with.
const RUNNING: &str = "SELECT count(*) FROM timescaledb_information.job_stats s JOIN timescaledb_information.jobs j USING (job_id) \
     WHERE s.job_status = 'Running' AND NOT j.scheduled AND j.owner::text = 'tidegate_owner'";
/// Also what this version of the harness does not know: every job that has run.
const LOCK: &str = "SELECT pg_advisory_lock(hashtextextended('tidegate.job.' || job, 0)) \
     FROM (SELECT unnest($1::text[]) UNION SELECT job FROM job_runs WHERE $2) AS jobs (job)";

const POLL: Duration = Duration::from_millis(200);

/// Held back for as long as this lives; policies until they are set again.
pub struct Paused {
    _locks: Client,
}

/// Holds it back, once what is under way has ended.
pub async fn pause(target: &Target, what: What) -> Result<Paused> {
    let everything = what == What::Everything;
    let jobs: &[&str] = if everything { &JOBS } else { &ROLLUP_JOBS };
    let locks = target.another_owner().await?;
    // Before the policies, which one of these jobs looks after.
    locks.query(LOCK, &[&jobs, &everything]).await?;
    if target.is_timescale() {
        target.owner.query(POLICIES, &[&everything]).await?;
        while target.count(RUNNING).await? > 0 {
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(Paused { _locks: locks })
}
