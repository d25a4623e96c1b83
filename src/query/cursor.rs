//! Opaque cursors: a position in one listing of one tenant.
//!
//! A cursor carries a tag of its tenant and one of its filters. With another tenant's cursor the answer is that there is
//! no such thing; with another query's, that it does not belong here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use sha2::{Digest, Sha256};

/// First byte, so that the format can change.
const VERSION: u8 = 1;
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

/// What a cursor belongs to.
pub struct Scope {
    tenant: [u8; TAG_BYTES],
    query: [u8; TAG_BYTES],
}

impl Scope {
    /// The scope of a listing: its tenant, and a text that says what is listed.
    pub fn new(tenant_id: &str, query: &str) -> Self {
        Self { tenant: tag(&[tenant_id]), query: tag(&[tenant_id, query]) }
    }

    /// The text of a cursor at `position`.
    pub fn encode<const N: usize>(&self, position: [i64; N]) -> String {
        let mut bytes = vec![VERSION];
        bytes.extend(self.tenant);
        bytes.extend(self.query);
        bytes.extend(position.iter().flat_map(|part| part.to_be_bytes()));
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a cursor.
    pub fn decode<const N: usize>(&self, text: &str) -> Result<[i64; N], CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let (head, parts) = bytes.split_at_checked(1 + 2 * TAG_BYTES).ok_or(CursorError::Malformed)?;
        if head[0] != VERSION || parts.len() != N * 8 {
            return Err(CursorError::Malformed);
        }
        if head[1..=TAG_BYTES] != self.tenant {
            return Err(CursorError::NotFound);
        }
        if head[1 + TAG_BYTES..] != self.query {
            return Err(CursorError::OtherQuery);
        }
        let mut position = [0; N];
        for (part, bytes) in position.iter_mut().zip(parts.chunks_exact(8)) {
            *part = i64::from_be_bytes(bytes.try_into().map_err(|_| CursorError::Malformed)?);
        }
        Ok(position)
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
        let text = Scope::new("a", "events").encode([1, -2, i64::MAX]);
        assert_eq!(Scope::new("a", "events").decode(&text), Ok([1, -2, i64::MAX]));
        assert_eq!(Scope::new("b", "events").decode::<3>(&text), Err(CursorError::NotFound));
        assert_eq!(Scope::new("a", "events?x").decode::<3>(&text), Err(CursorError::OtherQuery));
        assert_eq!(Scope::new("a", "events").decode::<2>(&text), Err(CursorError::Malformed));
        assert_eq!(Scope::new("a", "events").decode::<3>("!"), Err(CursorError::Malformed));
        assert_eq!(Scope::new("a", "events").decode::<3>(""), Err(CursorError::Malformed));
    }
}
