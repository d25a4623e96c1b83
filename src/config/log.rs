//! `log.*`: how much is logged, and in which form.

use super::ConfigError;
use super::value::ConfigReader;

#[derive(Debug, Clone)]
pub struct LogConfig {
    /// True: one JSON object a line.
    pub json: bool,
    /// A tracing filter such as `info` or `info,hyper=debug`.
    pub level: String,
}

const LEVELS: [&str; 6] = ["off", "error", "warn", "info", "debug", "trace"];

impl LogConfig {
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Self, ConfigError> {
        let key = "log.level";
        let level = read.text(key);
        // A bare word that is no level is a target to the filter, of which everything is logged and of all others nothing.
        let mistyped =
            |directive: &&str| !directive.contains('=') && !LEVELS.contains(&directive.to_lowercase().as_str());
        if let Some(word) = level.split(',').map(str::trim).find(mistyped) {
            return Err(ConfigError(format!(
                "{}: `{word}` is no level; there are {}, and target=level, such as info,hyper=debug",
                read.whereabouts(key),
                LEVELS.join(", ")
            )));
        }
        Ok(Self { json: read.one_of("log.format", &[("text", false), ("json", true)])?, level })
    }
}
