//! Cells of Citus: where they are, the servers that have them, moves, and what is left of moves.

use std::collections::BTreeSet;
use std::sync::Arc;

use tokio_postgres::{Client, Row};

use super::finding::{Finding, FindingState, bad, expect, ok};
use crate::storage::citus::{Cell, Recipe, cells, differs, enter};
use crate::storage::{Location, Role, StorageError, connect_to, led_to, session_sql};

/// Replication slots that a server has free for moves: one for each pair of servers and owner of shards, and some to spare.
const FREE_SLOTS_MIN: i64 = 4;
/// What of cells is named at most.
const NAMED_MAX: usize = 5;

const NODES: &str = include_str!("../../../sql/queries/doctor_citus_nodes.sql");
const SHARDS: &str = include_str!("../../../sql/queries/doctor_citus_shards.sql");
const SERVER: &str = include_str!("../../../sql/queries/doctor_citus_server.sql");
const MOVES: &str = include_str!("../../../sql/queries/doctor_citus_moves.sql");

/// Asks the coordinator, and every server where it is.
pub async fn findings(
    coordinator: &Client,
    location: &Location,
    reached: &[(Cell, Client)],
) -> Result<Vec<Finding>, StorageError> {
    let known = cells(coordinator).await?;
    let mut findings = vec![shards(coordinator, &known).await?];
    let version: String =
        coordinator.query_one("SELECT extversion FROM pg_extension WHERE extname = 'citus'", &[]).await?.get(0);
    let mut left = Vec::new();
    for row in coordinator.query(NODES, &[]).await? {
        let node = Node::of(&row);
        if node.is_coordinator && node.cells == 0 {
            continue;
        }
        findings.push(server(&node, location, &version, &mut left).await);
    }
    findings.push(as_made(coordinator, &known, reached).await?);
    let (moving, moves) = moves(coordinator).await?;
    findings.extend([moves, leftovers(coordinator, moving, left).await?]);
    Ok(findings)
}

async fn shards(coordinator: &Client, known: &[Cell]) -> Result<Finding, StorageError> {
    let wrong: Vec<String> = coordinator.query(SHARDS, &[]).await?.iter().map(|row| row.get(0)).collect();
    if !wrong.is_empty() {
        return Ok(bad(
            "cells",
            FindingState::Failed,
            wrong.join("; "),
            "what is of these hashes can neither be written nor read: where a shard is on another node than its cell, move it there \
             (citus_move_shard_placement moves all that are colocated); where a node is not active, citus_activate_node; where a shard \
             was split, restart every node of Tidegate",
        ));
    }
    let workers: BTreeSet<String> = known.iter().map(Cell::worker).collect();
    let told: Vec<String> = workers
        .into_iter()
        .map(|worker| format!("{} at {worker}", known.iter().filter(|cell| cell.worker() == worker).count()))
        .collect();
    Ok(ok("cells", format!("{}: {}", known.len(), told.join(", "))))
}

/// A node as the coordinator knows it.
struct Node {
    place: (String, u16),
    is_coordinator: bool,
    active: bool,
    synced: bool,
    takes_shards: bool,
    cells: i64,
}

impl Node {
    fn of(row: &Row) -> Self {
        let port: i32 = row.get(1);
        Self {
            place: (row.get(0), u16::try_from(port).unwrap_or_default()),
            is_coordinator: row.get(2),
            active: row.get(3),
            synced: row.get(4),
            takes_shards: row.get(5),
            cells: row.get(6),
        }
    }
}

/// Whether one server is reached by every role, and is as moves and transactions need it.
async fn server(node: &Node, location: &Location, version: &str, left: &mut Vec<String>) -> Finding {
    let at = format!("{}:{}", node.place.0, node.place.1);
    let check = format!("worker {at}");
    if !node.active || !node.synced {
        return bad(
            check,
            FindingState::Failed,
            if node.active { "it does not have the metadata" } else { "it is not active" },
            format!("on the coordinator: SELECT citus_activate_node('{}', {})", node.place.0, node.place.1),
        );
    }
    let asked = async {
        let place = (node.place.0.as_str(), node.place.1);
        let (client, _task) = connect_to(&led_to(location.owner(), place), Arc::default()).await?;
        // As sessions that work in cells have it.
        let settings = "SET citus.enable_manual_changes_to_shards = on; SET citus.enable_ddl_propagation = off;";
        client.batch_execute(&session_sql(Role::Owner, settings)).await?;
        let row = client.query_one(SERVER, &[]).await?;
        for (role, url) in [(Role::Writer, location.writer()), (Role::Reader, location.reader())] {
            let entered = connect_to(&led_to(url, place), Arc::default()).await;
            entered.map_err(|error| error.doing(&format!("the {}'s connection", role.as_str())))?;
        }
        Ok::<_, StorageError>(row)
    };
    let row = match asked.await {
        Ok(row) => row,
        Err(error) => {
            return bad(
                check,
                FindingState::Failed,
                format!("cannot be reached, with {} cells: {error}", node.cells),
                "the tenants of its cells are spooled for and cannot be read, others notice nothing: start it, or let this machine and \
                 the roles tidegate_owner, tidegate_writer and tidegate_reader in (pg_hba.conf, passwords, TLS), under the name that \
                 pg_dist_node has",
            );
        }
    };
    left.extend(row.get::<_, Vec<String>>(9).into_iter().map(|schema| format!("{schema} at {at}")));
    judged(check, node, &row, version)
}

