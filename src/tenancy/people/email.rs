//! E-mail addresses, by which people are known.

use sha2::{Digest, Sha256};

use crate::limits::EMAIL_BYTES_MAX;
use crate::secrets::holds_key;

/// An address in lower case, so that one address is one person. Whether somebody has it is never asked of a mail server.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Email(String);

impl Email {
    /// An address that somebody may be given; an error says what is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let email = Self::given(text);
        let what = "must be an e-mail address such as ann@example.org: ASCII, no spaces";
        let (local, domain) = email.0.rsplit_once('@').ok_or(what)?;
        if email.0.len() > EMAIL_BYTES_MAX || local.len() > 64 {
            return Err(format!("must have at most {EMAIL_BYTES_MAX} characters, and 64 before the @"));
        }
        let is_local = !local.is_empty()
            && local.bytes().all(|byte| byte.is_ascii_graphic() && !b"@<>()[]\\,;:\"".contains(&byte));
        let is_domain = !domain.is_empty()
            && !domain.starts_with(['.', '-'])
            && !domain.ends_with(['.', '-'])
            && !domain.contains("..")
            && domain.bytes().all(|byte| byte.is_ascii_alphanumeric() || b".-".contains(&byte));
        if !is_local || !is_domain || holds_key(&email.0) {
            return Err(what.into());
        }
        Ok(email)
    }

    /// What somebody signs in with, whether it is an address or not. PostgreSQL has no text with NUL in it, and nobody has such an address.
    pub fn given(text: &str) -> Self {
        Self(text.trim().to_ascii_lowercase().replace('\0', "\u{fffd}"))
    }

    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// What attempts to sign in are counted by, of addresses that nobody has as well.
    pub fn account(&self) -> [u8; 32] {
        Sha256::digest(&self.0).into()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_one_whatever_their_case() {
        let email = Email::parse(" Ann.O'Neil+x@Example.ORG ").expect("an address");
        assert_eq!(email.as_str(), "ann.o'neil+x@example.org");
        assert_eq!(email.account(), Email::given("ANN.o'neil+X@example.org").account());
        assert!(Email::parse("root@localhost").is_ok());
    }

    #[test]
    fn what_is_no_address_is_refused() {
        let long = format!("{}@example.org", "a".repeat(65));
        let longer = format!("a@{}.org", "b".repeat(250));
        for text in [
            "",
            "ann",
            "@example.org",
            "ann@",
            "a b@c.de",
            "a@b@c.de",
            "<a@b.de>",
            "a@b..de",
            "a@.de",
            "a@de.",
            "ä@b.de",
            "a@b.de\n.c",
            "a\0@b.de",
            &long,
            &longer,
        ] {
            assert!(Email::parse(text).is_err(), "{text}");
        }
    }
}
