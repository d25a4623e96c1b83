//! What a load run is asked to do, and the checks that need no network.

use std::fmt;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use serde::Serialize;

use crate::config;
use crate::limits::{IDEMPOTENCY_KEY_BYTES_MAX, ITEMS_PER_REQUEST_MAX};
use crate::tls::Trust;

/// Assets that generated events are spread over.
pub const ASSETS_DEFAULT: u32 = 2000;
/// Most connections of a run; a load generator with more measures its own scheduler.
const CONNECTIONS_MAX: usize = 1024;
/// Longest run: a year, so that a deadline always fits the clock.
const DURATION_MAX: Duration = Duration::from_secs(365 * 86_400);
/// Room that a key prefix leaves for `-` and the batch number.
const NUMBER_DIGITS_MAX: usize = 21;

/// Everything a run needs to know.
#[derive(Clone)]
pub struct LoadOptions {
    /// Base URL of a running Tidegate, `http://host:port[/base]` or the same with https.
    pub url: String,
    /// Whose certificates are taken from an https server.
    pub trust: Trust,
    /// API keys, one tenant each; request `n` is sent with key `n mod keys`.
    pub keys: Vec<String>,
    /// How fast events are offered, over all connections together.
    pub rate: SendRate,
    /// How long generated load runs; a file is always loaded to its end.
    pub duration: Duration,
    pub batch: usize,
    /// Connections, each with one request in flight.
    pub connections: usize,
    /// How events are put into a body.
    pub format: Format,
    /// Compress bodies with gzip.
    pub gzip: bool,
    pub source: Source,
    /// Show a progress bar when standard error is a terminal.
    pub progress: bool,
    /// Stop after this many events; none: no bound but the duration or the file.
    pub max_events: Option<u64>,
    /// Send no `Idempotency-Key`. Then a request whose answer was lost is counted as failed, since a second attempt
    /// could store its events twice.
    pub no_keys: bool,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum SendRate {
    /// Each connection sends its next request as soon as the last one was answered.
    Max,
    /// Events a second, over all connections.
    PerSecond(u64),
}

/// How events are put into a body.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    Json,
    Ndjson,
}

impl Format {
    pub(crate) fn media_type(self) -> &'static str {
        match self {
            Self::Json => "application/json",
            Self::Ndjson => "application/x-ndjson",
        }
    }
}

/// What the items are, and so where they are posted.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum ItemKind {
    #[default]
    Events,
    Metrics,
}

impl ItemKind {
    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Events => "/v1/events",
            Self::Metrics => "/v1/metrics",
        }
    }
}

#[derive(Clone, Debug)]
pub enum Source {
    Generate {
        /// Events, or samples of metrics.
        kind: ItemKind,
        /// Same seed, same items (but for their timestamps, which are now).
        seed: u64,
        /// Number of different `asset_id`s.
        assets: u32,
    },
    /// The lines of a file, NDJSON or gzipped NDJSON.
    File {
        path: PathBuf,
        kind: ItemKind,
        /// Move each stream's (for metrics each series') timestamps so that its newest is now.
        shift_to_now: bool,
        /// What "now" is for the shift; none: the clock, read once.
        now: Option<jiff::Timestamp>,
        /// Idempotency keys are this prefix, `-`, and the batch number, so that a second run with the same `now`
        /// changes nothing; none: a prefix of this run's own.
        key_prefix: Option<String>,
    },
}

impl Source {
    pub fn kind(&self) -> ItemKind {
        match self {
            Self::Generate { kind, .. } | Self::File { kind, .. } => *kind,
        }
    }
}

impl LoadOptions {
    /// Refuses what cannot work, naming the option.
    pub fn validate(&self) -> Result<(), String> {
        if self.keys.is_empty() {
            return Err("no API key: give --key (or TIDEGATE_KEY)".into());
        }
        if self.rate == SendRate::PerSecond(0) {
            return Err("--rate: 0 events a second sends nothing".into());
        }
        if self.duration.is_zero() || self.duration > DURATION_MAX {
            return Err("--duration: from 1ms to 365d".into());
        }
        if self.batch == 0 || self.batch > ITEMS_PER_REQUEST_MAX {
            return Err(format!("--batch: from 1 to {ITEMS_PER_REQUEST_MAX}"));
        }
        if self.connections == 0 || self.connections > CONNECTIONS_MAX {
            return Err(format!("--connections: from 1 to {CONNECTIONS_MAX}"));
        }
        match &self.source {
            Source::Generate { assets: 0, .. } => Err("at least one asset is needed".into()),
            Source::File { key_prefix: Some(prefix), .. }
                if prefix.is_empty() || prefix.len() + NUMBER_DIGITS_MAX > IDEMPOTENCY_KEY_BYTES_MAX =>
            {
                Err(format!("--key-prefix: from 1 to {} bytes", IDEMPOTENCY_KEY_BYTES_MAX - NUMBER_DIGITS_MAX))
            }
            _ => Ok(()),
        }
    }

