//! Erases the events of an organization whose payloads contain something, and what was derived from them: a person's data, say. The
//! organization may go on sending meanwhile. Events of a chunk or partition go in one transaction with what names them.

use serde_json::json;
use tokio_postgres::Client;
use uuid::Uuid;

use super::acts::{self, Act, Actor};
use super::contained::Contained;
use super::erase::{Holders, OF_CHUNK, OfRelation, Piece, pieces, sums};
use crate::limits::{ERASE_IDS, ERASE_LETTER_BYTES};
use crate::storage::StorageError;

const OF_PAYLOAD: &str = "payload::jsonb @> ($2::text::jsonb -> 'payload')";
const TOLD: &str = "tenant_id = $1 AND (event_id = ANY ($2) OR EXISTS (SELECT FROM jsonb_array_elements(told_by) e WHERE (e ->> 'id')::uuid = ANY ($2)))";
/// What names an event ($2) of an organization ($1). Those that refer to others come first.
const DERIVED: [(&str, &str); 11] = [
    ("correlations", "tenant_id = $1 AND (primary_event_id = ANY ($2) OR related_event_id = ANY ($2))"),
    ("orphans", "tenant_id = $1 AND (event_id = ANY ($2) OR parent_event_id = ANY ($2))"),
    ("group_edges", "tenant_id = $1 AND (first_id = ANY ($2) OR last_id = ANY ($2))"),
    ("type_minutes", "tenant_id = $1 AND first_id = ANY ($2)"),
    ("dead_letter_events", "tenant_id = $1 AND event_id = ANY ($2)"),
    ("deployments", TOLD),
    ("resource_action_traces", TOLD),
    ("action_histories", TOLD),
    ("resource_references", TOLD),
    ("services", TOLD),
    ("asset_metadata", TOLD),
];
const LETTERS: &str = "SELECT id, octet_length(raw)::bigint FROM dead_letter_events WHERE tenant_id = $1 ORDER BY id";
const RAW: &str = "SELECT id, raw FROM dead_letter_events WHERE tenant_id = $1 AND id = ANY ($2)";

/// What was found, or erased.
#[derive(Debug)]
pub struct Matching {
    pub relations: Vec<OfRelation>,
    /// Dead letters that cannot be read as JSON, or not all of them: they may hold it.
    pub unreadable_letters: u64,
}

/// How much there is of what would be erased.
pub async fn look(holders: &mut Holders<'_>, tenant_id: &str, of: &Contained) -> Result<Matching, StorageError> {
    let client = &*holders.rows();
    let mut rows = Vec::new();
    let mut letters = Letters::find(client, tenant_id, of).await?;
    for piece in event_pieces(client).await? {
        let ids = ids_in(client, &piece, tenant_id, of).await?;
        for ids in ids.chunks(ERASE_IDS) {
            for (name, whose) in DERIVED {
                if name == "dead_letter_events" {
                    letters.add(client, tenant_id, ids).await?;
                } else {
                    let sql = format!("SELECT count(*) FROM {name} WHERE {whose}");
                    let count: i64 = client.query_one(&sql, &[&tenant_id, &ids]).await?.get(0);
                    rows.push((name.to_owned(), count.unsigned_abs()));
                }
            }
        }
        rows.push((piece.name, number(ids.len())));
    }
    rows.push(("dead_letter_events".to_owned(), number(letters.ids.len())));
    Ok(Matching { relations: sums(rows), unreadable_letters: letters.unreadable })
}

