//! Rows as a JSON array of objects with a member a column: what `json_populate_recordset` takes.

use std::io::Write;

use bytes::Bytes;
use tidegate::wire::event::COPY_COLUMNS;
use uuid::Uuid;

use super::Result;

/// 2000-01-01 00:00:00 UTC, PostgreSQL's epoch, in microseconds since 1970.
pub const POSTGRES_EPOCH_US: i64 = 946_684_800_000_000;

/// The array; `fields` are those of `Batch::fields`. What is NULL is left out.
pub fn recordset(fields: &[Option<Bytes>]) -> Result<Vec<u8>> {
    let columns: Vec<&str> = COPY_COLUMNS.split(", ").collect();
    let mut out = Vec::new();
    for (number, row) in fields.chunks(columns.len()).enumerate() {
        out.push(if number == 0 { b'[' } else { b',' });
        let mut between = b'{';
        for (name, field) in columns.iter().zip(row) {
            let Some(field) = field else { continue };
            out.push(between);
            between = b',';
            write!(out, "\"{name}\":")?;
            append(&mut out, name, field)?;
        }
        out.push(b'}');
    }
    out.push(b']');
    Ok(out)
}

fn append(out: &mut Vec<u8>, column: &str, field: &[u8]) -> Result<()> {
    match column {
        "batch_id" => write!(out, "{}", i64::from_be_bytes(field.try_into()?))?,
        "batch_seq" | "event_version" => write!(out, "{}", i32::from_be_bytes(field.try_into()?))?,
        "timestamp" | "created_at" => {
            let us = i64::from_be_bytes(field.try_into()?) + POSTGRES_EPOCH_US;
            write!(out, "\"{:.6}\"", jiff::Timestamp::from_microsecond(us)?)?;
        }
        "id" | "correlation_id" | "parent_event_id" => write!(out, "\"{}\"", Uuid::from_slice(field)?)?,
        // Behind the version byte jsonb is its text.
        "payload" | "metadata" => out.extend_from_slice(&field[1..]),
        _ => serde_json::to_writer(out, std::str::from_utf8(field)?)?,
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use serde_json::Value;
    use tidegate::load::Generator;

    use super::super::bodies::templates;
    use super::super::rows::batches;
    use super::*;

    #[test]
    fn every_row_comes_out_with_its_columns() {
        let made =
            batches(&templates(&Generator { seed: 1, assets: 5 }, 1, 20), &["acme".into()]).expect("good events");
        let rows: Vec<Value> = serde_json::from_slice(&recordset(&made[0].fields()).expect("JSON")).expect("JSON");
        assert_eq!(rows.len(), 20);
        for (row, number) in rows.iter().zip(0..) {
            assert_eq!((&row["tenant_id"], &row["batch_seq"]), (&"acme".into(), &Value::from(number)));
            assert!(row["payload"]["latency_ms"].is_number() && row["metadata"]["receipt"].is_string(), "{row}");
            assert!(row["timestamp"].as_str().expect("text").parse::<jiff::Timestamp>().is_ok());
        }
    }
}
