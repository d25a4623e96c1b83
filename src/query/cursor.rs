//! Opaque cursors: a position in one listing of one tenant.
//!
//! A cursor carries a tag of its tenant and one of its filters. With another tenant's cursor the answer is that there
//! is no such thing; with another query's, that it does not belong here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// First byte, so that the format can change; behind it both tags, the position as JSON, and a checksum of all that, so that one
/// that is damaged is never another position, nor another tenant's.
const VERSION: u8 = 4;
const TAG_BYTES: usize = 8;
const CHECKSUM_BYTES: usize = 4;

/// Why a cursor is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Not one of ours, or damaged.
    Malformed,
    /// Of another tenant: looks the same as one that does not exist.
    NotFound,
    /// Of a query with other filters.
    OtherQuery,
}

pub struct CursorScope {
    tenant: [u8; TAG_BYTES],
    query: [u8; TAG_BYTES],
}

impl CursorScope {
    /// The scope of a listing: its tenant, and a text that says what is listed.
    pub fn new(tenant_id: &str, query: &str) -> Self {
        Self { tenant: tag(&[tenant_id]), query: tag(&[tenant_id, query]) }
    }

    /// The text of a cursor at `position`.
    pub fn encode(&self, position: &impl Serialize) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.tenant);
        bytes.extend(self.query);
        serde_json::to_writer(&mut bytes, position).expect("positions are made of plain values");
        bytes.extend(checksum(&bytes));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode<P: DeserializeOwned>(&self, text: &str) -> Result<P, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let (whole, sum) = bytes.split_last_chunk::<CHECKSUM_BYTES>().ok_or(CursorError::Malformed)?;
        let (head, position) = whole.split_at_checked(1 + 2 * TAG_BYTES).ok_or(CursorError::Malformed)?;
        if head[0] != VERSION || checksum(whole) != *sum {
            return Err(CursorError::Malformed);
        }
        if head[1..=TAG_BYTES] != self.tenant {
            return Err(CursorError::NotFound);
        }
        if head[1 + TAG_BYTES..] != self.query {
            return Err(CursorError::OtherQuery);
        }
        serde_json::from_slice(position).map_err(|_| CursorError::Malformed)
    }
}

fn checksum(bytes: &[u8]) -> [u8; CHECKSUM_BYTES] {
    let digest = Sha256::digest(bytes);
    std::array::from_fn(|index| digest[index])
}

fn tag(parts: &[&str]) -> [u8; TAG_BYTES] {
    let mut digest = Sha256::new();
    for part in parts {
        digest.update(part.len().to_be_bytes());
        digest.update(part);
    }
    let digest = digest.finalize();
    std::array::from_fn(|index| digest[index])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_cursor_belongs_to_one_tenant_and_query() {
        let text = CursorScope::new("a", "events").encode(&(1, -2, i64::MAX, "a,grüße"));
        let decode = |tenant: &str, query: &str, text: &str| CursorScope::new(tenant, query).decode(text);
        assert_eq!(decode("a", "events", &text), Ok((1, -2, i64::MAX, "a,grüße".to_owned())));
        assert_eq!(decode("b", "events", &text), Err(CursorError::NotFound));
        assert_eq!(decode("a", "events?x", &text), Err(CursorError::OtherQuery));
        assert_eq!(decode("a", "events", "!"), Err(CursorError::Malformed));
        assert_eq!(decode("a", "events", ""), Err(CursorError::Malformed));
        assert_eq!(decode("a", "events", &text[..text.len() - 3]), Err(CursorError::Malformed));
        assert_eq!(CursorScope::new("a", "events").decode::<(i64, i64)>(&text), Err(CursorError::Malformed));
    }

    #[test]
    fn a_damaged_cursor_is_none() {
        let scope = CursorScope::new("a", "events");
        let text = scope.encode(&(1, 22, 333));
        let decoded = |bytes: &[u8]| scope.decode::<(i64, i64, i64)>(&URL_SAFE_NO_PAD.encode(bytes));
        let bytes = URL_SAFE_NO_PAD.decode(&text).expect("base64");
        assert_eq!(decoded(&bytes), Ok((1, 22, 333)));
        for at in 0..bytes.len() {
            // Digits of the position among them: without the checksum it would be another one.
            for bit in 0..8 {
                let mut damaged = bytes.clone();
                damaged[at] ^= 1 << bit;
                assert_eq!(decoded(&damaged), Err(CursorError::Malformed), "byte {at}, bit {bit}");
            }
            assert_eq!(decoded(&bytes[..at]), Err(CursorError::Malformed), "cut at {at}");
            assert_eq!(decoded(&bytes[at + 1..]), Err(CursorError::Malformed), "without its first {at}");
        }
        assert_eq!(decoded(&[bytes.as_slice(), b" "].concat()), Err(CursorError::Malformed));
        for text in [format!("{text}="), format!(" {text}"), format!("{text}{text}"), text.to_lowercase()] {
            assert_eq!(scope.decode::<(i64, i64, i64)>(&text), Err(CursorError::Malformed), "{text}");
        }
    }
}
