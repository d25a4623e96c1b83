//! Typed values out of text: durations (`365d`), byte sizes (`16MiB`), counts, addresses; errors name key and origin.

use std::hash::{DefaultHasher, Hash, Hasher};
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use super::connection_url::ConnectionUrl;
use super::error::ConfigError;
use super::keys;
use super::origin::Origin;
use super::source::Layers;

/// A hundred years: time arithmetic never overflows below it.
const DURATION_MAX: Duration = Duration::from_secs(36_500 * 86_400);

/// Why a text is no value of its type.
#[derive(Debug, PartialEq, Eq)]
pub struct ParseError(pub &'static str);

/// Parses a duration of one unit: `500ms`, `30s`, `5m`, `72h`, `365d`.
pub fn parse_duration(text: &str) -> Result<Duration, ParseError> {
    const WHAT: ParseError = ParseError("must be a duration such as 500ms, 30s, 5m, 72h or 365d");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: u64 = text[..digits].parse().map_err(|_| WHAT)?;
    let millis = match &text[digits..] {
        "ms" => 1,
        "s" => 1000,
        "m" => 60_000,
        "h" => 3_600_000,
        "d" => 86_400_000,
        _ => return Err(WHAT),
    };
    number.checked_mul(millis).map(Duration::from_millis).ok_or(WHAT)
}

/// Parses a byte size: `65536`, `64KiB`, `16MiB`, `4GiB`.
pub fn parse_bytes(text: &str) -> Result<usize, ParseError> {
    const WHAT: ParseError = ParseError("must be a size such as 65536, 64KiB, 16MiB or 4GiB");
    let digits = text.len() - text.trim_start_matches(|c: char| c.is_ascii_digit()).len();
    let number: usize = text[..digits].parse().map_err(|_| WHAT)?;
    let unit = match text[digits..].trim() {
        "" | "B" => 1,
        "KiB" => 1 << 10,
        "MiB" => 1 << 20,
        "GiB" => 1 << 30,
        _ => return Err(WHAT),
    };
    number.checked_mul(unit).ok_or(WHAT)
}

/// Reads typed values from the layers.
pub struct ConfigReader<'a> {
    layers: &'a Layers,
}

impl<'a> ConfigReader<'a> {
    pub fn new(layers: &'a Layers) -> Self {
        Self { layers }
    }

    pub fn is_set(&self, path: &str) -> bool {
        self.layers.get(path).is_some()
    }

    /// The key and where its value was set, for messages.
    pub fn whereabouts(&self, path: &str) -> String {
        let origin = self.layers.get(path).map_or(&Origin::Default, |(_, origin)| origin);
        format!("configuration key `{path}` ({origin})")
    }

    fn get(&self, path: &str) -> Option<&'a str> {
        self.layers.get(path).map(|(text, _)| text).or_else(|| keys::find(path).and_then(|key| key.default))
    }

    fn refuse(&self, path: &str, why: &str) -> ConfigError {
        let secret = keys::find(path).is_some_and(|key| key.secret);
        let shown = match self.get(path) {
            Some(text) if !secret => format!(", not `{text}`"),
            _ => String::new(),
        };
        ConfigError(format!("{}: {why}{shown}", self.whereabouts(path)))
    }

    fn required(&self, path: &str) -> Result<&'a str, ConfigError> {
        self.get(path).ok_or_else(|| self.refuse(path, "must be set"))
    }

    /// A hash of a value's text, its default included.
    pub fn fingerprint(&self, path: &str) -> u64 {
        let mut hasher = DefaultHasher::new();
        self.get(path).hash(&mut hasher);
        hasher.finish()
    }

    pub fn text(&self, path: &str) -> String {
        self.get(path).unwrap_or_default().to_owned()
    }

    pub fn path(&self, path: &str) -> Result<PathBuf, ConfigError> {
        self.required(path).map(PathBuf::from)
    }

    pub fn parsed<T: FromStr>(&self, path: &str, what: &str) -> Result<T, ConfigError> {
        self.required(path)?.parse().map_err(|_| self.refuse(path, &format!("must be {what}")))
    }

    pub fn count(&self, path: &str, min: usize, max: usize) -> Result<usize, ConfigError> {
        match self.required(path)?.parse::<usize>() {
            Ok(number) if (min..=max).contains(&number) => Ok(number),
            _ => Err(self.refuse(path, &format!("must be a whole number from {min} to {max}"))),
        }
    }

    pub fn bytes(&self, path: &str) -> Result<usize, ConfigError> {
        parse_bytes(self.required(path)?).map_err(|error| self.refuse(path, error.0))
    }

    pub fn duration(&self, path: &str) -> Result<Duration, ConfigError> {
        match parse_duration(self.required(path)?) {
            Ok(duration) if duration <= DURATION_MAX => Ok(duration),
            Ok(_) => Err(self.refuse(path, "must be at most 36500d")),
            Err(error) => Err(self.refuse(path, error.0)),
        }
    }

    pub fn one_of<T: Copy>(&self, path: &str, choices: &[(&str, T)]) -> Result<T, ConfigError> {
        let text = self.required(path)?;
        choices.iter().find(|(name, _)| *name == text).map(|(_, value)| *value).ok_or_else(|| {
            let names: Vec<&str> = choices.iter().map(|(name, _)| *name).collect();
            self.refuse(path, &format!("must be one of {}", names.join(", ")))
        })
    }

    /// A PostgreSQL connection URL, parsed now so that a typo is exit 64 and not a failed connection later.
    pub fn url(&self, path: &str) -> Result<Option<ConnectionUrl>, ConfigError> {
        let Some(text) = self.get(path).filter(|text| !text.is_empty()) else { return Ok(None) };
        text.parse().map(Some).map_err(|why: String| self.refuse(path, &why))
    }
}
