//! `streams.*`: what holds for streams of events, defined or not.

use std::fmt;

use super::error::ConfigError;
use super::value::ConfigReader;
use crate::limits::MASK_KEY_BYTES_MIN;

#[derive(Clone)]
pub struct StreamsConfig {
    /// A stream that is not defined takes events all the same.
    pub auto_create: bool,
    /// The secret of masks; None: one in the folder of data.
    pub mask_key: Option<String>,
}

impl fmt::Debug for StreamsConfig {
    /// Without the secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("StreamsConfig").field("auto_create", &self.auto_create).finish_non_exhaustive()
    }
}

impl StreamsConfig {
    pub(super) fn read(read: &ConfigReader<'_>) -> Result<Self, ConfigError> {
        let key = "streams.mask_key";
        let mask_key = Some(read.text(key)).filter(|text| !text.is_empty());
        if mask_key.as_ref().is_some_and(|text| text.len() < MASK_KEY_BYTES_MIN) {
            let why = format!("must have at least {MASK_KEY_BYTES_MIN} bytes, such as those of `openssl rand -hex 32`");
            return Err(ConfigError(format!("{}: {why}", read.whereabouts(key))));
        }
        Ok(Self { auto_create: read.one_of("streams.auto_create", &[("true", true), ("false", false)])?, mask_key })
    }
}
