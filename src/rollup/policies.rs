//! Refresh policies of the continuous aggregates (timescale engine): one for each level that is kept, looking back as far as
//! everybody's raw rows are whole.
//!
//! A window that becomes shorter is refreshed one last time before, so that no late row is forgotten, and before any raw row
//! is deleted behind it (see [`super::floors`]); from then on what is late there is [`super::late`]'s. A level that is
//! switched off keeps what is materialized, and the rest of it is computed when it is read.

use std::collections::HashMap;
use std::time::Duration;

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::floors::{self, Ages, seconds};
use crate::config::{RetentionConfig, RollupsConfig};
use crate::limits::{REFRESH_EVERY, REFRESH_SLACK};
use crate::model::{LEVELS, Level};
use crate::storage::StorageError;
use crate::storage::locks::{self, Lease};

/// The jobs that refresh, of the levels of minutes and of the others: who has their locks changes the windows.
pub(super) const REFRESH_JOBS: [&str; 2] = ["refresh_minutes", "refresh_hours"];
/// How long a change of the windows waits for a refresh that is under way; the next run of the job tries again.
const REFRESHES_WAIT: Duration = Duration::from_secs(600);

/// Late rows this near to the beginning of a window are recomputed by both, so that none falls between them while it moves.
const OVERLAP_S: f64 = 3600.0;
/// A window is made longer only when this much is gained: it grows by itself while the rows behind it come of age.
const WIDEN_S: f64 = 86_400.0;
const DAY_US: i64 = 86_400_000_000;
/// Longer than anything is kept, and still an interval.
const FOREVER_S: f64 = 1e10;

/// A continuous aggregate and its policy.
pub(super) struct Standing {
    pub level: &'static Level,
    watermark: Option<Timestamp>,
    pub policy: Option<Policy>,
    /// Seconds since its last good refresh began.
    pub age_s: Option<f64>,
    /// Seconds since the end of what is closed without a gap.
    closed_s: Option<f64>,
    /// Background workers that TimescaleDB may start.
    pub workers: i32,
}

pub(super) struct Policy {
    pub job_id: i32,
    start_offset_s: f64,
    pub end_offset_s: f64,
    pub scheduled: bool,
    pub failed: bool,
    pub running: bool,
    pub worked_at: Option<Timestamp>,
}

/// All of them, the finest level first.
pub(super) async fn standing(client: &Object) -> Result<Vec<Standing>, StorageError> {
    let statement = client.prepare_cached(include_str!("../../sql/queries/rollup_policies.sql")).await?;
    let rows = client.query(&statement, &[]).await?;
    let standing = LEVELS.iter().filter_map(|level| {
        let row = rows.iter().find(|row| row.get::<_, &str>("buckets") == level.buckets)?;
        let policy = row.get::<_, Option<i32>>("job_id").map(|job_id| Policy {
            job_id,
            start_offset_s: row.get("start_offset_s"),
            end_offset_s: row.get("end_offset_s"),
            scheduled: row.get("scheduled"),
            failed: row.get("failed"),
            running: row.get("running"),
            worked_at: row.get("worked_at"),
        });
        let (watermark, age_s, workers) = (row.get("watermark"), row.get("age_s"), row.get("workers"));
        Some(Standing { level, watermark, policy, age_s, closed_s: row.get("closed_s"), workers })
    });
    Ok(standing.collect())
}

impl Standing {
    /// What is materialized beyond the end of the policy's window: the clock was ahead once. Rows that come there are hidden
    /// behind the watermark, and no window would reach them before their time.
    pub(super) fn ahead(&self, policy: &Policy, now: Timestamp) -> Option<(Timestamp, Timestamp)> {
        let end_us = self.level.floor(back(now, policy.end_offset_s).as_microsecond());
        let end = Timestamp::from_microsecond(end_us).ok()?;
        self.watermark.filter(|watermark| *watermark > end).map(|watermark| (end, watermark))
    }
}

/// What a level's policy has to be.
#[derive(Debug, Clone, Copy, PartialEq)]
struct WantedPolicy {
    start_offset_s: f64,
    end_offset_s: f64,
}

impl Policy {
    /// From how long ago a refresh leaves no gap behind it, in seconds.
    pub(super) fn reach_s(&self, level: &Level, retention: &RetentionConfig) -> f64 {
        // What is kept for some days has no use for older buckets.
        let all = retention.recomputed_back(level).is_some_and(|back| self.start_offset_s >= seconds(back));
        if all { FOREVER_S } else { self.start_offset_s }
    }
}

impl WantedPolicy {
    /// For rows that are whole for this long.
    fn of(level: &Level, whole_s: f64) -> Self {
        let start_offset_s = whole_s + seconds(REFRESH_SLACK);
        // TimescaleDB wants room for two buckets.
        let room_s = start_offset_s - 2.0 * seconds(level.width);
        Self { start_offset_s, end_offset_s: seconds(level.settle).min(room_s) }
    }

