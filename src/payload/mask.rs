//! What is masked of a payload: a path, and whether what it names is removed or replaced by a keyed hash.
//!
//! A hash is a text of its own form, `masked:` and 40 hexadecimal digits, of which the last eight prove that it was made
//! with the key: what is masked already is left as it is, so that a request may go through it again.

use hmac::{Hmac, KeyInit, Mac};
use sha2::Sha256;

use super::path::Path;
use super::text::unescaped;

const PREFIX: &[u8] = b"masked:";
/// Digits of the hash, and of its proof.
const HASH_DIGITS: usize = 32;
const PROOF_DIGITS: usize = 8;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Action {
    /// The member is left out; an element becomes null.
    Remove,
    /// A keyed hash of the value: equal values of an organization stay equal.
    Hash,
}

impl Action {
    pub const ALL: [(&str, Self); 2] = [("hash", Self::Hash), ("remove", Self::Remove)];

    pub fn as_str(self) -> &'static str {
        match self {
            Self::Hash => "hash",
            Self::Remove => "remove",
        }
    }
}

#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Mask {
    pub path: Path,
    pub action: Action,
}

/// The key of one organization's hashes.
#[derive(Clone, Copy)]
pub struct MaskKey<'k> {
    secret: &'k [u8],
    tenant_id: &'k str,
}

impl<'k> MaskKey<'k> {
    /// The same secret makes other hashes for every organization.
    pub fn of(secret: &'k [u8], tenant_id: &'k str) -> Self {
        Self { secret, tenant_id }
    }

    /// HMAC-SHA-256 of what, for which purpose.
    fn digest(&self, purpose: &[u8], what: &[u8]) -> [u8; 32] {
        self.digest_of(purpose, [what, &[]])
    }

    fn digest_of(&self, purpose: &[u8], what: [&[u8]; 2]) -> [u8; 32] {
        let mut mac = Hmac::<Sha256>::new_from_slice(self.secret).expect("HMAC takes keys of any length");
        for part in [purpose, self.tenant_id.as_bytes()] {
            mac.update(&(part.len() as u64).to_be_bytes());
            mac.update(part);
        }
        what.into_iter().for_each(|part| mac.update(part));
        mac.finalize().into_bytes().into()
    }

    /// What stands for a body whose parts are masked, where equal bodies are to be known again.
    pub fn body_digest(&self, parts: [&[u8]; 2]) -> [u8; 32] {
        self.digest_of(b"body", parts)
    }

    /// Appends the hash of a value, as a string of JSON. Null, and what is a hash already, stays.
    pub fn put_hashed(&self, value: &[u8], out: &mut Vec<u8>) {
        let text = value.strip_prefix(b"\"").and_then(|rest| rest.strip_suffix(b"\"")).map(unescaped);
        if value == b"null" || text.as_ref().is_some_and(|text| self.is_hash(text.as_bytes())) {
            out.extend_from_slice(value);
            return;
        }
        // A text and a number that looks like it are different values.
        let digest = match &text {
            Some(text) => self.digest(b"text", text.as_bytes()),
            None => self.digest(b"value", value),
        };
        let mut hash = PREFIX.to_vec();
        put_digits(&digest, HASH_DIGITS, &mut hash);
        let proof = self.digest(b"proof", &hash);
        put_digits(&proof, PROOF_DIGITS, &mut hash);
        out.push(b'"');
        out.append(&mut hash);
        out.push(b'"');
    }

    fn is_hash(&self, text: &[u8]) -> bool {
        if text.len() != PREFIX.len() + HASH_DIGITS + PROOF_DIGITS || !text.starts_with(PREFIX) {
            return false;
        }
        let (hash, proof) = text.split_at(PREFIX.len() + HASH_DIGITS);
        let mut expected = Vec::with_capacity(PROOF_DIGITS);
        put_digits(&self.digest(b"proof", hash), PROOF_DIGITS, &mut expected);
        proof == expected
    }
}

fn put_digits(digest: &[u8; 32], count: usize, out: &mut Vec<u8>) {
    let digit = |half: u8| b"0123456789abcdef"[usize::from(half)];
    out.extend(digest.iter().flat_map(|byte| [digit(byte >> 4), digit(byte & 15)]).take(count));
}

#[cfg(test)]
mod tests {
    use super::super::rewritten;
    use super::*;

    fn masks(of: &[(&str, Action)]) -> Vec<Mask> {
        of.iter().map(|(path, action)| Mask { path: Path::parse(path).expect(path), action: *action }).collect()
    }

