//! Keeps the embedded server running: starts it again when it dies, stops it when Tidegate ends.

use std::time::Duration;

use tokio::sync::oneshot;
use tokio::task::JoinHandle;

use super::StorageError;
use super::embedded::{DataDirLock, EmbeddedConfig, EmbeddedError, EmbeddedServer};

/// Between a failed restart and the next try; it doubles with each that fails.
const RESTART_PAUSE: Duration = Duration::from_secs(1);
const RESTART_PAUSE_MAX: Duration = Duration::from_secs(10);

/// The embedded server in the care of a task.
pub struct Supervisor {
    stop: oneshot::Sender<()>,
    task: JoinHandle<Result<(), EmbeddedError>>,
}

impl Supervisor {
    /// Takes the server over. `lock` stays held from one server to the next, so that no other process slips in between.
    pub fn watch(server: EmbeddedServer, config: EmbeddedConfig, lock: DataDirLock) -> Self {
        let (stop, stopped) = oneshot::channel();
        Self { stop, task: tokio::spawn(watch(server, config, lock, stopped)) }
    }

    /// Stops the server in order.
    pub async fn stop(self) -> Result<(), StorageError> {
        // The task only ends by this message, or by having ended with an error that the join reports.
        let _ = self.stop.send(());
        match self.task.await {
            Ok(Ok(())) => Ok(()),
            Ok(Err(error)) => Err(StorageError::fatal(error.to_string())),
            Err(error) => Err(StorageError::fatal(format!("the embedded server's task failed: {error}"))),
        }
    }
}

async fn watch(
    mut server: EmbeddedServer,
    config: EmbeddedConfig,
    lock: DataDirLock,
    mut stop: oneshot::Receiver<()>,
) -> Result<(), EmbeddedError> {
    loop {
        tokio::select! {
            status = server.wait() => {
                let status = status.map_or_else(|error| error.to_string(), |status| status.to_string());
                tracing::error!(status, "embedded PostgreSQL ended by itself; starting it again");
                metrics::counter!("tidegate_embedded_restarts_total").increment(1);
            }
            _ = &mut stop => return server.stop().await,
        }
        let mut pause = RESTART_PAUSE;
        server = loop {
            let start = EmbeddedServer::start_again(config.clone(), lock.clone());
            tokio::select! {
                started = start => match started {
                    Ok(server) => break server,
                    Err(error) => tracing::error!(%error, "embedded PostgreSQL could not be started again"),
                },
                // What was begun is left as a crash leaves it; the next start clears it up.
                _ = &mut stop => return Ok(()),
            }
            tokio::select! {
                () = tokio::time::sleep(pause) => pause = (pause * 2).min(RESTART_PAUSE_MAX),
                _ = &mut stop => return Ok(()),
            }
        };
    }
}
