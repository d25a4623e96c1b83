//! Lists as NDJSON and CSV: one task goes through the list, another writes what it finds, while the piece before is sent, so that
//! an export of any size takes the memory of a few pieces. They end when nobody takes them.

use std::io::{self, Write};
use std::sync::Arc;
use std::time::Instant;

use futures_util::{StreamExt, TryStreamExt, stream};
use hyper::{Response, StatusCode};
use serde::Serialize;
use tokio::sync::mpsc;

use super::response::{self, Body, HeldPieces, Pieces, answer};
use crate::limits::{ANSWER_PIECE_BYTES, EXPORT_PATIENCE, EXPORT_WAIT_MAX, RETRY_AFTER_MIN};
use crate::precedence::Precedence;
use crate::query::{Cells, Columns, Found, Listing, PageRequest, Pass, ReadError, Readers};

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
}

/// How rows are written.
struct Writing {
    form: Form,
    /// Of CSV, by their numbers.
    columns: Vec<usize>,
    cells: Cells,
}

/// What a reader gets.
enum Piece<T> {
    Rows(T),
    Broken,
    /// Without it, what came is not all.
    End,
}

impl<T> Piece<T> {
    fn of(made: Result<Option<T>, ReadError>) -> Self {
        match made {
            Ok(Some(rows)) => Self::Rows(rows),
            Ok(None) => Self::End,
            Err(error) => {
                tracing::warn!(?error, "an export broke off");
                Self::Broken
            }
        }
    }
}

impl Writing {
    /// The text of rows, in the memory that was taken for them.
    async fn piece<T: Columns + Serialize>(&mut self, found: Found<T>) -> Result<HeldPieces, ReadError> {
        let Found { items, mut room } = found;
        let mut pieces = Pieces::default();
        let mut line = Vec::new();
        let mut unbroken = 0;
        // A row goes when it is written.
        for row in items {
            line.clear();
            self.write(&mut line, &row);
            pieces.write_all(&line).expect("memory takes what is written");
            unbroken += line.len();
            if unbroken >= ANSWER_PIECE_BYTES {
                unbroken = 0;
                tokio::task::yield_now().await;
            }
        }
        // Rows that are longer as text than as values, which they seldom are.
        let begun = Instant::now();
        while let Err(no_room) = room.grow_to(pieces.bytes()) {
            if begun.elapsed() > EXPORT_WAIT_MAX {
                return Err(no_room.into());
            }
            tokio::time::sleep(RETRY_AFTER_MIN).await;
        }
        Ok(pieces.hold(room)?)
    }

    fn write<T: Columns + Serialize>(&mut self, line: &mut Vec<u8>, row: &T) {
        let Form::Csv { safe } = self.form else {
            serde_json::to_writer(&mut *line, row).expect("answers are made of plain values");
            on_one_line(line);
            line.push(b'\n');
            return;
        };
        self.cells.clear();
        row.write(&mut self.cells);
        for (index, column) in self.columns.iter().enumerate() {
            if index > 0 {
                line.push(b',');
            }
            write_cell(line, self.cells.get(*column), safe);
        }
        line.extend_from_slice(b"\r\n");
    }

    /// Writes what is found, each piece when there is room for it, so that nothing is in hand meanwhile.
    async fn run<T: Columns + Serialize + Send>(
        mut self,
        mut found: mpsc::Receiver<Piece<Found<T>>>,
        pieces: mpsc::Sender<Piece<HeldPieces>>,
    ) {
        while let Ok(room) = pieces.reserve().await {
            let next = tokio::select! {
                next = found.recv() => next,
                () = pieces.closed() => return,
            };
            let piece = match next {
                Some(Piece::Rows(rows)) => Piece::of(self.piece(rows).await.map(Some)),
                Some(Piece::End) => Piece::End,
                Some(Piece::Broken) | None => Piece::Broken,
            };
            let is_last = !matches!(piece, Piece::Rows(_));
            room.send(piece);
            if is_last {
                return;
            }
        }
    }
}

/// The next rows, once there are a reader and memory for them: what has begun is not broken off at once.
async fn patient_next<P: Pass>(pass: &mut P) -> Result<Option<Found<P::Item>>, ReadError> {
    let begun = Instant::now();
    loop {
        match pass.next().await {
            Err(ReadError::Busy { retry_after, .. }) if begun.elapsed() + retry_after < EXPORT_WAIT_MAX => {
                tokio::time::sleep(retry_after).await;
            }
            found => return found,
        }
    }
}

/// Finds all rows, the next ones while those before are written. Who takes none for a while is waited for with neither a reader
/// nor a connection.
async fn find<P: Pass>(mut pass: P, precedence: Precedence, found: mpsc::Sender<Piece<Found<P::Item>>>) {
    loop {
        let room = match tokio::time::timeout(EXPORT_PATIENCE, found.reserve()).await {
            Ok(room) => room,
            Err(_elapsed) => {
                pass.pause().await;
                found.reserve().await
            }
        };
        let Ok(room) = room else { return };
        let begun = Instant::now();
        let next = tokio::select! {
            next = patient_next(&mut pass) => Piece::of(next),
            () = found.closed() => return,
        };
        let worked = begun.elapsed();
        let is_last = !matches!(next, Piece::Rows(_));
        room.send(next);
        if is_last {
            return;
        }
        tokio::select! {
            () = precedence.give_way(worked) => {}
            () = found.closed() => return,
        }
    }
}

