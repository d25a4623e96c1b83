//! Exports beside what SQL's COPY says of the same rows.

use std::collections::{BTreeMap, HashSet};
use std::io::Read;

use serde_json::value::RawValue;

use crate::client::Client;
use crate::postgres::Sql;

/// Between the values of a row, of which empty ones are left out.
const BETWEEN: &str = "\x1f";
/// The columns of events as an export has them, but for metadata, which is put together of several.
const COLUMNS: [&str; 15] = [
    "id",
    "timestamp",
    "tenant_id",
    "stream",
    "source_module",
    "event_type",
    "event_version",
    "severity",
    "environment",
    "asset_id",
    "correlation_id",
    "parent_event_id",
    "trace_id",
    "payload",
    "created_at",
];
/// Both forms of an export, and every coding: each form is coded as the other is.
pub const WAYS: [(&str, &str); 3] =
    [("application/x-ndjson", "identity"), ("application/x-ndjson", "zstd"), ("text/csv", "gzip")];

/// The rows of events as COPY has them, newest first.
pub fn by_copy(sql: &Sql, condition: &str) -> Vec<String> {
    let value = |name: &str| match name {
        "timestamp" | "created_at" => {
            format!("rtrim(rtrim(to_char({name}, 'YYYY-MM-DD\"T\"HH24:MI:SS.US'), '0'), '.') || 'Z'")
        }
        name => format!("nullif({name}::text, '')"),
    };
    let values = COLUMNS.map(value).join(", ");
    let copied = sql.copied(&format!(
        "COPY (SELECT concat_ws(E'\\x1f', {values}) FROM events WHERE {condition} \
         ORDER BY timestamp DESC, batch_id DESC, batch_seq DESC) TO STDOUT (FORMAT csv, QUOTE E'\\x1e', FORCE_QUOTE *)"
    ));
    copied.trim_matches(['\x1e', '\n']).split("\x1e\n\x1e").map(str::to_owned).collect()
}

/// The same of an export, in its order.
pub fn by_export(client: &Client, path: &str, (form, coding): (&str, &str)) -> Vec<String> {
    let answer = client.get_as(path, &[("accept", form), ("accept-encoding", coding)]);
    assert_eq!(answer.status, 200, "{}", answer.text());
    let text = unpacked(answer.header("content-encoding"), &answer.bytes);
    if form == "text/csv" { of_csv(&text) } else { text.lines().map(of_line).collect() }
}

/// Asserts that an export has these rows, each once and in this order, whatever else it has.
pub fn assert_has(exported: &[String], copied: &[String], way: (&str, &str)) {
    let wanted: HashSet<&String> = copied.iter().collect();
    assert_eq!(wanted.len(), copied.len(), "rows are told apart by their ids");
    let mut found = exported.iter().filter(|row| wanted.contains(row));
    for (n, row) in copied.iter().enumerate() {
        assert_eq!(found.next(), Some(row), "row {n} of {way:?}");
    }
    assert_eq!(found.next(), None, "{way:?} has a row twice");
}

pub fn unpacked(coding: &str, bytes: &[u8]) -> String {
    let mut text = String::new();
    match coding {
        "" => text = String::from_utf8(bytes.to_vec()).unwrap(),
        "gzip" => drop(flate2::read::GzDecoder::new(bytes).read_to_string(&mut text).unwrap()),
        "zstd" => drop(zstd::Decoder::new(bytes).unwrap().read_to_string(&mut text).unwrap()),
        other => panic!("{other}"),
    }
    text
}

fn of_line(line: &str) -> String {
    let row: BTreeMap<&str, &RawValue> = serde_json::from_str(line).unwrap();
    let value = |name: &str| match row[name].get() {
        "null" => String::new(),
        text if text.starts_with('"') => serde_json::from_str(text).unwrap(),
        other => other.to_owned(),
    };
    joined(COLUMNS.map(value))
}

fn of_csv(text: &str) -> Vec<String> {
    let mut rows = parsed(text);
    let names = rows.remove(0);
    let places = COLUMNS.map(|column| names.iter().position(|name| name == column).unwrap());
    rows.iter().map(|row| joined(places.map(|place| row[place].clone()))).collect()
}

fn joined(values: [String; COLUMNS.len()]) -> String {
    values.into_iter().filter(|value| !value.is_empty()).collect::<Vec<_>>().join(BETWEEN)
}

/// CSV, read by its grammar.
pub fn parsed(text: &str) -> Vec<Vec<String>> {
    let (mut rows, mut row, mut cell, mut quoted) = (Vec::new(), Vec::new(), String::new(), false);
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        match (character, quoted) {
            ('"', true) if characters.peek() == Some(&'"') => cell.push(characters.next().unwrap()),
            ('"', _) => quoted = !quoted,
            (',', false) => row.push(std::mem::take(&mut cell)),
            ('\r', false) => {}
            ('\n', false) => {
                row.push(std::mem::take(&mut cell));
                rows.push(std::mem::take(&mut row));
            }
            (other, _) => cell.push(other),
        }
    }
    rows
}
