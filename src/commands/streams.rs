//! `tidegate streams list|describe`: the streams of a running server, over HTTP.

use hyper::Method;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::Value;

use super::output::{Exit, finish, print_table, say};
use super::server::{Server, ServerArgs, text};
use crate::config::Config;

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
            let path = format!("/v1/streams/{}", utf8_percent_encode(&name, NON_ALPHANUMERIC));
            finish(server.value(Method::GET, &path).await, json, |stream| {
                for (name, value) in stream.as_object().into_iter().flatten() {
                    // What a sender wrote must not steer a terminal.
                    say!("{name}: {}", text(value).escape_debug());
                }
            })
        }
    }
}

fn show(streams: &[Value]) {
    let columns = ["name", "begin", "end", "newest"];
    print_table(
        ["NAME", "BEGIN", "END", "NEWEST"],
        streams.iter().map(|stream| columns.map(|name| text(&stream[name]))),
    );
}
