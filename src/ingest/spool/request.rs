//! How a request is kept in the spool: a versioned binary form whose every length is checked, with the body last, so
//! that reading it copies no body. It holds no secret: of the API key only its id.

use bytes::Bytes;
use uuid::Uuid;

use super::super::received::{Idempotency, Received};
use super::record::{Meta, RecordPayload};
use crate::model::Kind;
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

/// Version 2 kept no kind, and 1 nothing of what organizations keep; both are still read.
const VERSION: u8 = 3;
/// Stands for the length of a text that is absent.
const ABSENT: u32 = u32::MAX;
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

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    Short,
    Version(u8),
    /// A text is not UTF-8, or a choice is none of those known.
    Invalid(&'static str),
}

impl std::fmt::Display for DecodeError {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Short => f.write_str("a spooled request is cut short"),
            Self::Version(version) => write!(f, "a spooled request is of version {version}, which is not known"),
            Self::Invalid(field) => write!(f, "a spooled request has an invalid {field}"),
        }
    }
}

impl std::error::Error for DecodeError {}

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
            ..
        } = &self.received;
        let mut head = Vec::with_capacity(256);
        head.push(VERSION);
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

fn put_count(into: &mut Vec<u8>, count: usize) {
    let count = u32::try_from(count).ok().filter(|count| *count != ABSENT).expect("requests are smaller than 4 GiB");
    into.extend_from_slice(&count.to_le_bytes());
}

/// Bytes behind a flag that says whether they are there.
fn put_flagged<const N: usize>(into: &mut Vec<u8>, bytes: Option<&[u8; N]>) {
    into.push(bytes.is_some().into());
    into.extend_from_slice(bytes.map_or(&[], <[u8; N]>::as_slice));
}

fn put_text(into: &mut Vec<u8>, text: Option<&str>) {
    match text {
        None => into.extend_from_slice(&ABSENT.to_le_bytes()),
        Some(text) => {
            put_count(into, text.len());
            into.extend_from_slice(text.as_bytes());
        }
    }
}

fn form_number(form: BodyForm) -> u8 {
    match form {
        BodyForm::Json => 1,
        BodyForm::Ndjson => 2,
        BodyForm::CloudEvent => 3,
        BodyForm::CloudEventBatch => 4,
    }
}

fn form_of(number: u8) -> Option<BodyForm> {
    [BodyForm::Json, BodyForm::Ndjson, BodyForm::CloudEvent, BodyForm::CloudEventBatch]
        .into_iter()
        .find(|form| form_number(*form) == number)
}

struct Reader<'a>(&'a [u8]);

impl<'a> Reader<'a> {
    fn bytes(&mut self, count: u64) -> Result<&'a [u8], DecodeError> {
        let count = usize::try_from(count).map_err(|_| DecodeError::Short)?;
        let (taken, rest) = self.0.split_at_checked(count).ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], DecodeError> {
        let (taken, rest) = self.0.split_first_chunk().ok_or(DecodeError::Short)?;
        self.0 = rest;
        Ok(*taken)
    }

    fn u32(&mut self) -> Result<u32, DecodeError> {
        self.array().map(u32::from_le_bytes)
    }

    fn flag(&mut self, field: &'static str) -> Result<bool, DecodeError> {
        match self.array::<1>()?[0] {
            0 => Ok(false),
            1 => Ok(true),
            _ => Err(DecodeError::Invalid(field)),
        }
    }

    /// As `put_flagged` writes them.
    fn flagged<const N: usize>(&mut self, field: &'static str) -> Result<Option<[u8; N]>, DecodeError> {
        if self.flag(field)? { self.array().map(Some) } else { Ok(None) }
    }

    fn text(&mut self, field: &'static str) -> Result<Option<String>, DecodeError> {
        let length = self.u32()?;
        if length == ABSENT {
            return Ok(None);
        }
        let text = std::str::from_utf8(self.bytes(length.into())?).map_err(|_| DecodeError::Invalid(field))?;
        Ok(Some(text.to_owned()))
    }

    fn required(&mut self, field: &'static str) -> Result<String, DecodeError> {
        self.text(field)?.ok_or(DecodeError::Invalid(field))
    }
}
