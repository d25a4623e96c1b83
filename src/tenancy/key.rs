//! The form of an API key, `tg_<id>_<secret>`, and of the cookie of a session, `tgs_<id>_<secret>`.
//!
//! The id is a UUID in hex; the secret is 256 random bits in hex followed by four bytes of checksum over everything
//! before them, so that a malformed one is refused without asking the database. Only the SHA-256 of the secret is kept.

use std::marker::PhantomData;

use sha2::{Digest, Sha256};
use uuid::Uuid;

const SECRET_BYTES: usize = 32;
const CHECKSUM_BYTES: usize = 4;

/// What a token opens, and how it is told from others.
pub trait Use {
    const PREFIX: &str;
    /// Part of the checksum, so that none is taken for one of another use.
    const SALT: &[u8];
}

/// Of a program.
pub struct OfKey;
/// Of somebody who has signed in.
pub struct OfSession;

impl Use for OfKey {
    const PREFIX: &str = "tg_";
    const SALT: &[u8] = b"tidegate key";
}

impl Use for OfSession {
    const PREFIX: &str = "tgs_";
    const SALT: &[u8] = b"tidegate session";
}

/// A key or a session's token as its holder has it. It has no Debug and no Display, so that it cannot reach a log by accident.
pub struct Token<U> {
    /// Public part: which one.
    pub id: Uuid,
    secret: [u8; SECRET_BYTES],
    used: PhantomData<U>,
}

pub type ApiKey = Token<OfKey>;
pub type SessionToken = Token<OfSession>;

/// The text is no such token: wrong form or wrong checksum.
#[derive(Debug, PartialEq, Eq)]
pub struct MalformedKey;

impl<U: Use> Token<U> {
    /// A new one with a random id and secret.
    pub fn generate() -> Result<Self, getrandom::Error> {
        let mut secret = [0; SECRET_BYTES];
        getrandom::fill(&mut secret)?;
        Ok(Self { id: Uuid::now_v7(), secret, used: PhantomData })
    }

    /// Parses the text form and checks its checksum.
    pub fn parse(text: &str) -> Result<Self, MalformedKey> {
        let (id, secret) = text.strip_prefix(U::PREFIX).and_then(|rest| rest.split_once('_')).ok_or(MalformedKey)?;
        if id.len() != 32 || secret.len() != 2 * (SECRET_BYTES + CHECKSUM_BYTES) {
            return Err(MalformedKey);
        }
        let mut bytes = [0; SECRET_BYTES + CHECKSUM_BYTES];
        for (byte, pair) in bytes.iter_mut().zip(secret.as_bytes().chunks_exact(2)) {
            *byte = hex_digit(pair[0])? << 4 | hex_digit(pair[1])?;
        }
        let (head, sum) = bytes.split_at(SECRET_BYTES);
        let key = Self {
            id: Uuid::try_parse(id).map_err(|_| MalformedKey)?,
            secret: head.try_into().map_err(|_| MalformedKey)?,
            used: PhantomData,
        };
        if key.checksum() == sum { Ok(key) } else { Err(MalformedKey) }
    }

    /// The text to hand to the holder; shown once.
    pub fn reveal(&self) -> String {
        let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
        format!("{}{}_{}{}", U::PREFIX, self.id.simple(), hex(&self.secret), hex(&self.checksum()))
    }

    pub fn hash(&self) -> [u8; 32] {
        Sha256::digest(self.secret).into()
    }

    fn checksum(&self) -> [u8; CHECKSUM_BYTES] {
        let digest = Sha256::new().chain_update(U::SALT).chain_update(self.id).chain_update(self.secret).finalize();
        [digest[0], digest[1], digest[2], digest[3]]
    }
}

/// Lower-case only: one text form a key, so that two texts are never the same key.
fn hex_digit(byte: u8) -> Result<u8, MalformedKey> {
    match byte {
        b'0'..=b'9' => Ok(byte - b'0'),
        b'a'..=b'f' => Ok(byte - b'a' + 10),
        _ => Err(MalformedKey),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "a test may stop at the first surprise")]
    use super::*;

    #[test]
    fn a_key_survives_its_text_form() {
        let key = ApiKey::generate().unwrap();
        let again = ApiKey::parse(&key.reveal()).unwrap();
        assert_eq!((again.id, again.hash()), (key.id, key.hash()));
        assert!(key.reveal().starts_with("tg_"));
    }

    #[test]
    fn any_changed_character_is_malformed() {
        let text = ApiKey::generate().unwrap().reveal();
        for at in 0..text.len() {
            let mut bytes = text.clone().into_bytes();
            bytes[at] = if bytes[at] == b'0' { b'1' } else { b'0' };
            let changed = String::from_utf8(bytes).unwrap();
            assert!(ApiKey::parse(&changed).is_err(), "{at}");
        }
        assert!(ApiKey::parse("").is_err() && ApiKey::parse("tg_").is_err() && ApiKey::parse(&text[..50]).is_err());
        assert!(ApiKey::parse(&text.to_uppercase()).is_err());
    }

    #[test]
    fn a_key_and_the_token_of_a_session_are_not_each_other() {
        let (key, session) = (ApiKey::generate().unwrap().reveal(), SessionToken::generate().unwrap().reveal());
        assert!(SessionToken::parse(&session).is_ok() && session.starts_with("tgs_"));
        assert!(SessionToken::parse(&key).is_err() && ApiKey::parse(&session).is_err());
        assert!(SessionToken::parse(&key.replacen("tg_", "tgs_", 1)).is_err());
        assert!(ApiKey::parse(&session.replacen("tgs_", "tg_", 1)).is_err());
    }
}
