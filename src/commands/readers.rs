//! `tidegate readers create|list|revoke`.

use clap::Subcommand;
use serde::Serialize;
use tokio_postgres::Client;

use super::database::{up_to_date, with_location};
use super::output::{Exit, finish, print, print_table, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::readers::{self, NewReader, Reader};
use crate::storage::{Location, StorageError, connect_to};

/// Manage logins with which people read the database
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a login that reads and no more, and print its password once
    Create {
        /// Its name, of a-z, 0-9 and _
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// List logins
    List {
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// End a login and its sessions
    Revoke {
        /// Its name
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { name, json } => {
            let work =
                async |location: &Location, admin: &Client| readers::create(admin, location.owner(), &name).await;
            with_admin(config, json, work, show_new).await
        }
        Action::List { json } => {
            with_admin(config, json, async |_, admin| readers::list(admin).await, |list| show(list)).await
        }
        Action::Revoke { name, json } => {
            let work = async |_: &Location, admin: &Client| readers::revoke(admin, &name).await;
            with_admin(config, json, work, |reader| say!("{} is revoked", reader.name)).await
        }
    }
}

/// As `with_owner`, with a connection that may make roles.
async fn with_admin<T: Serialize>(
    config: &Config,
    json: bool,
    work: impl AsyncFnOnce(&Location, &Client) -> Result<T, StorageError>,
    show: impl FnOnce(&T),
) -> Exit {
    let run = async |location: &Location| {
        up_to_date(&owner_client(location).await?, location, config).await?;
        let (admin, _task) = connect_to(location.admin(), std::sync::Arc::default()).await?;
        work(location, &admin).await
    };
    finish(with_location(Location::find(config), run).await, json, show)
}

fn show_new(reader: &NewReader) {
    print(format!("login     {}\n", reader.name).as_bytes());
    print(format!("password  {}   (shown this once)\n", reader.password).as_bytes());
    print(format!("psql      {}\n", reader.psql).as_bytes());
    for beyond in &reader.beyond {
        print(format!("\nit also {}; to take that away: {}\n", beyond.what, beyond.mend).as_bytes());
    }
}

fn show(readers: &[Reader]) {
    print_table(
        ["LOGIN", "CONNECTIONS", "AT MOST"],
        readers
            .iter()
            .map(|reader| [reader.name.clone(), reader.connections.to_string(), reader.connections_max.to_string()]),
    );
}
