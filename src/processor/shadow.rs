//! The copy of a projection's tables that a rebuild makes: temporary tables of its session, which go with it.

use std::collections::HashMap;

use deadpool_postgres::Object;

use super::apply::{Target, stored_row, write};
use super::statements::{self, Place};
use crate::limits::PROJECTED_ROWS_AT_ONCE;
use crate::projections::{Projection, Table};
use crate::storage::StorageError;

/// First offsets that have not expired, by tenant and stream; of others 0.
pub type Begins = HashMap<(String, String), i64>;

pub async fn begins(client: &Object) -> Result<Begins, StorageError> {
    let rows = client.query("SELECT tenant_id, stream, begins FROM stream_begins", &[]).await?;
    Ok(rows.iter().map(|row| ((row.get(0), row.get(1)), row.get(2))).collect())
}

/// The schema whose rows the session works on: of one cell, not of all. Tables are named with it, for the copy has their names.
async fn schema(client: &Object) -> Result<String, StorageError> {
    Ok(client.query_one("SELECT quote_ident(current_schema())", &[]).await?.get(0))
}

/// Makes the tables of a projection, with what only events tell that have expired; of how many rows that is something.
pub async fn make(client: &Object, projection: &Projection, begins: &Begins) -> Result<u64, StorageError> {
    let (schema, mut kept) = (schema(client).await?, 0);
    for table in projection.tables {
        client.batch_execute(&statements::make_shadow(table)).await?;
        kept += seed(client, &schema, table, begins).await?;
    }
    Ok(kept)
}

/// Copies rows as far as expired events told them.
async fn seed(client: &Object, schema: &str, table: &'static Table, begins: &Begins) -> Result<u64, StorageError> {
    let key = table.key.column();
    // Of a shared table all: what others said of its rows stays, and they count.
    let has_expired = "EXISTS (SELECT FROM jsonb_array_elements(t.told_by) e JOIN stream_begins b \
                       ON b.tenant_id = t.tenant_id AND b.stream = e->>'stream' WHERE (e->>'offset')::bigint < b.begins)";
    let which = if table.is_shared { "true" } else { has_expired };
    let sql = format!(
        "SELECT t.tenant_id, t.{key}::text, {values}, t.told_by::text FROM {schema}.{table} t \
         WHERE (t.tenant_id, t.{key}) > ($1, $2::text::{of_key}) AND {which} ORDER BY t.tenant_id, t.{key} LIMIT {limit}",
        key = key.name,
        of_key = key.sql_type,
        values = statements::values(table),
        table = table.name,
        limit = PROJECTED_ROWS_AT_ONCE,
    );
    let first = match key.sql_type {
        "uuid" => "00000000-0000-0000-0000-000000000000",
        "bigint" => "-1",
        _ => "",
    };
    let (mut tenant_id, mut after, mut kept) = (String::new(), first.to_owned(), 0);
    loop {
        let rows = client.query(&*sql, &[&tenant_id, &after]).await?;
        let mut by_tenant: HashMap<String, (Vec<String>, Vec<String>)> = HashMap::new();
        for row in &rows {
            let (of, key, values, told_by): (String, String, &str, Option<&str>) =
                (row.get(0), row.get(1), row.get(2), row.get(3));
            let mut stored = stored_row(table, values, told_by)?;
            let begin = |stream: &str| begins.get(&(of.clone(), stream.to_owned())).copied().unwrap_or(0);
            let is_left = stored.forget(|origin| origin.offset >= begin(&origin.stream));
            if is_left || table.is_shared {
                let (written, large) = by_tenant.entry(of.clone()).or_default();
                written.push(stored.write(&key));
                if table.large.is_some_and(|column| stored.is_told(column.name)) {
                    large.push(key.clone());
                }
                kept += u64::from(is_left);
            }
            (tenant_id, after) = (of, key);
        }
        for (of, (written, large)) in by_tenant {
            let target = Target { tables: &[], place: Place::Shadow, tenant_id: &of, shared_rows_max: i64::MAX };
            write(client, target, table, &written, false).await?;
            if let Some(column) = table.large.filter(|_| !large.is_empty()) {
                let copy = format!(
                    "UPDATE pg_temp.{0} s SET {1} = t.{1} FROM {schema}.{0} t JOIN unnest($2::text[]) AS asked (key) ON t.{2} = asked.key::{3} \
                     WHERE t.tenant_id = $1 AND s.tenant_id = t.tenant_id AND s.{2} = t.{2}",
                    table.name, column.name, key.name, key.sql_type
                );
                client.execute(&*copy, &[&of, &large]).await?;
            }
        }
        if rows.len() < PROJECTED_ROWS_AT_ONCE {
            return Ok(kept);
        }
    }
}

/// Makes the tables what the copy is, in the caller's transaction; how many rows were others.
pub async fn take_over(client: &Object, projection: &Projection) -> Result<u64, StorageError> {
    let (schema, mut differing) = (schema(client).await?, 0);
    for table in projection.tables {
        differing += client.execute(&*statements::copy_over(&schema, table), &[]).await?;
    }
    // Rows that others refer to go last.
    for table in projection.tables.iter().rev().filter(|table| !table.is_shared) {
        differing += client.execute(&*statements::delete_others(&schema, table), &[]).await?;
    }
    Ok(differing)
}
