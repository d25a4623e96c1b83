//! The job of groups: moves each on behind what its members acknowledged, deletes what they are done with, and counts how far they are.
//! Members acknowledge at any node and only mark; what moves a group is one, or an advance would be lost between two of them.

use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use deadpool_postgres::Object;

use super::clock::Clock;
use super::error::GroupError;
use super::group::Groups;
use super::status::{self, Status};
use crate::jobs::{Job, RunCounts};
use crate::limits::{GROUPS_COUNT_EVERY, GROUPS_DELETED_KEPT, GROUPS_TICK, LOG_RUN, LOG_UPKEEP_EVERY};
use crate::storage::StorageError;

const ADVANCE: &str = include_str!("../../sql/queries/group_advance.sql");
const TIDY: &str = include_str!("../../sql/queries/group_tidy.sql");

/// How often a node that does not lead asks whether it may.
const ASK_EVERY: Duration = Duration::from_secs(1);
/// The leader comes back at once.
const GO_ON_AFTER: Duration = Duration::from_millis(5);
/// Older counts are of another leader's time.
const COUNTS_KEPT: Duration = Duration::from_secs(60);

/// How far groups are, as the leader has counted it.
#[derive(Clone, Default)]
pub struct GroupCounts(Arc<Mutex<Option<Counted>>>);

/// When, and what.
type Counted = (Instant, Arc<[(String, Status)]>);

impl GroupCounts {
    /// Each with its tenant; None where another node counts.
    pub fn now(&self) -> Option<Arc<[(String, Status)]>> {
        let counts = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        counts.as_ref().filter(|(at, _)| at.elapsed() < COUNTS_KEPT).map(|(_, counts)| Arc::clone(counts))
    }

    fn set(&self, counts: Vec<(String, Status)>) {
        *self.0.lock().unwrap_or_else(PoisonError::into_inner) = Some((Instant::now(), counts.into()));
    }
}

pub struct Upkeep {
    counts: GroupCounts,
    /// When this node led last, and when it counted.
    led: Mutex<Option<Instant>>,
    counted: Mutex<Option<Instant>>,
    clock: Mutex<Clock>,
}

impl Upkeep {
    pub fn new(counts: GroupCounts) -> Self {
        Self { counts, led: Mutex::default(), counted: Mutex::default(), clock: Mutex::default() }
    }

    async fn run(&self, client: &Object) -> Result<RunCounts, StorageError> {
        let begun = Instant::now();
        let advance = client.prepare_cached(ADVANCE).await?;
        let (mut passed, mut tidied, mut deleted, mut bounded) = (0, 0, 0, 0);
        let mut tidied_at: Option<Instant> = None;
        let mut pause = GROUPS_TICK;
        while begun.elapsed() < LOG_RUN {
            *self.led.lock().unwrap_or_else(PoisonError::into_inner) = Some(Instant::now());
            let moved = client.execute(&advance, &[&None::<i64>]).await?;
            passed += moved;
            pause = if moved > 0 { GROUPS_TICK } else { (pause * 2).min(2 * GROUPS_TICK) };
            if tidied_at.is_none_or(|at| at.elapsed() >= LOG_UPKEEP_EVERY) {
                tidied_at = Some(Instant::now());
                bounded += self.look_at_clock(client).await?;
                let tidy = client.prepare_cached(TIDY).await?;
                let kept = i64::try_from(GROUPS_DELETED_KEPT.as_secs()).unwrap_or(i64::MAX);
                let row = client.query_one(&tidy, &[&kept]).await?;
                tidied += row.get::<_, i64>(0).unsigned_abs();
                deleted += row.get::<_, i64>(1).unsigned_abs();
            }
            if self.is_to_count() {
                self.count(client).await?;
            }
            tokio::time::sleep(pause).await;
        }
        Ok(vec![
            ("ranges_passed", passed),
            ("parked_passed", tidied),
            ("groups_deleted", deleted),
            ("leases_bounded", bounded),
        ])
    }

    async fn look_at_clock(&self, client: &Object) -> Result<u64, StorageError> {
        let mut clock = std::mem::take(&mut *self.clock.lock().unwrap_or_else(PoisonError::into_inner));
        let bounded = clock.look(client).await;
        *self.clock.lock().unwrap_or_else(PoisonError::into_inner) = clock;
        bounded
    }

    fn is_to_count(&self) -> bool {
        let mut counted = self.counted.lock().unwrap_or_else(PoisonError::into_inner);
        let is_due = counted.is_none_or(|at| at.elapsed() >= GROUPS_COUNT_EVERY);
        if is_due {
            *counted = Some(Instant::now());
        }
        is_due
    }

    async fn count(&self, client: &Object) -> Result<(), StorageError> {
        let mut counts = status::of_all(client).await?;
        // Nobody asks what they want.
        counts.iter_mut().for_each(|(_, group)| group.event_types = Vec::new());
        self.counts.set(counts);
        Ok(())
    }
}

impl Job for Upkeep {
    fn name(&self) -> &'static str {
        "groups"
    }

    fn interval(&self) -> Duration {
        let led = *self.led.lock().unwrap_or_else(PoisonError::into_inner);
        if led.is_some_and(|at| at.elapsed() < ASK_EVERY) { GO_ON_AFTER } else { ASK_EVERY }
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        let run = self.run(client).await;
        if run.is_err() {
            // What fails is not tried again at once.
            *self.led.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        run
    }
}

impl Groups {
    /// Moves a group on, as the job does.
    pub(super) async fn advance(&self, group_id: Option<i64>) -> Result<(), GroupError> {
        self.run(ADVANCE, &[&group_id]).await.map(drop)
    }
}