/// Erases them, and notes that without what they contained.
pub async fn erase(holders: &mut Holders<'_>, tenant_id: &str, of: &Contained) -> Result<Matching, StorageError> {
    let client = holders.rows();
    let mut rows = Vec::new();
    let mut erased: Vec<Uuid> = Vec::new();
    for piece in event_pieces(client).await? {
        // A chunk without any is not decompressed.
        if ids_in(client, &piece, tenant_id, of).await?.is_empty() {
            continue;
        }
        let Piece { name, table, whose, of_chunk, hold, .. } = piece;
        let transaction = client.transaction().await?;
        if of_chunk {
            transaction.batch_execute(OF_CHUNK).await?;
        }
        if let Some(hold) = hold {
            transaction.batch_execute(&hold).await?;
        }
        let sql = format!("DELETE FROM {table} WHERE {whose} AND {OF_PAYLOAD} RETURNING id");
        let ids: Vec<Uuid> =
            transaction.query(&sql, &[&tenant_id, &of.text()]).await?.iter().map(|row| row.get(0)).collect();
        derived(&transaction, tenant_id, &ids, &mut rows).await?;
        transaction.commit().await?;
        rows.push((name, number(ids.len())));
        erased.extend(ids);
    }
    // Jobs may have been at them.
    derived(&*client, tenant_id, &erased, &mut rows).await?;
    let letters = Letters::find(client, tenant_id, of).await?;
    for ids in letters.ids.chunks(ERASE_IDS) {
        let sql = "DELETE FROM dead_letter_events WHERE tenant_id = $1 AND id = ANY ($2)";
        rows.push(("dead_letter_events".to_owned(), client.execute(sql, &[&tenant_id, &ids]).await?));
    }
    let relations = sums(rows);
    let transaction = acts::begin(holders.control, Some(tenant_id)).await?;
    let act = Act {
        tenant_id: Some(tenant_id),
        action: "organizations.erase_events",
        target: Some(tenant_id.to_owned()),
        details: json!({ "payload_members": of.members(), "rows": relations }),
    };
    acts::note(&transaction, &Actor::of_this_process(), &act).await?;
    transaction.commit().await?;
    Ok(Matching { relations, unreadable_letters: letters.unreadable })
}

async fn event_pieces(client: &Client) -> Result<Vec<Piece>, StorageError> {
    Ok(pieces(client).await?.into_iter().filter(|piece| piece.name == "events").collect())
}

async fn ids_in(client: &Client, piece: &Piece, tenant_id: &str, of: &Contained) -> Result<Vec<Uuid>, StorageError> {
    let sql = format!("SELECT id FROM {} WHERE {} AND {OF_PAYLOAD}", piece.table, piece.whose);
    Ok(client.query(&sql, &[&tenant_id, &of.text()]).await?.iter().map(|row| row.get(0)).collect())
}

async fn derived(
    client: &impl tokio_postgres::GenericClient,
    tenant_id: &str,
    ids: &[Uuid],
    rows: &mut Vec<(String, u64)>,
) -> Result<(), StorageError> {
    for ids in ids.chunks(ERASE_IDS) {
        for (name, whose) in DERIVED {
            let deleted = client.execute(&format!("DELETE FROM {name} WHERE {whose}"), &[&tenant_id, &ids]).await?;
            rows.push((name.to_owned(), deleted));
        }
    }
    Ok(())
}

/// Dead letters of an organization that hold what is looked for.
struct Letters {
    ids: Vec<Uuid>,
    unreadable: u64,
}

impl Letters {
    async fn find(client: &Client, tenant_id: &str, of: &Contained) -> Result<Self, StorageError> {
        let mut found = Self { ids: Vec::new(), unreadable: 0 };
        let listed = client.query(LETTERS, &[&tenant_id]).await?;
        let (mut some, mut bytes): (Vec<Uuid>, i64) = (Vec::new(), 0);
        for row in &listed {
            some.push(row.get(0));
            bytes += row.get::<_, i64>(1);
            if bytes >= ERASE_LETTER_BYTES || some.len() >= ERASE_IDS {
                found.judge(client, tenant_id, of, &some).await?;
                some.clear();
                bytes = 0;
            }
        }
        found.judge(client, tenant_id, of, &some).await?;
        Ok(found)
    }

    async fn judge(
        &mut self,
        client: &Client,
        tenant_id: &str,
        of: &Contained,
        ids: &[Uuid],
    ) -> Result<(), StorageError> {
        for row in client.query(RAW, &[&tenant_id, &ids]).await? {
            match of.is_in(row.get(1)) {
                Some(true) => self.ids.push(row.get(0)),
                Some(false) => {}
                None => self.unreadable += 1,
            }
        }
        Ok(())
    }

    /// Those of these events as well.
    async fn add(&mut self, client: &Client, tenant_id: &str, events: &[Uuid]) -> Result<(), StorageError> {
        let sql = "SELECT id FROM dead_letter_events WHERE tenant_id = $1 AND event_id = ANY ($2)";
        self.ids.extend(client.query(sql, &[&tenant_id, &events]).await?.iter().map(|row| row.get::<_, Uuid>(0)));
        self.ids.sort_unstable();
        self.ids.dedup();
        Ok(())
    }
}

fn number(count: usize) -> u64 {
    u64::try_from(count).unwrap_or(u64::MAX)
}
