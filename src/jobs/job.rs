//! The one shape of a background job: start, stop, run_once returning counts, one interval, one metric set.
//!
//! Among several nodes the leader of a job is the node that holds its lock ([`Lease`]); the lock ends with a connection of
//! the leader's, so that another node takes over by itself. How a run ended is in `job_runs`.

use std::any::Any;
use std::collections::BTreeMap;
use std::future::Future;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant};

use deadpool_postgres::{Object, Pool};
use futures_util::FutureExt;
use tokio::sync::{Semaphore, watch};
use tokio::task::JoinHandle;

use super::failures::Failures;
use crate::storage::locks::{self, Lease};
use crate::storage::{Database, Fate, StorageError, give_back};

/// What a run did, by name; shown in the log and counted in metrics.
pub type RunCounts = Vec<(&'static str, u64)>;

pub trait Job: Send + Sync + 'static {
    /// Its name, in logs, metrics and its lock's name (a migration makes the lock).
    fn name(&self) -> &'static str;
    /// Between the end of a run and the start of the next.
    fn interval(&self) -> Duration;
    /// Does what is due, and no more than a bounded amount of it. `client` is a connection of the owner's; after an error it is closed, and an open transaction with it. Where a row found no partition, what is known of them is forgotten.
    fn run_once(&self, client: &mut Object) -> impl Future<Output = Result<RunCounts, StorageError>> + Send;
}

/// The first runs of a process's jobs take turns: all at once would each open two connections to the database, which none of
/// them needs again.
#[derive(Clone)]
pub struct FirstTurns(Arc<Semaphore>);

/// So many at once.
const FIRST_AT_ONCE: usize = 2;
/// A first run that takes longer keeps its connections, but no turn: nobody waits for it.
const FIRST_TURN: Duration = Duration::from_millis(200);

impl Default for FirstTurns {
    fn default() -> Self {
        Self(Arc::new(Semaphore::new(FIRST_AT_ONCE)))
    }
}

impl FirstTurns {
    /// Lets a run begin when it has a turn.
    async fn take<T>(self, run: impl Future<Output = T>) -> T {
        let mut run = std::pin::pin!(run);
        {
            let _turn = self.0.acquire().await;
            if let Ok(done) = tokio::time::timeout(FIRST_TURN, &mut run).await {
                return done;
            }
        }
        run.await
    }
}

