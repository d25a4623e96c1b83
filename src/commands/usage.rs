//! `tidegate usage`.

use std::io::IsTerminal;

use jiff::Timestamp;
use tokio_postgres::types::Type;

use super::database::with_owner_result;
use super::output::{Exit, failed, print};
use super::query::form::{Column, Format, Written};
use crate::config::Config;
use crate::protocols::params::time;
use crate::tenancy::usage::{COLUMNS, list};

/// Show what organizations send: requests, events, samples and bytes, by day of UTC
#[derive(Debug, clap::Args)]
#[command(
    after_help = "Counted as it is stored: what is sent again under its key counts once, what lies in the spool when it is written, \
on the day on which it came. Bytes are those of bodies, decompressed; rejected items are in them."
)]
pub struct Args {
    /// Only of this organization, by its slug
    #[arg(long)]
    org: Option<String>,
    /// Days since this time, its own included: RFC 3339, or an age such as -30d
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = at)]
    from: Option<Timestamp>,
    /// Days until this time, exclusive: a day that begins with it is left out
    #[arg(long, value_name = "TIME", allow_hyphen_values = true, value_parser = at)]
    to: Option<Timestamp>,
    /// How rows are printed
    #[arg(long, value_enum, default_value_t = Format::Table)]
    format: Format,
    /// The same as --format json
    #[arg(long, conflicts_with = "format")]
    json: bool,
}

fn at(text: &str) -> Result<Timestamp, String> {
    time(text, Timestamp::now()).ok_or_else(|| "must be an RFC 3339 time or date, `now`, or an age such as -30d".into())
}

pub async fn run(config: &Config, Args { org, from, to, format, json }: Args) -> Exit {
    let format = if json { Format::Json } else { format };
    let rows = with_owner_result(config, async |client| list(client, org.as_deref(), from, to).await).await;
    let rows = match rows {
        Ok(rows) => rows,
        Err(error) => return failed(&error),
    };
    let columns = COLUMNS.map(|(name, is_number)| Column::new(name, if is_number { &Type::INT8 } else { &Type::TEXT }));
    let mut written = Written::new(format, columns.into());
    for row in &rows {
        print(&written.row(&row.each_ref().map(|cell| Some(cell.as_str()))));
    }
    print(&written.end(std::io::stdout().is_terminal()));
    Exit::Ok
}
