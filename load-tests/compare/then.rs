//! COPY tuples of today as they were at migration 12: fewer columns, and what the server knows of a request in metadata.

use std::collections::BTreeMap;

use bytes::Bytes;
use jiff::Timestamp;
use tidegate::wire::event::COPY_COLUMNS;
use tidegate::wire::item::pgcopy::{COPY_HEADER, COPY_TRAILER};
use uuid::Uuid;

use super::common::Result;

/// The columns of then, in their order.
pub const COLUMNS: &str = "batch_id, batch_seq, timestamp, created_at, id, tenant_id, stream, source_module, event_type, \
     event_version, severity, environment, asset_id, correlation_id, parent_event_id, trace_id, payload, metadata";

/// Microseconds between 1970 and PostgreSQL's epoch.
const EPOCH_US: i64 = 946_684_800_000_000;
const JSONB_VERSION: u8 = 1;

/// A stream of today as one of then.
pub fn as_then(stream: &Bytes) -> Result<Bytes> {
    let mut rest = stream.strip_prefix(&COPY_HEADER).ok_or("no COPY stream")?;
    let (mut out, names) = (COPY_HEADER.to_vec(), COPY_COLUMNS.split(", ").collect::<Vec<_>>());
    let columns: Vec<&str> = COLUMNS.split(", ").collect();
    while rest != COPY_TRAILER {
        let count = take(&mut rest, 2)?;
        if usize::from(u16::from_be_bytes(count.try_into()?)) != names.len() {
            return Err("a tuple has other columns than today's".into());
        }
        let mut row = BTreeMap::new();
        for name in &names {
            let length = i32::from_be_bytes(take(&mut rest, 4)?.try_into()?);
            row.insert(*name, usize::try_from(length).ok().map(|length| take(&mut rest, length)).transpose()?);
        }
        out.extend_from_slice(&u16::try_from(columns.len())?.to_be_bytes());
        for column in &columns {
            match (*column, row.get(column).copied().flatten()) {
                ("metadata", own) => put(&mut out, Some(&metadata(&row, own)?))?,
                (_, value) => put(&mut out, value)?,
            }
        }
    }
    out.extend_from_slice(&COPY_TRAILER);
    Ok(out.into())
}

fn take<'a>(rest: &mut &'a [u8], length: usize) -> Result<&'a [u8]> {
    let (taken, left) = rest.split_at_checked(length).ok_or("a COPY stream ends early")?;
    *rest = left;
    Ok(taken)
}

fn put(out: &mut Vec<u8>, value: Option<&[u8]>) -> Result<()> {
    let length = value.map_or(Ok(-1), |value| i32::try_from(value.len()))?;
    out.extend_from_slice(&length.to_be_bytes());
    out.extend_from_slice(value.unwrap_or_default());
    Ok(())
}

/// The sender's members, then the server's.
fn metadata(row: &BTreeMap<&str, Option<&[u8]>>, own: Option<&[u8]>) -> Result<Vec<u8>> {
    let field = |name: &str| row.get(name).copied().flatten().ok_or_else(|| format!("a row has no {name}"));
    let (key, receipt) = (Uuid::from_slice(field("api_key_id")?)?, Uuid::from_slice(field("receipt")?)?);
    let received_us = i64::from_be_bytes(field("created_at")?.try_into()?) + EPOCH_US;
    let received = Timestamp::from_microsecond(received_us)?;
    let own = own.and_then(|own| own.get(1..)?.strip_prefix(b"{")?.strip_suffix(b"}")).unwrap_or_default();
    let mut out = vec![JSONB_VERSION, b'{'];
    out.extend_from_slice(own);
    if !own.is_empty() {
        out.push(b',');
    }
    let server = format!(r#""api_key_id":"{key}","receipt":"{receipt}","received_at":"{received:.6}"}}"#);
    out.extend_from_slice(server.as_bytes());
    Ok(out)
}

#[cfg(test)]
mod tests {
    use tidegate::model::Kind;

    use super::super::rows::Encoder;
    use super::*;

    const RECEIVED_US: i64 = 1_769_862_896_999_990;

    fn then(line: &str) -> Vec<u8> {
        let stream = Encoder::default().stream(Kind::Events, 7, line.as_bytes(), "acme", RECEIVED_US).expect("good");
        as_then(&stream).expect("today's columns").to_vec()
    }

    #[test]
    fn what_the_server_knows_is_in_metadata_behind_what_the_sender_said() {
        let bare = r#"{"event_type":"a","source_module":"b","payload":{"n":1}}"#;
        let own = r#"{"event_type":"a","source_module":"b","payload":{},"metadata":{"team":"x"}}"#;
        for (line, begin) in [(bare, r#"{"api_key_id":""#), (own, r#"{"team":"x","api_key_id":""#)] {
            let stream = then(line);
            assert_eq!(stream[19..21], 18u16.to_be_bytes());
            let at = memchr::memmem::find(&stream, begin.as_bytes()).expect("metadata begins so");
            let text = &stream[at..stream.len() - COPY_TRAILER.len()];
            let metadata: serde_json::Value = serde_json::from_slice(text).expect("the last column is JSON");
            assert_eq!(metadata["received_at"], "2026-01-31T12:34:56.999990Z");
            let length = i32::from_be_bytes(stream[at - 5..at - 1].try_into().expect("four bytes"));
            assert_eq!(usize::try_from(length).expect("not null"), text.len() + 1);
        }
    }

    #[test]
    fn every_row_is_there_and_a_stream_that_is_cut_is_told() {
        let line = r#"{"event_type":"a","source_module":"b","payload":{"n":1}}"#;
        let lines = [line; 3].join("\n");
        let stream = Encoder::default().stream(Kind::Events, 7, lines.as_bytes(), "acme", RECEIVED_US).expect("good");
        let then = as_then(&stream).expect("whole");
        assert_eq!(memchr::memmem::find_iter(&then[..], "received_at").count(), 3);
        assert!(as_then(&stream.slice(..stream.len() - 9)).is_err());
    }
}
