//! `tidegate query`: one statement of SQL, with the reader's rights, as a table, CSV or JSON.

pub(super) mod form;

use std::io::{IsTerminal, Read};
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt, pin_mut};
use tokio_postgres::error::{DbError, ErrorPosition, SqlState};
use tokio_postgres::{Client, SimpleQueryMessage};

use super::database::with_location;
use super::output::{Exit, failed, print, say};
use crate::config::Config;
use crate::storage::{Location, Role, StorageError, connect_to, session_sql};
use form::{Column, Format, Written};

/// Run one SQL statement with the rights of the service's reader, and print its rows
#[derive(Debug, clap::Args)]
#[command(after_help = "Examples:
  tidegate query \"SELECT tenant_id, count(*) FROM events WHERE occurred_at > now() - interval '1 hour' GROUP BY 1\"
  tidegate query --format csv - < report.sql > report.csv

What there is to be read is in docs/SCHEMA.md. The transaction is read-only.")]
pub struct Args {
    /// The statement; `-` reads it from standard input
    sql: String,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
    /// Give up after so many seconds
    #[arg(long, value_name = "SECONDS", default_value_t = 60, value_parser = clap::value_parser!(u32).range(1..=86_400))]
    timeout: u32,
}

/// Why nothing was found.
enum Failure {
    Storage(StorageError),
    /// The statement's own.
    Statement(String),
}

impl From<StorageError> for Failure {
    fn from(error: StorageError) -> Self {
        Self::Storage(error)
    }
}

pub async fn run(config: &Config, Args { sql, format, json, timeout }: Args) -> Exit {
    let format = if json { Format::Json } else { format };
    let sql = match sql.as_str() {
        "-" => {
            let mut text = String::new();
            match std::io::stdin().read_to_string(&mut text) {
                Ok(_) => text,
                Err(error) => return failed(&format!("standard input cannot be read: {error}")),
            }
        }
        _ => sql,
    };
    let within = Duration::from_secs(timeout.into());
    let mut outcome = Ok(());
    let asked = with_location(Location::find(config), async |location| {
        match ask(location, &sql, format, within).await {
            Err(Failure::Storage(error)) => return Err(error),
            Err(Failure::Statement(what)) => outcome = Err(what),
            Ok(()) => {}
        }
        Ok(())
    });
    match asked.await {
        Err(error) => failed(&error),
        Ok(()) => outcome.map_or_else(|what| failed(&what), |()| Exit::Ok),
    }
}

async fn ask(location: &Location, sql: &str, format: Format, within: Duration) -> Result<(), Failure> {
    let (client, _task) = connect_to(location.reader(), Arc::default()).await?;
    let begin =
        format!("{} SET statement_timeout = {}; BEGIN READ ONLY", session_sql(Role::Reader, ""), within.as_millis());
    client.batch_execute(&begin).await.map_err(StorageError::from)?;
    let columns = columns(&client, sql).await?;
    let mut written = Written::new(format, columns);
    let rows = client.simple_query_raw(sql).await.map_err(|error| told(error, sql))?;
    pin_mut!(rows);
    while let Some(message) = rows.next().await {
        match message.map_err(|error| told(error, sql))? {
            SimpleQueryMessage::Row(row) => {
                let cells: Vec<Option<&str>> = (0..row.len()).map(|column| row.get(column)).collect();
                print(&written.row(&cells));
            }
            SimpleQueryMessage::CommandComplete(count) if !written.has_columns() => say!("done ({count})"),
            _ => {}
        }
    }
    print(&written.end(std::io::stdout().is_terminal()));
    Ok(())
}

/// What a statement returns. Preparing it refuses what is more than one.
async fn columns(client: &Client, sql: &str) -> Result<Vec<Column>, Failure> {
    let prepared = client.prepare(sql).await.map_err(|error| told(error, sql))?;
    if !prepared.params().is_empty() {
        let detail = "the statement has parameters ($1): write the values in their places";
        return Err(Failure::Statement(detail.to_owned()));
    }
    Ok(prepared.columns().iter().map(|column| Column::new(column.name(), column.type_())).collect())
}

/// What is wrong with the statement, and where; or with the connection.
fn told(error: tokio_postgres::Error, sql: &str) -> Failure {
    let Some(found) = error.as_db_error() else { return Failure::Storage(error.into()) };
    let place = place(found, sql).map(|place| format!("\n{place}")).unwrap_or_default();
    let hint = match *found.code() {
        SqlState::UNDEFINED_TABLE | SqlState::UNDEFINED_COLUMN => {
            "\ndocs/SCHEMA.md lists relations and columns; `SELECT table_name FROM information_schema.tables` those that may be read"
                .to_owned()
        }
        SqlState::QUERY_CANCELED => "\n--timeout gives it more seconds".to_owned(),
        SqlState::INSUFFICIENT_PRIVILEGE | SqlState::READ_ONLY_SQL_TRANSACTION => {
            "\nthe reader may read what docs/SCHEMA.md lists, and change nothing".to_owned()
        }
        _ => found.hint().map(|hint| format!("\n{hint}")).unwrap_or_default(),
    };
    Failure::Statement(format!("{} ({}){place}{hint}", found.message(), found.code().code()))
}

/// The line of the statement that an error is about, with a mark below the place.
fn place(error: &DbError, sql: &str) -> Option<String> {
    let &ErrorPosition::Original(position) = error.position()? else { return None };
    let position = usize::try_from(position).ok()?.checked_sub(1)?;
    let before: String = sql.chars().take(position).collect();
    let (number, column) = (before.matches('\n').count(), before.chars().rev().take_while(|c| *c != '\n').count());
    let line = sql.lines().nth(number)?.replace('\t', " ");
    Some(format!("line {}: {line}\n{}^", number + 1, " ".repeat(format!("line {}: ", number + 1).len() + column)))
}
