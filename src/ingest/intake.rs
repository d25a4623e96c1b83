//! From the bytes of a request to a submission: decode, and hash what an idempotency key stands for.
//!
//! The same for a request that has just come in and for one that is read back from the spool: what a body means depends on
//! nothing but the body, its parameters and the moment at which it was received.

use std::sync::{Arc, Mutex};

use bytes::Bytes;
use sha2::{Digest, Sha256};
use uuid::Uuid;

use super::request::Idempotency;
use crate::limits::FUTURE_DAYS_MAX;
use crate::model::{Kind, PerKind};
use crate::wire::event::{self, Defaults};
use crate::wire::item::{BodyError, BodyForm, Decoded, Origin, RejectedItem, Rows, Window};
use crate::wire::metric;

const DAY_US: i64 = 86_400_000_000;

/// What says how a body is to be read.
#[derive(Debug, Clone)]
pub struct Source {
    /// The tenant of the key.
    pub tenant_id: Arc<str>,
    pub api_key_id: Uuid,
    /// Days that the organization keeps what the body holds; None: as long as everybody.
    pub keep_days: Option<i32>,
    pub receipt: Uuid,
    /// When it came, in microseconds since 1970.
    pub received_at_us: i64,
    pub kind: Kind,
    /// How the body is to be read.
    pub form: BodyForm,
    /// What the query string says of absent fields; nothing for metrics.
    pub defaults: Defaults,
}

/// Why a body is not even a rejected item.
#[derive(Debug)]
pub enum Unreadable {
    /// It holds no item.
    Empty,
    /// It holds more items than a request may have.
    TooManyItems(usize),
}

/// A decoder of each kind.
#[derive(Default)]
struct Decoders {
    events: event::Decoder,
    metrics: metric::Decoder,
}

pub struct Intake {
    decoders: Mutex<Vec<Decoders>>,
    age_us_max: PerKind<i64>,
    item_bytes_max: usize,
}

impl Intake {
    /// Items may be `age_us_max` microseconds old, and expand to `item_bytes_max` bytes.
    pub fn new(age_us_max: PerKind<i64>, item_bytes_max: usize) -> Self {
        Self { decoders: Mutex::default(), age_us_max, item_bytes_max }
    }

    /// How old an item may be: what its organization would delete at once is not taken.
    fn age_us(&self, source: &Source) -> i64 {
        let all_us = *self.age_us_max.of(source.kind);
        source.keep_days.map_or(all_us, |days| all_us.min(i64::from(days) * DAY_US - source.kind.margin_us()))
    }

    /// The rows and rejections of a body; true when the whole body is not JSON and became one rejection.
    pub fn decode(&self, source: &Source, body: &Bytes) -> Result<(Decoded, bool), Unreadable> {
        let origin = Origin {
            tenant_id: &source.tenant_id,
            api_key_id: source.api_key_id,
            receipt: source.receipt,
            received_at_us: source.received_at_us,
            window: Window {
                oldest_us: source.received_at_us - self.age_us(source),
                newest_us: source.received_at_us + FUTURE_DAYS_MAX * DAY_US,
            },
            item_bytes_max: self.item_bytes_max,
        };
        let mut decoders = self.decoders.lock().expect("no code panics while holding it").pop().unwrap_or_default();
        let decoded = match source.kind {
            Kind::Events => decoders.events.decode(body, source.form, &source.defaults, &origin),
            Kind::Metrics => decoders.metrics.decode(body, source.form, &origin),
        };
        self.decoders.lock().expect("no code panics while holding it").push(decoders);
        match decoded {
            Ok(decoded) => Ok((decoded, false)),
            Err(BodyError::Empty) => Err(Unreadable::Empty),
            Err(BodyError::TooManyItems { max }) => Err(Unreadable::TooManyItems(max)),
            Err(BodyError::NotJson { rejection }) => {
                let raw = 0..u32::try_from(body.len()).expect("limits.body_bytes is at most 256 MiB");
                let whole = RejectedItem { index: 0, raw, event_id: None, rejection };
                Ok((Decoded { rows: Rows::default(), rejected: vec![whole], items: 1 }, true))
            }
        }
    }
}

impl Source {
    /// The query parameters that change what items mean; a replay of a dead letter needs them.
    pub fn parameters(&self) -> serde_json::Value {
        let mut map = serde_json::Map::new();
        let named = [
            ("event_type", &self.defaults.event_type),
            ("source_module", &self.defaults.source_module),
            ("stream", &self.defaults.stream),
        ];
        for (name, value) in named {
            if let Some(value) = value {
                map.insert(name.into(), value.as_str().into());
            }
        }
        if self.defaults.wrap {
            map.insert("wrap".into(), "payload".into());
        }
        map.into()
    }

    /// What stands for this request: the key that was sent, or with `dedupe_body` the hash itself.
    pub fn idempotency(&self, key: Option<String>, dedupe_body: bool, body: &[u8]) -> Option<Idempotency> {
        if key.is_none() && !dedupe_body {
            return None;
        }
        let sha256 = self.sha256(body);
        let key = key.unwrap_or_else(|| {
            let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("body-sha256:{hex}")
        });
        Some(Idempotency { key, sha256 })
    }

    /// SHA-256 of route, parameters and body.
    pub fn sha256(&self, body: &[u8]) -> [u8; 32] {
        Sha256::new()
            .chain_update(self.kind.route())
            .chain_update([0])
            .chain_update(self.parameters().to_string())
            .chain_update([0])
            .chain_update(body)
            .finalize()
            .into()
    }
}
