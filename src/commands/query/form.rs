//! Rows as a table, CSV or JSON, written while they come.

use clap::ValueEnum;
use serde_json::value::RawValue;
use tokio_postgres::types::Type;

use crate::commands::output::visible;

/// Rows that a table looks at before it knows how wide its columns are.
const LOOKED_AT: usize = 1000;
/// Characters of a cell of a table; a wider one pushes the rest of its row aside.
const CELL_CHARS_MAX: usize = 60;

#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people
    Table,
    /// RFC 4180 with a header line; NULL is empty, an empty text is ""
    Csv,
    /// An array of objects; numbers, truth values and JSON are themselves, all else is text
    Json,
}

pub struct Column {
    name: String,
    /// Whether its values are JSON as PostgreSQL writes them.
    is_json: bool,
    is_bool: bool,
    /// Whether they are numbers, which stand at the right of a table.
    is_number: bool,
}

impl Column {
    pub fn new(name: &str, kind: &Type) -> Self {
        let numbers = [Type::INT2, Type::INT4, Type::INT8, Type::FLOAT4, Type::FLOAT8, Type::NUMERIC, Type::OID];
        Self {
            name: name.to_owned(),
            is_json: [Type::JSON, Type::JSONB].contains(kind),
            is_bool: *kind == Type::BOOL,
            is_number: numbers.contains(kind),
        }
    }

    fn json(&self, text: &str) -> String {
        match text {
            "t" if self.is_bool => "true".to_owned(),
            "f" if self.is_bool => "false".to_owned(),
            // NaN and infinities are no numbers of JSON.
            _ if self.is_json || self.is_number => {
                serde_json::from_str::<&RawValue>(text).map_or_else(|_| quoted(text), |json| json.get().to_owned())
            }
            _ => quoted(text),
        }
    }
}

fn quoted(text: &str) -> String {
    serde_json::Value::from(text).to_string()
}

/// Rows on their way out.
pub struct Written {
    format: Format,
    columns: Vec<Column>,
    rows: usize,
    /// Of a table, the first rows, until its widths are known.
    held: Vec<Vec<String>>,
    widths: Option<Vec<usize>>,
}

impl Written {
    pub fn new(format: Format, columns: Vec<Column>) -> Self {
        Self { format, columns, rows: 0, held: Vec::new(), widths: None }
    }

    pub fn has_columns(&self) -> bool {
        !self.columns.is_empty()
    }

    /// What is to be written for the next row.
    pub fn row(&mut self, cells: &[Option<&str>]) -> Vec<u8> {
        let first = self.rows == 0;
        self.rows += 1;
        match self.format {
            Format::Csv => {
                let head = if first { self.csv_head() } else { String::new() };
                (head + &csv_line(cells.iter().copied())).into_bytes()
            }
            Format::Json => {
                let members = self.columns.iter().zip(cells).map(|(column, cell)| {
                    format!(
                        "{}: {}",
                        quoted(&column.name),
                        cell.map_or_else(|| "null".to_owned(), |text| column.json(text))
                    )
                });
                let object = format!("{{{}}}", members.collect::<Vec<_>>().join(", "));
                format!("{}{object}", if first { "[\n  " } else { ",\n  " }).into_bytes()
            }
            Format::Table => {
                let row: Vec<String> = cells.iter().map(|cell| cell.map_or_else(|| "-".to_owned(), visible)).collect();
                match &self.widths {
                    Some(widths) => self.line(&row, widths).into_bytes(),
                    None => {
                        self.held.push(row);
                        if self.held.len() < LOOKED_AT { Vec::new() } else { self.begun().into_bytes() }
                    }
                }
            }
        }
    }

    /// What is to be written behind the last row.
    pub fn end(mut self, is_terminal: bool) -> Vec<u8> {
        if !self.has_columns() {
            return Vec::new();
        }
        let rest = match self.format {
            Format::Csv if self.rows == 0 => self.csv_head(),
            Format::Csv => String::new(),
            Format::Json if self.rows == 0 => "[]\n".to_owned(),
            Format::Json => "\n]\n".to_owned(),
            Format::Table => {
                let table = if self.widths.is_none() { self.begun() } else { String::new() };
                let count = match (is_terminal, self.rows) {
                    (false, _) => String::new(),
                    (true, 1) => "(1 row)\n".to_owned(),
                    (true, rows) => format!("({rows} rows)\n"),
                };
                table + &count
            }
        };
        rest.into_bytes()
    }

    fn csv_head(&self) -> String {
        csv_line(self.columns.iter().map(|column| Some(column.name.as_str())))
    }