pub struct RunningJob {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl RunningJob {
    /// Ends the job, and a run that is under way with it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Runs a job at its turn and then at its interval, on whichever node holds its lock.
pub fn start<J: Job>(job: J, database: &Database, turns: &FirstTurns) -> RunningJob {
    let (owner, store) = (database.owner.clone(), database.store.clone());
    let (stop, mut stopped) = watch::channel(false);
    let (job, turns) = (Arc::new(job), turns.clone());
    for counted in ["tidegate_job_runs_total", "tidegate_job_failures_total"] {
        metrics::counter!(counted, "job_name" => job.name()).increment(0);
    }
    let task = tokio::spawn(async move {
        let (mut noted, mut failures) = (Noted::default(), Failures::default());
        let mut first = Some(turns);
        loop {
            let turn = first.take();
            let run = async {
                let run = run_as_leader(&*job, &owner, None, &mut noted);
                match turn {
                    Some(turns) => turns.take(run).await,
                    None => run.await,
                }
            };
            let run = tokio::select! {
                run = run => run,
                // Cut short: whatever it was at, the connection is closed with the pool, and another run goes on.
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            // A row that found no partition is refused by its check: one that was known is gone, and others may be, too.
            let refused =
                |error: &StorageError| matches!(error.fate(), Fate::MissingPartition | Fate::RejectRow { .. });
            if run.as_ref().is_err_and(refused) {
                store.forget();
            }
            report(&*job, run, &mut failures);
            tokio::select! {
                () = tokio::time::sleep(failures.pause(job.interval())) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    });
    RunningJob { stop, task }
}

/// Runs a job once, as soon as no node is at it; for commands.
pub async fn run_now<J: Job>(job: &J, owner: &Pool) -> Result<RunCounts, StorageError> {
    let counts = run_as_leader(job, owner, Some(LOCK_WAIT), &mut Noted::default()).await?;
    counts.ok_or_else(|| StorageError::retryable(format!("another process is at the job {}", job.name())))
}

fn report<J: Job>(job: &J, run: Result<Option<RunCounts>, StorageError>, failures: &mut Failures) {
    match run {
        Ok(Some(counts)) => {
            failures.end(job.name());
            metrics::counter!("tidegate_job_runs_total", "job_name" => job.name()).increment(1);
            for (what, count) in counts {
                metrics::counter!("tidegate_job_items_total", "job_name" => job.name(), "what" => what)
                    .increment(count);
                // What a job does every few seconds is no news.
                if count > 0 && job.interval() >= Duration::from_secs(60) {
                    tracing::info!(job = job.name(), what, count, "job");
                }
            }
        }
        Ok(None) => tracing::debug!(job = job.name(), "another node leads this job"),
        Err(error) => {
            metrics::counter!("tidegate_job_failures_total", "job_name" => job.name()).increment(1);
            failures.add(job.name(), &error);
        }
    }
}

/// How long a command waits for a job's lock: a node that holds it longer is not about to let it go.
const LOCK_WAIT: Duration = Duration::from_secs(300);

/// One run under the job's lock; None when another node has it. The lock is waited for, or only tried.
async fn run_as_leader<J: Job>(
    job: &J,
    owner: &Pool,
    wait: Option<Duration>,
    noted: &mut Noted,
) -> Result<Option<RunCounts>, StorageError> {
    let lock = locks::of_job(job.name());
    let lease = match wait {
        Some(wait) => Lease::take(owner, &[lock], wait).await?,
        None => match Lease::try_take(owner, &lock).await? {
            Some(lease) => lease,
            None => return Ok(None),
        },
    };
    let mut client = owner.get().await?;
    let started = Instant::now();
    let run = tokio::select! {
        run = noted_run(job, &mut client, started, noted) => run,
        () = lease.lost() => Err(StorageError::retryable("the connection that held the job's lock ended")),
    };
    match run {
        Ok(counts) => {
            lease.end().await;
            Ok(Some(counts))
        }
        Err(error) => {
            // Whatever went wrong on it, and whatever it is still at: it is not given back.
            drop(Object::take(client));
            noted.add(&RunCounts::new());
            let told = async {
                let client = owner.get().await?;
                let told = noted.write(job, &client, started.elapsed(), Some(&error.to_string())).await;
                told.inspect_err(|second| give_back(client, second))
            };
            if let Err(second) = told.await {
                tracing::debug!(job = job.name(), error = %second, "how the run ended could not be noted");
            }
            Err(error)
        }
    }
}

/// A run and its note. A run that panics is a run that failed: the job goes on.
async fn noted_run<J: Job>(
    job: &J,
    client: &mut Object,
    started: Instant,
    noted: &mut Noted,
) -> Result<RunCounts, StorageError> {
    let run = AssertUnwindSafe(job.run_once(client)).catch_unwind().await;
    let counts = run.unwrap_or_else(|panic| Err(StorageError::fatal(format!("panicked: {}", message(&*panic)))))?;
    noted.add(&counts);
    if noted.is_due(job.interval()) {
        noted.write(job, client, started.elapsed(), None).await?;
    }
    Ok(counts)
}

fn message(panic: &(dyn Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("without a message")
}

/// Runs of jobs that follow each other closely are noted together, so that a job with nothing to do writes next to nothing.
const NOTE_EVERY: Duration = Duration::from_secs(5);

/// What is to be noted in `job_runs`.
#[derive(Default)]
struct Noted {
    at: Option<Instant>,
    runs: i64,
    counts: BTreeMap<&'static str, u64>,
}

impl Noted {
    fn add(&mut self, counts: &RunCounts) {
        self.runs += 1;
        for (what, count) in counts {
            *self.counts.entry(what).or_default() += count;
        }
    }

    fn is_due(&self, interval: Duration) -> bool {
        interval >= NOTE_EVERY || self.at.is_none_or(|at| at.elapsed() >= NOTE_EVERY)
    }

    async fn write<J: Job>(
        &mut self,
        job: &J,
        client: &Object,
        took: Duration,
        error: Option<&str>,
    ) -> Result<(), StorageError> {
        let statement = client.prepare_cached(include_str!("../../sql/queries/job_runs.sql")).await?;
        let counts = serde_json::to_value(&self.counts).expect("names and numbers");
        client
            .execute(
                &statement,
                &[&job.name(), &job.interval().as_secs_f64(), &took.as_secs_f64(), &counts, &error, &self.runs],
            )
            .await?;
        *self = Self { at: Some(Instant::now()), ..Self::default() };
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use std::future::pending;
    use std::sync::atomic::{AtomicUsize, Ordering};
    use std::time::Duration;

    use super::{FIRST_AT_ONCE, FirstTurns};

    #[tokio::test]
    async fn first_runs_take_turns() {
        let (turns, running, most) = (FirstTurns::default(), AtomicUsize::new(0), AtomicUsize::new(0));
        let run = || async {
            most.fetch_max(running.fetch_add(1, Ordering::Relaxed) + 1, Ordering::Relaxed);
            tokio::time::sleep(Duration::from_millis(1)).await;
            running.fetch_sub(1, Ordering::Relaxed);
        };
        futures_util::future::join_all((0..9).map(|_| turns.clone().take(run()))).await;
        assert_eq!((most.into_inner(), running.into_inner()), (FIRST_AT_ONCE, 0));
    }

    #[tokio::test]
    async fn nobody_waits_for_a_long_one() {
        let turns = FirstTurns::default();
        let long = futures_util::future::join_all((0..2 * FIRST_AT_ONCE).map(|_| turns.clone().take(pending::<()>())));
        tokio::select! {
            biased;
            _ = long => unreachable!("it is not done"),
            done = turns.clone().take(async { "done" }) => assert_eq!(done, "done"),
        }
    }
}
