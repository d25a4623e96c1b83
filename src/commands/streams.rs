//! `tidegate streams list|describe`: the streams of a running server, over HTTP.

use hyper::Method;
use serde_json::Value;

use super::output::{Exit, finish, print_members, print_table, text};
use super::server::{Server, ServerArgs, segment};
use crate::config::Config;

const COLUMNS: [&str; 5] = ["name", "begin", "end", "oldest", "newest"];

/// Streams: where each begins and ends
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, by name (the key needs the scope read or consume)
    List {
        /// Most of them
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One of them (the key needs the scope read or consume)
    Describe {
        /// The stream
        name: String,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

pub async fn run(_config: &Config, Args { server, action }: Args) -> Exit {
    let mut server = match Server::of(server) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    match action {
        Action::List { limit, json } => finish(server.list("/v1/streams", &[], limit).await, json, |found| show(found)),
        Action::Describe { name, json } => {
            let path = format!("/v1/streams/{}", segment(&name));
            finish(server.value(Method::GET, &path).await, json, |stream| print_members(stream, &COLUMNS))
        }
    }
}

fn show(streams: &[Value]) {
    print_table(
        ["NAME", "BEGIN", "END", "OLDEST", "NEWEST"],
        streams.iter().map(|stream| COLUMNS.map(|name| text(&stream[name]))),
    );
}
