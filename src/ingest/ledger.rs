//! The ledger of idempotency keys: claim, look up, remember; all within the batch's transaction.
//!
//! A key is claimed by an advisory lock of the transaction, tried and never waited for: a key that another transaction
//! holds costs its own request a 409 and delays nobody. Only under the lock is the ledger read, so that what a committed
//! transaction wrote is seen. (INSERT ... ON CONFLICT would wait, and two batches with the same keys in opposite order
//! would deadlock.)

use std::collections::HashSet;

use tokio_postgres::types::Json;
use tokio_postgres::{Client, Row};
use uuid::Uuid;

use super::request::{ItemError, Outcome, Submission};

/// What a keyed submission meets in the ledger.
#[derive(Debug)]
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

/// Claims the keys of a batch; one claim per submission, `New` for those without a key.
pub async fn claim(client: &Client, batch: &[Submission]) -> Result<Vec<Claim>, tokio_postgres::Error> {
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
    let locked = client.query(CLAIM, &[&tenants, &keys]).await?;
    for (row, (index, ..)) in locked.iter().zip(&keyed) {
        if !row.get::<_, bool>(0) {
            claims[*index] = Claim::InFlight;
        }
    }
    for row in client.query(LOOK_UP, &[&tenants, &keys]).await? {
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
        receipt: row.get(2),
        accepted: count(4),
        rejected: count(5),
        duplicates: count(7),
        replayed: true,
        errors,
    })
}

/// Remembers the outcomes of the keyed submissions among `written`.
pub async fn remember(
    client: &Client,
    batch: &[Submission],
    written: &[(usize, Outcome)],
) -> Result<(), tokio_postgres::Error> {
    let keyed: Vec<(&Submission, &Outcome)> = written
        .iter()
        .map(|(index, outcome)| (&batch[*index], outcome))
        .filter(|(submission, _)| submission.idempotency.is_some())
        .collect();
    if keyed.is_empty() {
        return Ok(());
    }
    let idempotency = || keyed.iter().filter_map(|(submission, _)| submission.idempotency.as_ref());
    let tenants: Vec<&str> = keyed.iter().map(|(submission, _)| &*submission.tenant_id).collect();
    let keys: Vec<&str> = idempotency().map(|idempotency| idempotency.key.as_str()).collect();
    let hashes: Vec<&[u8]> = idempotency().map(|idempotency| idempotency.sha256.as_slice()).collect();
    let routes: Vec<&str> = keyed.iter().map(|(submission, _)| submission.route).collect();
    let receipts: Vec<Uuid> = keyed.iter().map(|(_, outcome)| outcome.receipt).collect();
    let statuses: Vec<i16> =
        keyed.iter().map(|(_, outcome)| i16::try_from(outcome.http_status).unwrap_or(200)).collect();
    let count = |of: fn(&Outcome) -> u32| -> Vec<i32> {
        keyed.iter().map(|(_, outcome)| i32::try_from(of(outcome)).unwrap_or(i32::MAX)).collect()
    };
    let accepted = count(|outcome| outcome.accepted);
    let rejected = count(|outcome| outcome.rejected);
    let duplicates = count(|outcome| outcome.duplicates);
    let errors: Vec<Json<&[ItemError]>> = keyed.iter().map(|(_, outcome)| Json(outcome.errors.as_slice())).collect();
    client
        .execute(
            REMEMBER,
            &[&tenants, &keys, &hashes, &routes, &receipts, &statuses, &accepted, &rejected, &errors, &duplicates],
        )
        .await?;
    Ok(())
}