    /// Events a request: the batch, but never more than one second's worth, or a slow rate would send once a minute.
    pub(crate) fn events_per_request(&self) -> usize {
        match self.rate {
            SendRate::Max => self.batch,
            SendRate::PerSecond(rate) => usize::try_from(rate).map_or(self.batch, |rate| self.batch.min(rate)).max(1),
        }
    }
}

impl fmt::Debug for LoadOptions {
    /// Without the keys: they are secrets, and debug output ends up in logs.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("LoadOptions")
            .field("url", &self.url)
            .field("keys", &self.keys.len())
            .field("rate", &self.rate)
            .field("batch", &self.batch)
            .field("connections", &self.connections)
            .field("source", &self.source)
            .finish_non_exhaustive()
    }
}

impl FromStr for SendRate {
    type Err = String;

    /// `5000`, `5000/s` or `max`.
    fn from_str(text: &str) -> Result<Self, String> {
        if text == "max" {
            return Ok(Self::Max);
        }
        match text.strip_suffix("/s").unwrap_or(text).parse() {
            Ok(0) => Err("a rate of 0 sends nothing".into()),
            Ok(rate) => Ok(Self::PerSecond(rate)),
            Err(_) => Err(format!("{text:?} is not a rate: give events a second such as 5000/s, or max")),
        }
    }
}

impl FromStr for Format {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "json" => Ok(Self::Json),
            "ndjson" => Ok(Self::Ndjson),
            _ => Err(format!("{text:?} is neither json nor ndjson")),
        }
    }
}

impl FromStr for ItemKind {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "events" => Ok(Self::Events),
            "metrics" => Ok(Self::Metrics),
            _ => Err(format!("{text:?} is neither events nor metrics")),
        }
    }
}

/// Parses `500ms`, `30s`, `5m`, `2h`, `1d`; a plain number is seconds.
pub fn parse_duration(text: &str) -> Result<Duration, String> {
    let seconds = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_digit());
    let with_unit = if seconds { format!("{text}s") } else { text.to_owned() };
    match config::parse_duration(&with_unit) {
        Ok(duration) if !duration.is_zero() && duration <= DURATION_MAX => Ok(duration),
        _ => Err(format!("{text:?} is not a duration from 1ms to 365d such as 500ms, 30s, 5m or 2h")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn rates() {
        assert_eq!("max".parse(), Ok(SendRate::Max));
        assert_eq!("5000".parse(), Ok(SendRate::PerSecond(5000)));
        assert_eq!("5000/s".parse(), Ok(SendRate::PerSecond(5000)));
        for bad in ["0", "0/s", "", "/s", "-1", "5k", "5000/m", "1.5"] {
            assert!(bad.parse::<SendRate>().is_err(), "{bad}");
        }
    }

    #[test]
    fn durations() {
        assert_eq!(parse_duration("500ms"), Ok(Duration::from_millis(500)));
        assert_eq!(parse_duration("30s"), Ok(Duration::from_secs(30)));
        assert_eq!(parse_duration("7"), Ok(Duration::from_secs(7)));
        assert_eq!(parse_duration("5m"), Ok(Duration::from_secs(300)));
        for bad in ["", "s", "0s", "5 m", "-5s", "1w", "99999999999999999999s", "18446744073709551615d", "366d"] {
            assert!(parse_duration(bad).is_err(), "{bad}");
        }
    }

    #[test]
    fn a_slow_rate_makes_smaller_requests() {
        let mut options = crate::load::test_server::options("http://localhost:1");
        options.batch = 1000;
        options.rate = SendRate::PerSecond(50);
        assert_eq!(options.events_per_request(), 50);
        options.rate = SendRate::Max;
        assert_eq!(options.events_per_request(), 1000);
    }

    #[test]
    fn what_cannot_work_is_refused_by_name() {
        let good = crate::load::test_server::options("http://localhost:1");
        assert_eq!(good.validate(), Ok(()));
        let refused = |change: fn(&mut LoadOptions)| {
            let mut options = good.clone();
            change(&mut options);
            options.validate().expect_err("must be refused")
        };
        assert!(refused(|o| o.keys.clear()).contains("--key"));
        assert!(refused(|o| o.rate = SendRate::PerSecond(0)).contains("--rate"));
        assert!(refused(|o| o.batch = 0).contains("--batch"));
        assert!(refused(|o| o.connections = 0).contains("--connections"));
        assert!(refused(|o| o.duration = Duration::ZERO).contains("--duration"));
    }

    #[test]
    fn debug_output_holds_no_key() {
        let options = crate::load::test_server::options("http://localhost:1");
        assert!(!format!("{options:?}").contains(&options.keys[0]));
    }
}
