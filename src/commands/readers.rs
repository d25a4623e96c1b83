//! `tidegate readers create|list|revoke`.

use clap::Subcommand;

use super::logins::{Connected, Standing, show_made, show_revoked, with_admin};
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::storage::readers::{self, NewReader, Reader};

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
    #[command(flatten)]
    Standing(Standing),
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { name, json } => {
            let work = async |to: Connected<'_>| {
                let made = readers::create(to.admin, to.location.owner(), &name).await?;
                to.note("readers.create", &made.name).await?;
                Ok(made)
            };
            with_admin(config, json, work, show_new).await
        }
        Action::Standing(Standing::List { json }) => {
            with_admin(config, json, async |to| readers::list(to.admin).await, |list| show(list)).await
        }
        Action::Standing(Standing::Revoke { name, json }) => {
            let work = async |to: Connected<'_>| {
                let revoked = readers::revoke(to.admin, &name).await?;
                to.note("readers.revoke", &revoked.name).await?;
                Ok(revoked)
            };
            with_admin(config, json, work, |reader| show_revoked(&reader.name)).await
        }
    }
}

fn show_new(reader: &NewReader) {
    show_made(&reader.name, &reader.password, &reader.psql);
    for beyond in &reader.beyond {
        say!("\nit also {}; to take that away: {}", beyond.what, beyond.mend);
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