    fn masked(text: &str, of: &[(&str, Action)]) -> String {
        let mut out = Vec::new();
        rewritten(text.as_bytes(), &masks(of), &MaskKey::of(b"secret", "acme"), &mut out, &mut { u64::MAX });
        String::from_utf8(out).expect("UTF-8")
    }

    /// The same with hashes made short.
    fn short(text: &str, of: &[(&str, Action)]) -> String {
        let mut text = masked(text, of);
        while let Some(at) = text.find("\"masked:") {
            text.replace_range(at..at + 2 + PREFIX.len() + HASH_DIGITS + PROOF_DIGITS, "#");
        }
        text
    }

    use Action::{Hash, Remove};

    #[test]
    fn what_a_path_names_is_replaced_and_nothing_else() {
        let text = r#"{ "a" : 1.50, "u": {"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]}, "b": [ {"n":1,"m":2}, 7 ] }"#;
        for (path, action, expected) in [
            ("/none", Hash, r#"{"a":1.50,"u":{"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]},"b":[ {"n":1,"m":2}, 7 ]}"#),
            ("/a", Hash, r##"{"a":#,"u":{"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]},"b":[ {"n":1,"m":2}, 7 ]}"##),
            ("/a", Remove, r#"{"u":{"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]},"b":[ {"n":1,"m":2}, 7 ]}"#),
            ("/u/mail", Hash, r##"{"a":1.50,"u":{"mail":#,"ä":[1, {"k": "}"}, [2]]},"b":[ {"n":1,"m":2}, 7 ]}"##),
            ("/u/ä/1/k", Remove, r#"{"a":1.50,"u":{"mail":"x@y","ä":[1,{},[2]]},"b":[ {"n":1,"m":2}, 7 ]}"#),
            ("/u/ä/0", Remove, r#"{"a":1.50,"u":{"mail":"x@y","ä":[null,{"k": "}"},[2]]},"b":[ {"n":1,"m":2}, 7 ]}"#),
            ("/b/*/n", Remove, r#"{"a":1.50,"u":{"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]},"b":[{"m":2},7]}"#),
            ("/*", Remove, "{}"),
            ("/u/*", Hash, r##"{"a":1.50,"u":{"mail":#,"ä":#},"b":[ {"n":1,"m":2}, 7 ]}"##),
            (
                "/a/b/c",
                Remove,
                r#"{"a":1.50,"u":{"mail" : "x@y", "ä": [1, {"k": "}"}, [2]]},"b":[ {"n":1,"m":2}, 7 ]}"#,
            ),
        ] {
            assert_eq!(short(text, &[(path, action)]), expected, "{path}");
        }
        assert_eq!(short(r#"{"\u0061":"x","a":"y"}"#, &[("/a", Hash)]), r##"{"\u0061":#,"a":#}"##);
        assert_eq!(short(r#"{"a":{"b":1,"c":2}}"#, &[("/a/b", Remove), ("/a/c", Hash)]), r##"{"a":{"c":#}}"##);
        assert_eq!(short(r#"{"a":{"b":1}}"#, &[("/a/b", Hash), ("/a", Remove)]), "{}");
        assert_eq!(short(r#"{"a":null}"#, &[("/a", Hash)]), r#"{"a":null}"#);
        assert_eq!(short("{}", &[("/a", Hash)]), "{}");
    }

    #[test]
    fn equal_values_stay_equal_and_others_differ() {
        let of = |text: &str| masked(&format!(r#"{{"a":{text}}}"#), &[("/a", Hash)]);
        assert_eq!(of(r#""x\u0041""#), of(r#""xA""#));
        let all = [r#""1""#, "1", "1.0", "true", r#"{"b":1}"#, r#""2""#].map(of);
        assert!(all.iter().enumerate().all(|(n, one)| !all[..n].contains(one)), "{all:?}");
        let hash = |secret: &[u8], tenant: &str| {
            let mut out = Vec::new();
            MaskKey::of(secret, tenant).put_hashed(b"\"x\"", &mut out);
            out
        };
        assert_ne!(hash(b"a", "t"), hash(b"b", "t"));
        assert_ne!(hash(b"a", "t"), hash(b"a", "u"));
    }

    #[test]
    fn what_is_masked_is_masked_once() {
        let of = [("/a", Hash), ("/b", Remove), ("/c/*", Hash)];
        let once = masked(r#"{"a":"x","b":1,"c":[1,2]}"#, &of);
        assert_eq!(masked(&once, &of), once);
        let forged = format!(r#"{{"a":"masked:{}"}}"#, "0".repeat(40));
        assert_ne!(masked(&forged, &of), forged, "it was not made with the key");
    }
}
