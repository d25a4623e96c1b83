//! Instances that a command starts, and the signals that end it.

use crate::app::App;
use crate::config::Config;
use crate::shutdown::Signals;
use crate::storage::StorageError;

/// Starts an instance. A first signal lets the start come to its end and undoes it, so that no server is left behind
/// half made; a second one ends the process at once. None: it was stopped.
pub async fn start(config: &Config, signals: &mut Signals) -> Result<Option<App>, StorageError> {
    let config = config.clone();
    let mut starting = tokio::spawn(async move { App::start(&config).await });
    let (app, stopped) = tokio::select! {
        app = &mut starting => (app, false),
        signal = signals.next() => {
            tracing::info!(signal, "stopping as soon as the start is over; a second signal stops at once");
            tokio::select! {
                app = &mut starting => (app, true),
                _ = signals.next() => return Ok(None),
            }
        }
    };
    let app = app.map_err(|error| StorageError::fatal(format!("starting: {error}")))??;
    if stopped {
        app.stop().await;
        return Ok(None);
    }
    Ok(Some(app))
}

/// Whether Ctrl-C was pressed; never returns otherwise.
pub async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
