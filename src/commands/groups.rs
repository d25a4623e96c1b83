//! `tidegate groups ...`: consumer groups of a running server, over HTTP.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::output::{Exit, finish, print_table, say};
use super::server::{Server, ServerArgs, query, segment, text};
use crate::config::Config;

/// Consumer groups: who reads a stream together, and how far they are
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    /// Print JSON
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    action: Action,
}

/// A group: its stream and its name.
#[derive(Debug, clap::Args)]
struct Which {
    /// The stream
    stream: String,
    /// The group
    group: String,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// The groups of a stream (the key needs the scope read, consume or admin)
    List {
        /// The stream
        stream: String,
    },
    /// Make a group (scope consume or admin, as all that changes one)
    Create {
        #[command(flatten)]
        which: Which,
        /// Where it begins: earliest, latest, a time, an offset or a cursor
        #[arg(long, default_value = "earliest", allow_hyphen_values = true)]
        start: String,
        /// How often an event is handed out before it is parked; 0: however often it takes [default: 5]
        #[arg(long, value_name = "N")]
        max_deliveries: Option<u32>,
        /// After so long without an acknowledgement it is handed out again [default: 30s]
        #[arg(long, value_name = "TIME")]
        ack_timeout: Option<String>,
        /// Only events of these types, comma separated
        #[arg(long, value_name = "TYPES", value_delimiter = ',')]
        event_types: Vec<String>,
        /// Several members, in the order of each asset_id, correlation_id or source_module
        #[arg(long, value_name = "COLUMN")]
        ordered_by: Option<String>,
    },
    /// One group
    Show {
        #[command(flatten)]
        which: Which,
    },
    /// How far a group is behind
    Lag {
        #[command(flatten)]
        which: Which,
    },
    /// Put a group somewhere else; what was handed out before is acknowledged in vain
    Reset {
        #[command(flatten)]
        which: Which,
        /// earliest, latest, a time such as 2026-01-31T00:00:00Z or -24h, an offset, or a cursor
        #[arg(long, value_name = "PLACE", allow_hyphen_values = true)]
        to: String,
        /// Only say how many events that is
        #[arg(long)]
        dry_run: bool,
    },
    /// Hand nothing out until it is resumed
    Pause {
        #[command(flatten)]
        which: Which,
    },
    /// Hand out again
    Resume {
        #[command(flatten)]
        which: Which,
    },
    /// Delete a group
    Delete {
        #[command(flatten)]
        which: Which,
    },
    /// Parked events of a group
    Parked {
        #[command(flatten)]
        which: Which,
        /// Hand these out again, to this group alone: offsets, comma separated, or all
        #[arg(long, value_name = "OFFSETS", conflicts_with = "drop")]
        replay: Option<String>,
        /// Give these up: offsets, comma separated, or all
        #[arg(long, value_name = "OFFSETS")]
        drop: Option<String>,
    },
}

impl Which {
    fn path(&self) -> String {
        format!("{}/{}", groups_of(&self.stream), segment(&self.group))
    }
}

fn groups_of(stream: &str) -> String {
    format!("/v1/streams/{}/groups", segment(stream))
}

pub async fn run(_config: &Config, Args { server, json, action }: Args) -> Exit {
    let mut server = match Server::of(server) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let server = &mut server;
    match action {
        Action::List { stream } => finish(all(server, &groups_of(&stream)).await, json, |found| show_list(found)),
        Action::Create { which, start, max_deliveries, ack_timeout, event_types, ordered_by } => {
            let mut body = Map::from_iter([
                ("name".to_owned(), json!(which.group)),
                ("start".to_owned(), json!(start)),
                ("event_types".to_owned(), json!(event_types)),
            ]);
            let named = [
                ("max_deliveries", max_deliveries.map(Value::from)),
                ("ack_timeout", ack_timeout.map(Value::from)),
                ("ordered_by", ordered_by.map(Value::from)),
            ];
            body.extend(named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))));
            finish(server.send(Method::POST, &groups_of(&which.stream), &body.into()).await, json, show_one)
        }
        Action::Show { which } => finish(server.value(Method::GET, &which.path()).await, json, show_one),
        Action::Lag { which } => {
            let lag = server.value(Method::GET, &format!("{}/lag", which.path())).await;
            finish(lag, json, |lag| say!("{} offsets, {}", text(&lag["lag"]), age(&lag["oldest_unread_s"])))
        }
        Action::Reset { which, to, dry_run } => {
            let body = json!({ "to": to, "dry_run": dry_run });
            finish(server.send(Method::POST, &format!("{}/reset", which.path()), &body).await, json, show_reset)
        }
        Action::Pause { which } => {
            finish(server.send(Method::POST, &format!("{}/pause", which.path()), &json!({})).await, json, show_one)
        }
        Action::Resume { which } => {
            finish(server.send(Method::POST, &format!("{}/resume", which.path()), &json!({})).await, json, show_one)
        }
        Action::Delete { which } => {
            let deleted = server.value(Method::DELETE, &which.path()).await;
            let deleted = deleted.map(|_| json!({ "stream": which.stream, "name": which.group, "deleted": true }));
            finish(deleted, json, |_| say!("{} is deleted", which.group))
        }
        Action::Parked { which, replay, drop } => {
            let path = format!("{}/parked", which.path());
            match (replay, drop) {
                (Some(offsets), _) => pick(server, &path, "replay", &offsets, json).await,
                (None, Some(offsets)) => pick(server, &path, "drop", &offsets, json).await,
                (None, None) => finish(all(server, &path).await, json, |found| show_parked(found)),
            }
        }
    }
}

