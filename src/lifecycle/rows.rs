//! Rows that expire in ordinary tables: ledger, dead letters, manifests, samples of sizes, and what was inferred from rows that are
//! gone. What the other jobs remember they give up themselves.

use std::time::Duration;

use deadpool_postgres::Object;
use tokio_postgres::types::ToSql;

use super::part::Part;
use crate::config::RetentionConfig;
use crate::limits::{OVER_QUOTA_KEPT, SESSIONS_KEPT, SIGN_IN_WINDOW, STORAGE_SAMPLES_KEPT, USAGE_KEPT};
use crate::model::{Kind, Level};
use crate::storage::{Layout, StorageError};

/// Rows deleted in one statement: short transactions, so that vacuum keeps up.
pub const DELETE_ROWS: i64 = 10_000;
/// Statements of one run and table.
const DELETES_PER_RUN: usize = 100;

/// What events told and goes with them, those that refer to others first. Services stay: what was registered may be heard of seldom.
const TOLD: [(&str, &str); 4] = [
    ("deployments_deleted", "deployments"),
    ("actions_deleted", "resource_action_traces"),
    ("action_histories_deleted", "action_histories"),
    ("resources_deleted", "resource_references"),
];

/// What is kept beside organizations, and not beside their rows.
const OF_CONTROL: [&str; 3] = ["audit_log", "sessions", "sign_in_attempts"];

/// A table whose rows expire, and how they are found.
struct Expiring {
    what: &'static str,
    /// Deletes at most $2 rows older than $1 seconds.
    sql: String,
    keep: Duration,
    /// Of people and keys, and not of tenants' rows.
    of_control: bool,
}

/// What was done, or why not, by name.
type Deleted = Vec<(&'static str, Result<u64, StorageError>)>;

/// Deletes what has expired, each table on its own.
pub async fn delete(client: &Object, retention: &RetentionConfig, part: Part) -> Deleted {
    let mut results = Vec::new();
    let is_here = |table: &Expiring| match part {
        Part::Whole => true,
        Part::Control { .. } => table.of_control,
        Part::Cell => !table.of_control,
    };
    for table in expiring(retention).into_iter().filter(is_here) {
        results.push((table.what, delete_in_steps(client, &table.sql, &[&seconds(table.keep), &DELETE_ROWS]).await));
    }
    if matches!(part, Part::Control { .. }) {
        return results;
    }
    // Each kind on its own, so that one that is kept long does not hide the other.
    for kind in Kind::ALL {
        let what = match kind {
            Kind::Events => "manifests_deleted",
            Kind::Metrics => "metric_manifests_deleted",
        };
        results.push((what, delete_manifests(client, kind.table(), retention.raw(kind)).await));
    }
    results
}

/// Deletes what was inferred and of which nothing was seen for as long as its rows are kept. Looks at every row of the tables: an
/// index by time would cost every update of them more than a look now and then.
pub async fn delete_inferred(client: &Object, layout: Layout, retention: &RetentionConfig) -> Deleted {
    let (events_s, metrics_s) = (seconds(retention.events), seconds(retention.metrics));
    let assets = include_str!("../../sql/queries/assets_expire.sql");
    let mut deleted = vec![
        ("assets_deleted", delete_in_steps(client, assets, &[&events_s, &metrics_s, &DELETE_ROWS]).await),
        ("series_deleted", delete_series(client, layout, metrics_s).await),
    ];
    for (what, table) in TOLD {
        let sql = include_str!("../../sql/queries/inferred_expire.sql").replace("{table}", table);
        deleted.push((what, delete_in_steps(client, &sql, &[&events_s, &DELETE_ROWS]).await));
    }
    deleted
}

/// The coarsest buckets are kept longest, and looked for first.
async fn delete_series(client: &Object, layout: Layout, metrics_s: i64) -> Result<u64, StorageError> {
    let levels: Vec<&Level> = Level::of_metrics().collect();
    let mut buckets = String::new();
    for level in levels.into_iter().rev() {
        let table = layout.closed(&***client, level).await?;
        buckets += &include_str!("../../sql/queries/series_bucket.sql").replace("{table}", &table);
    }
    let sql = include_str!("../../sql/queries/series_expire.sql").replace("{buckets}", &buckets);
    delete_in_steps(client, &sql, &[&metrics_s, &DELETE_ROWS]).await
}

fn expiring(retention: &RetentionConfig) -> Vec<Expiring> {
    let aged = |what, table: &str, old: &str, keep| Expiring {
        what,
        sql: format!("DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {old} LIMIT $2))"),
        keep,
        of_control: OF_CONTROL.contains(&table),
    };
    let before = "now() - make_interval(secs => $1::bigint)";
    vec![
        aged("ledger_rows_deleted", "ingest_ledger", &format!("created_at < {before}"), retention.ledger),
        aged("dead_letters_deleted", "dead_letter_events", &format!("failed_at < {before}"), retention.dead_letters),
        aged("acts_deleted", "audit_log", &format!("at < {before}"), retention.audit),
        aged("over_quota_deleted", "over_quota", &format!("at < {before}"), OVER_QUOTA_KEPT),
        aged("sessions_deleted", "sessions", &format!("expires_at < {before}"), SESSIONS_KEPT),
        aged("sign_in_attempts_deleted", "sign_in_attempts", &format!("at < {before}"), SIGN_IN_WINDOW),
        aged("storage_samples_deleted", "storage_samples", &format!("at < {before}"), STORAGE_SAMPLES_KEPT),
        aged("usage_days_deleted", "usage_days", &format!("day < {before}"), USAGE_KEPT),
    ]
}

/// Runs a DELETE of at most [`DELETE_ROWS`] rows, which its parameters end with, until it finds fewer.
async fn delete_in_steps(client: &Object, sql: &str, parameters: &[&(dyn ToSql + Sync)]) -> Result<u64, StorageError> {
    let mut deleted = 0;
    for _ in 0..DELETES_PER_RUN {
        let rows = client.execute(sql, parameters).await?;
        deleted += rows;
        if rows < DELETE_ROWS.unsigned_abs() {
            break;
        }
    }
    Ok(deleted)
}

/// Moves on where streams begin, and deletes what of their logs lies before; behind the manifests. Looks at every stream.
pub async fn delete_logged(client: &Object, retention: &RetentionConfig) -> Result<u64, StorageError> {
    client.execute(include_str!("../../sql/queries/stream_begins.sql"), &[&seconds(retention.events)]).await?;
    delete_in_steps(client, include_str!("../../sql/queries/log_expire.sql"), &[&DELETE_ROWS]).await
}

/// Goes through the manifests of one kind from the oldest on, as far as there may be expired ones. Those of events that lay
/// ahead stay among them: how many go says nothing about what comes after.
async fn delete_manifests(client: &Object, kind: &str, keep: Duration) -> Result<u64, StorageError> {
    let sql = include_str!("../../sql/queries/manifests_expire.sql");
    let keep_s = seconds(keep);
    let mut deleted = 0;
    let mut after = i64::MIN;
    for _ in 0..DELETES_PER_RUN {
        let row = client.query_one(sql, &[&keep_s, &DELETE_ROWS, &kind, &after]).await?;
        let (gone, last): (i64, Option<i64>) = (row.get(0), row.get(1));
        deleted += gone.unsigned_abs();
        let Some(last) = last else { break };
        after = last;
    }
    Ok(deleted)
}

fn seconds(keep: Duration) -> i64 {
    i64::try_from(keep.as_secs()).unwrap_or(i64::MAX)
}
