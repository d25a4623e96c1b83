//! One run of the lifecycle job: what it works on, what is due, what went wrong.

use std::time::Instant;

use jiff::Timestamp;

use super::plan::{ChunkPlan, Due};
use crate::jobs::RunCounts;
use crate::limits::LIFECYCLE_RUN_MAX;
use crate::model::Relation;
use crate::rollup::Floors;
use crate::storage::{StorageError, StoredChunk};

/// What one run works on and has to say.
pub struct Run<'a> {
    pub plan: &'a [ChunkPlan],
    /// Chunks and partitions as the run found them, without those that it dropped.
    pub chunks: Vec<StoredChunk>,
    /// Before them raw rows may go: the rollups look no further back.
    pub floors: Floors,
    pub now_us: i64,
    started: Instant,
    /// Chunks that are due and were not begun for lack of time.
    pub left: u64,
    /// Chunks that others were at.
    pub busy: u64,
    failures: Vec<StorageError>,
}

impl<'a> Run<'a> {
    pub fn new(plan: &'a [ChunkPlan], now: Timestamp) -> Self {
        Self {
            plan,
            chunks: Vec::new(),
            floors: Floors::default(),
            now_us: now.as_microsecond(),
            started: Instant::now(),
            left: 0,
            busy: 0,
            failures: Vec::new(),
        }
    }

    /// Where the rows of a relation begin that rollups still look at, everybody's or an organization's. Before the first run
    /// of the rollups' job that is not known, and nothing goes.
    pub fn floor_us(&self, relation: Relation, tenant_id: Option<&str>) -> i64 {
        let Some(source) = relation.source() else { return i64::MAX };
        let floor = match tenant_id {
            Some(tenant_id) => self.floors.of(source, tenant_id),
            None => self.floors.of_all(source),
        };
        floor.map_or(i64::MIN, Timestamp::as_microsecond)
    }

    /// The chunks that need something of this kind, oldest first, those of a slice side by side.
    pub fn due(&self, wanted: impl Fn(Due) -> bool) -> Vec<StoredChunk> {
        let due = self.chunks.iter().filter(|chunk| {
            let kept = self.plan.iter().find(|kept| kept.relation == chunk.relation);
            let due = kept.and_then(|kept| kept.due(chunk, self.now_us, self.floor_us(kept.relation, None)));
            due.is_some_and(&wanted)
        });
        let mut due: Vec<StoredChunk> = due.cloned().collect();
        let key = |chunk: &StoredChunk| (chunk.to_us, chunk.relation.name(), chunk.from_us, chunk.name.clone());
        due.sort_by_key(key);
        due
    }

    pub fn is_over(&self) -> bool {
        self.started.elapsed() >= LIFECYCLE_RUN_MAX
    }

    /// Notes what went wrong; a lock that others hold is no failure, since the next run tries again.
    pub fn note(&mut self, doing: &str, error: StorageError) {
        if error.is_contention() {
            tracing::debug!(doing, %error, "others are at it; the next run tries again");
            self.busy += 1;
            return;
        }
        let error = error.doing(doing);
        tracing::warn!(%error, "a step of the lifecycle job failed");
        self.failures.push(error);
    }

    /// The number, or 0 and a note.
    pub fn count(&mut self, doing: &str, result: Result<u64, StorageError>) -> u64 {
        result.unwrap_or_else(|error| {
            self.note(doing, error);
            0
        })
    }

    pub fn end(mut self, counts: RunCounts) -> Result<RunCounts, StorageError> {
        let others = self.failures.len().saturating_sub(1);
        match self.failures.pop() {
            None => Ok(counts),
            Some(last) if others == 0 => Err(last),
            Some(last) => Err(last.doing(&format!("{others} other steps failed as well, see the log; the last one"))),
        }
    }
}
