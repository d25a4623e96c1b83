//! How a request is kept in the spool: a versioned binary form whose every length is checked, with the body last, so
//! that reading it copies no body. It holds no secret: of the API key only its id.

use std::sync::Arc;

use bytes::Bytes;
use uuid::Uuid;

use super::super::received::{Idempotency, Received};
pub use super::fields::DecodeError;
use super::fields::{Reader, put_count, put_flagged, put_text};
use super::original;
use super::record::{Meta, RecordPayload};
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// Version 3 kept nothing of what was sent but the items, 2 no kind, and 1 nothing of what organizations keep; all are still
/// read.
const VERSION: u8 = 4;
/// Bytes of an encoded request within which its summary lies: names of tenants are short.
pub const SUMMARY_BYTES_MAX: usize = 2048;

/// A request that was accepted into the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledRequest {
    pub received: Received,
    pub idempotency: Option<Idempotency>,
    pub items: u32,
    /// Items that will be stored, as answered.
    pub accepted: u32,
    /// Items that will be dead letters, as answered.
    pub rejected: u32,
    /// An attempt to write it whose outcome was not known.
    pub attempt: Option<PossiblyCommitted>,
}

/// A transaction that may have committed: before the request is written again, this is looked up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PossiblyCommitted {
    /// Its id, as PostgreSQL prints an xid8.
    pub xid: String,
    /// When that server was started, in unix microseconds.
    pub server_start_us: i64,
    /// The batches that it would have written.
    pub batch_ids: Vec<i64>,
}

/// What is asked of a spooled request by its receipt.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledSummary {
    pub tenant_id: String,
    pub receipt: Uuid,
    /// When it was received, in unix microseconds.
    pub received_at_us: i64,
    pub items: u32,
    pub accepted: u32,
    /// Items that will be dead letters.
    pub rejected: u32,
}

impl SpooledRequest {
    /// What the spool itself needs to know.
    pub fn meta(&self) -> Meta {
        Meta { receipt: self.received.receipt, items: self.items }
    }

    /// Its form in the spool; the body is shared, not copied.
    pub fn encode(&self) -> RecordPayload {
        // A replay is not spooled: it is a dead letter until it is stored.
        let Received {
            tenant_id,
            api_key_id,
            keep_days,
            receipt,
            received_at_us,
            route,
            kind,
            form,
            defaults,
            body,
            original,
            ..
        } = &self.received;
        let mut head = Vec::with_capacity(256);
        // As the version before wrote it, where that says all: who goes back to it can read what is spooled.
        let is_whole = original.is_some() || *form == BodyForm::Converted;
        head.push(if is_whole { VERSION } else { VERSION - 1 });
        put_text(&mut head, Some(tenant_id));
        head.extend_from_slice(receipt.as_bytes());
        head.extend_from_slice(&received_at_us.to_le_bytes());
        for count in [self.items, self.accepted, self.rejected] {
            head.extend_from_slice(&count.to_le_bytes());
        }
        head.extend_from_slice(api_key_id.as_bytes());
        put_flagged(&mut head, keep_days.map(i32::to_le_bytes).as_ref());
        put_text(&mut head, self.idempotency.as_ref().map(|idempotency| idempotency.key.as_str()));
        put_flagged(&mut head, self.idempotency.as_ref().map(|idempotency| &idempotency.sha256));
        put_text(&mut head, Some(route));
        put_text(&mut head, Some(kind.table()));
        head.push(form_number(*form));
        for text in [&defaults.event_type, &defaults.source_module, &defaults.stream] {
            put_text(&mut head, text.as_deref());
        }
        head.push(defaults.wrap.into());
        head.push(self.attempt.is_some().into());
        if let Some(attempt) = &self.attempt {
            put_text(&mut head, Some(&attempt.xid));
            head.extend_from_slice(&attempt.server_start_us.to_le_bytes());
            put_count(&mut head, attempt.batch_ids.len());
            for id in &attempt.batch_ids {
                head.extend_from_slice(&id.to_le_bytes());
            }
        }
        if is_whole {
            head.push(original.is_some().into());
        }
        if let Some(original) = original {
            original::put(&mut head, original);
        }
        RecordPayload { head: head.into(), body: body.clone() }
    }

