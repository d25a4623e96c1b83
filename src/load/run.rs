//! One run from start to report: prepares the feed, starts the workers, ends them in order.
//!
//! A run has three phases. Running: workers take new requests. Draining (the time is up, the user asked, or a worker gave
//! up): none is taken, those in flight are finished. Abandoning (the grace period is over): they are dropped and counted
//! as failed, so that the report comes in bounded time.

use std::fmt;
use std::path::{Path, PathBuf};
use std::pin::pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::HeaderValue;
use tokio::sync::{Mutex, mpsc, watch};
use tokio::task::{JoinHandle, JoinSet};
use tokio::time::{Instant, MissedTickBehavior, interval, sleep_until};
use uuid::Uuid;

use super::client::Endpoint;
use super::deliver::{Courier, Delivery, DeliveryEnd, RetryPolicy};
use super::feed::{Feed, Generating};
use super::file::{Batches, Lines, find_shifts};
use super::options::{LoadOptions, Source};
use super::pace::Pacer;
use super::progress::ProgressLine;
use super::report::{LoadReport, WorkerTally};

/// Requests that one worker may see refused one after another; more of the same tells nothing new.
const REFUSED_IN_A_ROW_MAX: u32 = 10;
/// For the first connection, before anything is sent.
const PROBE_TIMEOUT: Duration = Duration::from_secs(10);
/// A file that is not loaded to its end is not loaded; of generated load there is as much as one wants.
const FILE_INTERRUPTED: &str = "interrupted before the end of the file";
const TICK: Duration = Duration::from_millis(200);

/// Why a run did not start, or could not say how it ended.
#[derive(Debug)]
#[non_exhaustive]
pub enum LoadError {
    Usage(String),
    /// Nothing answers at the URL.
    Connect(String),
    File(PathBuf, std::io::Error),
    /// A bug: a task of the run panicked.
    Worker(String),
}

impl fmt::Display for LoadError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Usage(message) | Self::Connect(message) => f.write_str(message),
            Self::File(path, error) => write!(f, "{}: {error}", path.display()),
            Self::Worker(message) => write!(f, "a load task ended abnormally: {message}"),
        }
    }
}

impl std::error::Error for LoadError {}

#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
enum Phase {
    Running,
    Draining,
    Abandoning,
}

/// Runs a load until its time is up, its file is loaded, or `stop` completes; either way it reports what happened.
/// An interrupted run takes up to 20 s more for the requests in flight.
pub async fn run(options: LoadOptions, stop: impl Future<Output = ()>) -> Result<LoadReport, LoadError> {
    run_with(options, RetryPolicy::default(), stop).await
}

