//! Lists as NDJSON and CSV, streamed page by page, so that an export of any size takes the memory of one page.

use bytes::Bytes;
use futures_util::stream;
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::response::{Body, answer, full, streamed};
use crate::limits::STREAM_PAGE_ROWS;
use crate::query::{Listing, ReadError, Reads};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    /// One JSON object a line.
    Ndjson,
    /// RFC 4180 with a header line.
    Csv,
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv => "text/csv; charset=utf-8",
        }
    }

    fn header(self, columns: &[&str]) -> Vec<u8> {
        match self {
            Self::Ndjson => Vec::new(),
            Self::Csv => (columns.join(",") + "\r\n").into_bytes(),
        }
    }

    fn write(self, into: &mut Vec<u8>, row: &impl Serialize, columns: &[&str]) {
        match self {
            Self::Ndjson => {
                serde_json::to_writer(&mut *into, row).expect("answers are made of plain values");
                into.push(b'\n');
            }
            Self::Csv => write_csv(into, row, columns),
        }
    }
}

/// An answer of rows that are at hand.
pub fn at_hand(rows: &[impl Serialize], columns: &[&str], form: Form) -> Response<Body> {
    let mut bytes = form.header(columns);
    for row in rows {
        form.write(&mut bytes, row, columns);
    }
    answer(StatusCode::OK, form.content_type(), full(bytes))
}

/// All rows of a list, up to `limit` if one was asked for, streamed. The first page is read before the answer begins, so
/// that what is wrong with the query is an error and not a broken stream.
pub async fn streamed_list<L: Listing>(
    reads: &Reads,
    mut list: L,
    limit: Option<usize>,
    columns: &'static [&'static str],
    form: Form,
) -> Result<Response<Body>, ReadError> {
    use futures_util::StreamExt;
    let mut left = limit.unwrap_or(usize::MAX);
    list.turn_to(left.min(STREAM_PAGE_ROWS), None);
    let page = list.page(reads).await?;
    left -= page.items.len();
    let mut first = form.header(columns);
    page.items.iter().for_each(|row| form.write(&mut first, row, columns));
    let state = (reads.clone(), list, page.next_cursor, left);
    let rest = stream::try_unfold(state, move |(reads, mut list, cursor, left)| async move {
        let (Some(cursor), true) = (cursor, left > 0) else { return Ok(None) };
        list.turn_to(left.min(STREAM_PAGE_ROWS), Some(cursor));
        let page = list.page(&reads).await.map_err(|error| {
            tracing::warn!(?error, "an export broke off");
            std::io::Error::other("the export broke off")
        })?;
        let mut bytes = Vec::new();
        page.items.iter().for_each(|row| form.write(&mut bytes, row, columns));
        let left = left - page.items.len();
        Ok(Some((Bytes::from(bytes), (reads, list, page.next_cursor, left))))
    });
    let chunks = stream::iter([Ok(Bytes::from(first))]).chain(rest);
    Ok(answer(StatusCode::OK, form.content_type(), streamed(chunks)))
}

fn write_csv(into: &mut Vec<u8>, row: &impl Serialize, columns: &[&str]) {
    // Through JSON text, where payloads are raw and numbers stay exact.
    let text = serde_json::to_string(row).expect("answers are made of plain values");
    let fields: std::collections::HashMap<&str, &serde_json::value::RawValue> =
        serde_json::from_str(&text).expect("a row is an object");
    for (index, column) in columns.iter().enumerate() {
        if index > 0 {
            into.push(b',');
        }
        let raw = fields.get(column).map_or("null", |raw| raw.get());
        match serde_json::from_str::<Value>(raw) {
            Ok(Value::Null) => {}
            Ok(Value::String(text)) => quote(into, &text),
            _ => quote(into, raw),
        }
    }
    into.extend_from_slice(b"\r\n");
}

fn quote(into: &mut Vec<u8>, text: &str) {
    if text.contains([',', '"', '\r', '\n']) || text.is_empty() {
        into.push(b'"');
        into.extend_from_slice(text.replace('"', "\"\"").as_bytes());
        into.push(b'"');
    } else {
        into.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_numbers() {
        let row: Box<serde_json::value::RawValue> =
            serde_json::from_str(r#"{"a":"x,\"y\"","b":null,"c":{"n":0.1000},"d":""}"#).expect("JSON");
        let mut bytes = Vec::new();
        write_csv(&mut bytes, &row, &["a", "b", "c", "d", "missing"]);
        assert_eq!(String::from_utf8(bytes).expect("UTF-8"), "\"x,\"\"y\"\"\",,\"{\"\"n\"\":0.1000}\",\"\",\r\n");
    }
}
