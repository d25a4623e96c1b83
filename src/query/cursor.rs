//! Opaque cursors: a position in one listing of one tenant.
//!
//! A cursor carries a tag of its tenant and one of its filters. With another tenant's cursor the answer is that there is
//! no such thing; with another query's, that it does not belong here.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use jiff::Timestamp;
use sha2::{Digest, Sha256};

/// First byte, so that the format can change: numbers of eight bytes each.
const NUMBERS: u8 = 1;
/// Numbers of eight bytes each, then texts, each behind its length in two bytes.
const NUMBERS_AND_TEXTS: u8 = 2;
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

/// Where a page ended.
pub type Position<const N: usize, const T: usize> = ([i64; N], [String; T]);

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

    /// The text of a cursor at a position of numbers and texts.
    pub fn encode<const N: usize, const T: usize>(&self, position: [i64; N], texts: [&str; T]) -> String {
        let mut bytes = vec![version::<T>()];
        bytes.extend(self.tenant);
        bytes.extend(self.query);
        bytes.extend(position.iter().flat_map(|part| part.to_be_bytes()));
        for text in texts {
            bytes.extend(u16::try_from(text.len()).expect("names have at most some hundred bytes").to_be_bytes());
            bytes.extend(text.as_bytes());
        }
        URL_SAFE_NO_PAD.encode(bytes)
    }

    /// The position of a cursor.
    pub fn decode<const N: usize, const T: usize>(&self, text: &str) -> Result<Position<N, T>, CursorError> {
        let bytes = URL_SAFE_NO_PAD.decode(text).map_err(|_| CursorError::Malformed)?;
        let parts = self.checked(version::<T>(), &bytes)?;
        let (position, mut rest) = numbers(parts)?;
        let mut texts = [const { String::new() }; T];
        for text in &mut texts {
            let (length, behind) = rest.split_at_checked(2).ok_or(CursorError::Malformed)?;
            let length = usize::from(u16::from_be_bytes([length[0], length[1]]));
            let (part, behind) = behind.split_at_checked(length).ok_or(CursorError::Malformed)?;
            *text = String::from_utf8(part.to_vec()).map_err(|_| CursorError::Malformed)?;
            if text.contains('\0') {
                return Err(CursorError::Malformed);
            }
            rest = behind;
        }
        if rest.is_empty() { Ok((position, texts)) } else { Err(CursorError::Malformed) }
    }

    /// What is behind the tags, when they are ours.
    fn checked<'a>(&self, version: u8, bytes: &'a [u8]) -> Result<&'a [u8], CursorError> {
        let (head, parts) = bytes.split_at_checked(1 + 2 * TAG_BYTES).ok_or(CursorError::Malformed)?;
        if head[0] != NUMBERS && head[0] != NUMBERS_AND_TEXTS {
            return Err(CursorError::Malformed);
        }
        if head[1..=TAG_BYTES] != self.tenant {
            return Err(CursorError::NotFound);
        }
        if head[1 + TAG_BYTES..] != self.query {
            return Err(CursorError::OtherQuery);
        }
        if head[0] == version { Ok(parts) } else { Err(CursorError::Malformed) }
    }
}

/// The version of a position with so many texts.
fn version<const T: usize>() -> u8 {
    if T == 0 { NUMBERS } else { NUMBERS_AND_TEXTS }
}

/// A time in a position.
pub fn position_time(microseconds: i64) -> Result<Timestamp, CursorError> {
    Timestamp::from_microsecond(microseconds).map_err(|_| CursorError::Malformed)
}

/// The leading numbers, and what is behind them.
fn numbers<const N: usize>(parts: &[u8]) -> Result<([i64; N], &[u8]), CursorError> {
    let (numbers, rest) = parts.split_at_checked(N * 8).ok_or(CursorError::Malformed)?;
    let mut position = [0; N];
    for (part, bytes) in position.iter_mut().zip(numbers.chunks_exact(8)) {
        *part = i64::from_be_bytes(bytes.try_into().map_err(|_| CursorError::Malformed)?);
    }
    Ok((position, rest))
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
        let decode = |tenant: &str, query: &str, text: &str| Scope::new(tenant, query).decode::<3, 0>(text);
        let text = Scope::new("a", "events").encode([1, -2, i64::MAX], []);
        assert_eq!(decode("a", "events", &text), Ok(([1, -2, i64::MAX], [])));
        assert_eq!(decode("b", "events", &text), Err(CursorError::NotFound));
        assert_eq!(decode("a", "events?x", &text), Err(CursorError::OtherQuery));
        assert_eq!(Scope::new("a", "events").decode::<2, 0>(&text), Err(CursorError::Malformed));
        assert_eq!(decode("a", "events", "!"), Err(CursorError::Malformed));
        assert_eq!(decode("a", "events", ""), Err(CursorError::Malformed));
    }

    #[test]
    fn texts_are_part_of_a_position() {
        let scope = Scope::new("a", "metrics");
        let text = scope.encode([7], ["", "a,b", "grüße"]);
        let parts = scope.decode::<1, 3>(&text).map(|(numbers, texts)| (numbers, texts.join("|")));
        assert_eq!(parts, Ok(([7], "|a,b|grüße".to_owned())));
        assert_eq!(scope.decode::<1, 2>(&text), Err(CursorError::Malformed));
        assert_eq!(scope.decode::<1, 4>(&text), Err(CursorError::Malformed));
        assert_eq!(scope.decode::<1, 0>(&text), Err(CursorError::Malformed), "another form");
        assert_eq!(scope.decode::<1, 1>(&scope.encode([7], [])), Err(CursorError::Malformed), "another form");
        assert_eq!(Scope::new("b", "metrics").decode::<1, 3>(&text), Err(CursorError::NotFound));
        assert_eq!(Scope::new("a", "other").decode::<1, 3>(&text), Err(CursorError::OtherQuery));
        assert_eq!(scope.decode::<1, 1>(&scope.encode([7], ["\0"])), Err(CursorError::Malformed));
    }
}
