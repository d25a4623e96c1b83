//! Tickets: what opens one stream for a minute, for those who cannot send a key. Browsers' EventSource sends no
//! Authorization, and a key does not belong into a URL.
//!
//! A ticket names the key or the session that it was made with, and is signed with a secret that all nodes have from the database. So it
//! is good at every node, nothing is kept of it, and it is no longer good when these are not.

use base64::Engine;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use deadpool_postgres::Pool;
use jiff::Timestamp;
use sha2::{Digest, Sha256};
use subtle::ConstantTimeEq;
use tokio::sync::OnceCell;
use uuid::Uuid;

use super::principal::{Named, Principal};
use crate::limits::TICKET_LIFE;
use crate::storage::{StorageError, on_connection, only_row};

/// What a ticket begins with: it names a key, or a session.
const OF_KEY: u8 = 1;
const OF_SESSION: u8 = 2;
const MAC_BYTES: usize = 32;
/// What it names, its id, when it ends; then the signature.
const SIGNED_BYTES: usize = 1 + 16 + 8;
/// Of SHA-256, which a secret is padded to (RFC 2104).
const BLOCK_BYTES: usize = 64;

pub struct Tickets {
    pool: Pool,
    secret: OnceCell<String>,
}

pub struct Ticket {
    pub text: String,
    pub expires_at: Timestamp,
}

/// Why a ticket does not open a stream.
#[derive(Debug)]
pub enum TicketError {
    /// Not one of ours, of another stream, or over.
    Invalid,
    Storage(StorageError),
}

impl Tickets {
    /// With the secret as the database of this pool has it.
    pub fn new(pool: Pool) -> Self {
        Self { pool, secret: OnceCell::new() }
    }

    /// A ticket for a stream of the principal's tenant.
    pub async fn make(&self, principal: &Principal, stream: &str, now: Timestamp) -> Result<Ticket, StorageError> {
        let expires_at = now.checked_add(TICKET_LIFE).map_err(|error| StorageError::fatal(error.to_string()))?;
        let text = sealed(self.secret().await?, principal.named(), stream, expires_at);
        Ok(Ticket { text, expires_at })
    }

    /// With what this ticket for `stream` was made. Whether it may read the stream is to be asked of its holder.
    pub async fn named_by(&self, ticket: &str, stream: &str, now: Timestamp) -> Result<Named, TicketError> {
        let secret = self.secret().await.map_err(TicketError::Storage)?;
        open(secret, ticket, stream, now).ok_or(TicketError::Invalid)
    }

    async fn secret(&self) -> Result<&str, StorageError> {
        let read = async || {
            let secret = "SELECT secret FROM ticket_secret";
            let row = on_connection(&self.pool, async |client| Ok(client.query_opt(secret, &[]).await?)).await?;
            Ok(only_row(row, "ticket_secret")?.get(0))
        };
        self.secret.get_or_try_init(read).await.map(String::as_str)
    }
}

fn sealed(secret: &str, named: Named, stream: &str, expires_at: Timestamp) -> String {
    let (what, id) = match named {
        Named::Key(id) => (OF_KEY, id),
        Named::Session(id) => (OF_SESSION, id),
    };
    let mut bytes = vec![what];
    bytes.extend(id.as_bytes());
    bytes.extend(expires_at.as_microsecond().to_be_bytes());
    let mac = mac(secret, &bytes, stream);
    bytes.extend(mac);
    URL_SAFE_NO_PAD.encode(bytes)
}

fn open(secret: &str, ticket: &str, stream: &str, now: Timestamp) -> Option<Named> {
    let bytes = URL_SAFE_NO_PAD.decode(ticket).ok().filter(|bytes| bytes.len() == SIGNED_BYTES + MAC_BYTES)?;
    let (signed, given) = bytes.split_at(SIGNED_BYTES);
    if !bool::from(mac(secret, signed, stream).ct_eq(given)) {
        return None;
    }
    let (id, expires) = signed[1..].split_at(16);
    let id = Uuid::from_slice(id).ok()?;
    let named = match signed[0] {
        OF_KEY => Named::Key(id),
        OF_SESSION => Named::Session(id),
        _ => return None,
    };
    let expires_us = i64::from_be_bytes(expires.try_into().ok()?);
    (now.as_microsecond() < expires_us).then_some(named)
}

/// HMAC-SHA256 of a ticket for a stream.
fn mac(secret: &str, signed: &[u8], stream: &str) -> [u8; MAC_BYTES] {
    let mut block = [0; BLOCK_BYTES];
    block[..MAC_BYTES].copy_from_slice(&Sha256::digest(secret));
    let padded = |with: u8| block.map(|byte| byte ^ with);
    let inner = Sha256::new().chain_update(padded(0x36)).chain_update(signed).chain_update(stream).finalize();
    Sha256::new().chain_update(padded(0x5c)).chain_update(inner).finalize().into()
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;

    use super::*;

    #[test]
    fn a_ticket_opens_its_stream_for_a_while() {
        let (key, now) = (Named::Key(Uuid::from_u128(7)), Timestamp::from_second(1_800_000_000).expect("a time"));
        let end = now + SignedDuration::from_secs(60);
        let ticket = sealed("secret", key, "orders", end);
        let open = |ticket: &str, stream: &str, at: Timestamp| open("secret", ticket, stream, at);
        assert_eq!(open(&ticket, "orders", now), Some(key));
        assert_eq!(open(&ticket, "orders", end), None);
        assert_eq!(open(&ticket, "order", now), None);
        assert_eq!(super::open("other", &ticket, "orders", now), None);
        for at in 0..ticket.len() {
            let mut changed = ticket.clone().into_bytes();
            changed[at] = if changed[at] == b'A' { b'B' } else { b'A' };
            let changed = String::from_utf8(changed).expect("ASCII");
            assert_eq!(open(&changed, "orders", now), None, "{at}");
        }
        let session = Named::Session(Uuid::from_u128(7));
        assert_eq!(open(&sealed("secret", session, "orders", end), "orders", now), Some(session));
        assert_eq!(open("", "orders", now), None);
        assert_eq!(open(&ticket[..40], "orders", now), None);
    }
}
