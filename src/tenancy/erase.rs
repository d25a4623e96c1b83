//! Erases an organization: its rows in every relation that has any, then itself. Relations are found in the catalogue, so that one that is
//! new is not forgotten. Each piece is a transaction of its own; what was cut short is done by doing it again.

use std::collections::BTreeMap;

use serde::Serialize;
use serde_json::json;
use tokio_postgres::Client;

use super::acts::{self, Act, Actor};
use super::admin::Organization;
use crate::limits::{ERASE_PASSES, ERASE_QUIET_S, ERASE_ROWS};
use crate::storage::{Layout, StorageError, standing_layout};

const PIECES: &str = include_str!("../../sql/queries/erase_pieces.sql");
/// The same of a database whose tenants are in cells: of one of these, and of what is beside them.
const PIECES_OF_CELL: &str = include_str!("../../sql/queries/erase_pieces_cell.sql");
const PIECES_BESIDE: &str = include_str!("../../sql/queries/erase_pieces_coordinator.sql");
const CHUNKS: &str = include_str!("../../sql/queries/erase_chunks.sql");
/// Why it may not be erased yet: it is active, or was until a moment ago; logins read it.
const HINDERED: &str = "SELECT o.is_active, coalesce(NOT o.is_active AND o.deactivated_at > now() - make_interval(secs => $2::bigint), false), \
     (SELECT array_agg(l.login::text ORDER BY l.login) FROM reader_logins l WHERE l.org_id = o.id) FROM organizations o WHERE o.tenant_id = $1";
/// Compressed rows are deleted by whole segments of the tenant; where they are not, all of a chunk is decompressed.
pub(super) const OF_CHUNK: &str = "SET LOCAL timescaledb.max_tuples_decompressed_per_dml_transaction = 0";

/// How many rows of a relation are the organization's, or were.
#[derive(Debug, PartialEq, Eq, Serialize)]
pub struct OfRelation {
    pub relation: String,
    pub rows: u64,
}

/// A table, or a part of one, and which of its rows are meant.
pub(super) struct Piece {
    pub(super) name: String,
    pub(super) table: String,
    pub(super) whose: String,
    pub(super) of_chunk: bool,
    /// What a transaction that deletes from it begins with.
    pub(super) hold: Option<String>,
    /// Whether rows are deleted all at once: of copies on several nodes none is told by its place.
    at_once: bool,
}

/// The databases that have an organization.
pub struct Holders<'a> {
    pub control: &'a mut Client,
    /// The owner's connection into the cell that has its rows, where they are in one.
    pub cell: Option<Client>,
}

impl Holders<'_> {
    /// The one that has its rows.
    pub(super) fn rows(&mut self) -> &mut Client {
        self.cell.as_mut().unwrap_or(self.control)
    }
}

/// Of the database in which the rows are.
pub(super) async fn pieces(client: &Client) -> Result<Vec<Piece>, StorageError> {
    let layout = standing_layout(client).await?;
    let hold = |name: &str, table: &str| {
        let is_past_relation = name != table;
        layout.filter(|_| is_past_relation).and_then(|layout| layout.hold_sql(name))
    };
    let piece = |row: &tokio_postgres::Row, of_chunk| Piece {
        name: row.get(0),
        table: row.get(1),
        whose: row.get(2),
        of_chunk,
        hold: hold(row.get(0), row.get(1)),
        at_once: false,
    };
    if layout.is_some_and(Layout::has_cells) {
        let none: [&str; 0] = [];
        return Ok(client
            .query(PIECES_OF_CELL, &[&none.as_slice()])
            .await?
            .iter()
            .map(|row| piece(row, false))
            .collect());
    }
    let mut pieces = Vec::new();
    if layout.is_some_and(Layout::has_hypertables) {
        pieces.extend(client.query(CHUNKS, &[]).await?.iter().map(|row| piece(row, true)));
    }
    let chunked: Vec<String> = pieces.iter().map(|piece| piece.name.clone()).collect();
    // What waits in queues is made of rows that go first.
    pieces.extend(client.query(PIECES, &[&chunked]).await?.iter().map(|row| piece(row, false)));
    Ok(pieces)
}

/// Of what is beside the cells.
async fn pieces_beside(client: &Client) -> Result<Vec<Piece>, StorageError> {
    let none: [&str; 0] = [];
    let piece = |row: &tokio_postgres::Row| Piece {
        name: row.get(0),
        table: row.get(1),
        whose: row.get(2),
        of_chunk: false,
        hold: None,
        at_once: true,
    };
    Ok(client.query(PIECES_BESIDE, &[&none.as_slice()]).await?.iter().map(piece).collect())
}

pub(super) fn sums(rows: Vec<(String, u64)>) -> Vec<OfRelation> {
    let mut sums: BTreeMap<String, u64> = BTreeMap::new();
    for (name, count) in rows {
        *sums.entry(name).or_default() += count;
    }
    sums.into_iter().filter(|(_, rows)| *rows > 0).map(|(relation, rows)| OfRelation { relation, rows }).collect()
}

