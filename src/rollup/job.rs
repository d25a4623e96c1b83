//! The one shape of a background job: start, stop, run_once returning counts, one interval, one metric set.
//!
//! Among several nodes the leader of a job is whoever holds its advisory lock; the lock ends with the leader's
//! connection, so that another node takes over by itself.

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use deadpool_postgres::{Object, Pool};
use tokio::sync::watch;
use tokio::task::JoinHandle;

use crate::storage::StorageError;

/// What a run did, by name; shown in the log and counted in metrics.
pub type Counts = Vec<(&'static str, u64)>;

/// A background job.
pub trait Job: Send + Sync + 'static {
    /// Its name, in logs, metrics and the advisory lock.
    const NAME: &'static str;
    /// Between the end of a run and the start of the next.
    const INTERVAL: Duration;
    /// Does what is due, and no more than a bounded amount of it. `client` is the owner's connection that holds the job's
    /// lock; after an error it is closed, and an open transaction with it.
    fn run_once(&self, client: &mut Object) -> impl Future<Output = Result<Counts, StorageError>> + Send;
}

/// A started job.
pub struct Running {
    stop: watch::Sender<bool>,
    task: JoinHandle<()>,
}

impl Running {
    /// Ends the job, and a run that is under way with it.
    pub async fn stop(self) {
        let _ = self.stop.send(true);
        let _ = self.task.await;
    }
}

/// Runs a job now and then every [`Job::INTERVAL`], on whichever node holds its lock.
pub fn start<J: Job>(job: J, owner: Pool) -> Running {
    let (stop, mut stopped) = watch::channel(false);
    let job = Arc::new(job);
    let task = tokio::spawn(async move {
        loop {
            let run = tokio::select! {
                run = run_as_leader(&*job, &owner) => run,
                // Cut short: whatever it was at, the connection is closed with the pool, and another run goes on.
                _ = stopped.wait_for(|stop| *stop) => return,
            };
            match run {
                Ok(Some(counts)) => {
                    metrics::counter!("tidegate_job_runs_total", "job" => J::NAME).increment(1);
                    for (what, count) in counts {
                        metrics::counter!("tidegate_job_items_total", "job" => J::NAME, "what" => what)
                            .increment(count);
                        // What a job does every few seconds is no news.
                        if count > 0 && J::INTERVAL >= Duration::from_secs(60) {
                            tracing::info!(job = J::NAME, what, count, "job");
                        }
                    }
                }
                Ok(None) => tracing::debug!(job = J::NAME, "another node leads this job"),
                Err(error) => {
                    metrics::counter!("tidegate_job_failures_total", "job" => J::NAME).increment(1);
                    tracing::warn!(job = J::NAME, %error, "a job's run failed; it is tried again");
                }
            }
            tokio::select! {
                () = tokio::time::sleep(J::INTERVAL) => {}
                _ = stopped.wait_for(|stop| *stop) => return,
            }
        }
    });
    Running { stop, task }
}

/// One run under the job's lock; None when another node has it.
async fn run_as_leader<J: Job>(job: &J, owner: &Pool) -> Result<Option<Counts>, StorageError> {
    let mut client = owner.get().await?;
    let name = format!("tidegate.job.{}", J::NAME);
    let leads: bool = client.query_one("SELECT pg_try_advisory_lock(hashtextextended($1, 0))", &[&name]).await?.get(0);
    if !leads {
        return Ok(None);
    }
    match job.run_once(&mut client).await {
        Ok(counts) => {
            client.execute("SELECT pg_advisory_unlock(hashtextextended($1, 0))", &[&name]).await?;
            Ok(Some(counts))
        }
        Err(error) => {
            drop(Object::take(client));
            Err(error)
        }
    }
}
