//! The plan of one transaction: which rows go in, in which order, in which COPY, under which batch ids.
//!
//! Pure: no runtime, no database. Rows go by chunk, the one order in which every transaction takes chunks; two that
//! took them in opposite orders would deadlock. Rows of tenants with enough of them in a chunk go into the columnstore
//! directly, the rest as rows, so that segments stay dense; one chunk holds both.

use std::collections::{BTreeSet, HashMap};
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;

use super::births::Births;
use super::submission::Submission;
use crate::limits::DIRECT_COMPRESS_ROWS_MIN;
use crate::storage::{Chunk, Slice, SliceMap};
use crate::wire::item::RowRef;
use crate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};

const MINUTE_US: i64 = 60_000_000;

/// How rows are to be planned.
#[derive(Debug, Clone, Copy)]
pub struct PlanConfig {
    /// Most rows of one COPY.
    pub rows_max: usize,
    /// Whether rows may go straight into the columnstore.
    pub direct_compress: bool,
}

/// Which chunk a row goes into.
#[derive(Clone, Copy)]
pub struct Chunks<'a> {
    pub slices: &'a SliceMap,
    /// In microseconds since 1970.
    pub now_us: i64,
    /// Those that are in the columnstore.
    pub births: &'a Births,
}

/// A row of the batch: submission and row within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    pub submission: usize,
    pub row: usize,
}

/// Rows that follow each other in a submission, of one chunk and one stream.
#[derive(Debug, Clone, PartialEq, Eq)]
struct RowRun {
    submission: usize,
    rows: Range<usize>,
    manifest: usize,
    /// Ordinal of the first row within its manifest's batch.
    first_seq: i32,
}

impl RowRun {
    /// Cuts it after `rows` rows; returns the rest.
    fn split_off(&mut self, rows: usize) -> Self {
        let at = self.rows.start + rows;
        let first_seq = self.first_seq + i32::try_from(rows).expect("items of a request are limited");
        let rest = Self { rows: at..self.rows.end, first_seq, ..*self };
        self.rows.end = at;
        rest
    }
}

#[derive(Debug)]
pub struct Copy {
    runs: Vec<RowRun>,
    rows: usize,
    /// Straight into the columnstore, or as rows.
    pub direct: bool,
}

impl Copy {
    /// Its rows, in the order of the stream.
    pub fn places(&self) -> impl Iterator<Item = Place> + '_ {
        self.runs.iter().flat_map(|run| run.rows.clone().map(|row| Place { submission: run.submission, row }))
    }

    /// The row that an error's line, from 1, names.
    pub fn place(&self, line: u64) -> Option<Place> {
        self.places().nth(usize::try_from(line).ok()?.checked_sub(1)?)
    }
}

/// One manifest: what this transaction writes for one (tenant, stream).
#[derive(Debug)]
pub struct Manifest {
    pub tenant_id: Arc<str>,
    pub stream: String,
    pub batch_id: i64,
    pub event_count: i32,
    /// Ordinals that were handed out: with those of rows that were there already.
    pub span: i32,
    /// The projections that its events concern, a bit each.
    pub projections: i32,
    /// Oldest and newest timestamp, in microseconds since 1970.
    pub bounds_us: (i64, i64),
    /// The minutes since 1970 that rows fall into, as rows came: neither sorted nor each once.
    minutes: Vec<i32>,
    /// The last of them, in microseconds.
    minute_us: Range<i64>,
}

#[derive(Debug, Default)]
pub struct Plan {
    pub copies: Vec<Copy>,
    pub manifests: Vec<Manifest>,
    /// The chunks that are not known to be in the columnstore: their rows go there directly, under a lock.
    pub births: BTreeSet<Chunk>,
}

