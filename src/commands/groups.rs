//! `tidegate groups ...`: consumer groups of a running server, over HTTP.

use hyper::Method;
use serde_json::{Map, Value, json};

use super::output::{Exit, failed, finish, print_members, print_table, say, text, visible};
use super::server::{Server, ServerArgs, query, segment, why_not_made};
use crate::config::Config;

/// Of a group: what it is and where it is, before what is out.
const FIRST: [&str; 11] = [
    "stream",
    "name",
    "ordered_by",
    "event_types",
    "max_deliveries",
    "ack_timeout",
    "committed",
    "end",
    "lag",
    "oldest_unread_s",
    "paused",
];

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

#[derive(Debug, clap::Args)]
struct Settings {
    /// How often an event is handed out before it is parked; 0: however often it takes [a new group: 5]
    #[arg(long, value_name = "N", allow_negative_numbers = true)]
    max_deliveries: Option<u32>,
    /// After so long without an acknowledgement it is handed out again [a new group: 30s]
    #[arg(long, value_name = "TIME")]
    ack_timeout: Option<String>,
    /// Only events of these types, comma separated; an empty text stands for all
    #[arg(long, value_name = "TYPES")]
    event_types: Option<String>,
}

/// Which parked events.
#[derive(Debug, Clone)]
enum Picked {
    All,
    At(Vec<i64>),
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
        #[command(flatten)]
        settings: Settings,
        /// Several members, in the order of each asset_id, correlation_id or source_module
        #[arg(long, value_name = "COLUMN")]
        ordered_by: Option<String>,
    },
    /// Alter a group; what is not named stays
    Alter {
        #[command(flatten)]
        which: Which,
        #[command(flatten)]
        settings: Settings,
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
        #[arg(long, value_name = "OFFSETS", conflicts_with = "drop", value_parser = picked)]
        replay: Option<Picked>,
        /// Give these up: offsets, comma separated, or all
        #[arg(long, value_name = "OFFSETS", value_parser = picked)]
        drop: Option<Picked>,
    },
}

impl Settings {
    /// Those that are named, as the server takes them.
    fn named(self) -> Map<String, Value> {
        let types = |text: String| text.split(',').filter(|name| !name.is_empty()).map(Value::from).collect::<Vec<_>>();
        let named = [
            ("max_deliveries", self.max_deliveries.map(Value::from)),
            ("ack_timeout", self.ack_timeout.map(Value::from)),
            ("event_types", self.event_types.map(types).map(Value::from)),
        ];
        named.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?))).collect()
    }
}

fn picked(text: &str) -> Result<Picked, String> {
    if text == "all" {
        return Ok(Picked::All);
    }
    let offset = |one: &str| one.trim().parse::<i64>().ok().filter(|offset| *offset >= 0);
    let offsets = text.split(',').map(|one| offset(one).ok_or_else(|| format!("`{one}` is no offset")));
    let offsets = offsets.collect::<Result<_, _>>();
    offsets.map(Picked::At).map_err(|why| format!("{why}: name offsets, comma separated, or say all"))
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
        Action::List { stream } => {
            let found = all(server, &groups_of(&stream)).await;
            if found.as_ref().is_ok_and(Vec::is_empty) {
                // A name that is mistyped has none either.
                eprintln!("the stream {} has no group", visible(&stream));
            }
            finish(found, json, |found| show_list(found))
        }
        Action::Create { which, start, settings, ordered_by } => {
            let mut body = settings.named();
            body.extend([("name".to_owned(), json!(which.group)), ("start".to_owned(), json!(start))]);
            body.extend(ordered_by.map(|column| ("ordered_by".to_owned(), json!(column))));
            let altered = format!("tidegate groups alter {} {}", which.stream, which.group);
            let made = server.send(Method::POST, &groups_of(&which.stream), &body.into()).await;
            finish(made.map_err(|why| why_not_made(why, "group_exists", &altered)), json, show_one)
        }
        Action::Alter { which, settings } => {
            let named = settings.named();
            if named.is_empty() {
                failed(&"say what to alter: --max-deliveries, --ack-timeout or --event-types");
                return Exit::Usage;
            }
            finish(server.send(Method::PATCH, &which.path(), &named.into()).await, json, show_one)
        }
        Action::Show { which } => finish(server.value(Method::GET, &which.path()).await, json, show_one),
        Action::Lag { which } => {
            let lag = server.value(Method::GET, &format!("{}/lag", which.path())).await;
            finish(lag, json, show_lag)
        }
        Action::Reset { which, to, dry_run } => {
            let body = json!({ "to": to, "dry_run": dry_run });
            finish(server.send(Method::POST, &format!("{}/reset", which.path()), &body).await, json, show_reset)
        }
        Action::Pause { which } => {
            let paused = server.send(Method::POST, &format!("{}/pause", which.path()), &json!({})).await;
            finish(paused, json, |_| say!("{} is paused: nothing is handed out", visible(&which.group)))
        }
        Action::Resume { which } => {
            let resumed = server.send(Method::POST, &format!("{}/resume", which.path()), &json!({})).await;
            finish(resumed, json, |_| say!("{} is resumed", visible(&which.group)))
        }
        Action::Delete { which } => {
            let deleted = server.value(Method::DELETE, &which.path()).await;
            let deleted = deleted.map(|_| json!({ "stream": which.stream, "name": which.group, "deleted": true }));
            finish(deleted, json, |_| say!("{} is deleted", visible(&which.group)))
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
async fn pick(server: &mut Server, path: &str, what: &str, which: &Picked, json: bool) -> Exit {
    let is_all = matches!(which, Picked::All);
    let body = match which {
        Picked::All => json!({ "all": true }),
        Picked::At(offsets) => json!({ "offsets": offsets }),
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

/// How long the first event that is not done with has been stored.
fn age(seconds: &Value) -> String {
    match seconds.as_f64() {
        None => "-".to_owned(),
        Some(seconds) if seconds < 120.0 => format!("{seconds:.1} s"),
        Some(seconds) if seconds < 7200.0 => format!("{:.1} min", seconds / 60.0),
        Some(seconds) => format!("{:.1} h", seconds / 3600.0),
    }
}

fn show_lag(lag: &Value) {
    if lag["lag"] == 0 {
        say!("0 offsets: everything is read");
        return;
    }
    say!("{} offsets, the oldest unread stored {} ago", text(&lag["lag"]), age(&lag["oldest_unread_s"]));
}

fn show_list(groups: &[Value]) {
    let columns = ["committed", "end", "lag"];
    let counts = ["members", "leases", "redeliveries", "parked"];
    print_table(
        [
            "GROUP",
            "ORDERED BY",
            "COMMITTED",
            "END",
            "LAG",
            "UNREAD FOR",
            "MEMBERS",
            "LEASES",
            "REDELIVERIES",
            "PARKED",
            "STATE",
        ],
        groups.iter().map(|group| {
            let [name, by] = ["name", "ordered_by"].map(|name| text(&group[name]));
            let [committed, end, lag] = columns.map(|name| text(&group[name]));
            let [members, leases, redeliveries, parked] = counts.map(|name| text(&group[name]));
            let state = if group["paused"] == true { "paused" } else { "" }.to_owned();
            let unread = age(&group["oldest_unread_s"]);
            [name, by, committed, end, lag, unread, members, leases, redeliveries, parked, state]
        }),
    );
}

fn show_one(group: &Value) {
    print_members(group, &FIRST);
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
