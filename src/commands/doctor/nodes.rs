//! What `doctor` says of the nodes that work on the database.

use tokio_postgres::Client;

use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::limits::CLOCK_SKEW_MS_MAX;
use crate::nodes::{Node, NodeState, list};
use crate::storage::StorageError;

pub async fn findings(client: &Client) -> Result<Vec<Finding>, StorageError> {
    Ok(of(&list(client).await?))
}

fn of(nodes: &[Node]) -> Vec<Finding> {
    let lost = |node: &&Node| node.state == NodeState::Lost;
    let live: Vec<&Node> = nodes.iter().filter(|node| !lost(node)).collect();
    let mut findings = vec![versions(&live), clocks(&live)];
    findings.push(spools(&nodes.iter().filter(lost).collect::<Vec<_>>()));
    findings
}

fn versions(live: &[&Node]) -> Finding {
    let mut versions: Vec<String> =
        live.iter().map(|node| format!("{} (schema {})", node.version, node.schema_version)).collect();
    versions.sort();
    versions.dedup();
    let found = match live.len() {
        0 => "none runs".to_owned(),
        1 => format!("1 runs, of version {}", versions.join(", ")),
        count => format!("{count} run, of version {}", versions.join(" and ")),
    };
    expect(
        "nodes",
        versions.len() <= 1,
        found,
        "two versions at once are meant for an upgrade under way: replace the older nodes (tidegate nodes says which)",
    )
}

fn clocks(live: &[&Node]) -> Finding {
    let wrong: Vec<String> = live
        .iter()
        .filter(|node| node.clock_skew_ms.saturating_abs() > CLOCK_SKEW_MS_MAX)
        .map(|node| format!("{} is {} ms from the database's", node.name, node.clock_skew_ms))
        .collect();
    let found =
        if wrong.is_empty() { "none is more than 5 s from the database's".to_owned() } else { wrong.join(", ") };
    expect(
        "clocks of nodes",
        wrong.is_empty(),
        found,
        "set the clock (NTP) of that machine, or of the database's: events without a timestamp get the node's, and what is \
         too old or too far ahead is judged by it",
    )
}

fn spools(lost: &[&Node]) -> Finding {
    let left: Vec<String> = lost
        .iter()
        .filter(|node| !node.spooled.is_nothing())
        .map(|node| {
            let spooled = node.spooled;
            format!(
                "{} (last seen {:.0}): {} requests with {} items wait, {} files in quarantine",
                node.name, node.last_seen, spooled.requests, spooled.items, spooled.quarantined_files
            )
        })
        .collect();
    if left.is_empty() {
        let found = match lost.len() {
            0 => "none".to_owned(),
            count => format!("{count}, with nothing in their spool when they were last seen"),
        };
        return ok("lost nodes", found);
    }
    bad(
        "lost nodes",
        FindingState::Warning,
        left.join("; "),
        "what is in a spool is acknowledged and nowhere else: start `tidegate serve` again on that machine, or on its data_dir \
         elsewhere, and it is written",
    )
}

#[cfg(test)]
mod tests {
    use jiff::Timestamp;
    use uuid::Uuid;

    use super::*;
    use crate::nodes::Spooled;

    fn node(version: &str, state: NodeState, skew_ms: i64, requests: u64) -> Node {
        Node {
            id: Uuid::nil(),
            name: "a".to_owned(),
            url: None,
            version: version.to_owned(),
            schema_version: 37,
            state,
            started_at: Timestamp::UNIX_EPOCH,
            last_seen: Timestamp::UNIX_EPOCH,
            spooled: Spooled { requests, items: 5 * requests, ..Spooled::default() },
            clock_skew_ms: skew_ms,
            process_id: Uuid::nil(),
            demands: std::collections::HashMap::default(),
        }
    }

    #[test]
    fn what_is_wrong_of_nodes_is_said() {
        use FindingState::{Ok, Warning};
        use NodeState::{Degraded, Lost, Ready};
        let states = |nodes: &[Node]| of(nodes).iter().map(|finding| finding.state).collect::<Vec<_>>();
        assert_eq!(states(&[]), [Ok, Ok, Ok]);
        assert_eq!(states(&[node("1", Ready, 5000, 7), node("1", Degraded, -5000, 0)]), [Ok, Ok, Ok]);
        assert_eq!(states(&[node("1", Ready, -5001, 0), node("2", Ready, 0, 0)]), [Warning, Warning, Ok]);
        assert_eq!(states(&[node("1", Ready, 0, 0), node("2", Lost, 86_400_000, 0)]), [Ok, Ok, Ok]);
        let found = of(&[node("1", Lost, 0, 3)]);
        assert_eq!(found[2].state, Warning);
        assert!(found[2].found.contains("3 requests with 15 items"), "{}", found[2].found);
    }
}
