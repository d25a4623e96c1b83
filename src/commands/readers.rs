//! `tidegate readers create|list|revoke`.

use clap::Subcommand;
use tokio_postgres::Client;
use uuid::Uuid;

use super::logins::{Connected, Standing, refuse_cells, show_made, show_revoked, with_admin};
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::storage::readers::{self, NewReader, Reader, Reads};
use crate::storage::{StorageError, tenant_readers};
use crate::tenancy::admin;

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
        /// The organization that it reads, by slug or name [default: all of them]
        #[arg(long, value_name = "ORGANIZATION")]
        org: Option<String>,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    #[command(flatten)]
    Standing(Standing),
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { name, org, json } => {
            let work = async |to: Connected<'_>| {
                let made = match org {
                    None => readers::create(to.admin, to.location.owner(), &name).await?,
                    Some(org) => {
                        refuse_cells(to.owner, NOT_IN_CELLS).await?;
                        let (org_id, slug) = organization(to.owner, &org).await?;
                        tenant_readers::create(to.admin, to.owner, to.location.owner(), &name, (org_id, &slug)).await?
                    }
                };
                to.note("readers.create", &made.name).await?;
                Ok(made)
            };
            with_admin(config, json, work, show_new).await
        }
        Action::Standing(Standing::List { json }) => {
            with_admin(config, json, async |to| readers::list(to.owner).await, |list| show(list)).await
        }
        Action::Standing(Standing::Revoke { name, json }) => {
            let work = async |to: Connected<'_>| {
                let revoked = tenant_readers::revoke(to.admin, to.owner, &name).await?;
                to.note("readers.revoke", &revoked.name).await?;
                Ok(revoked)
            };
            with_admin(config, json, work, |reader| show_revoked(&reader.name)).await
        }
    }
}

/// Views of one organization's rows would be over relations of Citus, which takes the tenant for no constant and asks every worker;
/// and a login's rights to them are not on the workers.
const NOT_IN_CELLS: &str = "logins that read one organization are not to be had with engine = citus: give its people a key with the scope read \
    (tidegate keys create --org ORGANIZATION --scopes read) or users of the console (tidegate users create --org ORGANIZATION); a \
    login without --org reads all organizations";

/// An active organization: id and slug.
async fn organization(owner: &Client, name: &str) -> Result<(Uuid, String), StorageError> {
    let org_id = admin::find_organization(owner, name, true).await?;
    let slug = owner.query_one("SELECT tenant_id FROM tidegate.organizations WHERE id = $1", &[&org_id]).await?.get(0);
    Ok((org_id, slug))
}

fn show_new(reader: &NewReader) {
    show_made(&reader.name, &reader.password, &reader.psql);
    say!("reads     {}", reader.tenant_id.as_deref().unwrap_or("all organizations"));
    for beyond in &reader.beyond {
        say!("\nit also {}; to take that away: {}", beyond.what, beyond.mend);
    }
}

fn show(readers: &[Reader]) {
    let reads = |reader: &Reader| match (reader.reads, &reader.tenant_id) {
        (Reads::All, _) => "(all)".to_owned(),
        (_, Some(tenant_id)) => tenant_id.clone(),
        (_, None) => "(another database's)".to_owned(),
    };
    print_table(
        ["LOGIN", "ORGANIZATION", "CONNECTIONS", "AT MOST"],
        readers.iter().map(|reader| {
            [reader.name.clone(), reads(reader), reader.connections.to_string(), reader.connections_max.to_string()]
        }),
    );
}