fn judged(check: String, node: &Node, row: &Row, version: &str) -> Finding {
    let extension: Option<&str> = row.get(0);
    let wal_level: &str = row.get(1);
    let [prepared, connections, slots, taken, senders, appliers]: [i64; 6] = std::array::from_fn(|n| row.get(n + 2));
    let past_citus: bool = row.get(8);
    if extension != Some(version) {
        let found = format!("Citus {}, where the coordinator has {version}", extension.unwrap_or("is not there"));
        return bad(
            check,
            FindingState::Failed,
            found,
            "install the same version on all, then ALTER EXTENSION citus UPDATE on each",
        );
    }
    let mut wrong = Vec::new();
    let mut mend = Vec::new();
    let mut expect = |right: bool, found: String, statement: String| {
        if !right {
            wrong.push(found);
            mend.push(statement);
        }
    };
    expect(
        past_citus,
        "sessions cannot write to shards past Citus".to_owned(),
        "let the roles SET citus.enable_manual_changes_to_shards and citus.enable_ddl_propagation".to_owned(),
    );
    expect(
        wal_level == "logical",
        format!("wal_level is {wal_level}, with which cells cannot be moved while they are written to"),
        "ALTER SYSTEM SET wal_level = logical".to_owned(),
    );
    expect(
        prepared >= connections,
        format!("max_prepared_transactions is {prepared} and max_connections {connections}"),
        format!("ALTER SYSTEM SET max_prepared_transactions = {connections}"),
    );
    expect(
        slots - taken >= FREE_SLOTS_MIN,
        format!("{taken} of {slots} replication slots are taken"),
        format!("ALTER SYSTEM SET max_replication_slots = {}", taken + 10 * FREE_SLOTS_MIN),
    );
    expect(
        senders >= FREE_SLOTS_MIN && appliers >= FREE_SLOTS_MIN,
        format!("max_wal_senders is {senders} and max_logical_replication_workers {appliers}"),
        format!("ALTER SYSTEM SET max_wal_senders and max_logical_replication_workers to {FREE_SLOTS_MIN} at least"),
    );
    if wrong.is_empty() {
        let found = format!("{} cells; Citus {version}, wal_level logical, {} slots free", node.cells, slots - taken);
        return match (node.takes_shards, node.cells) {
            (true, 0) => ok(
                check,
                format!(
                    "{found}. It gets cells by SELECT citus_rebalance_start(shard_transfer_mode := 'force_logical')"
                ),
            ),
            (false, _) => ok(check, format!("{found}; it takes no more of them (shouldhaveshards)")),
            (true, _) => ok(check, found),
        };
    }
    bad(
        check,
        FindingState::Warning,
        format!("{} cells; {}", node.cells, wrong.join("; ")),
        format!("there, as a superuser, and restart: {}", mend.join("; ")),
    )
}

/// The cells that can be reached, each with a connection into it; whose server is away is said of the server.
pub async fn inside(coordinator: &Client, location: &Location) -> Result<Vec<(Cell, Client)>, StorageError> {
    let mut reached = Vec::new();
    for cell in cells(coordinator).await? {
        if let Ok(client) = enter(location.owner(), &cell).await {
            reached.push((cell, client));
        }
    }
    Ok(reached)
}

/// Whether each cell that can be reached is what this version makes it.
async fn as_made(coordinator: &Client, known: &[Cell], reached: &[(Cell, Client)]) -> Result<Finding, StorageError> {
    let recipe = Recipe::of(coordinator).await?;
    let (mut wrong, looked) = (Vec::new(), reached.len());
    for (cell, inside) in reached {
        let found = differs(inside, &recipe, cell).await?;
        if let Some(first) = found.first() {
            let more = found.len() - 1;
            wrong.push(format!("{}: {} {}, and {more} more", cell.name, first.object, first.how));
        }
    }
    Ok(expect(
        "cells as made",
        wrong.is_empty(),
        if wrong.is_empty() { format!("{looked} of {} looked at", known.len()) } else { some(&wrong) },
        "tidegate migrate makes them again, tidegate schema verify says all that differs",
    ))
}

