//! `tidegate accept-database`: the configured database is the right one, though another was written to before.

use serde_json::json;

use super::database::with_location;
use super::output::{Exit, failed, print_json, say};
use crate::app::owner_client;
use crate::config::Config;
use crate::storage::{Location, accept};
use crate::tenancy::acts;

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
    let work = async |location: &Location| {
        let accepted = accept(&config.data_dir, location.owner()).await?;
        // An empty database has no audit log yet, and one that is to be migrated may have none.
        if accepted.is_some() {
            let client = owner_client(location).await?;
            let noted = acts::note_command(&client, "database.accept", None, json!({ "installation": accepted })).await;
            if let Err(error) = noted {
                eprintln!("it is not noted in the audit log: {error}");
            }
        }
        Ok(accepted)
    };
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