/// All pages of a list.
async fn all(server: &mut Server, path: &str) -> Result<Vec<Value>, String> {
    let (mut found, mut cursor) = (Vec::new(), None::<String>);
    loop {
        let query = query([("limit", Some("1000")), ("cursor", cursor.as_deref())]);
        let mut page = server.value(Method::GET, &format!("{path}?{query}")).await?;
        found.extend(page["data"].as_array_mut().into_iter().flat_map(std::mem::take));
        cursor = page["next_cursor"].as_str().map(str::to_owned);
        if cursor.is_none() {
            return Ok(found);
        }
    }
}

/// Replays or drops parked events; of all of them as many calls as it takes.
async fn pick(server: &mut Server, path: &str, what: &str, offsets: &str, json: bool) -> Exit {
    let is_all = offsets == "all";
    let body = if is_all {
        json!({ "all": true })
    } else {
        // What is no number is the server's to refuse.
        let number = |text: &str| text.trim().parse::<i64>().map_or_else(|_| json!(text), Value::from);
        json!({ "offsets": offsets.split(',').map(number).collect::<Vec<_>>() })
    };
    let name = if what == "replay" { "replayed" } else { "dropped" };
    let mut count = 0;
    let picked = loop {
        match server.send(Method::POST, &format!("{path}/{what}"), &body).await {
            Ok(part) => {
                count += part[name].as_u64().unwrap_or(0);
                if !is_all || part["left"] == 0 || part[name] == 0 {
                    break Ok(json!({ name: count, "left": part["left"] }));
                }
            }
            Err(error) => break Err(error),
        }
    };
    finish(picked, json, |picked| say!("{} {name}, {} left", text(&picked[name]), text(&picked["left"])))
}

fn age(seconds: &Value) -> String {
    seconds
        .as_f64()
        .map_or_else(|| "nothing unread".to_owned(), |seconds| format!("the oldest stored {seconds:.1} s ago"))
}

fn show_list(groups: &[Value]) {
    let columns = ["name", "ordered_by", "committed", "end", "lag", "members", "leases", "redeliveries", "parked"];
    print_table(
        ["GROUP", "ORDERED BY", "COMMITTED", "END", "LAG", "MEMBERS", "LEASES", "REDELIVERIES", "PARKED", "PAUSED"],
        groups.iter().map(|group| {
            let [name, by, committed, end, lag, members, leases, redeliveries, parked] =
                columns.map(|name| text(&group[name]));
            let paused = if group["paused"] == true { "paused" } else { "" }.to_owned();
            [name, by, committed, end, lag, members, leases, redeliveries, parked, paused]
        }),
    );
}

fn show_one(group: &Value) {
    for (name, value) in group.as_object().into_iter().flatten() {
        // What somebody wrote must not steer a terminal.
        say!("{name}: {}", text(value).escape_debug());
    }
}

fn show_reset(reset: &Value) {
    let would = if reset["dry_run"] == true { "would go" } else { "goes" };
    say!(
        "it {would} from {} to {}: {} events come again, {} are passed over",
        text(&reset["from"]),
        text(&reset["to"]),
        text(&reset["again"]),
        text(&reset["skipped"])
    );
}

fn show_parked(parked: &[Value]) {
    let columns = ["offset", "id", "parked_at", "state", "deliveries", "code", "reason"];
    print_table(
        ["OFFSET", "DEAD LETTER", "PARKED", "STATE", "DELIVERIES", "CODE", "REASON"],
        parked.iter().map(|event| columns.map(|name| text(&event[name]))),
    );
}
