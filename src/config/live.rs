//! What of the configuration a running process takes up again on SIGHUP: limits, and the level of the log. All else is
//! read once.

use tokio::sync::watch;

use super::keys::KEYS;
use super::{Config, LimitsConfig};

/// The limits as they are now; clones share them.
#[derive(Debug, Clone)]
pub struct LiveLimits(watch::Sender<LimitsConfig>);

impl LiveLimits {
    pub fn new(limits: LimitsConfig) -> Self {
        Self(watch::Sender::new(limits))
    }

    pub fn now(&self) -> LimitsConfig {
        *self.0.borrow()
    }

    pub fn replace(&self, limits: LimitsConfig) {
        self.0.send_replace(limits);
    }

    /// For parts that keep figures of their own which follow from them.
    pub fn changes(&self) -> watch::Receiver<LimitsConfig> {
        self.0.subscribe()
    }
}

/// Keys that differ between two configurations.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Changes {
    /// Taken up at once.
    pub live: Vec<&'static str>,
    /// They need a restart.
    pub later: Vec<&'static str>,
}

impl Changes {
    pub fn between(old: &Config, new: &Config) -> Self {
        let mut changes = Self::default();
        for key in KEYS.iter() {
            if old.fingerprints.get(key.path) != new.fingerprints.get(key.path) {
                let list = if is_live(key.path) { &mut changes.live } else { &mut changes.later };
                list.push(key.path);
            }
        }
        changes
    }
}

/// What is read once is what pages, jobs and the decoders were put together with.
fn is_live(path: &str) -> bool {
    path == "log.level" || (path.starts_with("limits.") && path != "limits.assets_per_tenant")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]

    use super::*;
    use crate::config::{Layers, Origin};

    #[test]
    fn changes_are_told_apart() {
        let config = |set: &[(&str, &str)]| {
            let mut layers = Layers::new();
            set.iter().for_each(|(path, text)| layers.set(path, (*text).into(), Origin::Default).unwrap());
            Config::from_layers(&layers).unwrap()
        };
        let old = config(&[("writers", "2"), ("limits.connections", "4096")]);
        let new = config(&[("limits.body_bytes", "1MiB"), ("log.level", "debug"), ("writers", "3")]);
        let changes = Changes::between(&old, &new);
        assert_eq!(changes.live, ["limits.body_bytes", "log.level"], "a default that is spelled out is no change");
        assert_eq!(changes.later, ["writers"]);
        assert_eq!(Changes::between(&new, &new), Changes::default());
    }
}