    /// The head of a table, and the rows that were held.
    fn begun(&mut self) -> String {
        let held = std::mem::take(&mut self.held);
        let names: Vec<String> = self.columns.iter().map(|column| visible(&column.name)).collect();
        let widest = |column: usize| {
            let rows = held.iter().filter_map(|row| row.get(column)).map(|text| text.chars().count());
            rows.chain([names[column].chars().count()]).max().unwrap_or(0).min(CELL_CHARS_MAX)
        };
        let widths: Vec<usize> = (0..names.len()).map(widest).collect();
        let mut text = self.line(&names, &widths);
        text.extend(held.iter().map(|row| self.line(row, &widths)));
        self.widths = Some(widths);
        text
    }

    fn line(&self, row: &[String], widths: &[usize]) -> String {
        let cells = row.iter().zip(widths).zip(&self.columns).map(|((text, width), column)| match column.is_number {
            true => format!("{text:>width$}"),
            false => format!("{text:<width$}"),
        });
        let line = cells.collect::<Vec<_>>().join("  ");
        format!("{}\n", line.trim_end())
    }
}

fn csv_line<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> String {
    let cell = |cell: Option<&str>| match cell {
        None => String::new(),
        Some(text) if text.is_empty() || text.contains([',', '"', '\n', '\r']) || text.trim() != text => {
            format!("\"{}\"", text.replace('"', "\"\""))
        }
        Some(text) => text.to_owned(),
    };
    format!("{}\r\n", cells.map(cell).collect::<Vec<_>>().join(","))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(format: Format, rows: &[[Option<&str>; 3]]) -> String {
        let columns = [("n", Type::INT8), ("text", Type::TEXT), ("json", Type::JSONB)];
        let mut written = Written::new(format, columns.map(|(name, kind)| Column::new(name, &kind)).into());
        let mut out: Vec<u8> = rows.iter().flat_map(|row| written.row(row)).collect();
        out.extend(written.end(true));
        String::from_utf8(out).expect("text")
    }

    const ROWS: [[Option<&str>; 3]; 2] =
        [[Some("7"), Some("a \"b\",\n"), Some(r#"{"x": 1.50}"#)], [None, Some(""), None]];

    #[test]
    fn each_form_keeps_what_is_null_and_what_is_empty() {
        assert_eq!(
            written(Format::Csv, &ROWS),
            "n,text,json\r\n7,\"a \"\"b\"\",\n\",\"{\"\"x\"\": 1.50}\"\r\n,\"\",\r\n"
        );
        let json = written(Format::Json, &ROWS);
        assert_eq!(
            json,
            "[\n  {\"n\": 7, \"text\": \"a \\\"b\\\",\\n\", \"json\": {\"x\": 1.50}},\n  {\"n\": null, \"text\": \"\", \"json\": null}\n]\n"
        );
        assert_eq!(
            written(Format::Table, &ROWS),
            "n  text      json\n7  a \"b\",\\n  {\"x\": 1.50}\n-            -\n(2 rows)\n"
        );
    }

    #[test]
    fn no_rows_are_an_answer_too() {
        assert_eq!(written(Format::Csv, &[]), "n,text,json\r\n");
        assert_eq!(written(Format::Json, &[]), "[]\n");
        assert_eq!(written(Format::Table, &[]), "n  text  json\n(0 rows)\n");
    }

    #[test]
    fn what_is_no_number_of_json_is_text() {
        let number = Column::new("x", &Type::FLOAT8);
        assert_eq!(
            [number.json("NaN"), number.json("1e+300"), number.json("-Infinity")],
            ["\"NaN\"", "1e+300", "\"-Infinity\""]
        );
        let truth = Column::new("x", &Type::BOOL);
        assert_eq!([truth.json("t"), truth.json("f")], ["true", "false"]);
        assert_eq!(Column::new("x", &Type::TEXT).json("7"), "\"7\"");
    }

    /// A table of many rows is written as they come, and its widths stay.
    #[test]
    fn a_long_table_is_not_held() {
        let mut table = Written::new(Format::Table, vec![Column::new("text", &Type::TEXT)]);
        let before: usize = (0..LOOKED_AT - 1).map(|_| table.row(&[Some("x")]).len()).sum();
        assert_eq!(before, 0);
        assert!(!table.row(&[Some("x")]).is_empty());
        assert_eq!(table.row(&[Some("longer than all before")]), b"longer than all before\n");
        assert_eq!(table.end(false), b"");
    }
}
