//! How many series an organization may have: samples of further ones are refused item by item, before anything is written.
//!
//! Counted are those of the catalog of which a sample was seen within the retention of raw metrics, once for a tenant, and again now
//! and then when it has many: other nodes make some, and some grow old. In between this process adds its own.

use std::collections::{BTreeMap, HashMap};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Instant;

use deadpool_postgres::Object;

use super::plan::Place;
use super::series::{FreshSeries, Key};
use super::submission::Submission;
use crate::limits::{SERIES_COUNTED_EVERY, SERIES_NOTED_EVERY, SERIES_QUOTA_TENANTS_MAX};

const COUNT: &str = "SELECT count(*) FROM metric_series WHERE tenant_id = $1 \
                     AND last_seen >= now() - make_interval(secs => $2::float8)";

pub struct SeriesQuota {
    max: AtomicUsize,
    /// Retention of raw metrics, in seconds.
    kept_s: f64,
    tenants: Mutex<HashMap<String, Counted>>,
}

/// What is known of a tenant.
#[derive(Debug, Clone, Default)]
struct Counted {
    series: usize,
    at: Option<Instant>,
    /// Samples refused since that was noted in the database.
    refused: i64,
    noted: Option<Instant>,
}

/// Room that was taken for new series; given back unless they are committed.
#[must_use]
pub struct Reserved<'q> {
    quota: &'q SeriesQuota,
    tenants: BTreeMap<String, usize>,
}

impl Reserved<'_> {
    pub fn committed(mut self) {
        let made = self.tenants.values().sum::<usize>();
        self.tenants.clear();
        metrics::counter!("tidegate_series_created_total").increment(made as u64);
    }
}

impl Drop for Reserved<'_> {
    fn drop(&mut self) {
        for (tenant_id, series) in std::mem::take(&mut self.tenants) {
            self.quota.change(&tenant_id, |counted| counted.series = counted.series.saturating_sub(series));
        }
    }
}

impl SeriesQuota {
    pub fn new(max: usize, kept_s: f64) -> Self {
        Self { max: AtomicUsize::new(max), kept_s, tenants: Mutex::default() }
    }

    /// So many from now on.
    pub fn resize(&self, max: usize) {
        self.max.store(max, Ordering::Relaxed);
    }

    pub fn max(&self) -> usize {
        self.max.load(Ordering::Relaxed)
    }

    fn change<T>(&self, tenant_id: &str, change: impl FnOnce(&mut Counted) -> T) -> T {
        let mut tenants = self.tenants.lock().expect("no code panics while holding it");
        if !tenants.contains_key(tenant_id) {
            if tenants.len() >= SERIES_QUOTA_TENANTS_MAX {
                tenants.clear();
            }
            tenants.insert(tenant_id.to_owned(), Counted::default());
        }
        change(tenants.get_mut(tenant_id).expect("it was just put there"))
    }

    /// Takes room for the new ones among `fresh`, in the order of their first samples: the others' samples are the second.
    pub async fn reserve(
        &self,
        client: &Object,
        batch: &[Submission],
        fresh: &FreshSeries,
    ) -> Result<(Reserved<'_>, Vec<Key>), tokio_postgres::Error> {
        let mut reserved = Reserved { quota: self, tenants: BTreeMap::new() };
        let mut over = Vec::new();
        for (tenant_id, new) in fresh.new_of_tenants(batch) {
            self.count(client, tenant_id, new.len()).await?;
            let max = self.max();
            let taken = self.change(tenant_id, |counted| {
                let taken = new.len().min(max.saturating_sub(counted.series));
                counted.series += taken;
                taken
            });
            reserved.tenants.insert(tenant_id.to_owned(), taken);
            over.extend_from_slice(&new[taken..]);
        }
        Ok((reserved, over))
    }

    /// Counts the tenant's series where that is due.
    async fn count(&self, client: &Object, tenant_id: &str, new: usize) -> Result<(), tokio_postgres::Error> {
        let max = self.max();
        let due = self.change(tenant_id, |counted| match counted.at {
            None => true,
            Some(at) => counted.series + new > max / 2 && at.elapsed() >= SERIES_COUNTED_EVERY,
        });
        if due {
            let statement = client.prepare_cached(COUNT).await?;
            let series: i64 = client.query_one(&statement, &[&tenant_id, &self.kept_s]).await?.get(0);
            self.change(tenant_id, |counted| {
                counted.series = usize::try_from(series).unwrap_or(usize::MAX);
                counted.at = Some(Instant::now());
            });
        }
        Ok(())
    }

    /// Tells that samples were refused: in the log when that begins, and in the database now and then.
    pub async fn refused(&self, client: &Object, batch: &[Submission], places: &[Place]) {
        metrics::counter!("tidegate_series_samples_refused_total").increment(places.len() as u64);
        let mut of_tenants: BTreeMap<&str, i64> = BTreeMap::new();
        for place in places {
            *of_tenants.entry(&batch[place.submission].received.tenant_id).or_default() += 1;
        }
        for (tenant_id, samples) in of_tenants {
            let noting = self.change(tenant_id, |counted| {
                counted.refused += samples;
                let due = counted.noted.is_none_or(|at| at.elapsed() >= SERIES_NOTED_EVERY);
                due.then(|| {
                    counted.noted = Some(Instant::now());
                    std::mem::take(&mut counted.refused)
                })
            });
            let Some(refused) = noting else { continue };
            let sql = include_str!("../../sql/queries/over_quota_note.sql");
            match client.query_one(sql, &[&tenant_id, &refused, &"series"]).await {
                Ok(row) if row.get(0) => tracing::warn!(
                    tenant_id,
                    series_max = self.max(),
                    "an organization has as many series as limits.series_per_tenant allows: samples of further ones are refused"
                ),
                Ok(_) => {}
                Err(error) => tracing::debug!(%error, "who is over the quota of series could not be noted"),
            }
        }
    }
}
