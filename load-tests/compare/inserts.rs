//! The three ways to INSERT many rows, each as a careful user would write it: prepared, a thousand rows a statement, one
//! transaction a statement, parameters in binary form and made before the clock starts.
//!
//! On the columnstore profile INSERT does not go through direct compress: its rows are in row form until their chunk is
//! compressed.

use std::sync::Arc;

use bytes::{BufMut, Bytes, BytesMut};
use tidegate::wire::event::{COPY_COLUMN_COUNT, COPY_COLUMNS};
use tokio_postgres::Client;
use tokio_postgres::types::{Format, IsNull, ToSql, Type};

use super::Result;
use super::meter::Usage;
use super::raw::{Numbers, each};
use super::rows::Batch;
use super::target::Target;
use super::tuple_json::recordset;

const COLUMNS: usize = COPY_COLUMN_COUNT.unsigned_abs() as usize;

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
    /// All of them.
    pub const ALL: [Self; 3] = [Self::Values, Self::Unnest, Self::Json];

    /// As the report calls it.
    pub fn name(self) -> &'static str {
        match self {
            Self::Values => "INSERT, multi-row VALUES",
            Self::Unnest => "INSERT ... SELECT UNNEST",
            Self::Json => "INSERT ... json_populate_recordset",
        }
    }

    /// The statement for `rows` rows.
    fn sql(self, rows: usize) -> String {
        match self {
            Self::Values => {
                let row = |row: usize| {
                    let places: Vec<String> = (1..=COLUMNS).map(|n| format!("${}", row * COLUMNS + n)).collect();
                    format!("({})", places.join(","))
                };
                let values: Vec<String> = (0..rows).map(row).collect();
                format!("INSERT INTO events ({COPY_COLUMNS}) VALUES {}", values.join(","))
            }
            Self::Unnest => {
                let arrays: Vec<String> = (1..=COLUMNS).zip(TYPES).map(|(n, of)| format!("${n}::{}[]", of.0)).collect();
                format!("INSERT INTO events ({COPY_COLUMNS}) SELECT * FROM UNNEST({})", arrays.join(", "))
            }
            Self::Json => format!(
                "INSERT INTO events ({COPY_COLUMNS}) SELECT {COPY_COLUMNS} FROM json_populate_recordset(NULL::events, $1)"
            ),
        }
    }

    /// The parameters of one statement.
    fn parameters(self, batch: &Batch) -> Result<Vec<Encoded>> {
        let fields = batch.fields();
        Ok(match self {
            Self::Values => fields.into_iter().map(Encoded).collect(),
            Self::Unnest => (0..COLUMNS)
                .map(|column| Encoded(Some(array(fields.iter().skip(column).step_by(COLUMNS), TYPES[column].1))))
                .collect(),
            Self::Json => vec![Encoded(Some(recordset(&fields)?.into()))],
        })
    }
}

/// Types of the columns in the order of `COPY_COLUMNS`: names and object ids.
const TYPES: [(&str, u32); COLUMNS] = {
    const TEXT: (&str, u32) = ("text", 25);
    const UUID: (&str, u32) = ("uuid", 2950);
    const INT4: (&str, u32) = ("int4", 23);
    const TIME: (&str, u32) = ("timestamptz", 1184);
    const JSONB: (&str, u32) = ("jsonb", 3802);
    [
        ("int8", 20),
        INT4,
        TIME,
        TIME,
        UUID,
        TEXT,
        TEXT,
        TEXT,
        TEXT,
        INT4,
        TEXT,
        TEXT,
        TEXT,
        UUID,
        UUID,
        TEXT,
        JSONB,
        JSONB,
    ]
};

/// A parameter whose binary form is made already.
#[derive(Debug, Clone)]
struct Encoded(Option<Bytes>);

impl ToSql for Encoded {
    fn to_sql(
        &self,
        _: &Type,
        out: &mut BytesMut,
    ) -> std::result::Result<IsNull, Box<dyn std::error::Error + Sync + Send>> {
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

/// A one-dimensional array in binary form.
fn array<'a>(elements: impl Iterator<Item = &'a Option<Bytes>> + Clone, element_type: u32) -> Bytes {
    let count = i32::try_from(elements.clone().count()).expect("a batch is small");
    let has_null = i32::from(elements.clone().any(Option::is_none));
    let mut out = BytesMut::new();
    for word in [1, has_null, i32::try_from(element_type).expect("a small number"), count, 1] {
        out.put_i32(word);
    }
    for element in elements {
        match element {
            Some(bytes) => {
                out.put_i32(i32::try_from(bytes.len()).expect("a field is small"));
                out.put_slice(bytes);
            }
            None => out.put_i32(-1),
        }
    }
    out.freeze()
}

/// Inserts all batches on `connections` connections.
pub async fn run(target: &Target, method: Method, batches: &[Batch], connections: usize) -> Result<Usage> {
    let rows = batches.first().ok_or("nothing to insert")?.rows;
    if batches.iter().any(|batch| batch.rows != rows) {
        return Err("batches of one size are needed".into());
    }
    let sql: Arc<str> = method.sql(rows).into();
    let statements: Vec<_> = batches.iter().map(|batch| method.parameters(batch)).collect::<Result<_>>()?;
    let statements: Arc<[Vec<Encoded>]> = statements.into();
    each(target, connections, false, statements.len(), move |client, numbers| {
        let (sql, statements) = (Arc::clone(&sql), Arc::clone(&statements));
        async move { insert(&client, &sql, &statements, rows, &numbers).await }
    })
    .await
}

async fn insert(client: &Client, sql: &str, statements: &[Vec<Encoded>], rows: usize, numbers: &Numbers) -> Result<()> {
    let statement = client.prepare(sql).await?;
    while let Some(number) = numbers.take() {
        let inserted = client.execute_raw(&statement, &statements[number]).await?;
        if inserted != rows as u64 {
            return Err(format!("{inserted} rows inserted instead of {rows}").into());
        }
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn statements_name_every_parameter_once() {
        let sql = Method::Values.sql(3);
        assert!(sql.ends_with("$53,$54)") && sql.matches('(').count() == 4, "{sql}");
        assert!(Method::Unnest.sql(3).contains("$18::jsonb[]"));
    }

    #[test]
    fn arrays_are_in_postgres_binary_form() {
        let elements = [Some(Bytes::from_static(b"ab")), None];
        let expected =
            [0, 0, 0, 1, 0, 0, 0, 1, 0, 0, 0, 25, 0, 0, 0, 2, 0, 0, 0, 1, 0, 0, 0, 2, b'a', b'b', 255, 255, 255, 255];
        assert_eq!(array(elements.iter(), 25)[..], expected);
    }
}
