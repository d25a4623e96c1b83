//! What `tidegate readers` and `tidegate sinks` have in common: logins are made with a connection that may make roles, listed, and
//! ended.

use std::sync::Arc;

use clap::Subcommand;
use serde::Serialize;
use serde_json::json;
use tokio_postgres::Client;

use super::database::{up_to_date, with_location};
use super::output::{Exit, finish, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::{Layout, Location, StorageError, connect_to, standing_layout};
use crate::tenancy::acts;

#[derive(Debug, Subcommand)]
pub enum Standing {
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

/// The database, and two connections to it.
pub struct Connected<'a> {
    pub location: &'a Location,
    /// May make roles.
    pub admin: &'a Client,
    pub owner: &'a Client,
}

impl Connected<'_> {
    /// Notes what was done with a login: roles are made on the other connection, so right after it.
    pub async fn note(&self, action: &'static str, name: &str) -> Result<(), StorageError> {
        acts::note_command(self.owner, action, Some(name.to_owned()), json!({})).await
    }
}

/// As `with_owner`, with a second connection that may make roles.
pub async fn with_admin<T: Serialize>(
    config: &Config,
    json: bool,
    work: impl AsyncFnOnce(Connected<'_>) -> Result<T, StorageError>,
    show: impl FnOnce(&T),
) -> Exit {
    let run = async |location: &Location| {
        let owner = owner_client(location).await?;
        up_to_date(&owner, location, config).await?;
        let (admin, _task) = connect_to(location.admin(), Arc::default()).await?;
        work(Connected { location, admin: &admin, owner: &owner }).await
    };
    finish(with_location(Location::find(config), run).await, json, show)
}

/// What is said of a login just made, whatever it may do.
pub fn show_made(name: &str, password: &str, psql: &str) {
    say!("login     {name}");
    say!("password  {password}   (shown this once)");
    say!("psql      {psql}");
}

pub fn show_revoked(name: &str) {
    say!("{name} is revoked");
}

/// Refuses, in these words, what cells of Citus do not have.
pub async fn refuse_cells(owner: &Client, words: &'static str) -> Result<(), StorageError> {
    if standing_layout(owner).await?.is_some_and(Layout::has_cells) {
        return Err(StorageError::not_ready(words));
    }
    Ok(())
}
