//! Holds back what the product does by itself while something is measured that it would change: its jobs, by holding their
//! leaders' locks as another node would, and the policies of TimescaleDB.

use std::time::Duration;

use tidegate::storage::locks::{Lease, of_job};

use super::common::Result;
use super::target::Target;

/// What is held back.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum What {
    /// All jobs and policies: what was loaded stays as it is.
    Everything,
    /// What makes rollups; the other jobs go on.
    Refreshes,
    /// What gives batches their offsets; everything else goes on.
    Sequencer,
}

/// The jobs that make rollups.
const ROLLUP_JOBS: [&str; 4] = ["rollups", "late_rollups", "refresh_minutes", "refresh_hours"];
const SEQUENCER_JOB: &str = "sequencer";
/// The locks of all jobs: also of those that this version of the harness does not know.
const JOB_LOCKS: &str = "SELECT relname::text FROM pg_class WHERE relnamespace = 'tidegate'::regnamespace \
     AND relkind = 'r' AND relname LIKE 'lock\\_job\\_%' ORDER BY relname";
/// For a job's run under way.
const LOCK_WAIT: Duration = Duration::from_secs(600);
const POLICIES: &str = "SELECT alter_job(job_id, scheduled => false) FROM timescaledb_information.jobs \
     WHERE owner::text = 'tidegate_owner' AND ($1 OR proc_name = 'policy_refresh_continuous_aggregate')";
/// A policy that runs is over soon, but for one that has much to catch up with.
const RUNNING: &str = "SELECT count(*) FROM timescaledb_information.job_stats s JOIN timescaledb_information.jobs j USING (job_id) \
     WHERE s.job_status = 'Running' AND NOT j.scheduled AND j.owner::text = 'tidegate_owner'";

const POLL: Duration = Duration::from_millis(200);

/// Held back for as long as this lives; policies until they are set again.
pub struct Paused {
    _locks: Lease,
}

/// Holds it back, once what is under way has ended.
pub async fn pause(target: &Target, what: What) -> Result<Paused> {
    let names: Vec<String> = match what {
        What::Everything => target.owner.query(JOB_LOCKS, &[]).await?.iter().map(|row| row.get(0)).collect(),
        What::Refreshes => ROLLUP_JOBS.into_iter().map(of_job).collect(),
        What::Sequencer => vec![of_job(SEQUENCER_JOB)],
    };
    // Before the policies, which one of these jobs looks after.
    let locks = Lease::take(&target.owner_pool()?, &names, LOCK_WAIT).await?;
    if target.is_timescale() && what != What::Sequencer {
        target.owner.query(POLICIES, &[&(what == What::Everything)]).await?;
        while target.count(RUNNING).await? > 0 {
            tokio::time::sleep(POLL).await;
        }
    }
    Ok(Paused { _locks: locks })
}