/// Plans the rows of the submissions named by `taking`. `new_batch_id` is called once per (tenant, stream).
pub fn plan(
    batch: &[Submission],
    taking: &[usize],
    config: PlanConfig,
    chunks: Chunks<'_>,
    mut new_batch_id: impl FnMut(&Arc<str>, &str) -> i64,
) -> Plan {
    let mut plan = Plan::default();
    let mut manifest_of: HashMap<(&Arc<str>, &str), usize> = HashMap::new();
    let mut runs: Vec<((Chunk, &Arc<str>), RowRun)> = Vec::new();
    // Neighbours are mostly of one.
    let mut slice = Slice { from_us: 0, to_us: 0, partitions: None };
    for &index in taking {
        let Submission { received, decoded, .. } = &batch[index];
        let tenant_id = &received.tenant_id;
        let rows = &decoded.rows.rows;
        // Rows of metrics change chunks all the time, and streams never.
        let mut last: Option<(u16, usize)> = None;
        let mut start = 0;
        while let Some(first) = rows.get(start) {
            if !slice.contains(first.timestamp_us) {
                slice = chunks.slices.around(first.timestamp_us, chunks.now_us);
            }
            let chunk = slice.chunk(first.space);
            let same = |row: &RowRef| {
                row.stream == first.stream
                    && slice.contains(row.timestamp_us)
                    && (row.space == first.space || slice.chunk(row.space) == chunk)
            };
            let len = 1 + rows[start + 1..].iter().take_while(|row| same(row)).count();
            let manifest = match last {
                Some((stream, manifest)) if stream == first.stream => manifest,
                _ => {
                    let stream = decoded.rows.streams[usize::from(first.stream)].as_str();
                    *manifest_of.entry((tenant_id, stream)).or_insert_with(|| {
                        let batch_id = new_batch_id(tenant_id, stream);
                        plan.manifests.push(Manifest::new(Arc::clone(tenant_id), stream, batch_id));
                        plan.manifests.len() - 1
                    })
                }
            };
            last = Some((first.stream, manifest));
            let first_seq = plan.manifests[manifest].count(&rows[start..start + len]);
            let run = RowRun { submission: index, rows: start..start + len, manifest, first_seq };
            runs.push(((chunk, tenant_id), run));
            start += len;
        }
    }
    // Stable, so that rows of one tenant and chunk stay as they came.
    runs.sort_by(|a, b| a.0.cmp(&b.0));
    // The rows of one chunk and tenant go one way.
    let mut groups: Vec<ChunkGroup<'_>> = Vec::new();
    for runs in runs.chunk_by(|a, b| a.0 == b.0) {
        let (chunk, _) = runs[0].0;
        let rows: usize = runs.iter().map(|(_, run)| run.rows.len()).sum();
        let known = !config.direct_compress || chunks.births.is_known(chunk);
        if !known {
            plan.births.insert(chunk);
        }
        let direct = config.direct_compress && (rows >= DIRECT_COMPRESS_ROWS_MIN || !known);
        groups.push(ChunkGroup { chunk, direct, rows, runs });
    }
    // Each chunk begins in the way in which the one before ended, so that the way changes once a chunk at most.
    let mut way = true;
    for of_chunk in groups.chunk_by(|a, b| a.chunk == b.chunk) {
        for direct in [way, !way] {
            for group in of_chunk.iter().filter(|group| group.direct == direct) {
                way = direct;
                plan.begin(group.rows, direct, config.rows_max);
                group.runs.iter().for_each(|(_, run)| plan.append(run.clone(), config.rows_max));
            }
        }
    }
    plan
}

/// The rows of one chunk and tenant.
struct ChunkGroup<'a> {
    chunk: Chunk,
    direct: bool,
    rows: usize,
    runs: &'a [((Chunk, &'a Arc<str>), RowRun)],
}

impl Manifest {
    fn new(tenant_id: Arc<str>, stream: &str, batch_id: i64) -> Self {
        let (bounds_us, stream) = ((i64::MAX, i64::MIN), stream.to_owned());
        Self {
            tenant_id,
            stream,
            batch_id,
            event_count: 0,
            span: 0,
            projections: 0,
            bounds_us,
            minutes: Vec::new(),
            minute_us: 0..0,
        }
    }

    /// The minutes since 1970 that its rows fall into.
    pub fn minutes(&self) -> BTreeSet<i32> {
        self.minutes.iter().copied().collect()
    }

    /// Counts rows in; returns the ordinal of the first.
    fn count(&mut self, rows: &[RowRef]) -> i32 {
        let seq = self.span;
        self.span += i32::try_from(rows.len()).expect("items of a request are limited");
        self.event_count = self.span;
        for row in rows {
            self.projections |= row.projections;
            let us = row.timestamp_us;
            self.bounds_us = (self.bounds_us.0.min(us), self.bounds_us.1.max(us));
            if !self.minute_us.contains(&us) {
                let minute = us.div_euclid(MINUTE_US);
                self.minute_us = minute * MINUTE_US..(minute + 1) * MINUTE_US;
                self.minutes.push(i32::try_from(minute).expect("validation keeps timestamps in a window around now"));
            }
        }
        seq
    }
}

