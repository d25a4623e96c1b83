//! What all parts share: the sizes that every path gets alike, and small helpers.

use std::error::Error;
use std::time::{Duration, SystemTime};

use tidegate::model::Kind;

/// As in `batch.rows` and `writers`: all paths get the same.
pub const BATCH_ROWS: u64 = 1000;
pub const CONNECTIONS: usize = 4;
pub const TENANTS: usize = 40;
pub const ASSETS: u32 = 2000;
pub const SEED: u64 = 7;

pub const DAY_US: i64 = 86_400_000_000;
pub const GIB: u64 = 1 << 30;

const MINUTE: Duration = Duration::from_secs(60);
/// A million events take less on any machine that is worth a comparison.
const LEFT: Duration = Duration::from_secs(30);

/// Waits for the next minute, if little is left of this one: what jobs make of a minute that has ended takes so much processor time
/// that a measurement in which one ends cannot be compared with one in which none does. The part `rollups` says what it costs.
pub async fn within_a_minute() {
    let since = SystemTime::UNIX_EPOCH.elapsed().unwrap_or_default();
    let left = MINUTE - Duration::from_millis(since.subsec_millis().into()) - Duration::from_secs(since.as_secs() % 60);
    if left < LEFT {
        tokio::time::sleep(left).await;
    }
}

/// What a row of a kind is called.
pub fn item(kind: Kind) -> &'static str {
    match kind {
        Kind::Events => "event",
        Kind::Metrics => "sample",
    }
}

pub type Result<T> = std::result::Result<T, Box<dyn Error + Send + Sync>>;

/// An error with what caused it: PostgreSQL's own words are a cause.
pub fn why(error: &(dyn Error + Send + Sync)) -> String {
    let (mut text, mut cause) = (error.to_string(), error.source());
    while let Some(error) = cause {
        text = format!("{text}: {error}");
        cause = error.source();
    }
    text
}

/// Counts as a double.
#[expect(clippy::cast_precision_loss, reason = "counts here are far below 2^53")]
pub fn as_f64(number: u64) -> f64 {
    number as f64
}

pub fn per_row(total: f64, rows: u64) -> f64 {
    total / as_f64(rows.max(1))
}

/// The mean; NaN of nothing.
pub fn mean(values: &[f64]) -> f64 {
    values.iter().sum::<f64>() / as_f64(values.len() as u64)
}
