//! Dashboards of deploy/grafana as Grafana runs them: variables put in, macros of its PostgreSQL data source expanded.
//!
//! What it knows of Grafana is what these dashboards use; whatever else stands in a query is a panic, not a guess.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use jiff::Timestamp;
use serde_json::Value;

/// The width of a point of a panel that shows a day.
const INTERVAL: &str = "5m";

/// The values that variables have.
pub type Values = BTreeMap<String, Vec<String>>;

pub fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("deploy/grafana")
}

/// All of them, by the names of their files.
pub fn dashboards() -> BTreeMap<String, Value> {
    let files = std::fs::read_dir(folder().join("dashboards")).unwrap().map(|entry| entry.unwrap().path());
    let read = |path: PathBuf| {
        let text = std::fs::read_to_string(&path).unwrap();
        let document = serde_json::from_str(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
        (path.file_stem().unwrap().to_str().unwrap().to_owned(), document)
    };
    files.map(read).collect()
}

pub fn list<'a>(document: &'a Value, pointer: &str) -> impl Iterator<Item = &'a Value> {
    document.pointer(pointer).and_then(Value::as_array).into_iter().flatten()
}

pub fn text<'a>(of: &'a Value, member: &str) -> &'a str {
    of[member].as_str().unwrap_or_else(|| panic!("no text `{member}` in {of}"))
}

/// Panels that ask for something, each with its targets.
pub fn panels(dashboard: &Value) -> impl Iterator<Item = (&Value, &Vec<Value>)> {
    list(dashboard, "/panels").filter_map(|panel| Some((panel, panel["targets"].as_array()?)))
}

/// Whether a variable's values are asked of PostgreSQL: a text. Of Prometheus it is an object.
pub fn sql_of_variable(variable: &Value) -> Option<&str> {
    (variable["type"] == "query").then(|| variable["query"].as_str()).flatten()
}

/// The values that a variable has by itself, before anybody chooses.
pub fn given(variable: &Value) -> Option<Vec<String>> {
    match text(variable, "type") {
        "custom" | "textbox" => Some(vec![text(&variable["current"], "value").to_owned()]),
        "query" if sql_of_variable(variable).is_none() => Some(vec![".*".to_owned()]),
        _ => None,
    }
}

/// A query with its variables' values, in the formats that it asks for.
pub fn interpolated(query: &str, values: &Values) -> String {
    let mut out = String::new();
    let mut rest = query;
    while let Some((before, after)) = rest.split_once('$') {
        out.push_str(before);
        if let Some(inner) = after.strip_prefix('{') {
            let (inside, after) = inner.split_once('}').unwrap_or_else(|| panic!("not closed: {query}"));
            let (name, format) = inside.split_once(':').unwrap_or_else(|| panic!("without a format: {inside}"));
            out.push_str(&formatted(values, name, format));
            rest = after;
            continue;
        }
        let end = after.find(|c: char| !c.is_ascii_alphanumeric() && c != '_').unwrap_or(after.len());
        let (name, after) = after.split_at(end);
        match name {
            "__interval" => out.push_str(INTERVAL),
            "__rate_interval" | "__range" => out.push_str("5m"),
            // A macro, or the end of a regular expression.
            _ if name.starts_with("__") || name.is_empty() => {
                out.push('$');
                out.push_str(name);
            }
            _ => out.push_str(&formatted(values, name, "pipe")),
        }
        rest = after;
    }
    out + rest
}

fn formatted(values: &Values, name: &str, format: &str) -> String {
    let values = values.get(name).unwrap_or_else(|| panic!("no variable {name}"));
    match format {
        "sqlstring" => {
            let quoted: Vec<String> = values.iter().map(|value| format!("'{}'", value.replace('\'', "''"))).collect();
            quoted.join(",")
        }
        "raw" => values.join(","),
        "pipe" => values.join("|"),
        _ => panic!("not a format that is known here: {format}"),
    }
}

/// What macros need: the time that is shown, and whether the data source says that it has TimescaleDB.
pub struct Shown {
    pub from: Timestamp,
    pub to: Timestamp,
    pub timescaledb: bool,
}

impl Shown {
    /// SQL with its macros expanded. As in Grafana, a macro's arguments end at the first parenthesis, and a group that a comma
    /// follows directly is named.
    pub fn expanded(&self, sql: &str) -> String {
        let mut out = String::new();
        let mut rest = sql;
        while let Some((before, after)) = rest.split_once("$__") {
            out.push_str(before);
            let (name, after) = after.split_once('(').unwrap_or_else(|| panic!("no macro: {after}"));
            let (arguments, after) = after.split_once(')').unwrap_or_else(|| panic!("not closed: {after}"));
            let arguments: Vec<&str> = arguments.split(',').map(str::trim).collect();
            let alias = if name == "timeGroup" && after.starts_with(',') { " AS \"time\"" } else { "" };
            out.push_str(&self.macro_of(name, &arguments));
            out.push_str(alias);
            rest = after;
        }
        out + rest
    }

    fn macro_of(&self, name: &str, arguments: &[&str]) -> String {
        match (name, arguments) {
            ("timeFilter", [column]) => format!("{column} BETWEEN '{}' AND '{}'", self.from, self.to),
            ("timeFrom", [""]) => format!("'{}'", self.from),
            ("timeTo", [""]) => format!("'{}'", self.to),
            ("timeGroup", [column, width]) if self.timescaledb => {
                format!("time_bucket('{}.000s',{column})", seconds(width))
            }
            ("timeGroup", [column, width]) => {
                let seconds = seconds(width);
                format!("floor(extract(epoch from {column})/{seconds})*{seconds}")
            }
            _ => panic!("not a macro that is known here: {name}({arguments:?})"),
        }
    }
}

fn seconds(width: &str) -> u32 {
    match width.trim_matches('\'') {
        "5m" => 300,
        "1h" => 3600,
        other => panic!("not a width that is known here: {other}"),
    }
}

/// The metrics that an expression of PromQL, or a variable's query, names.
pub fn metrics_of(expression: &str) -> impl Iterator<Item = &str> {
    let words = expression.split(|c: char| !c.is_ascii_alphanumeric() && c != '_');
    words.filter(|word| word.starts_with("tidegate_") || word.starts_with("process_"))
}
