//! Rows that the migrations made, and that the program relies on: what is missing is put back at a start, or named.

use tokio_postgres::{Client, Row};

use super::{Layout, StorageError, standing_layout};
use crate::model::LEVELS;

const PUT_BACK: &str = include_str!("../../sql/queries/relied_on.sql");
const LOST_LEVELS: &str = "SELECT level FROM unnest($1::text[]) AS known (level) \
     WHERE NOT EXISTS (SELECT FROM rollup_levels l WHERE l.level = known.level) ORDER BY 1";

/// Puts back what can be made again; an error names what cannot. The caller holds the installers' lock.
pub async fn put_back(client: &Client) -> Result<(), StorageError> {
    for row in client.query(PUT_BACK, &[]).await? {
        let table: &str = row.get(0);
        tracing::warn!(
            table,
            "rows that Tidegate relies on were missing from a table of its schema, and were put back"
        );
    }
    let levels: Vec<&str> = LEVELS.iter().map(|level| level.name).collect();
    let lost: Vec<String> = client.query(LOST_LEVELS, &[&levels]).await?.iter().map(|row| row.get(0)).collect();
    match lost.is_empty() {
        true => Ok(()),
        // What was closed, and touched since, only they knew.
        false => Err(StorageError::not_ready(format!(
            "the table tidegate.rollup_levels has lost its rows of {}: put them back from a backup of that table",
            lost.join(", ")
        ))),
    }
}

/// What the database was made as; an error where its record is lost and something was written already, which could only be guessed then.
pub async fn recorded_layout(client: &Client) -> Result<Option<Layout>, StorageError> {
    let standing = standing_layout(client).await?;
    if standing.is_some() {
        return Ok(standing);
    }
    let made = "SELECT to_regclass('tidegate.ingest_batches') IS NOT NULL";
    if client.query_one(made, &[]).await?.get(0)
        && client.query_one("SELECT EXISTS (SELECT FROM tidegate.ingest_batches)", &[]).await?.get(0)
    {
        return Err(StorageError::not_ready(
            "the table tidegate.installation has lost its row, which says how this database is laid out: put it back from a \
             backup of that table",
        ));
    }
    Ok(None)
}

/// The one row of a table that always has it.
pub fn only_row(row: Option<Row>, table: &str) -> Result<Row, StorageError> {
    row.ok_or_else(|| {
        StorageError::not_ready(format!(
            "a row that Tidegate relies on is missing from the table tidegate.{table}: `tidegate migrate`, or a start of \
             `tidegate serve`, puts it back"
        ))
    })
}
