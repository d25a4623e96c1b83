//! The ledger of idempotency keys: claim, look up, remember; all within the batch's transaction.
//!
//! A key is claimed by an advisory lock of the transaction, tried and never waited for: a key that another transaction
//! holds costs its own request a 409 and delays nobody. Only under the lock is the ledger read, so that what a
//! committed transaction wrote is seen. (INSERT ... ON CONFLICT would wait, and two batches with the same keys in
//! opposite order would deadlock.) Anybody may take an advisory lock whose name he knows, so that names are salted with
//! what only owner and writer may read; one that a stranger copied out of `pg_locks` is passed over, and the primary
//! key alone keeps the key to one transaction: the second waits for it, fails, and is tried again.

use std::collections::HashSet;

use deadpool_postgres::Object;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::outcome::{Outcome, Refusal, Reply};
use super::received::Idempotency;
use super::rejections::{RejectionMessage, Rejections};
use super::submission::Submission;

/// What a keyed submission meets in the ledger.
#[derive(Debug, Clone)]
pub enum Claim {
    /// First seen: write it and remember its outcome.
    New,
    /// Being written elsewhere right now.
    InFlight,
    /// Written before, as the same request: replay.
    Replay(Outcome),
    /// Written before, as another request.
    Reused,
}

impl Claim {
    /// The answer to a request that was not to be written.
    pub fn reply(self) -> Reply {
        match self {
            Self::Replay(outcome) => Ok(outcome),
            Self::InFlight | Self::New => Err(Refusal::KeyInFlight),
            Self::Reused => Err(Refusal::KeyReused),
        }
    }
}

const CLAIM: &str = include_str!("../../sql/queries/ledger_claim.sql");
const STRANGERS: &str = include_str!("../../sql/queries/ledger_strangers.sql");
const LOOK_UP: &str = include_str!("../../sql/queries/ledger_look_up.sql");
const REMEMBER: &str = include_str!("../../sql/queries/ledger_remember.sql");
const REMEMBER_UNLESS_KNOWN: &str =
    concat!(include_str!("../../sql/queries/ledger_remember.sql"), "ON CONFLICT DO NOTHING");

/// The statements of the ledger, prepared once a connection.
pub struct LedgerStatements {
    claim: Statement,
    look_up: Statement,
    remember: Statement,
}

impl LedgerStatements {
    /// From the connection's cache.
    pub async fn of(client: &Object) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            claim: client.prepare_cached(CLAIM).await?,
            look_up: client.prepare_cached(LOOK_UP).await?,
            remember: client.prepare_cached(REMEMBER).await?,
        })
    }
}

/// Claims the keys of a batch; one claim per submission, `New` for those without a key. Everything is sent when this
/// is first polled.
pub async fn claim(
    client: &Object,
    statements: &LedgerStatements,
    batch: &[Submission],
) -> Result<Vec<Claim>, tokio_postgres::Error> {
    let mut claims: Vec<Claim> = batch.iter().map(|_| Claim::New).collect();
    let mut keyed: Vec<(usize, &str, &str)> = Vec::new();
    let mut seen = HashSet::new();
    for (index, submission) in batch.iter().enumerate() {
        let Some(idempotency) = &submission.idempotency else { continue };
        let key = (&*submission.received.tenant_id, idempotency.key.as_str());
        // The lock is ours for a second request of this batch as well; it is in flight all the same.
        if seen.insert(key) {
            keyed.push((index, key.0, key.1));
        } else {
            claims[index] = Claim::InFlight;
        }
    }
    if keyed.is_empty() {
        return Ok(claims);
    }
    let tenants: Vec<&str> = keyed.iter().map(|entry| entry.1).collect();
    let keys: Vec<&str> = keyed.iter().map(|entry| entry.2).collect();
    let parameters: [&(dyn ToSql + Sync); 2] = [&tenants, &keys];
    // One after the other on the server: the look-up's snapshot is taken once the locks are held.
    let (locked, known_keys) = tokio::join!(
        biased;
        client.query(&statements.claim, &parameters),
        client.query(&statements.look_up, &parameters),
    );
    let locked = locked?;
    let taken = || locked.iter().zip(&keyed).filter(|(row, _)| row.get::<_, Option<bool>>(0) != Some(true));
    let names: Vec<i64> = taken().filter_map(|(row, _)| row.get(1)).collect();
    let strangers = held_by_strangers(client, &names).await?;
    for (row, (index, ..)) in taken() {
        if row.get::<_, Option<i64>>(1).is_none_or(|name| !strangers.contains(&name)) {
            claims[*index] = Claim::InFlight;
        }
    }
    for row in known_keys? {
        let ordinal: i64 = row.get(0);
        let (index, ..) = keyed[usize::try_from(ordinal - 1).expect("an ordinal of our own array")];
        if matches!(claims[index], Claim::New) {
            claims[index] = known(&row, &batch[index]);
        }
    }
    Ok(claims)
}