/// What there is of an organization, by relation.
pub async fn look(of: &mut Holders<'_>, tenant_id: &str) -> Result<Vec<OfRelation>, StorageError> {
    let mut rows = Vec::new();
    let pieces = pieces(of.rows()).await?;
    count(of.rows(), pieces, tenant_id, &mut rows).await?;
    if of.cell.is_some() {
        count(of.control, pieces_beside(of.control).await?, tenant_id, &mut rows).await?;
    }
    Ok(sums(rows))
}

async fn count(
    client: &Client,
    pieces: Vec<Piece>,
    tenant_id: &str,
    rows: &mut Vec<(String, u64)>,
) -> Result<(), StorageError> {
    for Piece { name, table, whose, .. } in pieces {
        let sql = format!("SELECT count(*) FROM {table} WHERE {whose}");
        let count: i64 = client.query_one(&sql, &[&tenant_id]).await?.get(0);
        rows.push((name, count.unsigned_abs()));
    }
    Ok(())
}

/// Why an organization may not be erased yet, and what to do.
pub async fn hindered(client: &Client, tenant_id: &str) -> Result<Option<String>, StorageError> {
    let row = client.query_one(HINDERED, &[&tenant_id, &ERASE_QUIET_S]).await?;
    let (is_active, just_now): (bool, bool) = (row.get(0), row.get(1));
    let logins: Option<Vec<String>> = row.get(2);
    Ok(if is_active {
        Some(format!("it is active, and what comes meanwhile would stay: tidegate orgs deactivate {tenant_id}"))
    } else if just_now {
        Some(format!("it was active until a moment ago, and what came then may be on its way: wait {ERASE_QUIET_S} s"))
    } else {
        logins.map(|logins| format!("logins read it: tidegate readers revoke {}", logins.join(", then ")))
    })
}

/// Erases an organization that nothing comes for any more, and notes that. Goes through all relations until nothing is found: jobs may have
/// been at what was deleted.
pub async fn erase(of: &mut Holders<'_>, organization: &Organization) -> Result<Vec<OfRelation>, StorageError> {
    let tenant_id = organization.tenant_id.as_str();
    let mut rows = Vec::new();
    for _ in 0..ERASE_PASSES {
        let mut found = 0;
        for piece in pieces(of.rows()).await? {
            let deleted = delete(of.rows(), &piece, tenant_id).await?;
            found += deleted;
            rows.push((piece.name, deleted));
        }
        // After its rows: what is cut short is found again by its keys.
        let beside = if of.cell.is_some() { pieces_beside(of.control).await? } else { Vec::new() };
        for piece in beside {
            let deleted = delete(of.control, &piece, tenant_id).await?;
            found += deleted;
            rows.push((piece.name, deleted));
        }
        if found == 0 {
            break;
        }
    }
    let left = look(of, tenant_id).await?;
    if !left.is_empty() {
        let names: Vec<&str> = left.iter().map(|of| of.relation.as_str()).collect();
        return Err(StorageError::retryable(format!(
            "rows of {tenant_id} keep coming into {}: a node has it in its spool, or knows its keys; run it again",
            names.join(", ")
        )));
    }
    let erased = sums(rows);
    let transaction = acts::begin(of.control, None).await?;
    transaction.execute("DELETE FROM organizations WHERE id = $1", &[&organization.id]).await?;
    let act = Act {
        tenant_id: None,
        action: "organizations.erase",
        target: Some(tenant_id.to_owned()),
        details: json!({ "rows": erased.iter().map(|of| of.rows).sum::<u64>() }),
    };
    acts::note(&transaction, &Actor::of_this_process(), &act).await?;
    transaction.commit().await?;
    Ok(erased)
}

async fn delete(client: &mut Client, piece: &Piece, tenant_id: &str) -> Result<u64, StorageError> {
    let Piece { table, whose, .. } = piece;
    if piece.at_once {
        return Ok(client.execute(&format!("DELETE FROM {table} WHERE {whose}"), &[&tenant_id]).await?);
    }
    if piece.of_chunk {
        client.batch_execute(&format!("BEGIN; {OF_CHUNK}")).await?;
        let deleted = client.execute(&format!("DELETE FROM {table} WHERE {whose}"), &[&tenant_id]).await?;
        client.batch_execute("COMMIT").await?;
        return Ok(deleted);
    }
    let some = format!(
        "DELETE FROM {table} WHERE ctid = ANY (ARRAY(SELECT ctid FROM {table} WHERE {whose} LIMIT {ERASE_ROWS}))"
    );
    let mut deleted = 0;
    loop {
        let transaction = client.transaction().await?;
        if let Some(hold) = &piece.hold {
            transaction.batch_execute(hold).await?;
        }
        let rows = transaction.execute(&some, &[&tenant_id]).await?;
        transaction.commit().await?;
        deleted += rows;
        if rows < ERASE_ROWS {
            return Ok(deleted);
        }
    }
}
