//! The servers that the URLs name, and what a failover among them would lose.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::config::{ConnectionUrl, DatabaseConfig};
use crate::storage::{Standing, StorageError, each_server};

/// All that are configured: an old primary is none that `client` leads to.
pub async fn findings(client: &Client, config: &DatabaseConfig) -> Result<Vec<Finding>, StorageError> {
    let mut findings = vec![replication(client).await?];
    let DatabaseConfig { database_url, writer_url, reader_url, .. } = config;
    let urls = [("database_url", database_url), ("writer_url", writer_url), ("reader_url", reader_url)];
    for (key, url) in urls.into_iter().filter_map(|(key, url)| Some((key, url.as_ref()?))) {
        if url.hosts() > 1 {
            findings.push(hosts(key, url).await);
        }
    }
    Ok(findings)
}

async fn replication(client: &Client) -> Result<Finding, StorageError> {
    let row = client.query_one(include_str!("../../../sql/queries/doctor_replication.sql"), &[]).await?;
    let (names, standbys, synchronous): (String, i64, i64) = (row.get(0), row.get(1), row.get(2));
    let found = match (&*names, standbys) {
        ("", 0) => {
            return Ok(ok("replication", "no standby follows this server; synchronous_standby_names is not set"));
        }
        ("", standbys) => {
            format!("{standbys} standbys, none of them synchronous (synchronous_standby_names is not set)")
        }
        (names, standbys) => {
            format!("{standbys} standbys, {synchronous} synchronous (synchronous_standby_names = {names})")
        }
    };
    Ok(match (&*names, synchronous) {
        ("", _) => bad(
            "replication",
            FindingState::Warning,
            found,
            "a failover loses what was answered 200 and no standby had yet: ALTER SYSTEM SET synchronous_standby_names = \
             'ANY 1 (*)' and reload, if that must not be (every COMMIT then waits for a standby)",
        ),
        (_, 0) => bad(
            "replication",
            FindingState::Warning,
            found,
            "no COMMIT is answered until a standby follows (or the role may not see them: GRANT pg_read_all_stats): requests \
             are spooled meanwhile",
        ),
        _ => ok("replication", found),
    })
}

/// Each of them by itself: one that is away is noticed here before it is needed.
async fn hosts(key: &str, url: &ConnectionUrl) -> Finding {
    let (mut words, mut primaries, mut away) = (Vec::new(), 0, 0);
    for (place, standing) in each_server(url).await {
        words.push(match standing {
            Ok(Standing { standby: true, .. }) => format!("{place} a standby"),
            Ok(Standing { timeline, .. }) => {
                primaries += 1;
                format!("{place} a primary (timeline {})", timeline.map_or(0, |timeline| timeline.number))
            }
            Err(error) => {
                away += 1;
                format!("{place} away ({})", StorageError::from(error))
            }
        });
    }
    let target = url.target.map_or("any", |target| target.as_str());
    let found = format!("{}; target_session_attrs={target}", words.join(", "));
    if primaries > 1 {
        let advice =
            "stop the one of the lower timeline, or make it a standby (pg_rewind): what is written to it is lost";
        return bad(format!("{key} hosts"), FindingState::Failed, found, advice);
    }
    let advice = "a failover to one that is away is none: start it, or take it out of the URL";
    expect(format!("{key} hosts"), away == 0, found, advice)
}
