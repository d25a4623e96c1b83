//! `tidegate tail`: what comes in a stream, from a running server.

use std::fmt;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::Full;
use hyper::header::{ACCEPT, AUTHORIZATION};
use hyper::{Request, StatusCode};
use serde::Deserialize;
use serde_json::value::RawValue;

use super::instance::interrupted;
use super::output::{Exit, failed, print, say, visible};
use super::server::{key_of, segment, told, trust, unanswered, usual_url};
use crate::config::Config;
use crate::limits::{MIB, STREAM_WAIT_MAX};
use crate::load::{Connection, Endpoint, HttpReply};

/// Events asked for at once.
const PAGE: u64 = 1000;
/// A page, with one large event at most.
const ANSWER_BYTES_MAX: usize = 64 * MIB;
/// Beside the time that the server waits for events.
const TIMEOUT: Duration = Duration::from_secs(STREAM_WAIT_MAX.as_secs() + 30);
/// Between two tries while the server cannot be reached, or asks to come again.
const RETRY_PAUSE: Duration = Duration::from_secs(1);

/// Print the events of a stream as they come
#[derive(clap::Args)]
pub struct Args {
    /// The stream
    stream: String,
    /// Where to begin: earliest, latest, or an offset
    #[arg(long, default_value = "latest", value_name = "OFFSET")]
    from: String,
    /// End after so many events
    #[arg(long, value_name = "N")]
    limit: Option<u64>,
    /// Print each event as a line of JSON
    #[arg(long)]
    json: bool,
    /// Base URL of the server, http or https [env: TIDEGATE_URL]
    #[arg(long, default_value_t = usual_url())]
    url: String,
    /// API key with the scope read or consume [env: TIDEGATE_KEY, or TIDEGATE_KEY_FILE]
    #[arg(long, value_name = "KEY")]
    key: Option<String>,
    /// PEM file of the authority that signed an https server's certificate [default: the system's authorities]
    #[arg(long, value_name = "FILE")]
    cacert: Option<PathBuf>,
    /// Take any certificate of an https server: anyone on the network path can read the key
    #[arg(long, conflicts_with = "cacert")]
    insecure: bool,
}

impl fmt::Debug for Args {
    /// Without the key: it is a secret.
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Args").field("url", &self.url).field("stream", &self.stream).finish_non_exhaustive()
    }
}

#[derive(Deserialize)]
struct Page<'a> {
    #[serde(borrow)]
    data: Vec<&'a RawValue>,
    cursor: String,
}

/// What a line says of an event.
#[derive(Deserialize)]
struct Shown<'a> {
    offset: i64,
    timestamp: String,
    severity: String,
    event_type: String,
    source_module: String,
    asset_id: Option<String>,
    #[serde(borrow)]
    payload: Option<&'a RawValue>,
}

/// Why a page did not come.
enum Failed {
    /// It may come later.
    Passing(String),
    /// There is no such stream, yet.
    Missing,
    Refused(String),
}

pub async fn run(_config: &Config, mut args: Args) -> Exit {
    let key = match key_of(args.key.take()) {
        Ok(key) => key,
        Err(exit) => return exit,
    };
    let endpoint = match Endpoint::trusting(&args.url, &trust(args.cacert.take(), args.insecure)) {
        Ok(endpoint) => Arc::new(endpoint),
        Err(error) => {
            failed(&error);
            return Exit::Usage;
        }
    };
    tokio::select! {
        exit = follow(&args, &endpoint, &key) => exit,
        () = interrupted() => Exit::Ok,
    }
}

/// Prints what there is, and what comes.
async fn follow(args: &Args, endpoint: &Arc<Endpoint>, key: &str) -> Exit {
    let mut connection = Connection::new(Arc::clone(endpoint)).with_answers_of(ANSWER_BYTES_MAX);
    let (mut place, mut left) = (format!("offset={}", segment(&args.from)), args.limit.unwrap_or(u64::MAX));
    let mut said = String::new();
    // At first not at all, so that it is said at once where there is no such stream.
    let mut wait = 0;
    while left > 0 {
        let path =
            format!("/v1/streams/{}/events?{place}&wait={wait}s&limit={}", segment(&args.stream), left.min(PAGE));
        let found = page(args, &mut connection, endpoint, &path, key).await;
        wait = STREAM_WAIT_MAX.as_secs();
        match found {
            Ok(reply) => {
                let Ok(page) = serde_json::from_slice::<Page<'_>>(&reply.body) else {
                    return failed(&format!("{} does not answer as Tidegate does", args.url));
                };
                for event in &page.data {
                    show(event, args.json);
                }
                left -= page.data.len() as u64;
                place = format!("cursor={}", segment(&page.cursor));
                said.clear();
            }
            Err(Failed::Refused(why)) => return failed(&why),
            Err(failed @ (Failed::Passing(_) | Failed::Missing)) => {
                let (why, is_missing) = match failed {
                    Failed::Missing => (missing(&args.stream), true),
                    Failed::Passing(why) | Failed::Refused(why) => (format!("{why}; it is tried again"), false),
                };
                if is_missing && place == "offset=latest" {
                    // It will begin after it was asked for.
                    "offset=earliest".clone_into(&mut place);
                }
                if why != said {
                    eprintln!("tidegate: {why}");
                    said = why;
                }
                tokio::time::sleep(RETRY_PAUSE).await;
            }
        }
    }
    Exit::Ok
}

async fn page(
    args: &Args,
    connection: &mut Connection,
    endpoint: &Endpoint,
    path: &str,
    key: &str,
) -> Result<HttpReply, Failed> {
    let request = Request::get(endpoint.path(path).map_err(Failed::Refused)?)
        .header(ACCEPT, "application/json")
        .header(AUTHORIZATION, format!("Bearer {key}"))
        .body(Full::<Bytes>::default());
    let request = request.map_err(|_| Failed::Refused("the key is not one".into()))?;
    let reply =
        connection.send(request, TIMEOUT).await.map_err(|lost| Failed::Passing(unanswered(&args.url, &lost)))?;
    if reply.status.is_success() {
        return Ok(reply);
    }
    let why = match serde_json::from_slice(&reply.body) {
        Ok(problem) => told(&problem),
        Err(_) => format!("the server answers {}", reply.status),
    };
    Err(if reply.status == StatusCode::NOT_FOUND {
        Failed::Missing
    } else if reply.status.is_server_error() || reply.retry_after().is_some() {
        Failed::Passing(why)
    } else {
        Failed::Refused(why)
    })
}

/// What is waited for: it may be a name that nobody will ever send.
fn missing(stream: &str) -> String {
    format!(
        "there is no stream {}: `tidegate streams list` shows which there are; waiting for its first event",
        visible(stream)
    )
}

fn show(event: &RawValue, json: bool) {
    let shown = serde_json::from_str::<Shown<'_>>(event.get());
    let Ok(shown) = shown.as_ref().ok().filter(|_| !json).ok_or(()) else {
        // A payload that was kept as it was sent may have line breaks between its values.
        print(format!("{}\n", event.get().replace(['\n', '\r'], " ")).as_bytes());
        return;
    };
    let Shown { offset, timestamp, severity, event_type, source_module, asset_id, payload } = shown;
    let asset = asset_id.as_deref().unwrap_or("-");
    let payload = payload.map_or("null", RawValue::get).replace(['\n', '\r'], " ");
    let line = format!("{offset}  {timestamp}  {severity}  {event_type}  {source_module}  {asset}  {payload}");
    // What a sender wrote must not steer a terminal.
    say!("{}", visible(&line));
}
