//! `tidegate sinks create|list|revoke`.

use clap::Subcommand;

use super::logins::{Connected, Standing, refuse_cells, show_made, show_revoked, with_admin};
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::storage::sinks::{self, NewSink, Sink};

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
    #[command(flatten)]
    Standing(Standing),
}

pub async fn run(config: &Config, Args { action }: Args) -> Exit {
    match action {
        Action::Create { name, org, json } => {
            let work = async |to: Connected<'_>| {
                refuse_cells(to.owner, NOT_IN_CELLS).await?;
                let made = sinks::create(to.admin, to.owner, to.location.owner(), &name, &org).await?;
                to.note("sinks.create", &made.name).await?;
                Ok(made)
            };
            with_admin(config, json, work, show_new).await
        }
        Action::Standing(Standing::List { json }) => {
            with_admin(config, json, async |to| sinks::list(to.admin).await, |list| show(list)).await
        }
        Action::Standing(Standing::Revoke { name, json }) => {
            let work = async |to: Connected<'_>| {
                let revoked = sinks::revoke(to.admin, to.owner, &name).await?;
                to.note("sinks.revoke", &revoked.name).await?;
                Ok(revoked)
            };
            with_admin(config, json, work, |sink| show_revoked(&sink.name)).await
        }
    }
}

/// What it would call works in the cell that has the group, on a worker that moves, and not through the coordinator.
const NOT_IN_CELLS: &str = "logins that commit offsets in their own transactions are not to be had with engine = citus: acknowledge over HTTP \
    (POST /v1/streams/STREAM/groups/GROUP/ack), and write what a consumer does so that it may be done twice";

fn show_new(sink: &NewSink) {
    show_made(&sink.name, &sink.password, &sink.psql);
    say!(
        "\nit may call tidegate.commit_offset and tidegate.ack_lease for {}; grant it what it writes to",
        sink.tenant_id
    );
}

fn show(sinks: &[Sink]) {
    print_table(["LOGIN", "ORGANIZATIONS"], sinks.iter().map(|sink| [sink.name.clone(), sink.tenants.join(", ")]));
}
