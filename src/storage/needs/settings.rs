//! Settings that durability and room depend on, and room for the connections.

use tokio_postgres::Client;

use super::need::{Need, Severity};
use crate::limits::MAX_LOCKS_PER_TRANSACTION_MIN;
use crate::storage::StorageError;

pub async fn needs(client: &Client, connections_max: usize) -> Result<Vec<Need>, StorageError> {
    let row = client.query_one(include_str!("../../../sql/queries/needs_settings.sql"), &[]).await?;
    let (commit, fsync, pages): (String, String, String) = (row.get(0), row.get(1), row.get(2));
    let [buffers, locks, wal, connections, reserved, used]: [i64; 6] = std::array::from_fn(|n| row.get(n + 3));
    let (sees_all, user): (bool, String) = (row.get(9), row.get(10));
    let own_limits = [row.get::<_, Option<i64>>(11), row.get(12)];
    let mib = |bytes: i64| format!("{} MiB", bytes >> 20);
    let durable = |name: &str, value: String| {
        let mend = format!("what was answered 200 can be lost in a crash: ALTER SYSTEM SET {name} = on, and reload");
        Need::expect(name, Severity::Should, value == "on", value.clone(), mend)
    };
    let advice =
        |name: &str, right: bool, found: String, mend: &str| Need::expect(name, Severity::Advice, right, found, mend);
    let commit = if commit == "off" { "off; on in Tidegate's own sessions".to_owned() } else { commit };
    Ok(vec![
        Need::met("synchronous_commit", commit),
        durable("fsync", fsync),
        durable("full_page_writes", pages),
        advice(
            "shared_buffers",
            buffers >= 128 << 20,
            mib(buffers),
            "set it to a quarter of the memory, at least 128MB: ALTER SYSTEM SET shared_buffers = '128MB', and restart",
        ),
        advice(
            "max_locks_per_transaction",
            locks >= MAX_LOCKS_PER_TRANSACTION_MIN,
            locks.to_string(),
            "dropping a year of chunks takes a lock for each: ALTER SYSTEM SET max_locks_per_transaction = 1024, and restart",
        ),
        advice(
            "max_wal_size",
            wal >= 1 << 30,
            mib(wal),
            "checkpoints forced by volume halve throughput: ALTER SYSTEM SET max_wal_size = '4GB', and reload",
        ),
        room(connections_max, connections - reserved, own_limits),
        in_use(sees_all, used, connections, &user),
    ])
}

/// Whether all connections that one process may open find room at once.
fn room(connections_max: usize, server: i64, own_limits: [Option<i64>; 2]) -> Need {
    let needed = i64::try_from(connections_max).unwrap_or(i64::MAX);
    let allowed = own_limits.into_iter().flatten().fold(server, i64::min);
    Need::expect(
        "connection limit",
        Severity::Advice,
        needed <= allowed,
        format!("serve opens at most {needed}, the server allows {allowed}"),
        format!(
            "ALTER SYSTEM SET max_connections to {needed} and what others need, and restart; see CONNECTION LIMIT of the \
             role and of the database; or lower writers and readers"
        ),
    )
}

/// Without the right to see others' sessions, only one's own are counted.
fn in_use(sees_all: bool, used: i64, connections: i64, user: &str) -> Need {
    const NAME: &str = "connections";
    if !sees_all {
        let found = format!("{user} may not see the sessions of others");
        return Need {
            severity: Severity::Advice,
            ..Need::unknown(NAME, found, format!("GRANT pg_read_all_stats TO {user}"))
        };
    }
    Need::expect(
        NAME,
        Severity::Advice,
        used * 10 <= connections * 8,
        format!("{used} of {connections} used"),
        "ALTER SYSTEM SET max_connections to more, and restart; or lower writers and readers",
    )
}
