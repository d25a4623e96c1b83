//! Lists as NDJSON and CSV, streamed page by page, so that an export of any size takes the memory of one page.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::{Response, StatusCode};
use serde::Serialize;
use serde_json::Value;

use super::response::{self, Body, HeldPieces, Pieces, answer};
use crate::limits::EXPORT_WAIT_MAX;
use crate::query::{Listing, Page, PageRequest, ReadError, Readers};

/// With what a cell begins that spreadsheets take for a formula (OWASP, "CSV Injection"), in full width too.
const FORMULA: [char; 11] = ['=', '+', '-', '@', '\t', '\r', '\n', '\u{ff1d}', '\u{ff0b}', '\u{ff0d}', '\u{ff20}'];

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Form {
    Ndjson,
    /// RFC 4180 with a header line.
    Csv {
        /// Text that a spreadsheet would take for a formula is marked as text.
        safe: bool,
    },
}

impl Form {
    fn content_type(self) -> &'static str {
        match self {
            Self::Ndjson => "application/x-ndjson",
            Self::Csv { .. } => "text/csv; charset=utf-8",
        }
    }

    fn header(self, columns: &[&str]) -> Vec<u8> {
        match self {
            Self::Ndjson => Vec::new(),
            Self::Csv { .. } => (columns.join(",") + "\r\n").into_bytes(),
        }
    }

    /// Writes rows, each of which goes when it is written.
    fn write(self, into: &mut Pieces, rows: Vec<impl Serialize>, columns: &[&str]) {
        let mut line = Vec::new();
        for row in rows {
            line.clear();
            match self {
                Self::Ndjson => {
                    serde_json::to_writer(&mut line, &row).expect("answers are made of plain values");
                    line.push(b'\n');
                }
                Self::Csv { safe } => write_csv(&mut line, &row, columns, safe),
            }
            into.write_all(&line).expect("memory takes what is written");
        }
    }
}

/// A list that is being written out. Between two pages it has neither a reader nor a connection of the database.
struct Export<L> {
    readers: Readers,
    tenant_id: Arc<str>,
    list: L,
    columns: Vec<&'static str>,
    form: Form,
    /// None: the end was reached.
    next: Option<PageRequest>,
    /// Rows that may still be written.
    left: usize,
    has_header: bool,
}

impl<L: Listing> Export<L> {
    /// Makes the next page; None when there is none. After an error the same page may be asked for again.
    async fn page(&mut self) -> Result<Option<HeldPieces>, ReadError> {
        let Some(mut request) = self.next.clone().filter(|_| self.left > 0) else { return Ok(None) };
        request.limit = self.left.min(L::ROWS_STREAMED);
        let reads = self.readers.begin(&self.tenant_id).await?;
        let Page { items, next_cursor, .. } = self.list.page(&reads, &request).await?;
        let room = reads.into_reservation();
        let mut pieces = Pieces::default();
        if !self.has_header {
            pieces.write_all(&self.form.header(&self.columns)).expect("memory takes what is written");
        }
        let count = items.len();
        self.form.write(&mut pieces, items, &self.columns);
        let held = pieces.hold(room)?;
        self.has_header = true;
        self.left -= count;
        self.next = next_cursor.map(|cursor| PageRequest { cursor: Some(cursor), ..request });
        Ok(Some(held))
    }

    /// The same, once there are a reader and memory for it: what has begun is not broken off at once.
    async fn patient_page(&mut self) -> Result<Option<HeldPieces>, ReadError> {
        let begun = Instant::now();
        loop {
            match self.page().await {
                Err(ReadError::Busy { retry_after, .. }) if begun.elapsed() + retry_after < EXPORT_WAIT_MAX => {
                    tokio::time::sleep(retry_after).await;
                }
                made => return made,
            }
        }
    }
}

/// All rows of a list from where `request` starts, up to `limit` if one was asked for, streamed as fast as they are taken.
/// The first page is read before the answer begins, so that what is wrong with the query is an error and not a broken
/// stream.
pub async fn streamed<L: Listing>(
    readers: &Readers,
    tenant_id: &Arc<str>,
    list: L,
    request: PageRequest,
    limit: Option<usize>,
    form: Form,
) -> Result<Response<Body>, ReadError> {
    let (columns, left) = (list.columns(), limit.unwrap_or(usize::MAX));
    let (readers, tenant_id) = (readers.clone(), Arc::clone(tenant_id));
    let next = Some(request);
    let mut export = Export { readers, tenant_id, list, columns, form, next, left, has_header: false };
    let first = export.page().await?;
    let rest = stream::try_unfold(export, async |mut export| match export.patient_page().await {
        Ok(page) => Ok(page.map(|page| (page, export))),
        Err(error) => {
            tracing::warn!(?error, "an export broke off");
            Err(io::Error::other("the export broke off"))
        }
    });
    let pages = stream::iter(first.map(Ok)).chain(rest);
    let pieces = pages.map_ok(|page| stream::iter(page.map(Ok))).try_flatten();
    Ok(answer(StatusCode::OK, form.content_type(), response::streamed(pieces)))
}

fn write_csv(into: &mut Vec<u8>, row: &impl Serialize, columns: &[&str], safe: bool) {
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
            Ok(Value::String(text)) if safe && text.starts_with(FORMULA) => quote(into, &format!("'{text}")),
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
        write_csv(&mut bytes, &row, &["a", "b", "c", "d", "missing"], true);
        assert_eq!(String::from_utf8(bytes).expect("UTF-8"), "\"x,\"\"y\"\"\",,\"{\"\"n\"\":0.1000}\",\"\",\r\n");
    }

    #[test]
    fn safe_csv_has_no_formula_and_changes_nothing_else() {
        let texts = ["=1+1", "+49", "-x", "@a", "\t=1", "\r=1", "\n=1", "\u{ff1d}1", "a=1", "'=1", " =1", "\"=1\""];
        for text in texts {
            let row = serde_json::json!({ "text": text, "number": -1.5, "json": { "=": "=1" } });
            let cells = |safe: bool| {
                let mut bytes = Vec::new();
                write_csv(&mut bytes, &row, &["text", "number", "json"], safe);
                String::from_utf8(bytes).expect("UTF-8")
            };
            let formula = !["a", "'", " ", "\""].iter().any(|start| text.starts_with(start));
            let marked = if formula { format!("'{text}") } else { text.to_owned() };
            for (safe, shown) in [(false, text), (true, &marked)] {
                let mut quoted = Vec::new();
                quote(&mut quoted, shown);
                let expected = String::from_utf8(quoted).expect("UTF-8") + ",-1.5,\"{\"\"=\"\":\"\"=1\"\"}\"\r\n";
                assert_eq!(cells(safe), expected);
            }
        }
    }
}
