//! Pure: which part of keys' limits is a node's, from what all nodes say is asked for.
//!
//! Equal parts would give a client that talks to one node alone a part of what it may send. So a part follows demand: where
//! less is asked for than there is, each node has what is asked of it and the same of the rest; where more is asked for, parts
//! are as the demands are. A tenth is always shared equally, so that who turns to another node is served there while it
//! notices. Every node computes the same from the same rows, and the parts of all are the whole.
//!
//! Rows are read at different moments. A part shrinks at once, and grows only when several heartbeats in a row have said so
//! ([`Parts`]), by when the others have seen that theirs are smaller: in sum they are never more than the limit for longer
//! than a node that comes up takes to be seen.

use std::collections::{HashMap, HashSet, VecDeque};

use uuid::Uuid;

use super::node::{Node, Parts as AskedParts};
use crate::limits::{SHARE_FLOOR, SHARE_GROWS_AFTER};
use crate::tenancy::{Share, Shares};

/// The parts of the node `own` among those that serve; it counts itself, whatever is known of it.
pub fn shares(own: Uuid, nodes: &[Node]) -> Shares {
    let serving: Vec<&Node> = nodes.iter().filter(|node| node.id == own || node.state.serves()).collect();
    let count = serving.len() + usize::from(serving.iter().all(|node| node.id != own));
    let named: HashSet<Uuid> = serving.iter().flat_map(|node| node.demands.keys().copied()).collect();
    let part = |key: &Uuid, of: fn(&AskedParts) -> Option<f64>| {
        let demand = |node: &&Node| node.demands.get(key).and_then(of).filter(|part| part.is_finite() && *part > 0.0);
        let all: f64 = serving.iter().filter_map(demand).sum();
        let here = serving.iter().find(|node| node.id == own).and_then(demand).unwrap_or(0.0);
        share(here, all, count)
    };
    let of = named.into_iter().map(|key| (key, Share { events: part(&key, |d| d.0), bytes: part(&key, |d| d.1) }));
    Shares { of: of.collect(), ..Shares::equal(count) }
}

/// The part of one of `nodes` of which `here` is asked for, of `all` parts of a limit that are asked for in sum.
fn share(here: f64, all: f64, nodes: usize) -> f64 {
    let equal = 1.0 / nodes as f64;
    let by_demand = if all <= 1.0 { here + (1.0 - all) * equal } else { here / all };
    SHARE_FLOOR * equal + (1.0 - SHARE_FLOOR) * by_demand
}

/// The parts that count: the smallest of those that were computed lately.
#[derive(Debug, Default)]
pub struct Parts {
    lately: VecDeque<Shares>,
}

impl Parts {
    pub fn next(&mut self, computed: Shares) -> Shares {
        self.lately.push_back(computed);
        if self.lately.len() > SHARE_GROWS_AFTER {
            self.lately.pop_front();
        }
        let named: HashSet<Uuid> = self.lately.iter().flat_map(|shares| shares.of.keys().copied()).collect();
        let least = |of: &dyn Fn(&Shares) -> f64| self.lately.iter().map(of).fold(1.0, f64::min);
        let share = |key| Share { events: least(&|s| s.of(key).events), bytes: least(&|s| s.of(key).bytes) };
        let of: HashMap<Uuid, Share> = named.into_iter().map(|key| (key, share(key))).collect();
        Shares { every: least(&|shares| shares.every), of }
    }
}

#[cfg(test)]
#[path = "shares_tests.rs"]
mod tests;
