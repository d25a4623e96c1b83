//! Instances that a command starts, and the signals that end it.

use tokio::task::JoinError;

use super::output::{Exit, failed};
use crate::app::{App, Listening};
use crate::config::{Config, LiveLimits};
use crate::shutdown::Signals;
use crate::storage::StorageError;

/// Starts an instance and waits for its database. Err: it has ended, with this exit code.
///
/// A first signal lets the making of an embedded server come to its end, so that none is left behind half made, and stops;
/// while the database is waited for it stops in order. A second one ends the process.
pub async fn start(config: &Config, limits: &LiveLimits, signals: &mut Signals) -> Result<App, Exit> {
    let listening = listen(config, limits, signals).await?;
    let reached = tokio::select! {
        biased;
        reached = listening.reach() => reached,
        signal = signals.next() => {
            tracing::info!(signal, "stopping; a second signal stops at once");
            let in_order = tokio::select! {
                in_order = listening.stop() => in_order,
                _ = signals.next() => false,
            };
            return Err(if in_order { Exit::Ok } else { Exit::Failed });
        }
    };
    match reached {
        Ok(reached) => Ok(listening.attach(reached)),
        Err(error) => {
            listening.stop().await;
            Err(failed(&error))
        }
    }
}

async fn listen(config: &Config, limits: &LiveLimits, signals: &mut Signals) -> Result<Listening, Exit> {
    let (config, limits) = (config.clone(), limits.clone());
    let mut starting = tokio::spawn(async move { Listening::start(&config, &limits).await });
    let started = |joined: Result<Result<Listening, StorageError>, JoinError>| {
        joined.unwrap_or_else(|error| Err(StorageError::fatal(format!("starting: {error}"))))
    };
    tokio::select! {
        joined = &mut starting => return started(joined).map_err(|error| failed(&error)),
        signal = signals.next() => {
            tracing::info!(signal, "stopping as soon as the start is over; a second signal stops at once");
        }
    }
    tokio::select! {
        joined = &mut starting => {
            if let Ok(listening) = started(joined) {
                listening.stop().await;
            }
        }
        _ = signals.next() => {}
    }
    Err(failed(&"stopped while starting"))
}

/// Whether Ctrl-C was pressed; never returns otherwise.
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