pub(crate) async fn run_with(
    options: LoadOptions,
    policy: RetryPolicy,
    stop: impl Future<Output = ()>,
) -> Result<LoadReport, LoadError> {
    options.validate().map_err(LoadError::Usage)?;
    let kind = options.source.kind();
    let envelope = Arc::new(envelope(&options, policy).map_err(LoadError::Usage)?);
    let refused = |reason| LoadError::Connect(format!("cannot connect to {}: {reason}", options.url));
    envelope.endpoint.probe(PROBE_TIMEOUT).await.map_err(refused)?;

    let mut stop = pin!(stop);
    let position = Arc::new(AtomicU64::new(0));
    let opened = tokio::select! {
        opened = open(&options, position.clone()) => Some(opened?),
        () = &mut stop => None,
    };
    let Some((feed, reader, length)) = opened else {
        let mut report = WorkerTally::default().into_report(kind, Duration::ZERO);
        report.interrupted = true;
        report.stopped_early = Some(FILE_INTERRUPTED.into());
        return Ok(report);
    };

    let start = Instant::now();
    let timed = reader.is_none();
    let deadline = start + options.duration;
    let pacer = Arc::new(Pacer::new(options.rate, start));
    let (phase, watched) = watch::channel(Phase::Running);
    let mut workers = JoinSet::new();
    for number in 0..options.connections {
        let courier = Courier::new(envelope.clone(), number as u64);
        workers.spawn(work(feed.clone(), pacer.clone(), courier, watched.clone()));
    }
    // The workers hold the only handles now: when they are done, a reader that is not is told so.
    drop(feed);

    let progress = ProgressLine::new(options.progress, length);
    let mut tick = interval(TICK);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    let mut total = WorkerTally::default();
    let mut interrupted = false;
    let mut abandon_at = None;
    loop {
        tokio::select! {
            joined = workers.join_next() => match joined {
                None => break,
                Some(tally) => total.merge(tally.map_err(|error| LoadError::Worker(error.to_string()))?),
            },
            () = &mut stop, if !interrupted => interrupted = true,
            () = sleep_until(deadline), if timed && abandon_at.is_none() => phase_to(&phase, Phase::Draining),
            () = sleep_until(abandon_at.unwrap_or(deadline)), if abandon_at.is_some() => {
                phase_to(&phase, Phase::Abandoning);
                abandon_at = Some(Instant::now() + envelope.policy.grace);
            }
            _ = tick.tick() => {
                let elapsed = start.elapsed();
                let elapsed_ms = u64::try_from(elapsed.as_millis()).unwrap_or(u64::MAX);
                let position = if timed { elapsed_ms } else { position.load(Ordering::Relaxed) };
                progress.update(position, envelope.safe.load(Ordering::Relaxed), elapsed);
            }
        }
        if interrupted || total.report.stopped_early.is_some() {
            phase_to(&phase, Phase::Draining);
        }
        if *phase.borrow() == Phase::Draining && abandon_at.is_none() {
            abandon_at = Some(Instant::now() + envelope.policy.grace);
        }
    }
    drop(progress);
    let mut report = total.into_report(kind, start.elapsed());
    report.interrupted = interrupted;
    if let Some(reader) = reader {
        let read = reader.await.map_err(|error| LoadError::Worker(error.to_string()))?;
        // What was loaded until then is worth reporting, so this is not an error of the run.
        let unread = read.err().map(|error| error.to_string());
        report.stopped_early = report.stopped_early.or(unread).or(interrupted.then(|| FILE_INTERRUPTED.into()));
    }
    Ok(report)
}

/// Phases only ever advance.
fn phase_to(phase: &watch::Sender<Phase>, to: Phase) {
    phase.send_if_modified(|at| {
        let advances = *at < to;
        *at = (*at).max(to);
        advances
    });
}

/// Completes when the run has come to a phase.
async fn reached(watched: &mut watch::Receiver<Phase>, phase: Phase) {
    // An error means that the run itself is gone, and so is the need for more work.
    drop(watched.wait_for(|at| *at >= phase).await);
}

async fn work(feed: Feed, pacer: Arc<Pacer>, mut courier: Courier, mut watched: watch::Receiver<Phase>) -> WorkerTally {
    let mut tally = WorkerTally::default();
    let mut buffer = Vec::new();
    let mut refused_in_a_row = 0;
    loop {
        let claim = tokio::select! {
            biased;
            () = reached(&mut watched, Phase::Draining) => break,
            claim = feed.claim() => match claim {
                None => break,
                Some(claim) => claim,
            },
        };
        if let Some(slot) = pacer.reserve(claim.events(), Instant::now()) {
            tokio::select! {
                biased;
                () = reached(&mut watched, Phase::Draining) => break,
                () = sleep_until(slot) => {}
            }
        }
        let mut job = claim.into_job(std::mem::take(&mut buffer));
        let events = job.events;
        let delivered = tokio::select! {
            delivered = courier.deliver(&mut job, &mut tally) => Some(delivered),
            () = reached(&mut watched, Phase::Abandoning) => None,
        };
        refused_in_a_row = match delivered {
            Some(DeliveryEnd::Refused) => refused_in_a_row + 1,
            Some(DeliveryEnd::Counted | DeliveryEnd::Failed) => 0,
            None => {
                tally.fail(
                    events,
                    None,
                    "abandoned",
                    "not answered when the run ended; whether it is stored is unknown",
                );
                break;
            }
        };
        if refused_in_a_row == REFUSED_IN_A_ROW_MAX {
            let why = format!("{REFUSED_IN_A_ROW_MAX} requests in a row were refused; see the errors");
            tally.report.stopped_early = Some(why);
            break;
        }
        buffer = job.body;
    }
    tally
}

