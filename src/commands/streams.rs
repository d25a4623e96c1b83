//! `tidegate streams ...`: the streams of a running server, over HTTP: where their logs are, and what they are defined to be.

use std::path::PathBuf;

use hyper::Method;
use serde_json::{Map, Value, json};

use super::output::{Exit, failed, finish, print_members, print_table, say, text, visible};
use super::server::{Server, ServerArgs, segment, why_not_made};
use crate::config::Config;

/// What is shown first of one.
const FIRST: [&str; 10] =
    ["name", "begin", "end", "oldest", "newest", "mode", "compatibility", "schema_version", "mask", "description"];

/// Streams: where each begins and ends, and what its payloads must be
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

#[derive(Debug, clap::Args)]
struct Settings {
    /// File with the JSON Schema 2020-12 of payloads; - is standard input
    #[arg(long, value_name = "FILE")]
    schema: Option<PathBuf>,
    /// What is done about payloads that break it: off, warn or enforce
    #[arg(long, value_parser = ["off", "warn", "enforce"])]
    mode: Option<String>,
    /// What a new version has to be to the one before: none, backward, forward or full
    #[arg(long, value_parser = ["none", "backward", "forward", "full"])]
    compatibility: Option<String>,
    /// What of payloads is not kept: a JSON pointer (* for every member or element), =hash or =remove behind it; repeatable
    #[arg(long, value_name = "PATH=ACTION", value_parser = mask)]
    mask: Vec<Value>,
    /// For people
    #[arg(long, value_name = "TEXT")]
    description: Option<String>,
    /// Take the schema although it would refuse some of the newest 10,000 events
    #[arg(long)]
    force: bool,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// All of them, by name (the key needs the scope read or consume)
    List {
        /// Most of them
        #[arg(long, default_value_t = usize::MAX, hide_default_value = true)]
        limit: usize,
    },
    /// One of them (the key needs the scope read, consume or admin)
    Describe {
        /// The stream
        name: String,
    },
    /// Define a stream (scope admin, as all that changes one)
    Create {
        /// The stream
        name: String,
        #[command(flatten)]
        settings: Settings,
    },
    /// Alter a stream; what is not named stays
    Alter {
        /// The stream
        name: String,
        #[command(flatten)]
        settings: Settings,
        /// Have no schema any more
        #[arg(long, conflicts_with = "schema")]
        no_schema: bool,
        /// Mask nothing any more
        #[arg(long, conflicts_with = "mask")]
        no_mask: bool,
    },
    /// Delete a stream: it takes nothing more until it is defined again
    Delete {
        /// The stream
        name: String,
    },
    /// The versions of a stream's schema, or one of them
    Schemas {
        /// The stream
        name: String,
        /// The number of the one
        version: Option<u32>,
    },
}

fn mask(text: &str) -> Result<Value, String> {
    let wrong = || "name a path and what is done, such as /user/email=hash or /card=remove".to_owned();
    let (path, action) = text.rsplit_once('=').ok_or_else(wrong)?;
    match action {
        "hash" | "remove" => Ok(json!({ "path": path, "action": action })),
        _ => Err(wrong()),
    }
}

impl Settings {
    /// Those that are named, as the server takes them.
    fn named(self) -> Result<Map<String, Value>, String> {
        let mut named = Map::new();
        let texts = [("mode", self.mode), ("compatibility", self.compatibility), ("description", self.description)];
        named.extend(texts.into_iter().filter_map(|(name, value)| Some((name.to_owned(), value?.into()))));
        if !self.mask.is_empty() {
            named.insert("mask".to_owned(), self.mask.into());
        }
        if self.force {
            named.insert("force".to_owned(), true.into());
        }
        if let Some(file) = self.schema {
            let text = match file.to_str() {
                Some("-") => std::io::read_to_string(std::io::stdin()),
                _ => std::fs::read_to_string(&file),
            };
            let text = text.map_err(|error| format!("{}: {error}", file.display()))?;
            let schema: Value = serde_json::from_str(&text).map_err(|error| format!("{}: {error}", file.display()))?;
            named.insert("schema".to_owned(), schema);
        }
        Ok(named)
    }
}

fn at(name: &str) -> String {
    format!("/v1/streams/{}", segment(name))
}

pub async fn run(_config: &Config, Args { server, json, action }: Args) -> Exit {
    let mut server = match Server::of(server) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    let bad = |why: String| {
        failed(&why);
        Exit::Usage
    };
    match action {
        Action::List { limit } => finish(server.list("/v1/streams", &[], limit).await, json, |found| show(found)),
        Action::Describe { name } => finish(server.value(Method::GET, &at(&name)).await, json, show_one),
        Action::Create { name, settings } => match settings.named() {
            Err(why) => bad(why),
            Ok(mut named) => {
                named.insert("name".to_owned(), name.into());
                let altered = format!("tidegate streams alter {}", named["name"].as_str().unwrap_or("STREAM"));
                let made = server.send(Method::POST, "/v1/streams", &named.into()).await;
                finish(made.map_err(|why| why_not_made(why, "stream_exists", &altered)), json, show_one)
            }
        },
        Action::Alter { name, settings, no_schema, no_mask } => match settings.named() {
            Err(why) => bad(why),
            Ok(mut named) => {
                named.extend(no_schema.then(|| ("schema".to_owned(), Value::Null)));
                named.extend(no_mask.then(|| ("mask".to_owned(), Value::Null)));
                if named.is_empty() {
                    return bad(
                        "say what to alter: --schema, --mode, --compatibility, --mask or --description".to_owned()
                    );
                }
                finish(server.send(Method::PATCH, &at(&name), &named.into()).await, json, show_one)
            }
        },
        Action::Delete { name } => {
            let deleted = server.value(Method::DELETE, &at(&name)).await;
            let deleted = deleted.map(|_| json!({ "name": name, "deleted": true }));
            finish(deleted, json, |_| {
                say!("{} is deleted: it takes nothing more until it is defined again", visible(&name))
            })
        }
        Action::Schemas { name, version: Some(version) } => {
            let found = server.value(Method::GET, &format!("{}/schemas/{version}", at(&name))).await;
            finish(found, json, |found| say!("{}", text(&found["schema"])))
        }
        Action::Schemas { name, version: None } => {
            let found = server.list(&format!("{}/schemas", at(&name)), &[], usize::MAX).await;
            finish(found, json, |found| show_versions(found))
        }
    }
}

fn show(streams: &[Value]) {
    let columns = ["name", "begin", "end", "oldest", "newest", "mode", "schema_version"];
    print_table(
        ["NAME", "BEGIN", "END", "OLDEST", "NEWEST", "MODE", "SCHEMA"],
        streams.iter().map(|stream| columns.map(|name| text(&stream[name]))),
    );
}

fn show_one(stream: &Value) {
    print_members(stream, &FIRST);
}

fn show_versions(versions: &[Value]) {
    let columns = ["version", "created_at", "api_key_id", "schema"];
    print_table(
        ["VERSION", "CREATED", "KEY", "SCHEMA"],
        versions.iter().map(|version| columns.map(|name| text(&version[name]))),
    );
}
