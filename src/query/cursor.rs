//! Opaque cursors: a position in one listing of one tenant.
//!
//! A cursor carries a tag of its tenant and one of its filters. With another tenant's cursor the answer is that there
//! is no such thing; with another query's, that it does not belong here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use serde::Serialize;
use serde::de::DeserializeOwned;
use sha2::{Digest, Sha256};

/// First byte, so that the format can change; behind it both tags, and the position as JSON.
const VERSION: u8 = 3;
const TAG_BYTES: usize = 8;

/// Why a cursor is not taken.
#[derive(Debug, PartialEq, Eq)]
pub enum CursorError {
    /// Not one of ours.
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
        URL_SAFE_NO_PAD.encode(bytes)
    }

    pub fn decode<P: DeserializeOwned>(&self, text: &str) -> Result<P, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let (head, position) = bytes.split_at_checked(1 + 2 * TAG_BYTES).ok_or(CursorError::Malformed)?;
        if head[0] != VERSION {
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
}