/// Checks what all requests have in common, so that no request can fail to be built later.
fn envelope(options: &LoadOptions, policy: RetryPolicy) -> Result<Delivery, String> {
    let endpoint = Arc::new(Endpoint::trusting(&options.url, &options.trust)?);
    let authorizations = options.keys.iter().map(|key| {
        let mut value = HeaderValue::from_str(&format!("Bearer {key}"))
            .map_err(|_| "--key: a key holds characters that no header may hold".to_owned())?;
        value.set_sensitive(true);
        Ok(value)
    });
    let key_prefix = match &options.source {
        _ if options.no_keys => None,
        Source::File { key_prefix: Some(prefix), .. } => Some(prefix.clone()),
        // Unique to this run, so that retries are exactly once and nothing is taken for an earlier run's.
        _ => Some(Uuid::now_v7().to_string()),
    };
    if key_prefix.as_ref().is_some_and(|prefix| !prefix.bytes().all(|byte| byte.is_ascii_graphic())) {
        return Err("--key-prefix: only printable ASCII without spaces".into());
    }
    Ok(Delivery {
        path: endpoint.path(options.source.kind().path())?,
        endpoint,
        authorizations: authorizations.collect::<Result<_, String>>()?,
        key_prefix,
        gzip: options.gzip,
        policy,
        safe: AtomicU64::new(0),
    })
}

type FileReader = JoinHandle<Result<(), LoadError>>;

/// Makes the feed; for a file also the task that reads it. The number is the length of the progress bar.
async fn open(options: &LoadOptions, position: Arc<AtomicU64>) -> Result<(Feed, Option<FileReader>, u64), LoadError> {
    let batch = options.events_per_request() as u64;
    let left = options.max_events.unwrap_or(u64::MAX);
    let (path, kind, now_us) = match &options.source {
        Source::Generate { kind, seed, assets } => {
            let feed = Feed::Generate(Arc::new(Generating {
                kind: *kind,
                seed: *seed,
                assets: *assets,
                format: options.format,
                batch,
                next: AtomicU64::new(0),
                left: AtomicU64::new(left),
            }));
            let length_ms = u64::try_from(options.duration.as_millis()).unwrap_or(u64::MAX);
            return Ok((feed, None, length_ms));
        }
        Source::File { path, kind, shift_to_now, now, .. } => {
            let now = now.unwrap_or_else(jiff::Timestamp::now).as_microsecond();
            (path.clone(), *kind, shift_to_now.then_some(now))
        }
    };
    let length = std::fs::metadata(&path).map_err(|error| LoadError::File(path.clone(), error))?.len();
    let shifts = match now_us {
        Some(now_us) => Some(first_pass(&path, kind, now_us).await?),
        None => None,
    };
    let lines = Lines::open(&path, position).map_err(|error| LoadError::File(path.clone(), error))?;
    let batches = Batches { lines, kind, format: options.format, batch, shifts, left, number: 0 };
    // One body read ahead for each connection keeps them busy and memory bounded.
    let (sender, jobs) = mpsc::channel(options.connections);
    let reader = tokio::task::spawn_blocking(move || read(path, batches, &sender));
    Ok((Feed::File(Arc::new(Mutex::new(jobs))), Some(reader), length))
}

/// The first pass on a thread of its own, cancelled when nobody waits for it any more.
async fn first_pass(path: &Path, kind: super::ItemKind, now_us: i64) -> Result<super::shift::Shifts, LoadError> {
    struct CancelOnDrop(Arc<AtomicBool>);
    impl Drop for CancelOnDrop {
        fn drop(&mut self) {
            self.0.store(true, Ordering::Relaxed);
        }
    }
    let cancel = CancelOnDrop(Arc::new(AtomicBool::new(false)));
    let (path, cancelled) = (path.to_owned(), cancel.0.clone());
    let pass = move || find_shifts(&path, kind, now_us, &cancelled).map_err(|error| LoadError::File(path, error));
    tokio::task::spawn_blocking(pass).await.map_err(|error| LoadError::Worker(error.to_string()))?
}

fn read(path: PathBuf, mut batches: Batches, jobs: &mpsc::Sender<super::feed::LoadRequest>) -> Result<(), LoadError> {
    loop {
        match batches.next() {
            Ok(Some(job)) => {
                if jobs.blocking_send(job).is_err() {
                    // The run has ended before the file.
                    return Ok(());
                }
            }
            Ok(None) => return Ok(()),
            Err(error) => return Err(LoadError::File(path, error)),
        }
    }
}
