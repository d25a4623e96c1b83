//! Which chunks are known to be in the columnstore: a chunk must be born there.
//!
//! TimescaleDB (2.28.3, tried) loses sight of rows when the first direct-compress COPY into a chunk overlaps with a plain
//! one: the plain COPY sees a chunk without a columnstore and does not flag it as partial, the direct one commits the
//! columnstore, and from then on readers skip the rows beside it. So whoever does not know that a chunk is in the
//! columnstore takes the chunk's lock and writes directly, however few rows it has; who knows writes either way, without
//! a lock. Known is what this process wrote directly and committed: a tenant's rows of one time slice are in one chunk.

use std::collections::{BTreeSet, HashSet};
use std::sync::{Arc, Mutex};

use tokio_postgres::Client;

/// Pairs remembered at most; past it they are forgotten, and learnt again at the cost of a few small segments.
const PAIRS_MAX: usize = 200_000;

/// A time slice and a tenant: enough to name one chunk.
pub type Pair = (i64, Arc<str>);

/// What this process knows.
#[derive(Debug, Default)]
pub struct Births {
    known: Mutex<HashSet<Pair>>,
}

impl Births {
    /// Whether the chunk of this pair is known to be in the columnstore.
    pub fn is_known(&self, slice: i64, tenant_id: &Arc<str>) -> bool {
        self.known.lock().expect("no code panics while holding it").contains(&(slice, Arc::clone(tenant_id)))
    }

    /// Remembers what a committed transaction wrote directly.
    pub fn committed(&self, pairs: BTreeSet<Pair>) {
        if pairs.is_empty() {
            return;
        }
        let mut known = self.known.lock().expect("no code panics while holding it");
        if known.len() + pairs.len() > PAIRS_MAX {
            known.clear();
        }
        known.extend(pairs);
    }
}

/// Takes the locks of the slices, for the transaction. In order, and before any COPY, so that nobody who holds one waits
/// for a chunk that another holder of one has.
pub async fn lock(client: &Client, pairs: &BTreeSet<Pair>) -> Result<(), tokio_postgres::Error> {
    let mut slices: Vec<i64> = pairs.iter().map(|(slice, _)| *slice).collect();
    slices.dedup();
    if slices.is_empty() {
        return Ok(());
    }
    let sql = "SELECT pg_advisory_xact_lock(hashtextextended('tidegate.chunk.' || slice, 2)) \
               FROM unnest($1::bigint[]) WITH ORDINALITY AS s (slice, n) ORDER BY n";
    client.query(sql, &[&slices]).await.map(|_rows| ())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_pair_is_known_once_committed() {
        let births = Births::default();
        let (a, b): (Arc<str>, Arc<str>) = ("a".into(), "b".into());
        assert!(!births.is_known(1, &a));
        births.committed(BTreeSet::from([(1, Arc::clone(&a))]));
        assert!(births.is_known(1, &a) && !births.is_known(2, &a) && !births.is_known(1, &b));
    }

    #[test]
    fn memory_is_bounded() {
        let births = Births::default();
        let tenant: Arc<str> = "a".into();
        for slice in 0..=i64::try_from(PAIRS_MAX).expect("small") {
            births.committed(BTreeSet::from([(slice, Arc::clone(&tenant))]));
        }
        assert_eq!(births.known.lock().expect("not poisoned").len(), 1);
    }
}