async fn moves(coordinator: &Client) -> Result<(bool, Finding), StorageError> {
    let rows = coordinator.query(MOVES, &[]).await?;
    let told: Vec<String> = rows.iter().map(|row| row.get(0)).collect();
    let failed = rows.iter().any(|row| row.get(1));
    let found = if told.is_empty() { "none".to_owned() } else { some(&told) };
    let finding = expect(
        "moves",
        !failed,
        found,
        "what a job failed on: SELECT * FROM citus_rebalance_status(); what it moved stays moved. Mend it, then \
         citus_rebalance_stop() and citus_rebalance_start(shard_transfer_mode := 'force_logical')",
    );
    Ok((!told.is_empty() && !failed, finding))
}

/// What moves left behind: shards that Citus has not dropped yet, and schemas of cells.
async fn leftovers(coordinator: &Client, moving: bool, schemas: Vec<String>) -> Result<Finding, StorageError> {
    let sql = "SELECT format('%s on node %s', object_name, node_group_id) FROM pg_dist_cleanup ORDER BY record_id";
    let orphans: Vec<String> = coordinator.query(sql, &[]).await?.iter().map(|row| row.get(0)).collect();
    // While something is moved they are what is moved.
    let orphaned = !orphans.is_empty() && !moving;
    let mut found = Vec::new();
    let mut mend = Vec::new();
    if orphaned {
        found.push(format!("{} objects wait to be dropped: {}", orphans.len(), some(&orphans)));
        mend.push(
            "orphaned shards go by themselves within minutes; at once: CALL citus_cleanup_orphaned_resources()"
                .to_owned(),
        );
    }
    if !schemas.is_empty() {
        found.push(format!("schemas of cells that are elsewhere: {}", some(&schemas)));
        mend.push("nobody looks into them any more; there, as tidegate_owner: DROP SCHEMA ... CASCADE".to_owned());
    }
    if found.is_empty() {
        return Ok(ok("left of moves", if orphans.is_empty() { "nothing" } else { "what is being moved" }));
    }
    Ok(bad("left of moves", FindingState::Warning, found.join("; "), mend.join(". ")))
}

fn some(all: &[String]) -> String {
    let named = all.iter().take(NAMED_MAX).cloned().collect::<Vec<_>>().join("; ");
    if all.len() > NAMED_MAX { format!("{named}; and {} more", all.len() - NAMED_MAX) } else { named }
}

/// What was found in each cell by the same looks, a check of all of them each: what is wrong is named with its cell.
pub fn together(of_cells: Vec<(String, Vec<Finding>)>) -> Vec<Finding> {
    let mut checks: Vec<&str> = Vec::new();
    for finding in of_cells.iter().flat_map(|(_cell, findings)| findings) {
        if !checks.contains(&finding.check.as_str()) {
            checks.push(&finding.check);
        }
    }
    let of_check = |check: &str| {
        let of_cell =
            |(cell, findings): &'_ (String, Vec<Finding>)| -> Vec<(String, FindingState, String, Option<String>)> {
                let own = findings.iter().filter(|finding| finding.check == check);
                own.map(|one| (cell.clone(), one.state, one.found.clone(), one.advice.clone())).collect()
            };
        let all: Vec<_> = of_cells.iter().flat_map(of_cell).collect();
        let rank = |state: FindingState| match state {
            FindingState::Ok => 0,
            FindingState::Unknown => 1,
            FindingState::Warning => 2,
            FindingState::Failed => 3,
        };
        let worst = all.iter().map(|(_, state, ..)| *state).max_by_key(|state| rank(*state));
        let state = worst.unwrap_or(FindingState::Ok);
        let told: Vec<&(String, FindingState, String, Option<String>)> =
            all.iter().filter(|(_, own, ..)| rank(*own) == rank(state)).collect();
        let same = told.len() == all.len() && told.iter().all(|(_, _, found, _)| *found == told[0].2);
        let found = match (all.len(), same) {
            (0 | 1, _) => told.first().map(|(_, _, found, _)| found.clone()).unwrap_or_default(),
            (cells, true) => format!("{} (in all {cells} cells)", told[0].2),
            (_, false) => some(&told.iter().map(|(cell, _, found, _)| format!("{cell}: {found}")).collect::<Vec<_>>()),
        };
        let advice = told.first().and_then(|(_, _, _, advice)| advice.clone());
        Finding { check: check.to_owned(), state, found, advice }
    };
    checks.into_iter().map(of_check).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_worst_of_each_check_is_said_with_its_cell() {
        let cells = [("a", "1 run", true), ("b", "idle", false), ("c", "1 run", true)].map(|(cell, found, right)| {
            (cell.to_owned(), vec![expect("jobs", right, found, "start it"), ok("growth", "none")])
        });
        let found = together(cells.into());
        assert_eq!(found.len(), 2);
        assert_eq!((found[0].check.as_str(), found[0].state), ("jobs", FindingState::Warning));
        assert_eq!(found[0].found, "b: idle");
        assert_eq!(found[0].advice.as_deref(), Some("start it"));
        assert_eq!((found[1].state, found[1].found.as_str()), (FindingState::Ok, "none (in all 3 cells)"));
    }
}
