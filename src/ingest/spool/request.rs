//! How a request is kept in the spool: a versioned binary form whose every length is checked, with the body last, so
//! that reading it copies no body. It holds no secret: of the API key only its id.

use bytes::Bytes;
use uuid::Uuid;

use super::record::{Meta, Payload};
use crate::wire::event::Defaults;
use crate::wire::item::BodyForm;

const VERSION: u8 = 2;
/// The first one, which knew nothing of what organizations keep.
const VERSION_1: u8 = 1;
/// Stands for the length of a text that is absent.
const ABSENT: u32 = u32::MAX;
/// Bytes of an encoded request within which its summary lies: names of tenants are short.
pub const SUMMARY_BYTES_MAX: usize = 2048;

/// A request that was accepted into the spool.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SpooledRequest {
    /// The tenant of the key.
    pub tenant_id: String,
    pub api_key_id: Uuid,
    /// Days that the organization kept such items for when it was received; None: as long as everybody.
    pub keep_days: Option<i32>,
    pub receipt: Uuid,
    /// The sender's idempotency key.
    pub idempotency_key: Option<String>,
    /// What the key stands for: SHA-256 of route, parameters and body.
    pub sha256: Option<[u8; 32]>,
    pub route: String,
    /// The content type, as kept with dead letters.
    pub content_type: String,
    /// How the body is to be read.
    pub form: BodyForm,
    /// What the query string says of absent fields.
    pub defaults: Defaults,
    /// When it was received, in unix microseconds.
    pub received_at_us: i64,
    pub items: u32,
    /// Items that will be stored, as answered.
    pub accepted: u32,
    /// Items that will be dead letters, as answered.
    pub rejected: u32,
    /// An attempt to write it whose outcome was not known.
    pub attempt: Option<PossiblyCommitted>,
    pub body: Bytes,
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
pub struct Summary {
    /// The tenant of the key.
    pub tenant_id: String,
    pub receipt: Uuid,
    /// When it was received, in unix microseconds.
    pub received_at_us: i64,
    pub items: u32,
    /// Items that will be stored.
    pub accepted: u32,
    /// Items that will be dead letters.
    pub rejected: u32,
}

/// Why bytes are no request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum DecodeError {
    /// A field goes past the end.
    Short,
    /// A version that this one does not know.
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
        Meta { receipt: self.receipt, items: self.items }
    }

    /// Its form in the spool; the body is shared, not copied.
    pub fn encode(&self) -> Payload {
        let mut head = Vec::with_capacity(256);
        head.push(VERSION);
        put_text(&mut head, Some(&self.tenant_id));
        head.extend_from_slice(self.receipt.as_bytes());
        head.extend_from_slice(&self.received_at_us.to_le_bytes());
        for count in [self.items, self.accepted, self.rejected] {
            head.extend_from_slice(&count.to_le_bytes());
        }
        head.extend_from_slice(self.api_key_id.as_bytes());
        head.push(self.keep_days.is_some().into());
        head.extend_from_slice(self.keep_days.map(i32::to_le_bytes).as_ref().map_or(&[][..], |days| days));
        put_text(&mut head, self.idempotency_key.as_deref());
        head.push(self.sha256.is_some().into());
        head.extend_from_slice(self.sha256.as_ref().map_or(&[][..], |hash| hash));
        put_text(&mut head, Some(&self.route));
        put_text(&mut head, Some(&self.content_type));
        head.push(form_number(self.form));
        for text in [&self.defaults.event_type, &self.defaults.source_module, &self.defaults.stream] {
            put_text(&mut head, text.as_deref());
        }
        head.push(self.defaults.wrap.into());
        head.push(self.attempt.is_some().into());
        if let Some(attempt) = &self.attempt {
            put_text(&mut head, Some(&attempt.xid));
            head.extend_from_slice(&attempt.server_start_us.to_le_bytes());
            put_count(&mut head, attempt.batch_ids.len());
            for id in &attempt.batch_ids {
                head.extend_from_slice(&id.to_le_bytes());
            }
        }
        Payload { head: head.into(), body: self.body.clone() }
    }

    /// Reads an encoded request; the body is a slice of `bytes`.
    pub fn decode(bytes: &Bytes) -> Result<Self, DecodeError> {
        let mut from = Reader(bytes);
        let Summary { tenant_id, receipt, received_at_us, items, accepted, rejected } = summary(&mut from)?;
        let api_key_id = Uuid::from_bytes(from.array()?);
        let knows_days = bytes.first() != Some(&VERSION_1);
        let keep_days =
            if knows_days && from.flag("retention")? { Some(i32::from_le_bytes(from.array()?)) } else { None };
        let idempotency_key = from.text("idempotency key")?;
        let sha256 = if from.flag("hash")? { Some(from.array()?) } else { None };
        let route = from.required("route")?;
        let content_type = from.required("content type")?;
        let form = form_of(from.array::<1>()?[0]).ok_or(DecodeError::Invalid("form"))?;
        let defaults = Defaults {
            event_type: from.text("event_type")?,
            source_module: from.text("source_module")?,
            stream: from.text("stream")?,
            wrap: from.flag("wrap")?,
        };
        let attempt = if from.flag("attempt")? {
            let xid = from.required("xid")?;
            let server_start_us = i64::from_le_bytes(from.array()?);
            let count = from.u32()?;
            // Collected from bytes that are there: no length is believed before.
            let ids = from.bytes(u64::from(count) * 8)?.chunks_exact(8);
            let batch_ids = ids.map(|id| i64::from_le_bytes(id.try_into().expect("8 bytes"))).collect();
            Some(PossiblyCommitted { xid, server_start_us, batch_ids })
        } else {
            None
        };
        let body = bytes.slice(bytes.len() - from.0.len()..);
        Ok(Self {
            tenant_id,
            api_key_id,
            keep_days,
            receipt,
            idempotency_key,
            sha256,
            route,
            content_type,
            form,
            defaults,
            received_at_us,
            items,
            accepted,
            rejected,
            attempt,
            body,
        })
    }
}

impl Summary {
    /// Reads the first bytes of an encoded request.
    pub fn decode(bytes: &[u8]) -> Result<Self, DecodeError> {
        summary(&mut Reader(bytes))
    }
}

fn summary(from: &mut Reader<'_>) -> Result<Summary, DecodeError> {
    match from.array::<1>()?[0] {
        VERSION_1 | VERSION => {}
        other => return Err(DecodeError::Version(other)),
    }
    Ok(Summary {
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

/// What is left to read.
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
