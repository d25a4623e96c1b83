//! The format on disk: a segment's header, and a record's head. All numbers are little-endian.
//!
//! ```text
//! segment: "TGSPOOL\0"  version u32  first sequence u64  marker u64  made u64 (unix us)  crc u32 | record record ...
//! record:  marker u64  length u32  sequence u64  type u8  crc u32 | appended u64 (unix us)  receipt 16  items u32 | payload
//! ```
//!
//! `length` counts what follows the CRC. The CRC is CRC32C over everything of the record but itself. The marker is
//! drawn at random for each segment: where a record is damaged, the next one is looked for by it. A sender cannot know
//! it, so nothing inside a body can pass for a record.

use bytes::Bytes;
use crc32c::{crc32c, crc32c_append};
use uuid::Uuid;

use crate::limits::SPOOL_RECORD_BYTES_MAX;

pub const VERSION: u32 = 1;
pub const HEADER_BYTES: usize = 40;
/// Bytes of a record before its payload.
pub const HEAD_BYTES: usize = 53;
/// Those of them that its length does not count.
const UNCOUNTED_BYTES: usize = 25;
const MAGIC: &[u8; 8] = b"TGSPOOL\0";

/// The number of a record; each is one more than the one before, but for what was lost.
pub type Sequence = u64;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RecordType {
    Request = 1,
    /// Text for people, in files of the quarantine.
    Note = 2,
}

/// What the spool itself knows of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Meta {
    /// The request's receipt; those of version 7 are found fastest.
    pub receipt: Uuid,
    pub items: u32,
}

/// A payload in two parts, so that a body need not be copied behind its description.
#[derive(Debug, Clone)]
pub struct RecordPayload {
    pub head: Bytes,
    pub body: Bytes,
}

impl RecordPayload {
    pub fn len(&self) -> usize {
        self.head.len() + self.body.len()
    }

    /// No bytes at all.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for RecordPayload {
    fn from(body: Bytes) -> Self {
        Self { head: Bytes::new(), body }
    }
}

impl From<Vec<u8>> for RecordPayload {
    fn from(body: Vec<u8>) -> Self {
        Bytes::from(body).into()
    }
}

/// The first bytes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Header {
    pub first: u64,
    pub marker: u64,
    pub made_us: i64,
}

/// Why a header cannot be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum HeaderError {
    /// It is not what was written.
    Damaged,
    /// It is whole, and of a version that this one does not know.
    Version(u32),
}

impl Header {
    pub fn encode(&self) -> [u8; HEADER_BYTES] {
        let mut bytes = [0; HEADER_BYTES];
        bytes[..8].copy_from_slice(MAGIC);
        bytes[8..12].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.first.to_le_bytes());
        bytes[20..28].copy_from_slice(&self.marker.to_le_bytes());
        bytes[28..36].copy_from_slice(&self.made_us.to_le_bytes());
        let crc = crc32c(&bytes[..36]);
        bytes[36..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub fn decode(bytes: &[u8]) -> Result<Self, HeaderError> {
        let Some(bytes) = bytes.first_chunk::<HEADER_BYTES>() else { return Err(HeaderError::Damaged) };
        let fields = FieldReader(bytes);
        if &bytes[..8] != MAGIC || fields.u32(36) != crc32c(&bytes[..36]) {
            return Err(HeaderError::Damaged);
        }
        match fields.u32(8) {
            VERSION => {
                let made_us = fields.u64(28).cast_signed();
                Ok(Self { first: fields.u64(12), marker: fields.u64(20), made_us })
            }
            other => Err(HeaderError::Version(other)),
        }
    }
}

/// A record but for its payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RecordHead {
    pub marker: u64,
    pub bytes: u64,
    pub sequence: u64,
    pub kind: RecordType,
    pub crc: u32,
    pub appended_us: i64,
    pub meta: Meta,
}