    fn is_shorter(&self, policy: &Policy) -> bool {
        policy.start_offset_s > self.start_offset_s + 1.0
    }

    fn is_other(&self, policy: &Policy, closed_s: Option<f64>) -> bool {
        let gained_s = self.start_offset_s - policy.start_offset_s;
        // Refreshes did not come for longer than they look back: what lies between is hidden behind the watermark.
        let gap = gained_s > 1.0 && closed_s.is_some_and(|closed_s| closed_s > policy.start_offset_s);
        gap || gained_s >= WIDEN_S || (self.end_offset_s - policy.end_offset_s).abs() > 1.0
    }
}

/// Makes the policies what they have to be, and then moves the floors. `renew` sets those again that were left to
/// Tidegate: perhaps the server's workers are well again.
pub(super) async fn follow(
    client: &mut Object,
    retention: &RetentionConfig,
    rollups: &RollupsConfig,
    renew: bool,
) -> Result<u64, StorageError> {
    let ages: HashMap<String, Ages> = floors::ages(client, retention, rollups).await?;
    let mut changes = Vec::new();
    for standing in standing(client).await? {
        let ages = ages[standing.level.source().table()].at_most(retention.recomputed_back(standing.level));
        let wanted = WantedPolicy::of(standing.level, ages.everybody_s);
        let change = match &standing.policy {
            None if *rollups.of(standing.level) => Change::Introduce,
            None => continue,
            Some(_) if !*rollups.of(standing.level) => Change::Retire,
            Some(policy) if wanted.is_shorter(policy) => Change::Shorten,
            Some(policy) if wanted.is_other(policy, standing.closed_s) || (renew && !policy.scheduled) => Change::Set,
            Some(policy) => {
                note_before(client, standing.level, policy.start_offset_s).await?;
                continue;
            }
        };
        changes.push((standing, ages, wanted, change));
    }
    if !changes.is_empty() {
        // No refresh of the old windows is under way from here; a node that is at one ends it first.
        let owner = Object::pool(client).ok_or_else(|| StorageError::retryable("the pool of connections is closed"))?;
        let lease = Lease::take(&owner, &REFRESH_JOBS.map(locks::of_job), REFRESHES_WAIT).await?;
        for (standing, ages, wanted, change) in &changes {
            make(client, standing, *ages, *wanted, *change).await?;
        }
        lease.end().await;
    }
    floors::advance(client, retention, rollups).await?;
    Ok(changes.len() as u64)
}

/// What is to be done about a policy.
#[derive(Debug, Clone, Copy)]
enum Change {
    Introduce,
    Shorten,
    Set,
    Retire,
}

async fn make(
    client: &mut Object,
    standing: &Standing,
    ages: Ages,
    wanted: WantedPolicy,
    change: Change,
) -> Result<(), StorageError> {
    let level = standing.level;
    match (change, &standing.policy) {
        (Change::Introduce, _) => {
            note_before(client, level, wanted.start_offset_s).await?;
            catch_up(client, standing, ages).await?;
            set(client, level, wanted).await
        }
        (Change::Shorten, Some(policy)) => {
            note_before(client, level, wanted.start_offset_s).await?;
            let now = now(client).await?;
            let until = back(now, wanted.start_offset_s - OVERLAP_S);
            refresh(client, level, back(now, policy.start_offset_s), until).await?;
            set(client, level, wanted).await
        }
        (Change::Retire, Some(policy)) => retire(client, standing, policy).await,
        (Change::Set | Change::Shorten | Change::Retire, _) => set(client, level, wanted).await,
    }
}

/// Late rows that begin before a window are noted from now on.
async fn note_before(client: &Object, level: &Level, start_offset_s: f64) -> Result<(), StorageError> {
    // Not moved for every second that passes: the overlap has room.
    let sql = "UPDATE rollup_levels SET noted_before = now() - make_interval(secs => $2::float8) WHERE level = $1 \
               AND abs(extract(epoch FROM now() - make_interval(secs => $2::float8) - noted_before)) > 600";
    let finite = "UPDATE rollup_levels SET noted_before = now() - make_interval(secs => $2::float8) WHERE level = $1 \
                  AND NOT isfinite(noted_before)";
    for sql in [finite, sql] {
        client.execute(sql, &[&level.name, &(start_offset_s - OVERLAP_S)]).await?;
    }
    Ok(())
}

