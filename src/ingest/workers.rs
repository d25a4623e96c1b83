//! What runs beside the requests: the writers of each kind, the drain of the spool, the watch over the database.

use std::iter;
use std::sync::Arc;

use tokio::sync::watch;
use tokio::task::JoinHandle;

use super::conservation::Conservation;
use super::drain::Drainer;
use super::lanes::{Lanes, Traffic};
use super::plan::PlanConfig;
use super::queues::Seal;
use super::requeue;
use super::series::KnownSeries;
use super::series_quota::SeriesQuota;
use super::shelter::Shelter;
use super::spool::{Disk, Spool, SpoolPlace, Totals};
use super::stream_quota::StreamQuota;
use super::writer::Writer;
use crate::config::Config;
use crate::limits::{JOINED_BATCHES_MAX, LATE_JOINED_BATCHES_MAX};
use crate::model::{Kind, PerKind};
use crate::storage::{Database, StorageError};

/// What runs beside the requests, in the order in which it ends.
pub struct Workers {
    /// The writers; they end once the lanes are closed and everything that waited is written or spooled.
    pub writers: Vec<JoinHandle<()>>,
    drain: Option<JoinHandle<()>>,
    requeue: Option<JoinHandle<()>>,
    watches: Vec<JoinHandle<()>>,
    stop: watch::Sender<bool>,
}

impl Workers {
    /// Starts `writers` live writers and a late one of each kind and the watch of each home, and the drain if there is a spool.
    pub(super) fn start(
        homes: impl Iterator<Item = (Arc<PerKind<Lanes>>, Arc<Writer>)>,
        drain: Option<Drainer>,
        writers: usize,
    ) -> Self {
        let traffic = || iter::repeat_n(Traffic::Live, writers).chain([Traffic::Late]);
        let each = || Kind::ALL.into_iter().flat_map(|kind| traffic().map(move |traffic| (kind, traffic)));
        let (stop, stopped) = watch::channel(false);
        let (mut writing, mut watches) = (Vec::new(), Vec::new());
        for (lanes, writer) in homes {
            let keep =
                |(kind, traffic)| tokio::spawn(keep_writing(Arc::clone(&writer), Arc::clone(&lanes), kind, traffic));
            writing.extend(each().map(keep));
            watches.push(tokio::spawn(Arc::clone(&writer.shelter).watch(writer.database.clone())));
        }
        Self {
            writers: writing,
            requeue: drain.as_ref().map(|drain| {
                let (spool, conservation) = (Arc::clone(&drain.spool), Arc::clone(&drain.conservation));
                tokio::spawn(requeue::run(spool, conservation, stopped.clone()))
            }),
            drain: drain.map(|drain| tokio::spawn(drain.run(stopped))),
            watches,
            stop,
        }
    }

    /// Ends the drain; called once the writers have ended.
    pub async fn stop(self) {
        self.stop.send_replace(true);
        if let Some(drain) = self.drain {
            // What it was at is still in the spool.
            let _ = drain.await;
        }
        if let Some(requeue) = self.requeue {
            let _ = requeue.await;
        }
        self.watches.iter().for_each(JoinHandle::abort);
    }
}

/// What every writer of these lanes works with.
pub fn writer(
    shelter: &Arc<Shelter>,
    series_quota: &Arc<SeriesQuota>,
    stream_quota: &Arc<StreamQuota>,
    database: &Database,
    config: &Config,
) -> Arc<Writer> {
    Arc::new(Writer {
        database: database.clone(),
        config: PlanConfig {
            rows_max: config.batch.rows * JOINED_BATCHES_MAX,
            direct_compress: database.installed.layout.direct_compress(),
        },
        births: PerKind::default(),
        series: KnownSeries::default(),
        series_quota: Arc::clone(series_quota),
        stream_quota: Arc::clone(stream_quota),
        ids: tokio::sync::Mutex::default(),
        shelter: Arc::clone(shelter),
    })
}

/// Runs a writer to the lane's end. One that panics loses its batch, whose senders are told to retry, and is replaced:
/// with every writer gone, requests would wait for nobody.
async fn keep_writing(writer: Arc<Writer>, lanes: Arc<PerKind<Lanes>>, kind: Kind, traffic: Traffic) {
    let run = || Arc::clone(&writer).run(Arc::clone(&lanes), kind, traffic);
    while let Err(error) = tokio::spawn(run()).await {
        metrics::counter!("tidegate_writer_panics_total").increment(1);
        tracing::error!(%error, "a writer failed and is replaced; this is a bug");
    }
}

pub fn seal(config: &Config, traffic: Traffic) -> Seal {
    let joined_max = match traffic {
        Traffic::Live => JOINED_BATCHES_MAX,
        Traffic::Late => LATE_JOINED_BATCHES_MAX,
    };
    Seal {
        rows: config.batch.rows,
        bytes: config.batch.bytes,
        linger: config.batch.linger,
        joined_max,
        gathers: traffic == Traffic::Late,
    }
}

/// Opens the spool, if there is to be one, and books what an earlier process left in it; returns how many requests
/// that is.
pub async fn open_spool(
    config: &Config,
    conservation: &Conservation,
) -> Result<Option<(Arc<Spool>, u64)>, StorageError> {
    if !config.spool.enabled {
        return Ok(None);
    }
    let spool = SpoolPlace::of(&config.data_dir, config.spool.max_bytes);
    let opened = tokio::task::spawn_blocking(move || Spool::open(spool, Arc::new(Disk)))
        .await
        .map_err(|error| StorageError::fatal(format!("opening the spool: {error}")))?;
    let (spool, recovery) = opened.map_err(|error| StorageError::fatal(error.to_string()))?;
    conservation.recover(recovery.undrained.items);
    requeue::begin(&spool, conservation)
        .await
        .map_err(|error| StorageError::fatal(format!("looking through the spool's quarantine: {error}")))?;
    if recovery.undrained.records > 0 {
        let Totals { records, items, bytes } = recovery.undrained;
        tracing::info!(
            records,
            items,
            bytes,
            "the spool holds requests of an earlier run; they are written once the database is there"
        );
    }
    Ok(Some((spool, recovery.undrained.records)))
}
