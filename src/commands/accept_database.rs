//! `tidegate accept-database`: the configured database is the right one, though another was written to before.

use serde_json::json;

use super::database::with_location;
use super::output::{Exit, failed, print_json, say};
use crate::config::Config;
use crate::storage::{Location, accept};

/// Say that the database is the right one from now on, though another was written to before
///
/// `serve` writes nothing to another database than the one before: a restored backup, a mistyped URL. What is in the spool
/// is written to the one that is accepted.
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(config: &Config, Args { json }: Args) -> Exit {
    let work = async |location: &Location| accept(&config.data_dir, location.owner()).await;
    match with_location(Location::find(config), work).await {
        Ok(installation) if json => {
            print_json(&json!({ "installation": installation }));
            Exit::Ok
        }
        Ok(Some(id)) => {
            say!("accepted: the installation {id}; a `tidegate serve` that was ready before must be started again");
            Exit::Ok
        }
        Ok(None) => {
            say!("accepted: the database holds nothing of Tidegate yet, and `tidegate serve` will install it");
            Exit::Ok
        }
        Err(error) => failed(&error),
    }
}
