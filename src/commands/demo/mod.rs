//! `tidegate demo`: a throwaway instance, a small story of an order, generated telemetry, and where to look at all of it.

mod story;

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use futures_util::FutureExt;
use tokio_postgres::Client;

use super::instance::start;
use super::load::print_report;
use super::output::{Exit, failed, print_table, say};
use super::server::Server;
use crate::app::{App, owner_client};
use crate::config::{Config, LiveLimits};
use crate::load::{
    ASSETS_DEFAULT, Format, ItemKind, LoadOptions, SendRate, Source, check_conservation, parse_duration,
};
use crate::shutdown::Signals;
use crate::storage::StorageError;
use crate::tls::Trust;

/// So few that the events' rate is hardly less for them.
const METRICS_PER_SECOND: u64 = 2000;
const METRIC_ASSETS: u32 = 100;

/// A folder that is removed with the demo.
struct Throwaway(PathBuf);

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Err(error) = std::fs::remove_dir_all(&self.0) {
            tracing::warn!(folder = %self.0.display(), %error, "the demo's folder could not be removed");
        }
    }
}

/// A throwaway instance: events, metrics, a correlation, a dead letter, a consumer group, and where to look at them
#[derive(Debug, clap::Args)]
pub struct Args {
    /// How long to send generated telemetry
    #[arg(long, default_value = "20s", value_parser = parse_duration)]
    duration: Duration,
    /// End when it has shown everything; on a terminal it stays there to be looked at, until Ctrl-C
    #[arg(long)]
    once: bool,
}

pub async fn run(config: &Config, Args { duration, once }: Args) -> Exit {
    let folder = Throwaway(std::env::temp_dir().join(format!("tidegate-demo-{}", std::process::id())));
    let mut config = config.clone();
    config.database.database_url = None;
    config.tls = None;
    config.backup.every = None;
    config.data_dir.clone_from(&folder.0);
    config.listen = "127.0.0.1:0".parse().expect("an address and a port");
    eprintln!("starting a throwaway PostgreSQL and Tidegate ...");
    let mut signals = match Signals::listen() {
        Ok(signals) => signals,
        Err(error) => return failed(&error),
    };
    let app = match start(&config, &LiveLimits::new(config.limits), &mut signals).await {
        Ok(app) => app,
        Err(exit) => return exit,
    };
    let stays = !once && std::io::stdout().is_terminal();
    let stop = async move {
        signals.next().await;
    };
    let stop = stop.shared();
    let result = show(&app, duration, stop.clone()).await;
    if matches!(result, Ok(true)) && stop.peek().is_none() {
        if stays {
            places(&app);
            stop.await;
        } else {
            say!(
                "\nIt is over, and removed. On a terminal and without --once it stays, to be looked at in the console."
            );
        }
    }
    let in_order = app.stop().await;
    match result {
        Ok(true) if in_order => Exit::Ok,
        Ok(_) => Exit::Failed,
        Err(error) => failed(&error),
    }
}

async fn show(app: &App, duration: Duration, stop: impl Future<Output = ()> + Clone) -> Result<bool, StorageError> {
    let fatal = |error: &dyn std::fmt::Display| StorageError::fatal(error.to_string());
    say!("engine: {}", app.welcome.engine);
    let key = app.welcome.first_key.as_ref().map(|key| key.text.clone());
    let key = key.ok_or_else(|| fatal(&"a new instance made no key"))?;
    let mut server = Server::at(&app.welcome.url, &key).map_err(|error| fatal(&error))?;
    tokio::select! {
        told = story::tell(&mut server) => told.map_err(|error| fatal(&error))?,
        () = stop.clone() => return Ok(true),
    }
    let events = LoadOptions {
        url: app.welcome.url.clone(),
        trust: Trust::System,
        keys: vec![key.clone()],
        rate: SendRate::Max,
        duration,
        batch: 1000,
        connections: 4,
        format: Format::Ndjson,
        gzip: false,
        source: Source::Generate { kind: ItemKind::Events, seed: 1, assets: ASSETS_DEFAULT },
        progress: true,
        max_events: None,
        no_keys: false,
    };
    // Metrics trickle in beside the events, as in life.
    let metrics = LoadOptions {
        rate: SendRate::PerSecond(METRICS_PER_SECOND),
        connections: 1,
        source: Source::Generate { kind: ItemKind::Metrics, seed: 1, assets: METRIC_ASSETS },
        progress: false,
        ..events.clone()
    };
    let (events, metrics) = tokio::join!(crate::load::run(events, stop.clone()), crate::load::run(metrics, stop));
    let client = owner_client(app.location()).await?;
    let mut ok = true;
    for report in [events, metrics] {
        let mut report = report.map_err(|error| fatal(&error))?;
        report.conservation = Some(check_conservation(&report, &client).await?);
        print_report(&report, &mut std::io::stdout()).map_err(|error| fatal(&error))?;
        say!("");
        ok &= report.is_ok();
    }
    queries(&client).await?;
    Ok(ok)
}

/// Where the same is to be seen.
fn places(app: &App) {
    let url = &app.welcome.url;
    let key = app.welcome.first_key.as_ref().map_or("", |key| key.text.as_str());
    say!("\nLook at it; Ctrl-C ends it, and removes everything:");
    say!("  console   {url}/#key={key}");
    say!("  commands  export TIDEGATE_URL={url} TIDEGATE_KEY={key}");
    say!("            tidegate groups list orders");
    say!("            tidegate dead-letters list");
    say!("            tidegate tail orders --from earliest --limit 3");
    if let Some(psql) = &app.welcome.psql {
        say!("  psql      {psql}");
    }
}

/// A few questions that a dashboard would ask.
async fn queries(client: &Client) -> Result<(), StorageError> {
    say!("events by type:");
    let sql = "SELECT event_type, count(*)::text, round(100.0 * count(*) / sum(count(*)) OVER (), 1)::text \
               FROM events GROUP BY 1 ORDER BY count(*) DESC LIMIT 8";
    let rows = client.query(sql, &[]).await?;
    print_table(["EVENT_TYPE", "COUNT", "%"], rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]));
    say!("\nmetrics:");
    let sql = "SELECT metric_name, count(*)::text, round(avg(value_sum)::numeric, 1)::text, round(max(value_sum)::numeric, 1)::text \
               FROM metrics GROUP BY 1 ORDER BY 1 LIMIT 4";
    let rows = client.query(sql, &[]).await?;
    let columns = rows.iter().map(|row| [row.get(0), row.get(1), row.get(2), row.get(3)]);
    print_table(["METRIC_NAME", "COUNT", "MEAN", "MAX"], columns);
    say!("\nthe busiest assets' errors:");
    let sql = "SELECT asset_id, count(*)::text, max(timestamp)::text FROM events \
               WHERE severity IN ('error', 'critical') AND asset_id IS NOT NULL GROUP BY 1 ORDER BY count(*) DESC, 1 LIMIT 5";
    let rows = client.query(sql, &[]).await?;
    print_table(["ASSET", "ERRORS", "LAST"], rows.iter().map(|row| [row.get(0), row.get(1), row.get(2)]));
    Ok(())
}