/// Buckets of a new policy that begin before its window would be hidden by its watermark: they are made once, from what is
/// there. They were computed from the same rows until now.
async fn catch_up(client: &Object, standing: &Standing, ages: Ages) -> Result<(), StorageError> {
    let now = now(client).await?;
    let oldest = back(now, ages.table_s);
    let mut from = standing.watermark.map_or(oldest, |watermark| watermark.max(oldest)).as_microsecond();
    let until = back(now, ages.everybody_s).as_microsecond();
    while from < until {
        let to = (from + DAY_US).min(until);
        let time = |us| Timestamp::from_microsecond(us).expect("between two timestamps");
        refresh(client, standing.level, time(from), time(to)).await?;
        from = to;
    }
    Ok(())
}

/// Refreshes the buckets that begin in `[from, to)`; none where no bucket does.
pub(super) async fn refresh(
    client: &Object,
    level: &Level,
    from: Timestamp,
    to: Timestamp,
) -> Result<(), StorageError> {
    let (from_us, to_us) = (level.ceil(from.as_microsecond()), level.ceil(to.as_microsecond()));
    if from_us >= to_us {
        return Ok(());
    }
    // A procedure that commits: not within a transaction, and so not with parameters.
    let sql = format!(
        "CALL public.refresh_continuous_aggregate('tidegate.{}', TIMESTAMPTZ '1970-01-01 00:00:00+00' + {from_us} * INTERVAL '1 microsecond', \
         TIMESTAMPTZ '1970-01-01 00:00:00+00' + {to_us} * INTERVAL '1 microsecond', \
         options => '{{\"buckets_per_batch\": {}, \"refresh_newest_first\": false}}')",
        level.buckets,
        // A backlog is refreshed piece by piece, each a transaction, the oldest first: the watermark follows, and what is not
        // materialized yet is computed when it is read. Were it the newest first, all that lies between would be hidden.
        level.refresh_step
    );
    client.batch_execute(&sql).await?;
    Ok(())
}

/// Sets a policy in place of the one that there may be. Removing one ends a run of it that is under way.
async fn set(client: &mut Object, level: &Level, wanted: WantedPolicy) -> Result<(), StorageError> {
    let transaction = client.transaction().await?;
    let name = format!("tidegate.{}", level.buckets);
    transaction
        .execute("SELECT public.remove_continuous_aggregate_policy(($1::text)::regclass, if_exists => true)", &[&name])
        .await?;
    transaction
        .execute(
            include_str!("../../sql/queries/policy_add.sql"),
            &[&name, &wanted.start_offset_s, &wanted.end_offset_s, &seconds(REFRESH_EVERY), &level.refresh_step],
        )
        .await?;
    // What is in the window was noted while the level was off, and is TimescaleDB's own business now.
    let sql = "DELETE FROM rollup_dirty WHERE level = $1 AND bucket >= now() - make_interval(secs => $2::float8)";
    transaction.execute(sql, &[&level.name, &(wanted.start_offset_s - OVERLAP_S)]).await?;
    transaction.commit().await?;
    note_before(client, level, wanted.start_offset_s).await
}

/// Takes away the policy of a level that is switched off. What is materialized stays, and late rows in it are noted.
async fn retire(client: &mut Object, standing: &Standing, policy: &Policy) -> Result<(), StorageError> {
    let level = standing.level;
    let sql = "UPDATE rollup_levels SET noted_before = 'infinity' WHERE level = $1";
    client.execute(sql, &[&level.name]).await?;
    if let Some(watermark) = standing.watermark {
        let from = back(now(client).await?, policy.start_offset_s);
        refresh(client, level, from, watermark).await?;
    }
    let transaction = client.transaction().await?;
    let name = format!("tidegate.{}", level.buckets);
    transaction.execute("SELECT public.remove_continuous_aggregate_policy(($1::text)::regclass)", &[&name]).await?;
    transaction.execute(include_str!("../../sql/queries/level_retire.sql"), &[&level.name, &level.buckets]).await?;
    transaction.commit().await?;
    Ok(())
}

async fn now(client: &Object) -> Result<Timestamp, StorageError> {
    Ok(client.query_one("SELECT now()", &[]).await?.get(0))
}

fn back(now: Timestamp, by_s: f64) -> Timestamp {
    now.checked_sub(jiff::SignedDuration::from_secs_f64(by_s)).unwrap_or(Timestamp::MIN)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_window_has_room_for_two_buckets() {
        for level in &LEVELS {
            for days in [2.0, 3.0, 90.0] {
                let wanted = WantedPolicy::of(level, days * 86_400.0);
                assert!(wanted.start_offset_s - wanted.end_offset_s >= 2.0 * seconds(level.width), "{level:?} {days}");
                assert!(wanted.end_offset_s >= 0.0, "{level:?} {days}");
            }
        }
    }

    #[test]
    fn what_is_open_is_less_than_two_buckets() {
        for level in &LEVELS {
            assert!(level.settle + REFRESH_EVERY < level.width, "{level:?}");
        }
    }
}