/// All rows of a list from where `request` starts, up to `limit` if one was asked for, streamed as fast as they are taken.
/// The first rows are read before the answer begins, so that what is wrong with the query is an error and not a broken
/// stream.
pub async fn streamed<L: Listing>(
    readers: &Readers,
    precedence: Precedence,
    tenant_id: &Arc<str>,
    list: L,
    request: PageRequest,
    limit: Option<usize>,
    form: Form,
) -> Result<Response<Body>, ReadError> {
    let names = list.columns();
    let all = L::Item::names();
    let columns = names.iter().filter_map(|name| all.iter().position(|other| other == name)).collect();
    let mut pass = list.pass(readers.clone(), Arc::clone(tenant_id), request, limit.unwrap_or(usize::MAX))?;
    let mut writing = Writing { form, columns, cells: Cells::default() };
    let (sender, receiver) = mpsc::channel(1);
    let first = match pass.next().await? {
        Some(found) => Some(writing.piece(found).await?),
        None => None,
    };
    if first.is_some() {
        let (found, to_write) = mpsc::channel(1);
        tokio::spawn(find(pass, precedence, found));
        tokio::spawn(writing.run(to_write, sender));
    } else {
        let _ = sender.try_send(Piece::End);
    }
    let rest = stream::try_unfold(receiver, async |mut receiver| match receiver.recv().await {
        Some(Piece::Rows(piece)) => Ok(Some((piece, receiver))),
        Some(Piece::End) => Ok(None),
        Some(Piece::Broken) | None => Err(io::Error::other("the export broke off")),
    });
    let pieces = stream::iter(first.map(Ok)).chain(rest).map_ok(|piece| stream::iter(piece.map(Ok))).try_flatten();
    let header = Some(form.header(&names)).filter(|header| !header.is_empty());
    let pieces = stream::iter(header.map(|header| Ok(header.into()))).chain(pieces);
    Ok(answer(StatusCode::OK, form.content_type(), response::streamed(pieces)))
}

/// Without the line breaks that a payload kept as it was sent may have between its values: within text they are escaped.
pub fn on_one_line(json: &mut [u8]) {
    let mut done = 0;
    while let Some(at) = memchr::memchr2(b'\n', b'\r', &json[done..]) {
        json[done + at] = b' ';
        done += at + 1;
    }
}

/// A value that is JSON, as a cell: text as it is, null as nothing.
fn write_cell(into: &mut Vec<u8>, json: &[u8], safe: bool) {
    if json == b"null" {
        return;
    }
    let json = std::str::from_utf8(json).expect("JSON is written as UTF-8");
    let Some(inner) = json.strip_prefix('"').and_then(|text| text.strip_suffix('"')) else { return quote(into, json) };
    let unescaped;
    let text = match inner.contains('\\') {
        false => inner,
        true => {
            unescaped = serde_json::from_str::<String>(json).expect("what begins with a quotation mark is text");
            unescaped.as_str()
        }
    };
    // Some spreadsheets look past white space.
    if safe && (text.starts_with(FORMULA) || text.trim_start().starts_with(FORMULA)) {
        quote(into, &format!("'{text}"));
    } else {
        quote(into, text);
    }
}

fn quote(into: &mut Vec<u8>, text: &str) {
    if text.is_empty() || text.bytes().any(|byte| matches!(byte, b',' | b'"' | b'\r' | b'\n')) {
        into.push(b'"');
        let mut rest = text;
        while let Some((before, after)) = rest.split_once('"') {
            into.extend_from_slice(before.as_bytes());
            into.extend_from_slice(b"\"\"");
            rest = after;
        }
        into.extend_from_slice(rest.as_bytes());
        into.push(b'"');
    } else {
        into.extend_from_slice(text.as_bytes());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cell(json: &str, safe: bool) -> String {
        let mut bytes = Vec::new();
        write_cell(&mut bytes, json.as_bytes(), safe);
        String::from_utf8(bytes).expect("UTF-8")
    }

    #[test]
    fn csv_quotes_what_needs_it_and_keeps_numbers() {
        for (json, shown) in [
            (r#""x,\"y\"""#, r#""x,""y""""#),
            ("null", ""),
            (r#"{"n":0.1000}"#, r#""{""n"":0.1000}""#),
            (r#""""#, r#""""#),
            (r#""a\\b""#, r"a\b"),
            (r#""a\nb""#, "\"a\nb\""),
            (r#""ü\u0041""#, "üA"),
            ("-1.50", "-1.50"),
            ("true", "true"),
        ] {
            assert_eq!(cell(json, true), shown, "{json}");
        }
    }

    #[test]
    fn a_row_of_ndjson_is_one_line() {
        for (json, shown) in [("{}", "{}"), ("{\r\n\"a\\n\":\n1}\n", "{  \"a\\n\": 1} "), ("[1,\t\n\n2]", "[1,\t  2]")]
        {
            let mut line = json.as_bytes().to_vec();
            on_one_line(&mut line);
            assert_eq!(String::from_utf8_lossy(&line), shown);
        }
    }

    #[test]
    fn safe_csv_has_no_formula_and_changes_nothing_else() {
        let texts = [
            "=1+1",
            "+49",
            "-x",
            "@a",
            "\t=1",
            "\r=1",
            "\n=1",
            "\u{ff1d}1",
            "a=1",
            "'=1",
            " =1",
            " \u{a0}-1",
            " b=1",
            "\"=1\"",
        ];
        for text in texts {
            let json = serde_json::to_string(text).expect("JSON");
            let formula = !["a", "'", " b", "\""].iter().any(|start| text.starts_with(start));
            let marked = if formula { format!("'{text}") } else { text.to_owned() };
            for (safe, shown) in [(false, text), (true, &marked)] {
                let mut quoted = Vec::new();
                quote(&mut quoted, shown);
                assert_eq!(cell(&json, safe), String::from_utf8(quoted).expect("UTF-8"));
            }
        }
        assert_eq!((cell("-1.5", true), cell(r#"{"=":"=1"}"#, true)), ("-1.5".into(), r#""{""="":""=1""}""#.into()));
    }
}