/// Which of these locks are held by sessions that have nothing to do with the ledger; nothing is asked when there are none.
async fn held_by_strangers(client: &Object, names: &[i64]) -> Result<HashSet<i64>, tokio_postgres::Error> {
    if names.is_empty() {
        return Ok(HashSet::new());
    }
    let held: HashSet<i64> = client.query(STRANGERS, &[&names]).await?.iter().map(|row| row.get(0)).collect();
    if !held.is_empty() {
        tracing::warn!(
            locks = held.len(),
            "a session that is not Tidegate's holds advisory locks of idempotency keys; they are passed over"
        );
    }
    Ok(held)
}

fn known(row: &Row, submission: &Submission) -> Claim {
    let stored: &[u8] = row.get(1);
    let is_same = |of: &Idempotency| of.sha256 == *stored || of.before.is_some_and(|before| before == *stored);
    let same = submission.idempotency.as_ref().is_some_and(is_same);
    if !same {
        return Claim::Reused;
    }
    let Json(listed) = row.get::<_, Json<Vec<RejectionMessage<'_>>>>(6);
    let count = |column: usize| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
    Claim::Replay(Outcome {
        http_status: u16::try_from(row.get::<_, i16>(3)).unwrap_or(200),
        spooled: false,
        receipt: row.get(2),
        accepted: count(4),
        rejected: count(5),
        duplicates: count(7),
        replayed: true,
        rejections: Rejections::decode(row.get(8), listed),
    })
}

/// An outcome to be remembered, and the key under which it is.
pub struct Remembered<'a> {
    submission: &'a Submission,
    key: &'a str,
    sha256: &'a [u8],
    outcome: Outcome,
}

/// The outcomes of the keyed submissions among `written`; a replay that failed may be tried again.
pub fn remembered<'a>(batch: &'a [Submission], written: &[(usize, Outcome)]) -> Vec<Remembered<'a>> {
    let keyed = |(index, outcome): &(usize, Outcome)| {
        let submission = &batch[*index];
        let idempotency = submission.idempotency.as_ref().filter(|_| !submission.fails_again())?;
        let (key, sha256, outcome) = (idempotency.key.as_str(), &idempotency.sha256[..], outcome.clone());
        Some(Remembered { submission, key, sha256, outcome })
    };
    written.iter().filter_map(keyed).collect()
}

/// Remembers outcomes; nothing is sent when there are none.
pub async fn remember(
    client: &Object,
    statements: &LedgerStatements,
    rows: &[Remembered<'_>],
) -> Result<(), tokio_postgres::Error> {
    if rows.is_empty() { Ok(()) } else { insert(client, &statements.remember, rows).await }
}

/// Remembers the receipt of a spooled request that turned out to have been written already, under a key of its own.
pub async fn remember_receipt(
    client: &Object,
    submission: &Submission,
    key: &str,
    outcome: Outcome,
) -> Result<(), tokio_postgres::Error> {
    let statement = client.prepare_cached(REMEMBER_UNLESS_KNOWN).await?;
    let sha256 = submission.idempotency.as_ref().map_or(&[][..], |idempotency| &idempotency.sha256);
    insert(client, &statement, &[Remembered { submission, key, sha256, outcome }]).await
}

async fn insert(client: &Object, statement: &Statement, rows: &[Remembered<'_>]) -> Result<(), tokio_postgres::Error> {
    let tenants: Vec<&str> = rows.iter().map(|row| &*row.submission.received.tenant_id).collect();
    let keys: Vec<&str> = rows.iter().map(|row| row.key).collect();
    let hashes: Vec<&[u8]> = rows.iter().map(|row| row.sha256).collect();
    let routes: Vec<&str> = rows.iter().map(|row| &*row.submission.received.route).collect();
    let receipts: Vec<Uuid> = rows.iter().map(|row| row.outcome.receipt).collect();
    let statuses: Vec<i16> = rows.iter().map(|row| i16::try_from(row.outcome.http_status).unwrap_or(200)).collect();
    let count = |of: fn(&Outcome) -> u32| -> Vec<i32> {
        rows.iter().map(|row| i32::try_from(of(&row.outcome)).unwrap_or(i32::MAX)).collect()
    };
    let accepted = count(|outcome| outcome.accepted);
    let rejected = count(|outcome| outcome.rejected);
    let duplicates = count(|outcome| outcome.duplicates);
    let listed: Vec<_> = rows.iter().map(|row| Json(row.outcome.rejections.listed())).collect();
    let rejections: Vec<_> = rows.iter().map(|row| row.outcome.rejections.encode()).collect();
    let columns: [&(dyn ToSql + Sync); 11] = [
        &tenants,
        &keys,
        &hashes,
        &routes,
        &receipts,
        &statuses,
        &accepted,
        &rejected,
        &listed,
        &duplicates,
        &rejections,
    ];
    client.execute(statement, &columns).await.map(|_rows| ())
}
