//! Reads that take long, as pg_stat_statements has counted them.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, ok, unknown};
use crate::config::ConnectionUrl;
use crate::storage::{Location, StorageError};

/// Mean time from which a read is slow, in milliseconds: twice what seed ADR-002 allows an aggregate.
const SLOW_MS: f64 = 100.0;
/// Characters of a statement that are shown.
const TEXT_CHARS_MAX: usize = 160;

/// Whether this role is shown what others run.
const SEES_ALL: &str = "SELECT pg_has_role('pg_read_all_stats', 'USAGE')";
const LOAD: &str = "add pg_stat_statements to shared_preload_libraries and restart the server";

/// The slowest reads of the reader's role.
pub async fn finding(client: &Client, location: &Location) -> Result<Finding, StorageError> {
    let there: bool = client.query_one("SELECT to_regclass('pg_stat_statements') IS NOT NULL", &[]).await?.get(0);
    if !there {
        let loaded = "SELECT current_setting('pg_stat_statements.max', true) IS NOT NULL";
        let advice = if client.query_one(loaded, &[]).await?.get(0) {
            "as a superuser: CREATE EXTENSION pg_stat_statements SCHEMA public"
        } else {
            "to switch it on, add it to shared_preload_libraries, restart, and as a superuser: CREATE EXTENSION \
             pg_stat_statements SCHEMA public"
        };
        return Ok(unknown("slow reads", "pg_stat_statements is not there", advice));
    }
    if !client.query_one(SEES_ALL, &[]).await?.get::<_, bool>(0) {
        let user: String = client.query_one("SELECT quote_ident(current_user)", &[]).await?.get(0);
        let found = format!("{user} may not see the statements of others");
        return Ok(unknown("slow reads", found, format!("GRANT pg_read_all_stats TO {user}")));
    }
    let reader = user(location.reader());
    let rows = match client.query(include_str!("../../../sql/queries/doctor_reads.sql"), &[&reader, &SLOW_MS]).await {
        Ok(rows) => rows,
        // Created, but the library is not loaded.
        Err(error) if error.as_db_error().is_some() => {
            return Ok(unknown("slow reads", StorageError::from(error).to_string(), LOAD));
        }
        Err(error) => return Err(error.into()),
    };
    let slow: Vec<String> = rows
        .iter()
        .map(|row| {
            let (text, calls, mean_ms): (&str, i64, f64) = (row.get(0), row.get(1), row.get(2));
            let text: String = text.chars().take(TEXT_CHARS_MAX).collect();
            format!("{mean_ms:.0} ms on average, {calls} times: {text}")
        })
        .collect();
    Ok(if slow.is_empty() {
        ok("slow reads", format!("none of role {reader} takes {SLOW_MS:.0} ms on average"))
    } else {
        bad(
            "slow reads",
            FindingState::Warning,
            slow.join("; "),
            "bound them in time (from, to), name an asset or a metric, and read counts and aggregates from the rollups; \
             EXPLAIN (ANALYZE, BUFFERS) shows how many chunks one reads; see also `chunks` and `shared_buffers`",
        )
    })
}

fn user(url: &ConnectionUrl) -> String {
    url.server.get_user().unwrap_or("tidegate_reader").to_owned()
}
