//! What an API key, or the token of a session, looks like wherever it turns up: where it does not belong it is not to be kept, logged or answered.

use std::borrow::Cow;
use std::ops::Range;

/// Of keys, and of the tokens of sessions.
const PREFIXES: [&str; 2] = ["tg_", "tgs_"];
/// Hex digits of a key's id.
const ID_DIGITS: usize = 32;
/// Hex digits of the secret from which on it is one: also a key that lost its end is nobody's business.
const SECRET_DIGITS_MIN: usize = 16;

/// Whether a text holds an API key, anywhere and in any case.
pub fn holds_key(text: &str) -> bool {
    find(text.as_bytes()).is_some()
}

/// The text with `tg_...` in the place of every API key.
pub fn redacted(text: &str) -> Cow<'_, str> {
    match redacted_bytes(text.as_bytes()) {
        Cow::Borrowed(_) => Cow::Borrowed(text),
        Cow::Owned(bytes) => Cow::Owned(String::from_utf8(bytes).expect("ASCII was put in the place of ASCII")),
    }
}

/// The same of bytes, which need not be text.
pub fn redacted_bytes(bytes: &[u8]) -> Cow<'_, [u8]> {
    let mut out = Vec::new();
    let mut rest = bytes;
    while let Some(key) = find(rest) {
        out.extend_from_slice(&rest[..key.start]);
        out.extend_from_slice(b"tg_...");
        rest = &rest[key.end..];
    }
    if rest.len() == bytes.len() {
        return Cow::Borrowed(bytes);
    }
    out.extend_from_slice(rest);
    Cow::Owned(out)
}

/// The first key; its bytes are ASCII.
fn find(text: &[u8]) -> Option<Range<usize>> {
    memchr::memchr_iter(b'_', text).find_map(|at| {
        let before = &text[..=at];
        let is_at_its_end = |prefix: &&&str| {
            let start = before.len().checked_sub(prefix.len());
            start.is_some_and(|start| before[start..].eq_ignore_ascii_case(prefix.as_bytes()))
        };
        let start = at + 1 - PREFIXES.iter().find(is_at_its_end)?.len();
        let after = &text[at + 1..];
        let (id, secret) = after.split_at_checked(ID_DIGITS)?;
        let secret = secret.strip_prefix(b"_")?;
        let digits = secret.iter().take_while(|byte| byte.is_ascii_hexdigit()).count();
        let is_key = id.iter().all(u8::is_ascii_hexdigit) && digits >= SECRET_DIGITS_MIN;
        is_key.then(|| start..at + 1 + ID_DIGITS + 1 + digits)
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::tenancy::{ApiKey, SessionToken};

    #[test]
    fn a_key_is_seen_wherever_it_stands() {
        let key = ApiKey::generate().expect("randomness").reveal();
        for text in [
            key.clone(),
            key.to_uppercase(),
            format!("Bearer {key}"),
            format!("x{key}x"),
            format!("☃_tg_{key}"),
            key[..60].to_owned(),
        ] {
            assert!(holds_key(&text), "{text}");
            assert!(!redacted(&text).to_lowercase().contains(&key[36..52]), "{text}");
        }
        assert_eq!(redacted(&format!("a {key} b {key}.")), "a tg_... b tg_....");
        let token = SessionToken::generate().expect("randomness").reveal();
        for text in
            [token.clone(), token.to_uppercase(), format!("tidegate_session={token}; a=b"), token[..60].to_owned()]
        {
            assert!(holds_key(&text), "{text}");
            assert!(!redacted(&text).to_lowercase().contains(&token[37..53]), "{text}");
        }
        let bytes = [b"\xff", key.as_bytes(), b"\0", key.as_bytes()].concat();
        assert_eq!(redacted_bytes(&bytes), &b"\xfftg_...\0tg_..."[..]);
    }

    #[test]
    fn what_only_begins_like_one_is_none() {
        let key = ApiKey::generate().expect("randomness").reveal();
        for text in ["", "_", "tg_", "tg_a_b", &key[..36], &key[..45], &key.replace("tg_", "tag_"), "order-1", "☃"] {
            assert!(!holds_key(text), "{text}");
            assert!(matches!(redacted(text), Cow::Borrowed(same) if same == text), "{text}");
        }
        // A W3C trace id and a ULID under names of somebody else's.
        assert!(!holds_key("stg_4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7"));
    }
}
