//! `tidegate nodes`.

use tokio_postgres::Client;

use super::database::with_owner;
use super::output::{Exit, print_table, say};
use crate::config::Config;
use crate::nodes::{Node, list};
use crate::storage::StorageError;

/// List the nodes that work on the database, and those that are lost
#[derive(Debug, clap::Args)]
pub struct Args {
    /// Print JSON
    #[arg(long)]
    json: bool,
}

pub async fn run(config: &Config, Args { json }: Args) -> Exit {
    let work = async |client: &mut Client| -> Result<Vec<Node>, StorageError> { list(client).await };
    with_owner(config, json, work, |nodes| show(nodes)).await
}

fn show(nodes: &[Node]) {
    if nodes.is_empty() {
        say!("no node works on this database (tidegate serve)");
        return;
    }
    print_table(
        ["NAME", "STATE", "VERSION", "SCHEMA", "STARTED", "LAST SEEN", "SPOOLED", "SKEW", "URL", "ID"],
        nodes.iter().map(|node| {
            [
                node.name.clone(),
                node.state.as_str().to_owned(),
                node.version.clone(),
                node.schema_version.to_string(),
                format!("{:.0}", node.started_at),
                format!("{:.0}", node.last_seen),
                format!("{} requests, {} items", node.spooled.requests, node.spooled.items),
                format!("{} ms", node.clock_skew_ms),
                node.url.clone().unwrap_or_else(|| "-".to_owned()),
                node.id.to_string(),
            ]
        }),
    );
}
