//! Which part of keys' limits is this node's: a limit holds for all nodes together.

use std::collections::HashMap;

use uuid::Uuid;

/// A node's part of the limits of one key; each above 0 and at most 1.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Share {
    pub events: f64,
    pub bytes: f64,
}

/// A node's parts of all keys' limits.
#[derive(Debug, Clone, PartialEq)]
pub struct Shares {
    /// Of keys that are not named: the same on every node.
    pub every: f64,
    /// Of keys that are much used somewhere.
    pub of: HashMap<Uuid, Share>,
}

impl Shares {
    /// Of one of so many nodes.
    pub fn equal(nodes: usize) -> Self {
        Self { every: 1.0 / nodes.max(1) as f64, of: HashMap::new() }
    }

    pub fn of(&self, key_id: Uuid) -> Share {
        self.of.get(&key_id).copied().unwrap_or(Share { events: self.every, bytes: self.every })
    }
}

/// Which part of a key's limits is asked for here, what was refused included; None: it has no such limit.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Demand {
    pub key_id: Uuid,
    pub events: Option<f64>,
    pub bytes: Option<f64>,
}

impl Demand {
    /// The larger part.
    pub fn most(&self) -> f64 {
        self.events.unwrap_or(0.0).max(self.bytes.unwrap_or(0.0))
    }
}

/// Counts what is asked for of one limit.
#[derive(Debug, Default)]
pub struct Meter {
    tokens: f64,
    per_second: f64,
}

impl Meter {
    pub fn ask(&mut self, tokens: f64) {
        self.tokens += tokens;
    }

    /// Tokens a second that were asked for in the last `elapsed_s`; after more before, what is left of that.
    pub fn read(&mut self, elapsed_s: f64, kept: f64) -> f64 {
        let lately = std::mem::take(&mut self.tokens) / elapsed_s.max(f64::MIN_POSITIVE);
        self.per_second = lately.max(self.per_second * kept);
        self.per_second
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_is_remembered_for_a_while() {
        let mut meter = Meter::default();
        meter.ask(60.0);
        meter.ask(40.0);
        assert_eq!([2.0, 1.0, 1.0].map(|elapsed_s| meter.read(elapsed_s, 0.5)), [50.0, 25.0, 12.5]);
        meter.ask(20.0);
        assert_eq!(meter.read(1.0, 0.5), 20.0);
    }

    #[test]
    fn keys_that_are_not_named_have_what_all_have() {
        let mut shares = Shares::equal(4);
        let [named, other] = [1, 2].map(Uuid::from_u128);
        shares.of.insert(named, Share { events: 0.9, bytes: 0.1 });
        assert_eq!(shares.of(named), Share { events: 0.9, bytes: 0.1 });
        assert_eq!(shares.of(other), Share { events: 0.25, bytes: 0.25 });
        assert_eq!(Shares::equal(0), Shares::equal(1));
    }
}
