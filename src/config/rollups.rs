//! What is said of rollups: which levels there are, and how long their buckets are kept.

use std::time::Duration;

use super::error::ConfigError;
use super::value::ConfigReader;
use crate::model::{Keep, LEVELS, Level, PerLevel};

/// `retention.rollups.*`: how long each level keeps its buckets.
pub fn retention(read: &ConfigReader<'_>) -> Result<PerLevel<Option<Duration>>, ConfigError> {
    let keep = |level: &Level| match level.keep {
        Keep::Fixed(keep) => Ok(Some(keep)),
        Keep::Configured { key, default: None } if !read.is_set(key) => Ok(None),
        Keep::Configured { key, .. } => match read.duration(key)? {
            keep if keep < Duration::from_secs(86_400) => {
                Err(ConfigError(format!("{}: must be at least 1d", read.whereabouts(key))))
            }
            keep => Ok(Some(keep)),
        },
    };
    LEVELS.iter().try_for_each(|level| keep(level).map(drop))?;
    Ok(PerLevel::new(|level| keep(level).unwrap_or_default()))
}

/// `rollups.levels`: which levels are kept.
pub fn levels(read: &ConfigReader<'_>) -> Result<PerLevel<bool>, ConfigError> {
    let key = "rollups.levels";
    if !read.is_set(key) {
        return Ok(PerLevel::new(|_| true));
    }
    let text = read.text(key);
    let listed: Vec<&str> = text.split(',').map(str::trim).filter(|name| !name.is_empty()).collect();
    if let Some(unknown) = listed.iter().find(|name| Level::parse(name).is_none()) {
        let (place, known) = (read.whereabouts(key), Level::resolutions());
        return Err(ConfigError(format!("{place}: there is no level `{unknown}`; there are {known}")));
    }
    Ok(PerLevel::new(|level| !level.optional || level.resolution.is_some_and(|name| listed.contains(&name))))
}
