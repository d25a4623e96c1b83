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
use crate::wire::item::{BodyForm, Original};

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
    /// Decompressed; dead letters are cut out of it. What its streams mask is gone once it is read.
    pub body: Bytes,
    /// What was sent, where `body` was made of another protocol's; not where streams mask.
    pub original: Option<Arc<Original>>,
    /// Of a body that was masked: a keyed digest of what was sent.
    pub sent_digest: Option<[u8; 32]>,
    /// It is a dead letter, sent again.
    pub replay: Option<Replay>,
}

/// A dead letter that is sent again: what it says is of the time when it came in, and whether it is taken of now.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Replay {
    pub dead_letter: Uuid,
    /// When it is sent again, in unix microseconds.
    pub at_us: i64,
}

/// The sender's promise that it is the same request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Idempotency {
    pub key: String,
    /// SHA-256 of route, parameters and body: what the key stands for.
    pub sha256: [u8; 32],
    /// What it would have stood for before masks were set, or taken back: who sends a request again does not know of them. Not kept.
    pub before: Option<[u8; 32]>,
}

impl Received {
    /// The moment whose rules hold for it, in unix microseconds.
    pub fn judged_at_us(&self) -> i64 {
        self.replay.map_or(self.received_at_us, |replay| replay.at_us)
    }

    /// Bytes that were sent, decompressed.
    pub fn sent_bytes(&self) -> usize {
        let sent = self.original.as_ref().filter(|original| !original.places.is_empty());
        sent.map_or(self.body.len(), |original| original.body.len())
    }

    /// Bytes that are held for it.
    pub fn held_bytes(&self) -> usize {
        self.body.len() + self.original.as_ref().map_or(0, |original| original.bytes())
    }

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

    /// [`Self::parameters`] as they were; None: this version does not know all of them.
    pub fn defaults_of(parameters: &Value) -> Option<Defaults> {
        let mut defaults = Defaults::default();
        for (name, value) in parameters.as_object()? {
            let value = value.as_str()?;
            match name.as_str() {
                "event_type" => defaults.event_type = Some(value.to_owned()),
                "source_module" => defaults.source_module = Some(value.to_owned()),
                "stream" => defaults.stream = Some(value.to_owned()),
                "wrap" if value == "payload" => defaults.wrap = true,
                _ => return None,
            }
        }
        Some(defaults)
    }

    /// What stands for this request: the key that was sent, or with `dedupe_body` the hash itself; for a replay its dead
    /// letter, under a name that no sender can use, since keys have no blanks.
    pub fn idempotency(&self, key: Option<String>, dedupe_body: bool) -> Option<Idempotency> {
        if let Some(Replay { dead_letter, .. }) = self.replay {
            let sha256 = Sha256::digest(dead_letter).into();
            return Some(Idempotency { key: format!("dead letter {dead_letter}"), sha256, before: None });
        }
        if key.is_none() && !dedupe_body {
            return None;
        }
        let sha256 = self.sha256();
        let key = key.unwrap_or_else(|| {
            let hex: String = sha256.iter().map(|byte| format!("{byte:02x}")).collect();
            format!("body-sha256:{hex}")
        });
        Some(Idempotency { key, sha256, before: None })
    }

    /// The body, and behind it what was sent where something of that could not be read: of it the body has a mark alone, the same for
    /// all.
    pub fn told_apart_by(&self) -> [&[u8]; 2] {
        let sent = self.original.as_ref().filter(|original| !original.broken.is_empty());
        [&self.body[..], sent.map_or(&[][..], |original| &original.body[..])]
    }

    /// SHA-256 of route, parameters and body, and of the form of the body: the same bytes are other events as
    /// `CloudEvents`. JSON, the usual form, goes without.
    pub fn sha256(&self) -> [u8; 32] {
        let form = if self.form == BodyForm::Json { "" } else { self.form.media_type() };
        let [body, sent] = match &self.sent_digest {
            Some(digest) => [&digest[..], &[][..]],
            None => self.told_apart_by(),
        };
        Sha256::new()
            .chain_update(&*self.route)
            .chain_update(form)
            .chain_update([0])
            .chain_update(self.parameters().to_string())
            .chain_update([0])
            .chain_update(body)
            .chain_update(sent)
            .finalize()
            .into()
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn received(defaults: Defaults, replay: Option<Replay>) -> Received {
        Received {
            tenant_id: "a".into(),
            api_key_id: Uuid::nil(),
            keep_days: None,
            receipt: Uuid::nil(),
            received_at_us: 1,
            route: "/v1/events".into(),
            kind: Kind::Events,
            form: BodyForm::Json,
            defaults,
            body: Bytes::from_static(b"[]"),
            original: None,
            sent_digest: None,
            replay,
        }
    }

    #[test]
    fn parameters_come_back_as_they_were() {
        let text = |text: &str| Some(text.to_owned());
        for (event_type, source_module, stream, wrap) in
            [(None, None, None, false), (text("t"), text("m"), text("s"), true), (None, text("m"), None, false)]
        {
            let received = received(Defaults { event_type, source_module, stream, wrap }, None);
            assert_eq!(Received::defaults_of(&received.parameters()), Some(received.defaults));
        }
        for unknown in [json!({ "schema": "7" }), json!({ "wrap": "item" }), json!({ "stream": 1 }), json!([])] {
            assert_eq!(Received::defaults_of(&unknown), None, "{unknown}");
        }
    }

    #[test]
    fn bodies_of_which_nothing_could_be_read_are_other_requests() {
        use crate::wire::item::Broken;
        let of = |sent: &'static str, is_broken: bool| {
            let broken = Vec::from_iter(is_broken.then(|| Broken { item: 0, message: String::new() }));
            let original = Original { body: Bytes::from_static(sent.as_bytes()), places: Vec::new(), broken };
            Received { original: Some(Arc::new(original)), ..received(Defaults::default(), None) }.sha256()
        };
        assert_ne!(of("a v=oops", true), of("b v=oops", true));
        assert_eq!(of("a v=oops", true), of("a v=oops", true));
        assert_eq!(of("a v=1", false), of(" a v=1", false));
    }

    #[test]
    fn a_replay_is_known_by_its_letter_alone() {
        let replay =
            |id: u128, at_us| received(Defaults::default(), Some(Replay { dead_letter: Uuid::from_u128(id), at_us }));
        let (one, again, other) = (replay(1, 5), replay(1, 6), replay(2, 5));
        assert_eq!((one.judged_at_us(), again.judged_at_us()), (5, 6));
        let known = |received: &Received| received.idempotency(None, false);
        assert_eq!(known(&one), known(&Received { body: Bytes::from_static(b"[1]"), ..again }));
        assert_ne!(known(&one), known(&other));
        assert!(known(&one).is_some_and(|known| known.key.contains(' ')));
        assert_eq!(
            (known(&received(Defaults::default(), None)), received(Defaults::default(), None).judged_at_us()),
            (None, 1)
        );
    }
}
