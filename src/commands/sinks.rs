//! `tidegate sinks create|list|revoke`.

use clap::Subcommand;
use serde::Serialize;
use tokio_postgres::Client;

use super::database::{up_to_date, with_location};
use super::output::{Exit, finish, print_table, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::sinks::{self, NewSink, Sink};
use crate::storage::{Location, StorageError, connect_to};

/// Manage logins with which consumers commit offsets in their own transactions
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, Subcommand)]
enum Action {
    /// Make a login that may call tidegate.commit_offset and tidegate.ack_lease and no more, and print its password once
    Create {
        /// Its name, of a-z, 0-9 and _
        name: String,
        /// The organization for whose groups it may commit
        #[arg(long)]
        org: String,
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
        Action::Create { name, org, json } => {
            let work = async |location: &Location, admin: &Client, owner: &Client| {
                sinks::create(admin, owner, location.owner(), &name, &org).await
            };
            with_both(config, json, work, show_new).await
        }
        Action::List { json } => {
            with_both(config, json, async |_, admin, _| sinks::list(admin).await, |list| show(list)).await
        }
        Action::Revoke { name, json } => {
            let work = async |_: &Location, admin: &Client, owner: &Client| sinks::revoke(admin, owner, &name).await;
            with_both(config, json, work, |sink| say!("{} is revoked", sink.name)).await
        }
    }
}

/// As `with_owner`, with a second connection that may make roles.
async fn with_both<T: Serialize>(
    config: &Config,
    json: bool,
    work: impl AsyncFnOnce(&Location, &Client, &Client) -> Result<T, StorageError>,
    show: impl FnOnce(&T),
) -> Exit {
    let run = async |location: &Location| {
        let owner = owner_client(location).await?;
        up_to_date(&owner, location, config).await?;
        let (admin, _task) = connect_to(location.admin(), std::sync::Arc::default()).await?;
        work(location, &admin, &owner).await
    };
    finish(with_location(Location::find(config), run).await, json, show)
}

fn show_new(sink: &NewSink) {
    say!("login     {}", sink.name);
    say!("password  {}   (shown this once)", sink.password);
    say!("psql      {}", sink.psql);
    say!(
        "\nit may call tidegate.commit_offset and tidegate.ack_lease for {}; grant it what it writes to",
        sink.tenant_id
    );
}

fn show(sinks: &[Sink]) {
    print_table(["LOGIN", "ORGANIZATIONS"], sinks.iter().map(|sink| [sink.name.clone(), sink.tenants.join(", ")]));
}
