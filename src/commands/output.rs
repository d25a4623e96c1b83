//! What commands print, and how they exit.

use std::process::ExitCode;
use std::sync::atomic::{AtomicBool, Ordering};

use serde::Serialize;
use serde_json::Value;

use crate::unseen::is_unseen;

/// Something was to be printed and could not be: a command that did its work has failed all the same, since nobody can see
/// what came of it.
static UNPRINTED: AtomicBool = AtomicBool::new(false);

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Exit {
    Ok,
    Failed,
    /// 2: arguments that fit together only on a closer look.
    Usage,
    /// 64: before anything was touched.
    BadConfiguration,
}

impl From<Exit> for ExitCode {
    fn from(exit: Exit) -> Self {
        match exit {
            Exit::Ok if UNPRINTED.load(Ordering::Relaxed) => Self::from(1),
            Exit::Ok => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::BadConfiguration => Self::from(64),
        }
    }
}

pub fn failed(error: &dyn std::fmt::Display) -> Exit {
    eprintln!("tidegate: {error}");
    Exit::Failed
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
pub fn print(bytes: &[u8]) {
    use std::io::Write;
    let mut out = std::io::stdout();
    match out.write_all(bytes).and_then(|()| out.flush()) {
        Err(error) if error.kind() != std::io::ErrorKind::BrokenPipe => {
            UNPRINTED.store(true, Ordering::Relaxed);
            failed(&format!("standard output cannot be written: {error}"));
        }
        _ => {}
    }
}

/// A line, as `println!` takes it; see [`print`].
macro_rules! say {
    ($($text:tt)*) => { $crate::commands::output::print(format!("{}\n", format_args!($($text)*)).as_bytes()) };
}
pub(crate) use say;

/// What a command found, as JSON or as `show` prints it, or why it found nothing.
pub fn finish<T: Serialize>(result: Result<T, impl std::fmt::Display>, json: bool, show: impl FnOnce(&T)) -> Exit {
    match result {
        Ok(value) if json => print_json(&value),
        Ok(value) => show(&value),
        Err(error) => return failed(&error),
    }
    Exit::Ok
}

pub fn print_json(value: &impl Serialize) {
    let mut text = serde_json::to_string_pretty(value).expect("results are made of plain values");
    text.push('\n');
    print(text.as_bytes());
}

/// Prints rows under their headings, in columns.
pub fn print_table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows = rows.map(|row| row.map(|text| visible(&text)));
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}  ")).collect();
        print(format!("{}\n", line.trim_end()).as_bytes());
    }
}

/// Prints the members of an object, a line each: those that are named first, in this order.
pub fn print_members(object: &Value, first: &[&str]) {
    let members = object.as_object().into_iter().flatten();
    let rest = members.filter(|(name, _)| !first.contains(&name.as_str()));
    let named = first.iter().filter_map(|name| Some((*name, object.get(name)?)));
    for (name, value) in named.chain(rest.map(|(name, value)| (name.as_str(), value))) {
        say!("{name}: {}", visible(&text(value)));
    }
}

/// A value of an answer in a cell of a table.
pub fn text(value: &Value) -> String {
    match value {
        Value::Null => "-".to_owned(),
        Value::String(text) => text.clone(),
        other => other.to_string(),
    }
}

/// What somebody wrote must neither steer a terminal, nor break a row, nor look like something else.
pub fn visible(text: &str) -> String {
    text.chars().map(|c| if is_unseen(c) { c.escape_default().to_string() } else { c.to_string() }).collect()
}

#[cfg(test)]
mod tests {
    use super::visible;

    #[test]
    fn controls_are_spelled_out() {
        assert_eq!(visible("a\u{1b}[31m\r\nü"), "a\\u{1b}[31m\\r\\nü");
        assert_eq!(visible("a\u{202e}b"), "a\\u{202e}b");
    }
}
