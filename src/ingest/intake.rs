//! From the bytes of a request to rows and rejections.
//!
//! The same for a request that has just come in and for one that is read back from the spool: what a body means
//! depends on nothing but the body, its parameters and the moment at which it was received.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, OnceLock};

use super::received::Received;
use crate::limits::FUTURE_DAYS_MAX;
use crate::model::{Kind, PerKind, StoredJson};
use crate::projections::concerns;
use crate::registry::TenantRules;
use crate::wire::event::StreamRules;
use crate::wire::item::{BodyError, Decoded, ItemContext, TimeBounds};
use crate::wire::{event, metric};

const DAY_US: i64 = 86_400_000_000;

#[derive(Default)]
struct Decoders {
    events: event::Decoder,
    metrics: metric::Decoder,
}

pub struct Intake {
    decoders: Mutex<Vec<Decoders>>,
    age_us_max: PerKind<i64>,
    item_bytes_max: AtomicUsize,
    /// Empty while there is no database, for which nothing that is decoded then is meant.
    stored_json: OnceLock<StoredJson>,
}

impl Intake {
    /// Items may be `age_us_max` microseconds old, and expand to `item_bytes_max` bytes.
    pub fn new(age_us_max: PerKind<i64>, item_bytes_max: usize) -> Self {
        let item_bytes_max = AtomicUsize::new(item_bytes_max);
        Self { decoders: Mutex::default(), age_us_max, item_bytes_max, stored_json: OnceLock::new() }
    }

    /// Items may expand to so many bytes from now on.
    pub fn resize(&self, item_bytes_max: usize) {
        self.item_bytes_max.store(item_bytes_max, Ordering::Relaxed);
    }

    /// From now on rows are for a database that keeps JSON so. Said once.
    pub fn encode_for(&self, stored_json: StoredJson) {
        assert!(self.stored_json.set(stored_json).is_ok(), "the database is attached once");
    }

    /// How old an item may be: what its organization would delete at once is not taken.
    fn age_us(&self, received: &Received) -> i64 {
        let all_us = *self.age_us_max.of(received.kind);
        received.keep_days.map_or(all_us, |days| all_us.min(i64::from(days) * DAY_US - received.kind.margin_us()))
    }

    /// The oldest time that an item of the request may have.
    pub fn oldest_us(&self, received: &Received) -> i64 {
        received.judged_at_us() - self.age_us(received)
    }

    /// Most bytes of an item, numbers expanded.
    pub fn item_bytes_max(&self) -> usize {
        self.item_bytes_max.load(Ordering::Relaxed)
    }

    /// The rows and rejections of a body, by what its tenant's streams ask.
    pub fn decode(&self, received: &Received, rules: Option<&TenantRules>) -> Result<Decoded, BodyError> {
        let Received { received_at_us, form, body, .. } = received;
        let origin = ItemContext {
            tenant_id: &received.tenant_id,
            api_key_id: received.api_key_id,
            receipt: received.receipt,
            received_at_us: *received_at_us,
            bounds: TimeBounds {
                oldest_us: self.oldest_us(received),
                newest_us: received.judged_at_us() + FUTURE_DAYS_MAX * DAY_US,
            },
            item_bytes_max: self.item_bytes_max(),
            stored_json: self.stored_json.get().copied().unwrap_or_default(),
            projections: concerns,
        };
        let mut decoders = self.decoders.lock().expect("no code panics while holding it").pop().unwrap_or_default();
        let mut decoded = match received.kind {
            Kind::Events => {
                let rules = rules.map(|rules| rules as &dyn StreamRules);
                decoders.events.decode_by(body, *form, &received.defaults, &origin, rules)
            }
            Kind::Metrics => decoders.metrics.decode(body, *form, &origin),
        };
        self.decoders.lock().expect("no code panics while holding it").push(decoders);
        if let (Ok(decoded), Some(original)) = (&mut decoded, &received.original) {
            original.explain(&mut decoded.rejected);
        }
        decoded
    }
}
