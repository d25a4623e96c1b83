//! The ledger of idempotency keys: claim, look up, remember; all within the batch's transaction.
//!
//! A key is claimed by an advisory lock of the transaction, tried and never waited for: a key that another transaction
//! holds costs its own request a 409 and delays nobody. Only under the lock is the ledger read, so that what a committed
//! transaction wrote is seen. (INSERT ... ON CONFLICT would wait, and two batches with the same keys in opposite order
//! would deadlock.)

use std::collections::HashSet;

use deadpool_postgres::Object;
use tokio_postgres::types::{Json, ToSql};
use tokio_postgres::{Row, Statement};
use uuid::Uuid;

use super::request::{Idempotency, ItemError, Outcome, Submission};

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

const CLAIM: &str = "SELECT pg_try_advisory_xact_lock(hashtextextended(k.tenant_id || chr(31) || k.key, 1)) \
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant_id, key, n) ORDER BY k.n";

const LOOK_UP: &str = "SELECT k.n, l.request_sha256, l.receipt, l.http_status, l.accepted, l.rejected, l.errors, l.duplicates \
     FROM unnest($1::text[], $2::text[]) WITH ORDINALITY AS k (tenant_id, key, n) \
     JOIN ingest_ledger l ON l.tenant_id = k.tenant_id AND l.idempotency_key = k.key";

const REMEMBER: &str = "INSERT INTO ingest_ledger \
     (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected, errors, duplicates) \
     SELECT * FROM unnest($1::text[], $2::text[], $3::bytea[], $4::text[], $5::uuid[], $6::smallint[], $7::integer[], \
     $8::integer[], $9::jsonb[], $10::integer[])";

/// The statements of the ledger, prepared once a connection.
pub struct Statements {
    claim: Statement,
    look_up: Statement,
    remember: Statement,
}

impl Statements {
    /// From the connection's cache.
    pub async fn of(client: &Object) -> Result<Self, tokio_postgres::Error> {
        Ok(Self {
            claim: client.prepare_cached(CLAIM).await?,
            look_up: client.prepare_cached(LOOK_UP).await?,
            remember: client.prepare_cached(REMEMBER).await?,
        })
    }
}

/// Claims the keys of a batch; one claim per submission, `New` for those without a key. Everything is sent when this is
/// first polled.
pub async fn claim(
    client: &Object,
    statements: &Statements,
    batch: &[Submission],
) -> Result<Vec<Claim>, tokio_postgres::Error> {
    let mut claims: Vec<Claim> = batch.iter().map(|_| Claim::New).collect();
    let mut keyed: Vec<(usize, &str, &str)> = Vec::new();
    let mut seen = HashSet::new();
    for (index, submission) in batch.iter().enumerate() {
        let Some(idempotency) = &submission.idempotency else { continue };
        let key = (&*submission.tenant_id, idempotency.key.as_str());
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
    for (row, (index, ..)) in locked?.iter().zip(&keyed) {
        if !row.get::<_, bool>(0) {
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

fn known(row: &Row, submission: &Submission) -> Claim {
    let stored: &[u8] = row.get(1);
    let same = submission.idempotency.as_ref().is_some_and(|idempotency| idempotency.sha256 == *stored);
    if !same {
        return Claim::Reused;
    }
    let Json(errors) = row.get::<_, Json<Vec<ItemError>>>(6);
    let count = |column: usize| u32::try_from(row.get::<_, i32>(column)).unwrap_or(0);
    Claim::Replay(Outcome {
        http_status: u16::try_from(row.get::<_, i16>(3)).unwrap_or(200),
        spooled: false,
        receipt: row.get(2),
        accepted: count(4),
        rejected: count(5),
        duplicates: count(7),
        replayed: true,
        errors,
    })
}

/// What is to be remembered of a batch, column by column.
pub struct Remembered<'a> {
    keyed: Vec<(&'a Submission, &'a Idempotency, Outcome)>,
}

impl<'a> Remembered<'a> {
    /// The outcomes of the keyed submissions among `written`.
    pub fn of(batch: &'a [Submission], written: &[(usize, Outcome)]) -> Self {
        let keyed = |(index, outcome): &(usize, Outcome)| {
            let submission = &batch[*index];
            Some((submission, submission.idempotency.as_ref()?, outcome.clone()))
        };
        Self { keyed: written.iter().filter_map(keyed).collect() }
    }

    /// Writes it; nothing is sent when there is nothing.
    pub async fn insert(&self, client: &Object, statements: &Statements) -> Result<(), tokio_postgres::Error> {
        if self.keyed.is_empty() {
            return Ok(());
        }
        let tenants: Vec<&str> = self.keyed.iter().map(|(submission, ..)| &*submission.tenant_id).collect();
        let keys: Vec<&str> = self.keyed.iter().map(|(_, idempotency, _)| idempotency.key.as_str()).collect();
        let hashes: Vec<&[u8]> = self.keyed.iter().map(|(_, idempotency, _)| idempotency.sha256.as_slice()).collect();
        let routes: Vec<&str> = self.keyed.iter().map(|(submission, ..)| submission.source.kind.route()).collect();
        let outcomes = || self.keyed.iter().map(|(.., outcome)| outcome);
        let receipts: Vec<Uuid> = outcomes().map(|outcome| outcome.receipt).collect();
        let statuses: Vec<i16> = outcomes().map(|outcome| i16::try_from(outcome.http_status).unwrap_or(200)).collect();
        let count = |of: fn(&Outcome) -> u32| -> Vec<i32> {
            outcomes().map(|outcome| i32::try_from(of(outcome)).unwrap_or(i32::MAX)).collect()
        };
        let accepted = count(|outcome| outcome.accepted);
        let rejected = count(|outcome| outcome.rejected);
        let duplicates = count(|outcome| outcome.duplicates);
        let errors: Vec<Json<&[ItemError]>> = outcomes().map(|outcome| Json(outcome.errors.as_slice())).collect();
        client
            .execute(
                &statements.remember,
                &[&tenants, &keys, &hashes, &routes, &receipts, &statuses, &accepted, &rejected, &errors, &duplicates],
            )
            .await?;
        Ok(())
    }
}

const REMEMBER_RECEIPT: &str = "INSERT INTO ingest_ledger \
     (tenant_id, idempotency_key, request_sha256, route, receipt, http_status, accepted, rejected, errors, duplicates) \
     VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10) ON CONFLICT DO NOTHING";

/// Remembers the receipt of a spooled request that turned out to have been written already, under a key of its own.
pub async fn remember_receipt(
    client: &Object,
    submission: &Submission,
    key: &str,
    outcome: &Outcome,
) -> Result<(), tokio_postgres::Error> {
    let sha256 = submission.idempotency.as_ref().map_or(&[][..], |idempotency| &idempotency.sha256);
    let status = i16::try_from(outcome.http_status).unwrap_or(200);
    let count = |items: u32| i32::try_from(items).unwrap_or(i32::MAX);
    let statement = client.prepare_cached(REMEMBER_RECEIPT).await?;
    let errors = Json(outcome.errors.as_slice());
    client
        .execute(
            &statement,
            &[
                &&*submission.tenant_id,
                &key,
                &sha256,
                &submission.source.kind.route(),
                &submission.receipt,
                &status,
                &count(outcome.accepted),
                &count(outcome.rejected),
                &errors,
                &count(outcome.duplicates),
            ],
        )
        .await?;
    Ok(())
}
