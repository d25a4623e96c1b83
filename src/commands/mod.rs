//! The subcommands, one file each: what they print and how they exit. The work is done by the modules that they call.

pub mod demo;
pub mod doctor;
pub mod keys;
pub mod lifecycle;
pub mod load;
pub mod migrate;
pub mod orgs;
pub mod serve;

use std::process::ExitCode;

use clap::CommandFactory;
use serde::Serialize;
use tokio_postgres::Client;

use crate::app::{App, owner_client};
use crate::config::Config;
use crate::shutdown::Signals;
use crate::storage::{Location, StorageError, install, migrations, standing_layout};

/// How a command ended.
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
            Exit::Ok => Self::SUCCESS,
            Exit::Failed => Self::from(1),
            Exit::Usage => Self::from(2),
            Exit::BadConfiguration => Self::from(64),
        }
    }
}

/// Prints a shell's completion script.
pub fn completions(shell: clap_complete::Shell) -> Exit {
    let mut script = Vec::new();
    clap_complete::generate(shell, &mut crate::cli::Cli::command(), "tidegate", &mut script);
    print(&script);
    Exit::Ok
}

/// Starts an instance. A first signal lets the start come to its end and undoes it, so that no server is left behind
/// half made; a second one ends the process at once. None: it was stopped.
async fn start(config: &Config, signals: &mut Signals) -> Result<Option<App>, StorageError> {
    let config = config.clone();
    let mut starting = tokio::spawn(async move { App::start(&config).await });
    let (app, stopped) = tokio::select! {
        app = &mut starting => (app, false),
        signal = signals.next() => {
            tracing::info!(signal, "stopping as soon as the start is over; a second signal stops at once");
            tokio::select! {
                app = &mut starting => (app, true),
                _ = signals.next() => return Ok(None),
            }
        }
    };
    let app = app.map_err(|error| StorageError::fatal(format!("starting: {error}")))??;
    if stopped {
        app.stop().await;
        return Ok(None);
    }
    Ok(Some(app))
}

/// Says why a command failed.
fn failed(error: &dyn std::fmt::Display) -> Exit {
    eprintln!("tidegate: {error}");
    Exit::Failed
}

/// Runs `work` with one connection of the owner, on a database whose schema is up to date, and prints what it returns:
/// as JSON, or through `show`.
async fn with_owner<T: Serialize>(
    config: &Config,
    json: bool,
    work: impl AsyncFnOnce(&mut Client) -> Result<T, StorageError>,
    show: impl FnOnce(&T),
) -> Exit {
    let run = async {
        let location = Location::find(config).await?;
        let result = async {
            let mut client = owner_client(&location).await?;
            up_to_date(&client, &location, config).await?;
            work(&mut client).await
        };
        let result = result.await;
        location.close().await?;
        result
    };
    match run.await {
        Ok(value) => {
            if json {
                print_json(&value);
            } else {
                show(&value);
            }
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}

/// Installs the schema on an empty database; an older schema is left to `migrate` and `serve`, since a command that lists
/// keys must not change what a running server relies on.
async fn up_to_date(client: &Client, location: &Location, config: &Config) -> Result<(), StorageError> {
    let Some(layout) = standing_layout(client).await? else {
        return install(location.owner(), config).await.map(|_installed| ());
    };
    if migrations::standing(client, layout).await?.is_current() {
        return Ok(());
    }
    Err(StorageError::not_ready("the database's schema is not this version's (tidegate migrate --check says how)"))
}

/// Writes to standard output; a reader that has seen enough (`| head`) is no error.
fn print(bytes: &[u8]) {
    use std::io::Write;
    let _ = std::io::stdout().write_all(bytes);
}

fn print_json(value: &impl Serialize) {
    let mut text = serde_json::to_string_pretty(value).expect("results are made of plain values");
    text.push('\n');
    print(text.as_bytes());
}

/// Prints rows under their headings, in columns.
fn print_table<const N: usize>(headings: [&str; N], rows: impl Iterator<Item = [String; N]>) {
    let rows: Vec<[String; N]> = std::iter::once(headings.map(str::to_owned)).chain(rows).collect();
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: Vec<usize> = (0..N).map(width).collect();
    for row in &rows {
        let line: String = row.iter().zip(&widths).map(|(text, width)| format!("{text:<width$}  ")).collect();
        print(format!("{}\n", line.trim_end()).as_bytes());
    }
}

/// Whether Ctrl-C was pressed; never returns otherwise.
async fn interrupted() {
    if tokio::signal::ctrl_c().await.is_err() {
        std::future::pending::<()>().await;
    }
}
