//! `tidegate serve`: starts, says where it is, and stops on a signal.

use super::instance::start;
use super::output::{Exit, failed, print};
use crate::app::{FirstKey, Welcome};
use crate::config::{Changes, Config, ConfigError, LiveLimits};
use crate::http::Tls;
use crate::shutdown::{Hangups, Signals};

/// Serve HTTP; with no database configured, on a private PostgreSQL
#[derive(Debug, clap::Args)]
pub struct Args {}

/// `reread` reads the configuration again, from where it was read at the start.
pub async fn run(config: &Config, _args: Args, reread: impl Fn() -> Result<Config, ConfigError>) -> Exit {
    // Before anything is touched.
    if let Some(Err(error)) = config.tls.as_ref().map(Tls::load) {
        eprintln!("tidegate: {error}");
        return Exit::BadConfiguration;
    }
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let mut hangups = match Hangups::listen() {
        Ok(hangups) => hangups,
        Err(error) => return failed(&error),
    };
    let limits = LiveLimits::new(config.limits);
    let serve = async {
        let app = match start(config, &limits, &mut signals).await {
            Ok(app) => app,
            Err(exit) => return exit,
        };
        welcome(&app.welcome);
        if app.run(signals).await { Exit::Ok } else { Exit::Failed }
    };
    let take_up = async {
        let mut current = config.clone();
        loop {
            hangups.next().await;
            match reread() {
                Ok(new) => {
                    take_up(&limits, config, &current, &new);
                    current = new;
                }
                Err(error) => tracing::error!(%error, "SIGHUP: the configuration cannot be used; nothing has changed"),
            }
        }
    };
    tokio::select! {
        exit = serve => exit,
        () = take_up => unreachable!("it waits for signals for ever"),
    }
}

/// Takes up what may change while the process runs, and names the rest. The log's level is set where it is read.
fn take_up(limits: &LiveLimits, started: &Config, current: &Config, new: &Config) {
    let live = Changes::between(current, new).live;
    // What runs is what was there at the start, however often somebody has asked since.
    let later = Changes::between(started, new).later;
    limits.replace(new.limits);
    let [live, later] = [live, later].map(|keys| keys.join(", "));
    if later.is_empty() {
        tracing::info!(changed = live, "SIGHUP: the configuration has been read again");
    } else {
        tracing::warn!(changed = live, needs_restart = later, "SIGHUP: the configuration has been read again");
    }
}

/// Said on standard output, once, when requests are served; programs wait for its first line, and may stop reading then.
fn welcome(welcome: &Welcome) {
    let url = &welcome.url;
    let mut lines = vec![
        format!("Tidegate is ready at {url}"),
        format!("  console   {url}/"),
        format!("  engine    {}", welcome.engine),
    ];
    let key = match &welcome.first_key {
        Some(FirstKey { tenant_id, text }) => {
            lines.push(format!("  tenant    {tenant_id}"));
            lines.push(format!("  API key   {text}   (shown this once; more: tidegate keys create --org {tenant_id})"));
            text.as_str()
        }
        None => {
            lines.push(
                "  keys      the first was shown at the first start; another: tidegate keys create --org NAME".into(),
            );
            "$TIDEGATE_KEY"
        }
    };
    // Double quotes, so that the shell fills the variable in.
    lines.push(format!(
        "  try it    curl -sS {url}/v1/events -H \"Authorization: Bearer {key}\" -H 'Content-Type: application/json' \\"
    ));
    lines
        .push("              -d '{\"event_type\":\"hello\",\"source_module\":\"shell\",\"payload\":{\"n\":1}}'".into());
    let psql = welcome
        .psql
        .as_deref()
        .unwrap_or("tidegate readers create NAME   (makes a login that reads, and says how it connects)");
    lines.push(format!("  psql      {psql}\n"));
    print(lines.join("\n").as_bytes());
}
