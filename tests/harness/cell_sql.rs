//! SQL of tests in a cell of Citus, where relations are views over shards: what views do not take is said of the shards, and partitions
//! are changed through Citus, which tells the shards.

use std::collections::HashMap;

use tokio_postgres::{Client, Error};

/// Settings of a session that works in the one cell, as the program's do; the row is there once it is made.
const CELL: &str = "SELECT set_config('search_path', format('tidegate_cell_%s, tidegate, public', shardid), false), \
    set_config('citus.enable_manual_changes_to_shards', 'on', false), set_config('citus.enable_ddl_propagation', 'off', false) \
    FROM pg_dist_shard WHERE logicalrelid = to_regclass('tidegate.ingest_ledger')";
/// Of one that changes what all cells have.
const SPREAD: &str = "SET search_path = tidegate, public; SET citus.enable_ddl_propagation = on";
const SHARDS: &str = "SELECT c.relname::text, format('tidegate.%I', c.relname || '_' || s.shardid) \
    FROM pg_dist_partition d JOIN pg_class c ON c.oid = d.logicalrelid JOIN pg_dist_shard s ON s.logicalrelid = d.logicalrelid \
    WHERE d.partmethod = 'h' AND c.relnamespace = 'tidegate'::regnamespace AND NOT c.relispartition";

/// What changes partitions.
const OF_PARTITIONS: [&str; 4] = ["PARTITION OF", "ATTACH PARTITION", "DETACH PARTITION", "(LIKE "];
/// What begins a statement that is of tables.
const OF_TABLES: [&str; 8] = [
    "TRUNCATE ",
    "ALTER TABLE ",
    "CREATE TRIGGER ",
    "CREATE OR REPLACE TRIGGER ",
    "DROP TRIGGER ",
    "VACUUM ",
    "ANALYZE ",
    "CREATE INDEX ",
];
/// Columns that views have not.
const OF_ROWS: [&str; 2] = ["xmin", "tableoid"];
/// What a relation's name stands behind.
const BEFORE_NAMES: [&str; 8] = ["TRUNCATE", "TABLE", "ON", "FROM", "JOIN", "ONLY", "VACUUM", "ANALYZE"];

pub struct CellSql {
    shards: HashMap<String, String>,
}

impl CellSql {
    /// Has a session work in the cell; None where there is none yet.
    pub async fn enter(client: &Client) -> Result<Option<Self>, Error> {
        if client.query(CELL, &[]).await?.is_empty() {
            return Ok(None);
        }
        let rows = client.query(SHARDS, &[]).await?;
        Ok(Some(Self { shards: rows.iter().map(|row| (row.get(0), row.get(1))).collect() }))
    }

    pub async fn run(&self, client: &Client, sql: &str) -> Result<(), Error> {
        for statement in statements(sql) {
            if !OF_PARTITIONS.iter().any(|words| statement.contains(words)) {
                client.batch_execute(&self.placed(statement)).await?;
                continue;
            }
            client.batch_execute(SPREAD).await?;
            let done = client.batch_execute(statement).await;
            // In a transaction that has failed nothing is set, and it is set back with it.
            let _ = client.query(CELL, &[]).await;
            done?;
        }
        Ok(())
    }

    /// A statement with shards in place of the views that would refuse it.
    pub fn placed(&self, statement: &str) -> String {
        let begins = statement.trim_start();
        let of_tables = OF_TABLES.iter().any(|words| begins.starts_with(words));
        if !of_tables && !OF_ROWS.iter().any(|column| statement.contains(column)) {
            return statement.to_owned();
        }
        let (mut said, mut before) = (String::new(), "");
        for piece in pieces(statement) {
            let is_name = BEFORE_NAMES.contains(&before) || (before == "," && begins.starts_with("TRUNCATE "));
            match self.shards.get(piece).filter(|_| is_name) {
                Some(shard) => said.push_str(shard),
                None => said.push_str(piece),
            }
            if !piece.trim().is_empty() {
                before = piece.trim();
            }
        }
        said
    }
}

/// Words, and what is between them.
fn pieces(statement: &str) -> impl Iterator<Item = &str> {
    let is_word = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = statement;
    std::iter::from_fn(move || {
        let first = rest.chars().next()?;
        let end = rest.find(|c| is_word(c) != is_word(first)).unwrap_or(rest.len());
        let (piece, behind) = rest.split_at(end);
        rest = behind;
        Some(piece)
    })
}

/// The statements of a text, each with what stands before it.
fn statements(sql: &str) -> Vec<&str> {
    let (mut all, mut begin, mut at) = (Vec::new(), 0, 0);
    while at < sql.len() {
        let rest = &sql[at..];
        // A text, a name or a body in quotes; a comment.
        let quoted = ["'", "\"", "$$", "--"].into_iter().find(|quote| rest.starts_with(quote));
        let quoted = quoted.map(str::to_owned).or_else(|| tag(rest));
        if let Some(quote) = quoted {
            let close = if quote == "--" { "\n" } else { &quote };
            let inner = &rest[quote.len()..];
            at += quote.len() + inner.find(close).map_or(inner.len(), |found| found + close.len());
        } else if rest.starts_with(';') {
            all.push(&sql[begin..at]);
            at += 1;
            begin = at;
        } else {
            at += rest.chars().next().map_or(1, char::len_utf8);
        }
    }
    all.push(&sql[begin..]);
    all.retain(|statement| !statement.trim().is_empty());
    all
}

/// `$name$`, if a text begins with it.
fn tag(text: &str) -> Option<String> {
    let name = text.strip_prefix('$')?;
    let end = name.find(|c: char| !(c.is_alphabetic() || c == '_'))?;
    (end > 0 && name[end..].starts_with('$')).then(|| text[..end + 2].to_owned())
}
