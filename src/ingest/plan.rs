//! The plan of one transaction: which rows go in, in which order, in which COPY, under which batch ids.
//!
//! Pure: no runtime, no database. Rows go by (chunk, way of writing, tenant), the one order in which every transaction takes chunks; two
//! that took them in opposite orders would deadlock. Rows of tenants with enough of them go into the columnstore
//! directly, the rest as rows, so that segments stay dense; one chunk holds both.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use bytes::Bytes;

use super::request::Submission;
use crate::event::RowRef;
use crate::event::pgcopy::{COPY_HEADER, COPY_TRAILER, stamp};
use crate::limits::DIRECT_COMPRESS_ROWS_MIN;

const HOUR_US: i64 = 3_600_000_000;

/// How rows are to be planned.
#[derive(Debug, Clone, Copy)]
pub struct PlanConfig {
    /// Most rows of one COPY.
    pub rows_max: usize,
    /// Width of a chunk, in microseconds.
    pub chunk_us: i64,
    /// Whether rows may go straight into the columnstore.
    pub direct_compress: bool,
}

/// A row of the batch: submission and row within it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Place {
    /// Index of the submission in the batch.
    pub submission: usize,
    /// Index of the row in the submission.
    pub row: usize,
}

/// One COPY statement.
#[derive(Debug)]
pub struct Copy {
    /// Its rows, in the order of the stream: line n of an error is `places[n - 1]`.
    pub places: Vec<Place>,
    /// Straight into the columnstore, or as rows.
    pub direct: bool,
}

/// One manifest: what this transaction writes for one (tenant, stream).
#[derive(Debug)]
pub struct Manifest {
    /// The tenant.
    pub tenant_id: Arc<str>,
    /// The stream.
    pub stream: String,
    /// Its id.
    pub batch_id: i64,
    /// Its rows.
    pub event_count: i32,
    /// Oldest and newest timestamp, in microseconds since 1970.
    pub bounds_us: (i64, i64),
    /// The hours touched, in microseconds since 1970.
    pub hours_us: BTreeSet<i64>,
}

/// What one transaction writes into events.
#[derive(Debug, Default)]
pub struct Plan {
    /// The COPY statements, in order.
    pub copies: Vec<Copy>,
    /// The manifests.
    pub manifests: Vec<Manifest>,
    /// (manifest, ordinal within its batch) of every row, by submission and row.
    numbers: Vec<Vec<(u32, i32)>>,
}

/// Plans the rows of the submissions named by `taking`. `new_batch_id` is called once per (tenant, stream).
pub fn plan(
    batch: &[Submission],
    taking: &[usize],
    config: PlanConfig,
    mut new_batch_id: impl FnMut(&Arc<str>, &str) -> i64,
) -> Plan {
    let mut plan = Plan { numbers: vec![Vec::new(); batch.len()], ..Plan::default() };
    let mut rows_of: HashMap<&str, usize> = HashMap::new();
    for &index in taking {
        *rows_of.entry(&batch[index].tenant_id).or_default() += batch[index].decoded.rows.rows.len();
    }
    let mut manifest_of: BTreeMap<(&Arc<str>, &str), u32> = BTreeMap::new();
    let mut order: Vec<(i64, bool, &Arc<str>, Place)> = Vec::new();
    for &index in taking {
        let submission = &batch[index];
        let rows = &submission.decoded.rows;
        let direct = config.direct_compress && rows_of[&*submission.tenant_id] >= DIRECT_COMPRESS_ROWS_MIN;
        // A submission's rows mostly are of one stream: look its manifest up once.
        let mut manifests: Vec<Option<u32>> = vec![None; rows.streams.len()];
        for (row, at) in rows.rows.iter().enumerate() {
            let stream = usize::from(at.stream);
            let manifest = *manifests[stream].get_or_insert_with(|| {
                let name = rows.streams[stream].as_str();
                *manifest_of.entry((&submission.tenant_id, name)).or_insert_with(|| {
                    plan.manifests.push(Manifest {
                        tenant_id: Arc::clone(&submission.tenant_id),
                        stream: name.to_owned(),
                        batch_id: new_batch_id(&submission.tenant_id, name),
                        event_count: 0,
                        bounds_us: (i64::MAX, i64::MIN),
                        hours_us: BTreeSet::new(),
                    });
                    u32::try_from(plan.manifests.len() - 1).expect("bounded by the rows of a batch")
                })
            });
            let seq = plan.manifests[manifest as usize].count(at);
            plan.numbers[index].push((manifest, seq));
            let chunk = at.timestamp_us.div_euclid(config.chunk_us);
            order.push((chunk, !direct, &submission.tenant_id, Place { submission: index, row }));
        }
    }
    // Stable, so that rows of one tenant and chunk stay as they came.
    order.sort_by(|a, b| (a.0, a.1, a.2).cmp(&(b.0, b.1, b.2)));
    // One COPY goes on from chunk to chunk until it is full or the way of writing changes.
    for group in order.chunk_by(|a, b| a.1 == b.1) {
        for part in group.chunks(config.rows_max) {
            plan.copies.push(Copy { places: part.iter().map(|entry| entry.3).collect(), direct: !part[0].1 });
        }
    }
    plan
}

