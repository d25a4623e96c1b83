//! What became of a transaction whose reply was lost: brought to its end, then looked up.

use std::time::{Duration, Instant};

use tokio_postgres::Client;
use tokio_postgres::error::SqlState;
use uuid::Uuid;

use super::attempts::TransactionId;
use super::dead_letters;
use super::submission::Submission;
use crate::storage::StorageError;

/// For the transaction to come to its end, and between two looks at it.
const SETTLE_TIMEOUT: Duration = Duration::from_secs(5);
const SETTLE_POLL: Duration = Duration::from_millis(20);

/// Waits until the transaction is over, ending its backend if it is still at work: it may be waiting for a client that
/// is gone, and no timeout of PostgreSQL frees it from inside COPY.
pub async fn settle(client: &Client, transaction: &TransactionId) -> Result<(), StorageError> {
    let TransactionId { xid, server_start } = transaction;
    let deadline = Instant::now() + SETTLE_TIMEOUT;
    loop {
        let sql = "SELECT pg_postmaster_start_time() = $2 AND coalesce(pg_xact_status($1::text::xid8) = 'in progress', false)";
        let open = match client.query_one(sql, &[xid, server_start]).await {
            Ok(row) => row.get::<_, bool>(0),
            // A number that this server has not given out yet: it was another server's.
            Err(error) if error.code() == Some(&SqlState::INVALID_PARAMETER_VALUE) => false,
            Err(error) => return Err(error.into()),
        };
        if !open {
            return Ok(());
        }
        if Instant::now() >= deadline {
            return Err(StorageError::retryable("a transaction whose COMMIT was lost does not end"));
        }
        // Not allowed to a role that stepped down from superuser; then it is only waited for.
        let end = "SELECT pg_terminate_backend(pid) FROM pg_stat_activity \
                   WHERE backend_xid = ($1::text::xid8)::xid AND pid <> pg_backend_pid()";
        if let Err(error) = client.execute(end, &[xid]).await {
            tracing::debug!(%error, "the backend of a lost COMMIT cannot be ended");
        }
        tokio::time::sleep(SETTLE_POLL).await;
    }
}

/// Whether an attempt to write these submissions as `batch_ids` committed: whether it left manifests, dead letters or
/// ledger rows. Called when no transaction of it is open any more.
pub async fn committed(client: &Client, batch: &[Submission], batch_ids: &[i64]) -> Result<bool, StorageError> {
    let letters_of = |submission: &Submission| -> Vec<Uuid> {
        submission.decoded.rejected.iter().map(|item| dead_letters::id(submission, item.index)).collect()
    };
    let letters: Vec<Uuid> = batch.iter().flat_map(letters_of).collect();
    let marks = batch.iter().map(|submission| (&*submission.received.tenant_id, submission.received.receipt));
    let (tenants, receipts): (Vec<&str>, Vec<Uuid>) = marks.unzip();
    let sql = "SELECT EXISTS (SELECT FROM ingest_batches WHERE kind IN ('events', 'metrics') AND batch_id = ANY ($1)) \
               OR EXISTS (SELECT FROM dead_letter_events WHERE tenant_id = ANY ($3) AND id = ANY ($2)) \
               OR EXISTS (SELECT FROM ingest_ledger WHERE tenant_id = ANY ($3) AND receipt = ANY ($4))";
    let found: bool = client.query_one(sql, &[&batch_ids, &letters, &tenants, &receipts]).await?.get(0);
    if found {
        replicated(client).await?;
    }
    Ok(found)
}

/// Waits until what is seen is on the synchronous standbys, where there are to be some. A COMMIT whose wait for them was cut short,
/// by a backend that was ended or by a restart, is seen all the same, and a failover would lose it after it was answered.
async fn replicated(client: &Client) -> Result<(), StorageError> {
    let waits = "SELECT current_setting('synchronous_standby_names') <> ''";
    if client.query_one(waits, &[]).await?.get(0) {
        // The COMMIT of whatever has written waits for all that was written before it; a row that was taken back leaves nothing.
        let writes = "BEGIN; SAVEPOINT seen; INSERT INTO touched (kind, tenant_id, minutes) VALUES ('events', 'none', '{}'); \
                      ROLLBACK TO seen; COMMIT";
        client.batch_execute(writes).await?;
    }
    Ok(())
}
