//! `tidegate dead-letters list|show|replay`: what a running server refused, over HTTP.

use hyper::Method;
use serde_json::{Value, json};
use uuid::Uuid;

use super::output::{Exit, failed, finish, print_json, print_members, print_table, say, text, visible};
use super::server::{Answered, Server, ServerArgs, query, told};
use crate::config::Config;
use crate::limits::PAGE_ROWS_DEFAULT;

const STORED: &str = "stored";

/// What was refused, kept as it was sent: look at it, and send it again
#[derive(Debug, clap::Args)]
pub struct Args {
    #[command(flatten)]
    server: ServerArgs,
    #[command(subcommand)]
    action: Action,
}

#[derive(Debug, clap::Subcommand)]
enum Action {
    /// Newest first (the key needs the scope read)
    List {
        #[command(flatten)]
        filter: Filter,
        /// Most of them
        #[arg(long, default_value_t = PAGE_ROWS_DEFAULT)]
        limit: usize,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// One, with what was sent (the key needs the scope read)
    Show {
        /// Its id, as `dead-letters list` shows it
        #[arg(value_parser = letter_id)]
        id: Uuid,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
    /// Send again what was refused, by today's rules; each is stored once, however often (the key needs the scope admin)
    Replay {
        #[command(flatten)]
        which: Which,
        /// Only say how many they are
        #[arg(long, conflicts_with = "ids")]
        dry_run: bool,
        /// Print JSON
        #[arg(long)]
        json: bool,
    },
}

#[derive(Debug, clap::Args)]
struct Filter {
    /// Of these stages, comma separated: decode, validate, package, write; consume: parked by a consumer group; project: stored, but no projection takes it
    #[arg(long)]
    stage: Option<String>,
    /// Of these codes, comma separated
    #[arg(long)]
    code: Option<String>,
    /// Of these outcomes of the last replay, comma separated: none, failed, stored; of parked events consumed, dropped
    #[arg(long)]
    outcome: Option<String>,
    /// That failed since: a time, or an age such as -24h
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    from: Option<String>,
    /// That failed before
    #[arg(long, value_name = "TIME", allow_hyphen_values = true)]
    to: Option<String>,
}

#[derive(Debug, clap::Args)]
struct Which {
    /// Ids, as `dead-letters list` shows them; or say which by the options
    #[arg(value_name = "ID", value_parser = letter_id, conflicts_with_all = ["all", "stage", "code", "outcome", "from", "to"])]
    ids: Vec<Uuid>,
    #[command(flatten)]
    filter: Filter,
    /// All that are not stored yet, where nothing narrows them down
    #[arg(long)]
    all: bool,
}

impl Filter {
    fn named(&self) -> [(&str, Option<&str>); 5] {
        [
            ("stage", self.stage.as_deref()),
            ("code", self.code.as_deref()),
            ("outcome", self.outcome.as_deref()),
            ("from", self.from.as_deref()),
            ("to", self.to.as_deref()),
        ]
    }

    fn is_empty(&self) -> bool {
        self.named().iter().all(|(_, value)| value.is_none())
    }
}

pub async fn run(_config: &Config, Args { server, action }: Args) -> Exit {
    let mut server = match Server::of(server) {
        Ok(server) => server,
        Err(exit) => return exit,
    };
    match action {
        Action::List { filter, limit, json } => {
            let found = server.list("/v1/dead-letters", &filter.named(), limit).await;
            finish(found, json, |found| show_list(found))
        }
        Action::Show { id, json } => {
            let found = server.value(Method::GET, &format!("/v1/dead-letters/{id}")).await;
            finish(found, json, show_one)
        }
        Action::Replay { which: Which { ids, filter, all }, dry_run, json } => {
            if ids.is_empty() && filter.is_empty() && !all && !dry_run {
                failed(&"name ids, narrow them down by --code and the like, or say --all");
                return Exit::Usage;
            }
            let replayed = match ids.is_empty() {
                true => by_filter(&mut server, &filter, dry_run).await,
                false => by_id(&mut server, &ids).await,
            };
            let replayed = match replayed {
                Ok(replayed) => replayed,
                Err(error) => return failed(&error),
            };
            if json {
                print_json(&replayed);
            } else {
                show_replayed(&replayed);
            }
            let ok = ["failed", "refused"].iter().all(|name| replayed[name].as_u64().unwrap_or(0) == 0);
            if ok { Exit::Ok } else { Exit::Failed }
        }
    }
}

/// One after the other, and their sum as by a filter.
async fn by_id(server: &mut Server, ids: &[Uuid]) -> Result<Value, String> {
    let (mut stored, mut failed, mut refused, mut errors) = (0, 0, 0, Vec::new());
    for id in ids {
        let Answered { is_success, body } = server.ask(Method::POST, &format!("/v1/dead-letters/{id}/replay")).await?;
        match body["outcome"].as_str() {
            Some(STORED) => stored += 1,
            Some(_) => {
                failed += 1;
                errors.push(json!({ "id": id, "code": body["outcome_code"], "detail": body["outcome_detail"] }));
            }
            None if !is_success
                && ["not_found", "not_replayable", "replay_in_flight"].iter().any(|code| body["code"] == *code) =>
            {
                refused += 1;
                errors.push(json!({ "id": id, "code": body["code"], "detail": body["detail"] }));
            }
            None => return Err(format!("{id}: {}", told(&body))),
        }
    }
    Ok(json!({ "dry_run": false, "stored": stored, "failed": failed, "refused": refused, "left": 0, "errors": errors }))
}

/// Call after call, until none is left; what was stored before is passed over when this is run again.
async fn by_filter(server: &mut Server, filter: &Filter, dry_run: bool) -> Result<Value, String> {
    let (mut counts, mut errors, mut cursor) = ([0; 3], Vec::new(), None::<String>);
    let names = ["stored", "failed", "refused"];
    loop {
        let how = [("cursor", cursor.as_deref()), ("dry_run", dry_run.then_some("1"))];
        let query = query(filter.named().into_iter().chain(how));
        let mut part = server.value(Method::POST, &format!("/v1/dead-letters/replay?{query}")).await?;
        for (sum, name) in counts.iter_mut().zip(names) {
            *sum += part[name].as_u64().unwrap_or(0);
        }
        errors.extend(part["errors"].as_array_mut().into_iter().flat_map(std::mem::take));
        cursor = part["next_cursor"].as_str().map(str::to_owned);
        let left = part["left"].as_u64().unwrap_or(0);
        if cursor.is_none() {
            let [stored, failed, refused] = counts;
            return Ok(json!({
                "dry_run": dry_run, "stored": stored, "failed": failed, "refused": refused, "left": left, "errors": errors
            }));
        }
        // To standard error, so that what is printed last can be read by a program.
        eprintln!("{} replayed, {left} left", counts.iter().sum::<u64>());
    }
}

fn show_list(letters: &[Value]) {
    let columns = ["id", "failed_at", "stage", "code", "raw_bytes", "outcome", "reason"];
    print_table(
        ["ID", "FAILED", "STAGE", "CODE", "BYTES", "REPLAYED", "REASON"],
        letters.iter().map(|letter| columns.map(|name| text(&letter[name]))),
    );
}

fn show_one(letter: &Value) {
    let (mut rest, mut sent) = (letter.clone(), "raw");
    if letter["raw"].is_null() {
        sent = "raw_base64";
    }
    for name in ["raw", "raw_base64", "original_base64"] {
        rest.as_object_mut().map(|members| members.remove(name));
    }
    print_members(&rest, &["id", "failed_at", "stage", "code", "reason"]);
    say!("{sent}: {}", visible(&text(&letter[sent])));
}

/// Of a dead letter.
fn letter_id(text: &str) -> Result<Uuid, String> {
    Uuid::try_parse(text).map_err(|_| "not the id of a dead letter: `tidegate dead-letters list` shows them".to_owned())
}

fn show_replayed(replayed: &Value) {
    if replayed["dry_run"] == true {
        say!("{} would be replayed", text(&replayed["left"]));
        return;
    }
    say!(
        "{} stored, {} failed again, {} cannot be replayed or are being replayed",
        text(&replayed["stored"]),
        text(&replayed["failed"]),
        text(&replayed["refused"])
    );
    for error in replayed["errors"].as_array().into_iter().flatten() {
        say!("{} {}: {}", text(&error["id"]), text(&error["code"]), visible(&text(&error["detail"])));
    }
}