impl Manifest {
    fn count(&mut self, row: &RowRef) -> i32 {
        let seq = self.event_count;
        self.event_count += 1;
        self.bounds_us = (self.bounds_us.0.min(row.timestamp_us), self.bounds_us.1.max(row.timestamp_us));
        self.hours_us.insert(row.timestamp_us.div_euclid(HOUR_US) * HOUR_US);
        seq
    }
}

impl Plan {
    /// The COPY stream of these rows, header to trailer, each tuple stamped with its batch id and ordinal.
    pub fn stream(&self, batch: &[Submission], places: &[Place]) -> Bytes {
        let bytes_of = |place: &Place| -> &[u8] {
            let rows = &batch[place.submission].decoded.rows;
            let range = &rows.rows[place.row].bytes;
            &rows.bytes[range.start as usize..range.end as usize]
        };
        let size: usize = places.iter().map(|place| bytes_of(place).len()).sum();
        let mut stream = Vec::with_capacity(COPY_HEADER.len() + size + COPY_TRAILER.len());
        stream.extend_from_slice(&COPY_HEADER);
        for place in places {
            let start = stream.len();
            stream.extend_from_slice(bytes_of(place));
            let (manifest, seq) = self.numbers[place.submission][place.row];
            stamp(&mut stream[start..], self.manifests[manifest as usize].batch_id, seq);
        }
        stream.extend_from_slice(&COPY_TRAILER);
        stream.into()
    }

    /// Takes a row that was there already out of its manifest; bounds and hours stay, and may be wider than need be.
    pub fn discount(&mut self, batch_id: i64) {
        if let Some(manifest) = self.manifests.iter_mut().find(|manifest| manifest.batch_id == batch_id) {
            manifest.event_count -= 1;
        }
    }

    /// The submission that a written row came from.
    pub fn submission_of(&self, batch_id: i64, batch_seq: i32) -> Option<usize> {
        let manifest = self.manifests.iter().position(|manifest| manifest.batch_id == batch_id)?;
        let wanted = (u32::try_from(manifest).ok()?, batch_seq);
        self.numbers.iter().position(|numbers| numbers.contains(&wanted))
    }

    /// Timestamps of all rows, in the order of the plan.
    pub fn timestamps_us<'a>(&'a self, batch: &'a [Submission]) -> impl Iterator<Item = i64> + 'a {
        self.copies
            .iter()
            .flat_map(|copy| &copy.places)
            .map(|place| batch[place.submission].decoded.rows.rows[place.row].timestamp_us)
    }
}
