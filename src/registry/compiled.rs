//! Schemas that are compiled, by stream and version: those used last, bounded in bytes. Who has many puts away no others'.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use crate::schema::Schema;

/// A stream's version.
pub type SchemaKey = (Arc<str>, Box<str>, i32);

#[derive(Default)]
pub struct Compiled {
    bytes_max: usize,
    kept: Mutex<Kept>,
}

#[derive(Default)]
struct Kept {
    schemas: HashMap<SchemaKey, (Arc<Schema>, u64)>,
    bytes: usize,
    /// Counts uses.
    uses: u64,
}

impl Compiled {
    pub fn new(bytes_max: usize) -> Self {
        Self { bytes_max, kept: Mutex::default() }
    }

    fn kept(&self) -> MutexGuard<'_, Kept> {
        self.kept.lock().unwrap_or_else(PoisonError::into_inner)
    }

    pub fn get(&self, key: &SchemaKey) -> Option<Arc<Schema>> {
        let mut kept = self.kept();
        kept.uses += 1;
        let uses = kept.uses;
        let (schema, used) = kept.schemas.get_mut(key)?;
        *used = uses;
        Some(Arc::clone(schema))
    }

    /// Forgets all: what versions there were may be others now.
    pub fn forget(&self) {
        let mut kept = self.kept();
        kept.schemas.clear();
        kept.bytes = 0;
    }

    /// Keeps a schema, and forgets others until there is room; one that is larger than all room is not kept.
    pub fn keep(&self, key: SchemaKey, schema: Arc<Schema>) {
        let bytes = schema.bytes();
        if bytes > self.bytes_max {
            return;
        }
        let mut kept = self.kept();
        kept.uses += 1;
        let uses = kept.uses;
        if let Some((before, _)) = kept.schemas.insert(key, (schema, uses)) {
            kept.bytes -= before.bytes();
        }
        kept.bytes += bytes;
        while kept.bytes > self.bytes_max {
            let Some((schema, _)) = kept.next_to_go().and_then(|key| kept.schemas.remove(&key)) else { break };
            kept.bytes -= schema.bytes();
        }
        #[expect(clippy::cast_precision_loss, reason = "far below 2^52")]
        metrics::gauge!("tidegate_schemas_compiled_bytes").set(kept.bytes as f64);
    }
}

impl Kept {
    /// Of the tenant whose schemas take most, the one that was not used for the longest time.
    fn next_to_go(&self) -> Option<SchemaKey> {
        let mut of_tenants: HashMap<&str, usize> = HashMap::new();
        for (key, (schema, _)) in &self.schemas {
            *of_tenants.entry(&*key.0).or_default() += schema.bytes();
        }
        let (largest, _) = of_tenants.into_iter().max_by_key(|(tenant_id, bytes)| (*bytes, *tenant_id))?;
        let of_it = self.schemas.iter().filter(|(key, _)| *key.0 == *largest);
        of_it.min_by_key(|(_, (_, used))| *used).map(|(key, _)| key.clone())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn those_used_last_are_kept_within_bounds() {
        let schema = || Arc::new(Schema::compile(r#"{"type":"object"}"#).expect("a schema"));
        let key = |version| (Arc::from("t"), Box::from("s"), version);
        let compiled = Compiled::new(schema().bytes() * 3);
        (1..=3).for_each(|version| compiled.keep(key(version), schema()));
        assert!(compiled.get(&key(1)).is_some());
        compiled.keep(key(4), schema());
        let there = [1, 2, 3, 4].map(|version| compiled.get(&key(version)).is_some());
        assert_eq!(there, [true, false, true, true]);
        compiled.keep(key(4), schema());
        assert_eq!(compiled.kept().bytes, schema().bytes() * 3);
        compiled.forget();
        assert!(compiled.get(&key(4)).is_none());
        compiled.keep(key(4), schema());
        assert_eq!(compiled.kept().bytes, schema().bytes());
        // Another tenant's stays, however many this one has.
        let other = || (Arc::from("other"), Box::from("s"), 1);
        compiled.keep(other(), schema());
        (5..20).for_each(|version| compiled.keep(key(version), schema()));
        assert!(
            compiled.get(&other()).is_some() && compiled.get(&key(19)).is_some() && compiled.get(&key(17)).is_none()
        );
        let small = Compiled::new(1);
        small.keep(key(1), schema());
        assert!(small.get(&key(1)).is_none());
    }
}
