//! The three ways to INSERT many rows, each as a careful user would write it: prepared, a thousand rows a statement, one
//! transaction a statement, parameters in binary form and made before the clock starts: by PostgreSQL itself, from a table
//! beside the one that is measured.
//!
//! On the columnstore profile INSERT does not go through direct compress: its rows are in row form until their chunk is
//! compressed.

use std::error::Error;
use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tidegate::wire::event::COPY_COLUMNS;
use tokio_postgres::Client;
use tokio_postgres::types::{Format, FromSql, IsNull, ToSql, Type};

use super::common::{BATCH_ROWS, Result};
use super::meter::Usage;
use super::raw::{Numbers, copy_into, each, writers};
use super::target::Target;

/// A way to INSERT.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Method {
    /// `INSERT ... VALUES (...), (...), ...`
    Values,
    /// `INSERT ... SELECT UNNEST($1, $2, ...)`
    Unnest,
    /// `INSERT ... SELECT json_populate_recordset(NULL::events, $1)`
    Json,
}

impl Method {
    pub const ALL: [Self; 3] = [Self::Values, Self::Unnest, Self::Json];

    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "INSERT, multi-row VALUES",
            Self::Unnest => "INSERT ... SELECT UNNEST",
            Self::Json => "INSERT ... json_populate_recordset",
        }
    }

    /// The statement for a batch of rows whose columns are of these types.
    fn sql(self, types: &[String]) -> String {
        let source = match self {
            Self::Values => {
                let row = |row: u64| {
                    let places = (1..).zip(types).map(|(n, _)| format!("${}", row * types.len() as u64 + n));
                    format!("({})", places.collect::<Vec<_>>().join(","))
                };
                format!("VALUES {}", (0..BATCH_ROWS).map(row).collect::<Vec<_>>().join(","))
            }
            Self::Unnest => {
                let arrays: Vec<String> = (1..).zip(types).map(|(n, of)| format!("${n}::{of}[]")).collect();
                format!("SELECT * FROM UNNEST({})", arrays.join(", "))
            }
            Self::Json => format!("SELECT {COPY_COLUMNS} FROM json_populate_recordset(NULL::events, $1)"),
        };
        format!("INSERT INTO events ({COPY_COLUMNS}) {source}")
    }

    /// What makes the parameters of the batch `$1`: every column of every row.
    fn parameters(self) -> String {
        let columns = match self {
            Self::Values => COPY_COLUMNS.to_owned(),
            Self::Unnest => {
                let array = |column| format!("array_agg({column} ORDER BY batch_seq)");
                COPY_COLUMNS.split(", ").map(array).collect::<Vec<_>>().join(", ")
            }
            Self::Json => "json_agg(json_strip_nulls(to_json(made)) ORDER BY batch_seq)".to_owned(),
        };
        let order = if self == Self::Values { "ORDER BY batch_seq" } else { "" };
        format!("SELECT {columns} FROM made WHERE batch_id = $1 {order}")
    }
}

/// A value in its binary form.
#[derive(Debug, Clone)]
struct Binary(Option<Bytes>);

impl<'a> FromSql<'a> for Binary {
    fn from_sql(_: &Type, bytes: &'a [u8]) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(Some(Bytes::copy_from_slice(bytes))))
    }

    fn from_sql_null(_: &Type) -> std::result::Result<Self, Box<dyn Error + Sync + Send>> {
        Ok(Self(None))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

impl ToSql for Binary {
    fn to_sql(&self, _: &Type, out: &mut BytesMut) -> std::result::Result<IsNull, Box<dyn Error + Sync + Send>> {
        let Some(bytes) = &self.0 else { return Ok(IsNull::Yes) };
        out.put_slice(bytes);
        Ok(IsNull::No)
    }

    fn accepts(_: &Type) -> bool {
        true
    }

    fn encode_format(&self, _: &Type) -> Format {
        Format::Binary
    }

    tokio_postgres::types::to_sql_checked!();
}

/// Inserts all batches on `connections` connections; they are COPY streams, numbered from 0.
pub async fn run(target: &Target, method: Method, streams: &[Bytes], connections: usize) -> Result<Usage> {
    let client = target.another_owner().await?;
    client.batch_execute("CREATE TEMPORARY TABLE made (LIKE events INCLUDING DEFAULTS)").await?;
    for stream in streams {
        copy_into(&client, "made", COPY_COLUMNS, stream.clone()).await?;
    }
    let columns = client.prepare(&format!("SELECT {COPY_COLUMNS} FROM made")).await?;
    let types: Vec<String> = columns.columns().iter().map(|column| column.type_().name().to_owned()).collect();
    client.batch_execute("CREATE INDEX ON made (batch_id)").await?;
    let parameters = client.prepare(&method.parameters()).await?;
    let mut statements = Vec::new();
    for number in 0..streams.len() {
        let rows = client.query(&parameters, &[&i64::try_from(number)?]).await?;
        let values = rows.iter().flat_map(|row| (0..row.len()).map(move |column| row.get::<_, Binary>(column)));
        statements.push(values.collect::<Vec<_>>());
    }
    drop(client);
    let (sql, statements): (Arc<str>, Arc<[_]>) = (method.sql(&types).into(), statements.into());
    let clients = writers(target, connections, false).await?;
    each(target, clients, streams.len(), move |client, numbers| {
        let (sql, statements) = (Arc::clone(&sql), Arc::clone(&statements));
        async move { insert(&client, &sql, &statements, &numbers).await }
    })
    .await
}

async fn insert(client: &Client, sql: &str, statements: &[Vec<Binary>], numbers: &Numbers) -> Result<()> {
    let statement = client.prepare(sql).await?;
    while let Some(number) = numbers.take() {
        let inserted = client.execute_raw(&statement, &statements[number]).await?;
        if inserted != BATCH_ROWS {
            return Err(format!("{inserted} rows inserted instead of {BATCH_ROWS}").into());
        }
    }
    Ok(())
}
