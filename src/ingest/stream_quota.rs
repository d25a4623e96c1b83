//! How many streams an organization may have: events of further ones are refused item by item, before anything is written. A stream
//! is there for good once something of it was stored, since its log's newest row is never deleted.
//!
//! Streams that this process has written to, or found, are known to it. Those of a tenant are counted when it brings one that is not
//! known, and again now and then: other nodes make some.

use std::collections::{HashMap, HashSet};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Instant;

use deadpool_postgres::Object;

use super::plan::{Manifest, Place};
use super::submission::Submission;
use crate::limits::{STREAMS_COUNTED_EVERY, STREAMS_KNOWN_MAX};

const THERE: &str = include_str!("../../sql/queries/streams_there.sql");
const COUNT: &str = include_str!("../../sql/queries/streams_count.sql");

pub struct StreamQuota {
    max: AtomicUsize,
    tenants: Mutex<HashMap<Arc<str>, Known>>,
}

/// What is known of a tenant.
#[derive(Debug, Default)]
struct Known {
    names: HashSet<Box<str>>,
    streams: usize,
    counted: Option<Instant>,
    told: Option<Instant>,
}

/// Streams by tenant.
pub type Streams<'p> = HashMap<&'p Arc<str>, HashSet<&'p str>>;

impl StreamQuota {
    pub fn new(max: usize) -> Self {
        Self { max: AtomicUsize::new(max), tenants: Mutex::default() }
    }

    /// So many from now on.
    pub fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    fn known(&self) -> MutexGuard<'_, HashMap<Arc<str>, Known>> {
        self.tenants.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Of the streams that a transaction writes to, those that their organizations may not have as well.
    pub async fn over<'p>(
        &self,
        client: &Object,
        manifests: &'p [Manifest],
    ) -> Result<Streams<'p>, tokio_postgres::Error> {
        let mut over = Streams::new();
        for (tenant_id, names) in self.unknown(manifests) {
            let there = client.prepare_cached(THERE).await?;
            let there: HashSet<String> =
                client.query(&there, &[&&**tenant_id, &names]).await?.iter().map(|row| row.get(0)).collect();
            self.note(tenant_id, there.iter().map(String::as_str), 0);
            let new: Vec<&str> = names.into_iter().filter(|name| !there.contains(*name)).collect();
            if new.is_empty() {
                continue;
            }
            let room = self.max().saturating_sub(self.count(client, tenant_id).await?);
            if room < new.len() {
                over.insert(tenant_id, new[room..].iter().copied().collect());
            }
        }
        Ok(over)
    }

    /// Streams that are not known, by tenant, each once and in the order of the batches.
    fn unknown<'p>(&self, manifests: &'p [Manifest]) -> HashMap<&'p Arc<str>, Vec<&'p str>> {
        let tenants = self.known();
        let (mut unknown, mut seen) = (HashMap::<_, Vec<&str>>::new(), HashSet::new());
        for Manifest { tenant_id, stream, .. } in manifests {
            if tenants.get(tenant_id).is_some_and(|known| known.names.contains(&**stream)) {
                continue;
            }
            // Several batches may be of one stream.
            if seen.insert((tenant_id, &**stream)) {
                unknown.entry(tenant_id).or_default().push(stream);
            }
        }
        unknown
    }

    async fn count(&self, client: &Object, tenant_id: &Arc<str>) -> Result<usize, tokio_postgres::Error> {
        let counted = self.known().get(tenant_id).and_then(|known| known.counted.map(|at| (known.streams, at)));
        if let Some((streams, _)) = counted.filter(|(_, at)| at.elapsed() < STREAMS_COUNTED_EVERY) {
            return Ok(streams);
        }
        let most = i64::try_from(self.max()).unwrap_or(i64::MAX);
        let statement = client.prepare_cached(COUNT).await?;
        let streams: i64 = client.query_one(&statement, &[&&**tenant_id, &most]).await?.get(0);
        let streams = usize::try_from(streams).unwrap_or(usize::MAX);
        let mut tenants = self.known();
        let known = tenants.entry(Arc::clone(tenant_id)).or_default();
        (known.streams, known.counted) = (streams, Some(Instant::now()));
        Ok(streams)
    }

    /// What a transaction that is committed wrote to.
    pub fn committed(&self, manifests: &[Manifest]) {
        for (tenant_id, names) in self.unknown(manifests) {
            let new = names.len();
            self.note(tenant_id, names.into_iter(), new);
        }
    }

    /// Streams that are there, of which so many were not counted.
    fn note<'n>(&self, tenant_id: &Arc<str>, names: impl Iterator<Item = &'n str>, new: usize) {
        let mut tenants = self.known();
        if tenants.values().map(|known| known.names.len()).sum::<usize>() >= STREAMS_KNOWN_MAX {
            tenants.clear();
        }
        let known = tenants.entry(Arc::clone(tenant_id)).or_default();
        known.names.extend(names.map(Box::from));
        known.streams += new;
    }

    /// Tells that events were refused, now and then.
    pub fn refused(&self, batch: &[Submission], places: &[Place]) {
        metrics::counter!("tidegate_stream_events_refused_total").increment(places.len() as u64);
        let of: HashSet<&Arc<str>> = places.iter().map(|place| &batch[place.submission].received.tenant_id).collect();
        let mut tenants = self.known();
        for tenant_id in of {
            let known = tenants.entry(Arc::clone(tenant_id)).or_default();
            if known.told.is_none_or(|at| at.elapsed() >= STREAMS_COUNTED_EVERY) {
                known.told = Some(Instant::now());
                tracing::warn!(
                    tenant_id = &**tenant_id,
                    streams_max = self.max(),
                    "an organization has as many streams as limits.streams_per_tenant allows: events of further ones are refused"
                );
            }
        }
    }
}

/// The rows of these streams.
pub fn rows_of(streams: &Streams<'_>, batch: &[Submission], taking: &[usize]) -> Vec<Place> {
    let mut places = Vec::new();
    for &submission in taking {
        let Submission { received, decoded, .. } = &batch[submission];
        let Some(names) = streams.get(&received.tenant_id) else { continue };
        let rows = &decoded.rows;
        let of_these = rows
            .rows
            .iter()
            .enumerate()
            .filter(|(_, row)| names.contains(rows.streams[usize::from(row.stream)].as_str()));
        places.extend(of_these.map(|(row, _)| Place { submission, row }));
    }
    places
}