    /// Reads an encoded request; the body is a slice of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        let SpooledSummary { tenant_id, receipt, received_at_us, items, accepted, rejected } = summary(&mut from)?;
        let version = bytes[0];
        let api_key_id = Uuid::from_bytes(from.array()?);
        let keep_days = if version > 1 { from.flagged("retention")?.map(i32::from_le_bytes) } else { None };
        let key = from.text("idempotency key")?;
        let sha256 = from.flagged("hash")?;
        let route = from.required("route")?;
        let kind = from.required("kind")?;
        // Before version 3 the route told the kind, and the content type stood in its place.
        let kind = if version > 2 { Some(&*kind) } else { route.strip_prefix("/v1/") };
        let kind = Kind::ALL.into_iter().find(|known| Some(known.table()) == kind);
        let kind = kind.ok_or(DecodeError::Invalid("kind"))?;
        let form = form_of(from.array::<1>()?[0]).ok_or(DecodeError::Invalid("form"))?;
        let defaults = Defaults {
            event_type: from.text("event_type")?,
            source_module: from.text("source_module")?,
            stream: from.text("stream")?,
            wrap: from.flag("wrap")?,
        };
        let attempt = if from.flag("attempt")? { Some(attempt(&mut from)?) } else { None };
        let original = match version > 3 && from.flag("original")? {
            true => Some(Arc::new(original::read(&mut from, bytes)?)),
            false => None,
        };
        let body = bytes.slice(bytes.len() - from.0.len()..);
        let (tenant_id, route) = (tenant_id.into(), route.into());
        let received = Received {
            tenant_id,
            api_key_id,
            keep_days,
            receipt,
            received_at_us,
            route,
            kind,
            form,
            defaults,
            body,
            original,
            sent_digest: None,
            replay: None,
        };
        let idempotency = key.zip(sha256).map(|(key, sha256)| Idempotency { key, sha256, before: None });
        Ok(Self { received, idempotency, items, accepted, rejected, attempt })
    }
}

fn attempt(from: &mut Reader<'_>) -> Result<PossiblyCommitted, DecodeError> {
    let xid = from.required("xid")?;
    let server_start_us = i64::from_le_bytes(from.array()?);
    let count = from.u32()?;
    // Collected from bytes that are there: no length is believed before.
    let ids = from.bytes(u64::from(count) * 8)?.chunks_exact(8);
    let batch_ids = ids.map(|id| i64::from_le_bytes(id.try_into().expect("8 bytes"))).collect();
    Ok(PossiblyCommitted { xid, server_start_us, batch_ids })
}

impl SpooledSummary {
    /// Reads the first bytes of an encoded request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        summary(&mut Reader(bytes))
    }
}

fn summary(from: &mut Reader<'_>) -> Result<SpooledSummary, DecodeError> {
    match from.array::<1>()?[0] {
        1..=VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    Ok(SpooledSummary {
        tenant_id: from.required("tenant")?,
        receipt: Uuid::from_bytes(from.array()?),
        received_at_us: i64::from_le_bytes(from.array()?),
        items: from.u32()?,
        accepted: from.u32()?,
        rejected: from.u32()?,
    })
}

fn form_number(form: BodyForm) -> u8 {
    match form {
        BodyForm::Json => 1,
        BodyForm::Ndjson => 2,
        BodyForm::CloudEvent => 3,
        BodyForm::CloudEventBatch => 4,
        BodyForm::Converted => 5,
    }
}

fn form_of(number: u8) -> Option<BodyForm> {
    [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent, BodyForm::CloudEventBatch, BodyForm::Converted]
        .into_iter()
        .find(|form| form_number(*form) == number)
}