impl RecordHead {
    /// The head of a record with this payload, which [`fits`] a record.
    pub fn new(
        marker: u64,
        sequence: u64,
        kind: RecordType,
        appended_us: i64,
        meta: Meta,
        payload: &RecordPayload,
    ) -> Self {
        let bytes = (HEAD_BYTES + payload.len()) as u64;
        let mut head = Self { marker, bytes, sequence, kind, crc: 0, appended_us, meta };
        let encoded = head.encode();
        head.crc = crc32c_append(crc32c_append(crc_of_head(&encoded), &payload.head), &payload.body);
        head
    }

    pub fn encode(&self) -> [u8; HEAD_BYTES] {
        let length = u32::try_from(self.bytes - UNCOUNTED_BYTES as u64).expect("SPOOL_RECORD_BYTES_MAX fits a u32");
        let mut bytes = [0; HEAD_BYTES];
        bytes[..8].copy_from_slice(&self.marker.to_le_bytes());
        bytes[8..12].copy_from_slice(&length.to_le_bytes());
        bytes[12..20].copy_from_slice(&self.sequence.to_le_bytes());
        bytes[20] = self.kind as u8;
        bytes[21..25].copy_from_slice(&self.crc.to_le_bytes());
        bytes[25..33].copy_from_slice(&self.appended_us.to_le_bytes());
        bytes[33..49].copy_from_slice(self.meta.receipt.as_bytes());
        bytes[49..].copy_from_slice(&self.meta.items.to_le_bytes());
        bytes
    }

    /// Reads a head; whether it is a record's is known only once its CRC is checked. None: it cannot be one.
    pub fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.first_chunk::<HEAD_BYTES>()?;
        let fields = FieldReader(bytes);
        let kind = match bytes[20] {
            1 => RecordType::Request,
            2 => RecordType::Note,
            _ => return None,
        };
        let whole = UNCOUNTED_BYTES as u64 + u64::from(fields.u32(8));
        if whole < HEAD_BYTES as u64 || whole > SPOOL_RECORD_BYTES_MAX as u64 {
            return None;
        }
        Some(Self {
            marker: fields.u64(0),
            bytes: whole,
            sequence: fields.u64(12),
            kind,
            crc: fields.u32(21),
            appended_us: fields.u64(25).cast_signed(),
            meta: Meta {
                receipt: Uuid::from_bytes(bytes[33..49].try_into().expect("16 bytes")),
                items: fields.u32(49),
            },
        })
    }

    /// The CRC of the head's own bytes, to be carried on over the payload.
    pub fn crc_of_own(&self) -> u32 {
        crc_of_head(&self.encode())
    }
}

/// Whether a payload of so many bytes can be a record.
pub fn fits(payload_bytes: usize) -> bool {
    payload_bytes <= SPOOL_RECORD_BYTES_MAX - HEAD_BYTES
}

fn crc_of_head(bytes: &[u8; HEAD_BYTES]) -> u32 {
    crc32c_append(crc32c(&bytes[..21]), &bytes[25..])
}

/// Numbers at fixed places of bytes whose length is known.
struct FieldReader<'a>(&'a [u8]);

impl FieldReader<'_> {
    fn u32(&self, at: usize) -> u32 {
        u32::from_le_bytes(self.0[at..at + 4].try_into().expect("4 bytes"))
    }

    fn u64(&self, at: usize) -> u64 {
        u64::from_le_bytes(self.0[at..at + 8].try_into().expect("8 bytes"))
    }
}

/// The file name of the segment whose first record has this sequence.
pub fn segment_name(first: u64) -> String {
    format!("{first:020}.seg")
}

/// The first sequence of a segment's file name; so large that the sequences behind it could run out, it is none.
pub fn first_of_name(name: &str) -> Option<u64> {
    let digits = name.strip_suffix(".seg").filter(|digits| digits.len() == 20)?;
    let first = digits.bytes().all(|byte| byte.is_ascii_digit()).then(|| digits.parse().ok())??;
    (first <= u64::MAX / 2).then_some(first)
}
