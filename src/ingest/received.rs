//! A request as it was received: what is to be known of it wherever it goes, from the door to the database or the
//! spool.

use std::borrow::Cow;
use std::sync::Arc;

use bytes::Bytes;
use serde_json::{Map, Value};
use sha2::{Digest, Sha256};
use uuid::Uuid;

use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// Who sent what, when, and how it is to be read. What a body means depends on nothing else.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Received {
    pub tenant_id: Arc<str>,
    pub api_key_id: Uuid,
    /// Days that the organization keeps what the body holds; None: as long as everybody.
    pub keep_days: Option<i32>,
    /// The name under which the sender can ask for it.
    pub receipt: Uuid,
    /// When it came, in unix microseconds.
    pub received_at_us: i64,
    /// The stable name of its route, as kept in the ledger, the spool and with dead letters; a part of the request's
    /// hash.
    pub route: Cow<'static, str>,
    pub kind: Kind,
    /// How the body is to be read.
    pub form: BodyForm,
    /// What the query string says of absent fields; nothing for metrics.
    pub defaults: Defaults,
    /// Decompressed; dead letters are cut out of it.
    pub body: Bytes,
}

/// The sender's promise that it is the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of route, parameters and body: what the key stands for.
    pub sha256: [u8; 32],
}

impl Received {
    /// The query parameters that change what items mean; a replay of a dead letter needs them.
    pub fn parameters(&self) -> Value {
        let Defaults { event_type, source_module, stream, wrap } = &self.defaults;
        let named = [("event_type", event_type), ("source_module", source_module), ("stream", stream)];
        let mut map = Map::new();
        map.extend(named.into_iter().filter_map(|(name, value)| Some((name.into(), value.as_deref()?.into()))));
        if *wrap {
            map.insert("wrap".into(), "payload".into());
        }
        map.into()
    }

    /// What stands for this request: the key that was sent, or with `dedupe_body` the hash itself.
    pub fn idempotency(&self, key: Option<String>, dedupe_body: bool) -> Option<Idempotency> {
        if key.is_none() && !dedupe_body {
            return None;
        }
        let sha256 = self.sha256();
        let key = key.unwrap_or_else(|| {
            let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("body-sha256:{hex}")
        });
        Some(Idempotency { key, sha256 })
    }

    /// SHA-256 of route, parameters and body, and of the form of the body: the same bytes are other events as
    /// `CloudEvents`. JSON, the usual form, goes without.
    pub fn sha256(&self) -> [u8; 32] {
        let form = if self.form == BodyForm::Json { "" } else { self.form.media_type() };
        Sha256::new()
            .chain_update(&*self.route)
            .chain_update(form)
            .chain_update([0])
            .chain_update(self.parameters().to_string())
            .chain_update([0])
            .chain_update(&self.body)
            .finalize()
            .into()
    }
}