impl Plan {
    /// Begins a COPY where the way of writing changes, or where the rows of one tenant and chunk would be torn: each
    /// part would become a segment of its own.
    fn begin(&mut self, rows: usize, direct: bool, rows_max: usize) {
        let fits = |copy: &Copy| copy.direct == direct && copy.rows + rows.min(rows_max) <= rows_max;
        if !self.copies.last().is_some_and(fits) {
            self.copies.push(Copy { runs: Vec::new(), rows: 0, direct });
        }
    }

    /// Adds a run to the COPY that was begun, and to further ones once that is full.
    fn append(&mut self, mut run: RowRun, rows_max: usize) {
        loop {
            let copy = self.copies.last_mut().expect("begin() was called");
            let rest = run.split_off(run.rows.len().min(rows_max - copy.rows));
            let direct = copy.direct;
            if !run.rows.is_empty() {
                copy.rows += run.rows.len();
                copy.runs.push(run);
            }
            if rest.rows.is_empty() {
                return;
            }
            self.copies.push(Copy { runs: Vec::new(), rows: 0, direct });
            run = rest;
        }
    }

    /// The COPY stream of these rows, header to trailer, each tuple stamped with its batch id and ordinal.
    pub fn stream(&self, batch: &[Submission], copy: &Copy) -> Bytes {
        let rows_of = |run: &RowRun| &batch[run.submission].decoded.rows.rows[run.rows.clone()];
        let size: usize =
            copy.runs.iter().flat_map(rows_of).map(|row| (row.bytes.end - row.bytes.start) as usize).sum();
        let mut stream = Vec::with_capacity(COPY_HEADER.len() + size + COPY_TRAILER.len());
        stream.extend_from_slice(&COPY_HEADER);
        for run in &copy.runs {
            let bytes = &batch[run.submission].decoded.rows.bytes;
            let batch_id = self.manifests[run.manifest].batch_id;
            for (row, seq) in rows_of(run).iter().zip(run.first_seq..) {
                let start = stream.len();
                stream.extend_from_slice(&bytes[row.bytes.start as usize..row.bytes.end as usize]);
                stamp(&mut stream[start..], batch_id, seq);
            }
        }
        stream.extend_from_slice(&COPY_TRAILER);
        stream.into()
    }

    /// Takes a row that was there already out of its manifest; bounds and minutes stay, and may be wider than need be.
    pub fn discount(&mut self, batch_id: i64) {
        if let Some(manifest) = self.manifests.iter_mut().find(|manifest| manifest.batch_id == batch_id) {
            manifest.event_count -= 1;
        }
    }

    /// The row that is written under this batch id and ordinal.
    pub fn place_of(&self, batch_id: i64, batch_seq: i32) -> Option<Place> {
        self.copies.iter().flat_map(|copy| &copy.runs).find_map(|run| {
            let at = usize::try_from(batch_seq.checked_sub(run.first_seq)?).ok()?;
            let row = run.rows.start + at;
            let holds = self.manifests[run.manifest].batch_id == batch_id && run.rows.contains(&row);
            holds.then_some(Place { submission: run.submission, row })
        })
    }

    /// Timestamps of all rows, in the order of the plan.
    pub fn timestamps_us<'a>(&'a self, batch: &'a [Submission]) -> impl Iterator<Item = i64> + 'a {
        let runs = self.copies.iter().flat_map(|copy| &copy.runs);
        runs.flat_map(|run| &batch[run.submission].decoded.rows.rows[run.rows.clone()]).map(|row| row.timestamp_us)
    }
}

/// The COPY stream of single rows that will not stay: header to trailer, with neither batch id nor ordinal.
pub fn trial_stream(batch: &[Submission], places: &[Place]) -> Bytes {
    let mut stream = COPY_HEADER.to_vec();
    for place in places {
        let rows = &batch[place.submission].decoded.rows;
        let range = &rows.rows[place.row].bytes;
        stream.extend_from_slice(&rows.bytes[range.start as usize..range.end as usize]);
    }
    stream.extend_from_slice(&COPY_TRAILER);
    stream.into()
}
