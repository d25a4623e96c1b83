//! Refreshes that the server's background workers do not do (timescale engine): because there are none, because they are
//! late, or because they fail.
//!
//! They do fail: on PostgreSQL 15.20 every job of TimescaleDB 2.28.3 ends with "cannot drop portal while it is being set up".
//! A policy that failed is no longer scheduled, so that the server's log is not filled, and run from here at the same pace. It is
//! said once, not for each level.

use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jiff::Timestamp;
use tokio_postgres::error::SqlState;

use super::floors::seconds;
use super::policies::{Policy, REFRESH_JOBS, Standing, refresh, standing};
use crate::config::{Config, RetentionConfig, RollupsConfig};
use crate::jobs::{Job, RunCounts};
use crate::limits::{REFRESH_EVERY, ROLLUP_RUN_MAX};
use crate::storage::{StorageError, Store};

/// How late a worker may be before its policy is run from here.
const PATIENCE: Duration = Duration::from_secs(15);
/// Own refreshes are begun this much earlier than workers' would be: they take turns with each other.
const AHEAD: Duration = Duration::from_secs(10);

/// Levels of narrower buckets are the fine ones.
const FINE_BELOW: Duration = Duration::from_secs(3600);

/// Runs the policies that are due. There are two of it, for the levels of minutes and for the others: an hour of samples takes
/// longer than a minute may wait.
pub struct Refresh {
    fine: bool,
    retention: RetentionConfig,
    rollups: RollupsConfig,
    started: Instant,
    /// What workers said last when they failed, of all levels.
    told: Arc<Mutex<Option<String>>>,
}

impl Refresh {
    /// Both of them; none where there are no continuous aggregates.
    pub fn both(store: &Store, config: &Config) -> Vec<Self> {
        let told = Arc::default();
        let refresh = |fine| {
            let (retention, rollups) = (config.retention.clone(), config.rollups.clone());
            Self { fine, retention, rollups, started: Instant::now(), told: Arc::clone(&told) }
        };
        if store.layout().has_hypertables() { vec![refresh(true), refresh(false)] } else { Vec::new() }
    }

    fn is_ours(&self, standing: &Standing) -> bool {
        (standing.level.width < FINE_BELOW) == self.fine && *self.rollups.of(standing.level)
    }
}

impl Job for Refresh {
    fn name(&self) -> &'static str {
        let [minutes, hours] = REFRESH_JOBS;
        if self.fine { minutes } else { hours }
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(2)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let deadline = Instant::now() + ROLLUP_RUN_MAX;
        let mut ran = 0;
        for standing in standing(client).await? {
            let Some(policy) = standing.policy.as_ref().filter(|_| self.is_ours(&standing)) else { continue };
            if let Some(worked_at) = policy.worked_at {
                self.note(client, &standing, policy, worked_at).await?;
            }
            if policy.failed && policy.scheduled {
                self.take_over(client, &standing, policy).await?;
            }
            if is_due(&standing, policy, self.started.elapsed()) && Instant::now() < deadline {
                ran += u64::from(self.run(client, &standing, policy).await?);
            }
        }
        Ok(vec![("refreshed", ran)])
    }
}

impl Refresh {
    /// Runs a policy; false when somebody else is at it.
    async fn run(&self, client: &Object, standing: &Standing, policy: &Policy) -> Result<bool, StorageError> {
        let began: Timestamp = client.query_one("SELECT now()", &[]).await?.get(0);
        match client.batch_execute(&format!("CALL public.run_job({})", policy.job_id)).await {
            Ok(()) => {
                if let Some((from, to)) = standing.ahead(policy, began) {
                    refresh(client, standing.level, from, to).await?;
                }
                self.note(client, standing, policy, began).await.map(|()| true)
            }
            // Somebody refreshes it at this moment, or the policy was just set again.
            Err(error) if matches!(error.code(), Some(&SqlState::LOCK_NOT_AVAILABLE | &SqlState::UNDEFINED_OBJECT)) => {
                Ok(false)
            }
            Err(error) => Err(error.into()),
        }
    }

    /// Notes how far a refresh got that began then: not past a gap that it left, so that the floors wait and the window is made
    /// longer (see [`super::policies`]).
    async fn note(
        &self,
        client: &Object,
        standing: &Standing,
        policy: &Policy,
        began: Timestamp,
    ) -> Result<(), StorageError> {
        let sql = include_str!("../../sql/queries/level_refreshed.sql");
        let reach_s = policy.reach_s(standing.level, &self.retention);
        client.execute(sql, &[&standing.level.name, &began, &policy.end_offset_s, &reach_s]).await?;
        Ok(())
    }

    /// The server's workers cannot run this policy: from now on it is run from here.
    async fn take_over(&self, client: &Object, standing: &Standing, policy: &Policy) -> Result<(), StorageError> {
        let sql = "SELECT err_message FROM timescaledb_information.job_errors WHERE job_id = $1 ORDER BY finish_time DESC LIMIT 1";
        let said = client.query_opt(sql, &[&policy.job_id]).await?;
        let error = said.and_then(|row| row.get::<_, Option<String>>(0)).unwrap_or_default();
        client.execute("SELECT public.alter_job($1, scheduled => false)", &[&policy.job_id]).await?;
        let level = standing.level.name;
        if self.is_news(&error) {
            tracing::warn!(
                rollup = level,
                error,
                "TimescaleDB's background workers fail; Tidegate refreshes the rollups by itself, and nothing is lost \
                 (docs/OPERATIONS.md, Rollups)"
            );
        } else {
            tracing::debug!(rollup = level, error, "TimescaleDB's background worker failed here too");
        }
        Ok(())
    }

    fn is_news(&self, error: &str) -> bool {
        let mut told = self.told.lock().expect("no code panics while holding it");
        let news = told.as_deref() != Some(error);
        *told = Some(error.to_owned());
        news
    }
}

fn is_due(standing: &Standing, policy: &Policy, since_start: Duration) -> bool {
    if policy.scheduled && !policy.failed && standing.workers > 0 {
        let patience_s = seconds(REFRESH_EVERY + PATIENCE);
        let age_s = standing.age_s.unwrap_or(f64::INFINITY).min(seconds(since_start));
        return !policy.running && age_s > patience_s;
    }
    standing.age_s.is_none_or(|age_s| age_s >= seconds(REFRESH_EVERY - AHEAD))
}
