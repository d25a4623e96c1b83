//! Logs and metrics of the process: set up once, before anything else happens.

mod described;
pub mod process;

pub use described::{METRICS, MetricKind};

use std::sync::OnceLock;

use metrics_exporter_prometheus::{BuildError, Matcher, PrometheusBuilder, PrometheusHandle};
use tracing_subscriber::layer::SubscriberExt;
use tracing_subscriber::util::SubscriberInitExt;
use tracing_subscriber::{EnvFilter, fmt, reload};

use crate::config::{ConfigError, LogConfig};

/// Upper bounds of duration histograms, in seconds.
const SECONDS: &[f64] = &[0.001, 0.002, 0.005, 0.01, 0.02, 0.05, 0.1, 0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 30.0];
/// Upper bounds of the rows of a batch.
const ROWS: &[f64] = &[1.0, 10.0, 50.0, 100.0, 250.0, 500.0, 1000.0, 2000.0, 5000.0, 10_000.0, 100_000.0];

/// Sends logs to standard error, as text or as one JSON object a line; standard output is for results. Called again, it
/// sets the level.
pub fn start_logging(config: &LogConfig) -> Result<(), ConfigError> {
    let filter = EnvFilter::try_new(&config.level)
        .map_err(|error| ConfigError(format!("configuration key `log.level`: `{}`: {error}", config.level)))?;
    // The pool warns once per connection after a restart of the database; what matters of that is said by others.
    let filter = filter.add_directive("deadpool.postgres=error".parse().expect("a valid directive"));
    if let Some(set) = SET_FILTER.get() {
        // Started before: the format stays, the level is set again.
        set(filter);
        return Ok(());
    }
    let (filter, handle) = reload::Layer::new(filter);
    let plain = std::env::var_os("NO_COLOR").is_some_and(|said| !said.is_empty());
    let (json, ansi) = (config.json, !plain && std::io::IsTerminal::is_terminal(&std::io::stderr()));
    let text = (!json).then(|| fmt::layer().with_writer(std::io::stderr).with_ansi(ansi));
    let objects =
        json.then(|| fmt::layer().with_writer(std::io::stderr).json().flatten_event(true).with_current_span(false));
    // A second initialisation (tests) keeps the first one's output.
    if tracing_subscriber::registry().with(filter).with(text).with(objects).try_init().is_ok() {
        let _ = SET_FILTER.set(Box::new(move |filter| {
            // Fails only once the subscriber is gone.
            let _ = handle.reload(filter);
        }));
    }
    Ok(())
}

/// Sets the filter of the log that was started.
static SET_FILTER: OnceLock<Box<dyn Fn(EnvFilter) + Send + Sync>> = OnceLock::new();

/// Installs the recorder of metrics and returns what renders them.
pub fn start_metrics() -> Result<PrometheusHandle, BuildError> {
    let handle = PrometheusBuilder::new()
        .set_buckets_for_metric(Matcher::Suffix("_seconds".into()), SECONDS)?
        .set_buckets_for_metric(Matcher::Suffix("_rows".into()), ROWS)?
        .set_buckets_for_metric(Matcher::Full("tidegate_spool_group_records".into()), ROWS)?
        .install_recorder()?;
    described::describe();
    Ok(handle)
}
