//! The job: expires, compresses and puts in order what there is, one chunk after another.

use std::collections::HashMap;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use deadpool_postgres::Object;
use jiff::Timestamp;

use super::clock::Clock;
use super::part::Part;
use super::plan::{self, ChunkPlan, Due};
use super::run::Run;
use super::tenants::Tenants;
use super::{chunks, partitions, rows, samples};
use crate::config::{Config, RetentionConfig, RollupsConfig};
use crate::jobs::{Job, RunCounts};
use crate::limits::{HOURLY_EXPIRY_EVERY, RECOMPRESS_PAUSE};
use crate::rollup::{floors, floors_of_cells};
use crate::storage::{StorageError, Store, StoredChunk};

pub struct Lifecycle {
    store: Store,
    retention: RetentionConfig,
    rollups: RollupsConfig,
    plan: Vec<ChunkPlan>,
    tenants: Tenants,
    /// The database's.
    clock: Mutex<Clock>,
    /// When a chunk was last put in order, by its name.
    recompressed: Mutex<HashMap<String, Instant>>,
    part: Part,
    /// When streams, and what was inferred, were last looked through.
    looked_through: Mutex<Option<Instant>>,
}

impl Job for Lifecycle {
    fn name(&self) -> &'static str {
        "lifecycle"
    }

    fn interval(&self) -> Duration {
        Duration::from_secs(60)
    }

    async fn run_once(&self, client: &mut Object) -> Result<RunCounts, StorageError> {
        // Not this node's clock: of what the database has, what has expired is gone for good.
        let now: Timestamp = client.query_one("SELECT now()", &[]).await?.get(0);
        let expires = self.clock.lock().expect("no code panics while holding it").is_believed(now, Instant::now());
        let mut run = Run::new(&self.plan, now);
        let mut counts = RunCounts::new();
        let floors = match self.part {
            Part::Control { cells } => floors_of_cells(client, cells).await,
            Part::Whole | Part::Cell => floors(client).await,
        };
        match floors {
            Ok(floors) => run.floors = floors,
            Err(error) => run.note("reading how far back the rollups look", error),
        }
        // First of all: without them nothing can be written.
        let has_relations = self.part != Part::Cell;
        let made = match has_relations {
            true => partitions::make_ahead(&self.store, &self.rollups, run.now_us).await,
            false => Ok(0),
        };
        let made = run.count("making partitions ahead", made);
        let dropped = if expires && has_relations { partitions::drop_expired(&self.store, &mut run).await } else { 0 };
        let has_chunks = self.store.layout().has_hypertables();
        if !has_chunks {
            counts.extend([("partitions_made", made), ("partitions_dropped", dropped)]);
        }
        match self.store.layout().list(&***client).await {
            Ok(chunks) => run.chunks = chunks,
            Err(error) => run.note("listing chunks", error),
        }
        if expires {
            self.expire(client, &mut run, &mut counts).await;
        }
        let sampled = samples::take(client, &run.chunks).await;
        counts.push(("sizes_sampled", run.count("sampling sizes", sampled)));
        if has_chunks {
            // Last, because it takes longest.
            let [compressed, recompressed] = self.compress(client, &mut run).await;
            counts.extend([("chunks_compressed", compressed), ("chunks_recompressed", recompressed)]);
        }
        counts.extend([("chunks_busy", run.busy), ("chunks_left", run.left)]);
        run.end(counts)
    }
}

impl Lifecycle {
    pub fn new(store: &Store, config: &Config, part: Part) -> Self {
        Self {
            part,
            store: store.clone(),
            retention: config.retention.clone(),
            rollups: config.rollups.clone(),
            plan: plan::plan(store.layout(), config),
            tenants: Tenants::default(),
            clock: Mutex::default(),
            recompressed: Mutex::default(),
            looked_through: Mutex::default(),
        }
    }

    /// Chunks as a whole, rows of organizations, and rows of ordinary tables.
    async fn expire(&self, client: &mut Object, run: &mut Run<'_>, counts: &mut RunCounts) {
        if self.store.layout().has_hypertables() {
            counts.push(("chunks_dropped", self.drop_expired(client, run).await));
        }
        for (what, deleted) in rows::delete(client, &self.retention, self.part).await {
            counts.push((what, run.count(what, deleted)));
        }
        if matches!(self.part, Part::Control { .. }) {
            return;
        }
        let expired = self.tenants.expire(client, self.store.layout(), run).await;
        counts.push(("organizations_rows_deleted", run.count("expiring rows of organizations", expired)));
        if self.hourly_is_due() {
            let deleted = rows::delete_logged(client, &self.retention).await;
            counts.push(("log_rows_deleted", run.count("log_rows_deleted", deleted)));
            for (what, deleted) in rows::delete_inferred(client, self.store.layout(), &self.retention).await {
                counts.push((what, run.count(what, deleted)));
            }
        }
    }

    fn hourly_is_due(&self) -> bool {
        let mut last = self.looked_through.lock().expect("no code panics while holding it");
        let is_due = last.is_none_or(|last| last.elapsed() >= HOURLY_EXPIRY_EVERY);
        if is_due {
            *last = Some(Instant::now());
        }
        is_due
    }

    /// Drops expired chunks, a slice of time at once: its space partitions.
    async fn drop_expired(&self, client: &mut Object, run: &mut Run<'_>) -> u64 {
        let mut dropped = 0;
        let expired = run.due(|due| due == Due::Drop);
        let mut gone: Vec<String> = Vec::new();
        for slice in expired.chunk_by(|a, b| (a.relation, a.from_us, a.to_us) == (b.relation, b.from_us, b.to_us)) {
            if run.is_over() {
                run.left += slice.len() as u64;
                continue;
            }
            let slice: Vec<&StoredChunk> = slice.iter().collect();
            match chunks::drop_slice(client, &slice).await {
                Ok(number) => {
                    dropped += number;
                    tracing::info!(
                        relation = slice[0].relation.name(),
                        chunk = slice[0].name,
                        number,
                        "expired chunks dropped"
                    );
                }
                Err(error) => run.note(&format!("dropping {}", slice[0].name), error),
            }
            gone.extend(slice.iter().map(|chunk| chunk.name.clone()));
        }
        // Those that could not be dropped need nothing else either.
        run.chunks.retain(|chunk| !gone.contains(&chunk.name));
        dropped
    }

    /// Compresses what is old, and puts in order what is closed; how many of each.
    async fn compress(&self, client: &mut Object, run: &mut Run<'_>) -> [u64; 2] {
        let [mut compressed, mut recompressed] = [0; 2];
        let due = run.due(|due| due != Due::Drop);
        self.recompressed
            .lock()
            .expect("no code panics while holding it")
            .retain(|_, at| at.elapsed() < RECOMPRESS_PAUSE);
        for chunk in due {
            if self.recompressed.lock().expect("no code panics while holding it").contains_key(&chunk.name) {
                continue;
            }
            if run.is_over() {
                run.left += 1;
                continue;
            }
            let started = Instant::now();
            match chunks::compress(client, &chunk).await {
                Ok(done) => {
                    let number = if chunk.is_compressed() { &mut recompressed } else { &mut compressed };
                    *number += u64::from(done);
                    self.recompressed
                        .lock()
                        .expect("no code panics while holding it")
                        .insert(chunk.name.clone(), Instant::now());
                    tracing::debug!(chunk = chunk.name, done, took_ms = started.elapsed().as_millis(), "compressed");
                }
                Err(error) => run.note(&format!("compressing {}", chunk.name), error),
            }
        }
        [compressed, recompressed]
    }
}
